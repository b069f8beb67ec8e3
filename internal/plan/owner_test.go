package plan

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// speakingWorld has n Services with an address each, and a live speaker on every
// one of its nodes.
func speakingWorld(addresses, nodes int) lb.World {
	w := lb.World{Pools: []lb.Pool{newPool(panicker{}, "lan", "10.0.0.0/16")}}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		w.Nodes = append(w.Nodes, lb.Node{Name: name, Alive: true})
		w.Speakers = append(w.Speakers, lb.Speaker{Node: name, Interfaces: []lb.Interface{{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}}}})
	}
	for i := range addresses {
		w.Services = append(w.Services, newService(fmt.Sprintf("svc-%04d", i), i, holds(fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250))))
	}
	return w
}

type panicker struct{}

func (panicker) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// claim lets every owner say that it announces what it owns.
func claim(w lb.World, owners []Ownership) lb.World {
	w.Speakers = slices.Clone(w.Speakers)
	for i := range w.Speakers {
		w.Speakers[i].Claims = nil
		for _, o := range owners {
			if o.Node == w.Speakers[i].Node {
				w.Speakers[i].Claims = append(w.Speakers[i].Claims, lb.Claim{Address: o.Address, State: lb.Announced})
			}
		}
	}
	return w
}

func TestAddressesSpreadEvenly(t *testing.T) {
	for _, size := range []struct{ addresses, nodes int }{{1, 3}, {9, 3}, {100, 3}, {1000, 7}, {5000, 20}} {
		load := map[string]int{}
		for _, o := range Owners(speakingWorld(size.addresses, size.nodes)) {
			load[o.Node]++
		}
		most := 0
		for _, n := range load {
			most = max(most, n)
		}
		share := float64(size.addresses) / float64(size.nodes)
		if float64(most) > share*1.1+1 {
			t.Errorf("%d addresses on %d nodes: one has %d, its share is %.1f", size.addresses, size.nodes, most, share)
		}
	}
}

// Two versions of the program run side by side during an upgrade; these weights
// may never change.
func TestWeightsAreFrozen(t *testing.T) {
	for _, c := range []struct {
		node, addr string
		want       uint64
	}{
		{"node-a", "192.0.2.10", 0x755901446c231978},
		{"node-b", "192.0.2.10", 0x26f31287285fa30d},
		{"node-a", "fd00:1::a", 0x9938cc9854e57692},
	} {
		node := candidate{hash: fnv1a(c.node)}
		if got := node.weight(hashAddr(netip.MustParseAddr(c.addr))); got != c.want {
			t.Errorf("weight(%s, %s) = %#x, want %#x", c.node, c.addr, got, c.want)
		}
	}
}

