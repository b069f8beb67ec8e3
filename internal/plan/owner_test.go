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