func TestOwnersLeaveOut(t *testing.T) {
	local := func(s *lb.Service) { s.Local = true }
	for _, c := range []struct {
		name   string
		edit   func(*lb.World)
		owner  string
		reason lb.Reason
	}{
		{name: "nobody: the first by weight", edit: func(*lb.World) {}, owner: "node-1"},
		{name: "an excluded node", edit: func(w *lb.World) { w.Nodes[1].Excluded = true }, owner: "node-0"},
		{name: "a node out of service", edit: func(w *lb.World) { w.Nodes[1].OutOfService = true }, owner: "node-0"},
		{name: "a node without network", edit: func(w *lb.World) { w.Nodes[1].NetworkUnavailable = true }, owner: "node-0"},
		{name: "a dead node", edit: func(w *lb.World) { w.Nodes[1].Alive = false }, owner: "node-0"},
		{name: "a node that is gone", edit: func(w *lb.World) { w.Nodes = w.Nodes[:1] }, owner: "node-0"},
		{name: "a node without a quorum", edit: func(w *lb.World) {
			w.Speakers[0].Hearing, w.Speakers[1].Hearing = &lb.Hearing{Quorate: true}, &lb.Hearing{}
		}, owner: "node-0"},
		{name: "no node without a quorum, when all are", edit: func(w *lb.World) {
			w.Speakers[0].Hearing, w.Speakers[1].Hearing = &lb.Hearing{}, &lb.Hearing{}
		}, owner: "node-1"},
		{name: "a node that does not know the address", edit: func(w *lb.World) { w.Speakers[1].Unaware = w.Services[0].Held }, owner: "node-0"},
		{name: "no node that claims the address", edit: func(w *lb.World) {
			w.Speakers[1].Unaware = w.Services[0].Held
			w.Speakers[1].Claims = []lb.Claim{{Address: w.Services[0].Held[0], State: lb.Probing}}
		}, owner: "node-1"},
		{name: "all, when none knows the address", edit: func(w *lb.World) {
			w.Speakers[0].Unaware, w.Speakers[1].Unaware = w.Services[0].Held, w.Services[0].Held
		}, reason: lb.NoSpeaker},
		{name: "a speaker that stops", edit: func(w *lb.World) { w.Speakers[1].Leaving = true }, owner: "node-0"},
		{name: "a node without the interface", edit: func(w *lb.World) {
			w.Classes = []lb.Class{{Name: "x", Default: true, L2: lb.L2{Interfaces: []string{"eth*"}}}}
			w.Speakers[1].Interfaces[0].Name = "wlan0"
		}, owner: "node-0"},
		{name: "a node that the class does not select", edit: func(w *lb.World) {
			w.Classes = []lb.Class{{Name: "x", Default: true, L2: lb.L2{NodeSelector: &lb.Selector{Requirements: []lb.Requirement{{Key: "edge", Operator: lb.Exists}}}}}}
			w.Nodes[0].Labels = map[string]string{"edge": ""}
		}, owner: "node-0"},
		{name: "nodes without a pod of a Local Service", edit: func(w *lb.World) {
			local(&w.Services[0])
			w.Endpoints = []lb.Endpoints{{Service: w.Services[0].Key, Nodes: []string{"node-0"}}}
		}, owner: "node-0"},
		{name: "all, when a Local Service has no pod", edit: func(w *lb.World) { local(&w.Services[0]) }, reason: lb.NoEndpoints},
		{name: "all, when no node has a speaker", edit: func(w *lb.World) { w.Speakers = nil }, reason: lb.NoSpeaker},
		{name: "nobody, when every node seems dead", edit: func(w *lb.World) { w.Nodes[0].Alive, w.Nodes[1].Alive = false, false }, owner: "node-1"},
		{name: "foreign Services", edit: func(w *lb.World) { w.Services[0].Class = "other.example/x" }, owner: "none"},
	} {
		w := speakingWorld(1, 2)
		c.edit(&w)
		owners := Owners(w)
		if c.owner == "none" {
			if len(owners) != 0 {
				t.Errorf("leaves out %s: got %+v", c.name, owners)
			}
			continue
		}
		got := owners[0]
		if got.Node != c.owner || (c.reason != "" && (got.Refusal == nil || got.Refusal.Reason != c.reason)) {
			t.Errorf("leaves out %s: owner %q (%+v), want %q %s", c.name, got.Node, got.Refusal, c.owner, c.reason)
		}
	}
}

func TestFreshOnlyWhileNobodyAnnounces(t *testing.T) {
	w := speakingWorld(1, 3)
	if o := Owners(w)[0]; !o.Fresh {
		t.Errorf("never announced, but not fresh: %+v", o)
	}
	w = claim(w, Owners(w))
	for i := range w.Nodes {
		if w.Nodes[i].Name == Owners(w)[0].Node {
			w.Nodes[i].Alive = false
			break
		}
	}
	if o := Owners(w)[0]; o.Fresh {
		t.Errorf("taken over from a dead node, but fresh (it would be probed for): %+v", o)
	}
}

func TestPartitionHealsToOneOwner(t *testing.T) {
	w := speakingWorld(1, 3)
	addr := w.Services[0].Held[0]
	for i := range 2 {
		w.Speakers[i].Claims = []lb.Claim{{Address: addr, State: lb.Announced}}
	}
	w.Speakers[2].Claims = []lb.Claim{{Address: addr, State: lb.Probing}}
	first := Owners(w)[0].Node
	if first == "node-2" {
		t.Errorf("a node that only probes beat two that announce")
	}
	slices.Reverse(w.Speakers)
	if again := Owners(w)[0].Node; again != first {
		t.Errorf("owner depends on order: %s, then %s", first, again)
	}
}

func TestTheLaterOfTwoOwnersKeepsTheAddress(t *testing.T) {
	w := speakingWorld(1, 3)
	addr := w.Services[0].Held[0]
	for loser := range 2 {
		w.Speakers[loser].Claims = []lb.Claim{{Address: addr, State: lb.Announced, Since: epoch}}
		w.Speakers[1-loser].Claims = []lb.Claim{{Address: addr, State: lb.Announced, Since: epoch.Add(time.Second)}}
		if got, want := Owners(w)[0].Node, w.Speakers[1-loser].Node; got != want {
			t.Errorf("%s took over last, but %s owns: it moved back", want, got)
		}
	}
}

// Clocks differ; an epoch is one above all that the node knew when it took the address.
func TestAnEpochGoesBeforeAClock(t *testing.T) {
	w := speakingWorld(1, 2)
	addr := w.Services[0].Held[0]
	for winner := range 2 {
		w.Speakers[winner].Claims = []lb.Claim{{Address: addr, State: lb.Announced, Epoch: 2, Since: epoch}}
		w.Speakers[1-winner].Claims = []lb.Claim{{Address: addr, State: lb.Announced, Epoch: 1, Since: epoch.Add(time.Hour)}}
		if got, want := Owners(w)[0].Node, w.Speakers[winner].Node; got != want {
			t.Errorf("%s took over last, but %s owns, whose clock is ahead", want, got)
		}
	}
}

// Each of two nodes knows its own claim to the nanosecond, and that of the other from its
// record.
func TestWhatNoRecordTellsDecidesNothing(t *testing.T) {
	w := speakingWorld(1, 2)
	addr := w.Services[0].Held[0]
	for i := range 2 {
		w.Speakers[i].Claims = []lb.Claim{{Address: addr, State: lb.Announced, Epoch: 1, Since: epoch}}
	}
	want := Owners(w)[0].Node
	for i := range 2 {
		own := copySpeakers(w)
		own.Speakers[i].Claims[0].Since = epoch.Add(999)
		if got := Owners(own)[0].Node; got != want {
			t.Errorf("for %s, which knows nanoseconds of its own, %s owns the address; for others %s", own.Speakers[i].Node, got, want)
		}
	}
}

// The address is that of the world's one Service; node-0 announces it.
func TestWhyANodeGetsAnAddress(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*lb.World)
		cause lb.Cause
		from  string
	}{
		{"nobody had it", func(w *lb.World) { w.Speakers[0].Claims = nil }, lb.First, ""},
		{"another only asked whether it is free", func(w *lb.World) {
			w.Speakers[0].Claims[0].State, w.Nodes[0].Alive = lb.Probing, false
		}, lb.First, ""},
		{"nothing is new", func(*lb.World) {}, "", ""},
		{"its node died", func(w *lb.World) { w.Nodes[0].Alive = false }, lb.Failure, "node-0"},
		{"its node is gone", func(w *lb.World) { w.Nodes = w.Nodes[1:] }, lb.Failure, "node-0"},
		{"its node was switched off", func(w *lb.World) { w.Nodes[0].OutOfService = true }, lb.Failure, "node-0"},
		{"its node lost its quorum", func(w *lb.World) {
			for i := range w.Speakers {
				w.Speakers[i].Hearing = &lb.Hearing{Quorate: i > 0}
			}
		}, lb.Failure, "node-0"},
		{"its speaker stops", func(w *lb.World) { w.Speakers[0].Leaving = true }, lb.HandOver, "node-0"},
		{"its speaker has stopped", func(w *lb.World) { w.Speakers[0].Leaving, w.Nodes[0].Alive = true, false }, lb.HandOver, "node-0"},
		{"its node has too many", func(w *lb.World) { w.Speakers[0].Claims[0].Offer = "node-1" }, lb.Mended, "node-0"},
		{"its node died while it offered it", func(w *lb.World) {
			w.Speakers[0].Claims[0].Offer, w.Nodes[0].Alive = "node-1", false
		}, lb.Failure, "node-0"},
		{"its node was excluded", func(w *lb.World) { w.Nodes[0].Excluded = true }, lb.Moved, "node-0"},
		{"two had it, and the later died", func(w *lb.World) {
			take(w, "node-2", w.Services[0].Held[0])
			w.Nodes[0].Excluded, w.Nodes[2].Alive = true, false
		}, lb.Failure, "node-2"},
	} {
		w := speakingWorld(1, 3)
		take(&w, "node-0", w.Services[0].Held[0])
		c.edit(&w)
		o := Owners(w)[0]
		if o.Cause != c.cause || o.From != c.from {
			t.Errorf("%s: %q gets it for %q from %q, want %q from %q", c.name, o.Node, o.Cause, o.From, c.cause, c.from)
		}
	}
}

func TestAnOfferCountsWhileItsReceiverMayHaveTheAddress(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(w *lb.World, addr netip.Addr)
		owner string
	}{
		{"it counts at once", func(*lb.World, netip.Addr) {}, "node-1"},
		{"it counts for nothing when the receiver dies", func(w *lb.World, _ netip.Addr) { w.Nodes[1].Alive = false }, "node-0"},
		{"it counts for nothing when there is no such node", func(w *lb.World, addr netip.Addr) { says(w, "node-0", addr).Offer = "node-9" }, "node-0"},
		{"it counts when the giver dies", func(w *lb.World, _ netip.Addr) { w.Nodes[0].Alive = false }, "node-1"},
		{"it is over when another one took the address", func(w *lb.World, addr netip.Addr) { take(w, "node-2", addr) }, "node-2"},
		{"it is over when the receiver took the address", func(w *lb.World, addr netip.Addr) {
			take(w, "node-1", addr)
			says(w, "node-1", addr).Offer = "node-2"
		}, "node-2"},
	} {
		w := speakingWorld(1, 3)
		addr := w.Services[0].Held[0]
		take(&w, "node-0", addr)
		says(&w, "node-0", addr).Offer = "node-1"
		c.edit(&w, addr)
		if got := Owners(w)[0].Node; got != c.owner {
			t.Errorf("%s: %s owns it, want %s", c.name, got, c.owner)
		}
	}
}

// A node that died with others before it came has none; its addresses are not heaped on
// one survivor while another has none.
func TestOrphansGoToThoseWithRoom(t *testing.T) {
	w := speakingWorld(30, 4)
	for i, s := range w.Services {
		take(&w, fmt.Sprintf("node-%d", i%3), s.Held[0]) // node-3 joined late
	}
	w.Nodes[0].Alive = false
	load := map[string]int{}
	for _, o := range Owners(w) {
		load[o.Node]++
	}
	if load["node-1"] > 11 || load["node-2"] > 11 || load["node-3"] < 8 {
		t.Errorf("10 addresses of a dead node among two with 10 and one with none: %v, want none above 11", load)
	}
}

func TestAddressesOfEachClassSpreadEvenly(t *testing.T) {
	w := speakingWorld(100, 10)
	w.Classes = []lb.Class{
		{Name: "all", Default: true, Provider: lb.ProviderL2},
		{Name: "edge", Provider: lb.ProviderL2, L2: lb.L2{NodeSelector: &lb.Selector{Requirements: []lb.Requirement{{Key: "edge", Operator: lb.Exists}}}}},
	}
	w.Nodes[3].Labels, w.Nodes[7].Labels = map[string]string{"edge": ""}, map[string]string{"edge": ""}
	for i := range 10 {
		w.Services[i*10].Class = lb.ClassPrefix + "edge"
	}
	load := map[string]int{}
	for _, o := range Owners(w) {
		if i := slices.IndexFunc(w.Services, func(s lb.Service) bool { return s.Key == o.Services[0] }); w.Services[i].Class != "" {
			load[o.Node]++
		}
	}
	if load["node-3"] > 6 || load["node-7"] > 6 || len(load) != 2 {
		t.Errorf("10 addresses that two of ten nodes may have: %v, want at most 6 each", load)
	}
}

func TestWhoIsDeafIsBelievedUnlessAllAre(t *testing.T) {
	yes, no := &lb.Hearing{Quorate: true}, &lb.Hearing{}
	for _, c := range []struct {
		name    string
		hearing []*lb.Hearing
		dead    []int
		deaf    bool
	}{
		{"all hear", []*lb.Hearing{yes, yes, yes}, nil, false},
		{"one hears nobody", []*lb.Hearing{yes, no, yes}, nil, false},
		{"one hears at least", []*lb.Hearing{no, yes, no}, nil, false},
		{"nobody hears anybody", []*lb.Hearing{no, no, no}, nil, true},
		{"the last one that hears is dead", []*lb.Hearing{no, yes, no}, []int{1}, true},
		{"who sends no heartbeats says nothing of them", []*lb.Hearing{no, nil, no}, nil, true},
		{"there are no heartbeats", []*lb.Hearing{nil, nil, nil}, nil, false},
		{"nobody lives, and nobody hears", []*lb.Hearing{no, no}, []int{0, 1}, true},
		{"nobody lives, and one hears", []*lb.Hearing{no, yes}, []int{0, 1}, false},
		{"there is nobody", nil, nil, false},
	} {
		w := speakingWorld(1, len(c.hearing))
		for i, h := range c.hearing {
			w.Speakers[i].Hearing = h
		}
		for _, i := range c.dead {
			w.Nodes[i].Alive = false
		}
		if got := AllDeaf(w); got != c.deaf {
			t.Errorf("%s: deaf is %t", c.name, got)
		}
	}
}
