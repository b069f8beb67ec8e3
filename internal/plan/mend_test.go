package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/lb"
	"pgregory.net/rapid"
)

// offer is what Mend lets one node do.
type offer struct {
	addr     netip.Addr
	from, to string
}

// offers asks every node.
func offers(w lb.World) []offer {
	var out []offer
	for _, n := range w.Nodes {
		if addr, to, ok := Mend(w, n.Name); ok {
			out = append(out, offer{addr, n.Name, to})
		}
	}
	return out
}

// spreads counts the addresses of each node, by what nodes may own them.
func spreads(w lb.World) map[string]map[string]int {
	e := elect(w)
	out := make(map[string]map[string]int)
	for i, o := range e.owners {
		if o.Node == "" {
			continue
		}
		key := ""
		for _, c := range e.groups[i].nodes {
			key += c.Name + " "
		}
		if out[key] == nil {
			out[key] = make(map[string]int)
			for _, c := range e.groups[i].nodes {
				out[key][c.Name] = 0
			}
		}
		out[key][o.Node]++
	}
	return out
}

// uneven counts the addresses that nodes have above their room, or lack to a tenth below
// their share.
func uneven(w lb.World) (sum int) {
	for _, loads := range spreads(w) {
		addresses := 0
		for _, n := range loads {
			addresses += n
		}
		most := (11*addresses + 10*len(loads) - 1) / (10 * len(loads))
		least := 9 * addresses / (10 * len(loads))
		for _, n := range loads {
			sum += max(0, n-most) + max(0, least-n)
		}
	}
	return sum
}

// settled lets every address be announced by one node that may own it, any.
func settled(w lb.World, draw func(n int) int) lb.World {
	w = copySpeakers(w)
	for i := range w.Speakers {
		w.Speakers[i].Claims = nil
	}
	e := elect(w)
	for i, o := range e.owners {
		if nodes := e.groups[i].nodes; len(nodes) > 0 {
			take(&w, nodes[min(draw(len(nodes)), draw(len(nodes)))].Name, o.Address)
		}
	}
	return w
}

func TestMendingEndsAndMovesNoMoreThanIsUneven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := features{dead: 10, excluded: 5}
		if rapid.Bool().Draw(t, "restricted") {
			f.edge, f.wlan, f.classes, f.local, f.dual, f.noQuorum = 50, 40, 50, 20, 20, 5
		}
		w := settled(makeElection(rapid.IntRange(1, 8).Draw(t, "nodes"), rapid.IntRange(1, 60).Draw(t, "services"), f, drawFrom(t)), drawFrom(t))
		if AllDeaf(w) || newElectorate(w).blind {
			return
		}
		limit := uneven(w)
		moved := map[netip.Addr]bool{}
		for moves := 0; ; moves++ {
			all := offers(w)
			if len(all) == 0 {
				break
			}
			if len(all) > 1 {
				t.Fatalf("%d nodes offer at once: %v", len(all), all)
			}
			if moves == limit {
				t.Fatalf("%d addresses were too many or too few somewhere, and after as many moves another is offered: %v", limit, all)
			}
			o := all[0]
			if moved[o.addr] {
				t.Fatalf("%s moves a second time: %+v", o.addr, o)
			}
			moved[o.addr] = true
			w = handOver(t, w, o)
		}
		if left := uneven(w); left != 0 {
			t.Fatalf("no more is offered, but %d addresses are too many or too few somewhere: %v", left, spreads(w))
		}
	})
}

// handOver lets an offer be made, taken, and forgotten. At each of these steps all agree
// on who owns the address, and no other is offered.
func handOver(t *rapid.T, w lb.World, o offer) lb.World {
	w = copySpeakers(w)
	check := func(step string) {
		owners := Owners(w)
		i := slices.IndexFunc(owners, func(x Ownership) bool { return x.Address == o.addr })
		if owners[i].Node != o.to {
			t.Fatalf("%s: %s is owned by %q, want %q", step, o.addr, owners[i].Node, o.to)
		}
		if step == "offered" && (owners[i].Cause != lb.Mended || owners[i].From != o.from || owners[i].Fresh) {
			t.Fatalf("%s: its cause is %q from %q, fresh %t", step, owners[i].Cause, owners[i].From, owners[i].Fresh)
		}
		if more := offers(w); step != "let go" && len(more) > 0 {
			t.Fatalf("%s: while %s is on its way, %v is offered", step, o.addr, more)
		}
	}
	says(&w, o.from, o.addr).Offer = o.to
	check("offered")
	take(&w, o.to, o.addr)
	check("taken")
	drop(&w, o.from, o.addr)
	check("let go")
	return w
}

func TestTheAddressThatIsDrawnToTheReceiverMostIsOffered(t *testing.T) {
	w := speakingWorld(9, 3)
	for _, s := range w.Services {
		take(&w, "node-2", s.Held[0])
	}
	all := offers(w)
	if len(all) != 1 || all[0].from != "node-2" || all[0].to != "node-0" {
		t.Fatalf("offers are %v, want one of node-2 to node-0, the first of those with none", all)
	}
	to := candidate{hash: fnv1a("node-0")}
	for _, s := range w.Services {
		if to.weight(hashAddr(s.Held[0])) > to.weight(hashAddr(all[0].addr)) {
			t.Errorf("%s is offered, but %s is drawn to node-0 more", all[0].addr, s.Held[0])
		}
	}
}

// Nodes 0 and 1 may own what is of the class edge, nodes 2 and 3 the others.
func TestTheWidestGapIsMendedFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		loads [4]int
		from  string
	}{
		{"the gap of the first", [4]int{9, 1, 2, 9}, "node-0"},
		{"the gap of the second", [4]int{9, 2, 1, 9}, "node-3"},
		{"by name of two that are equal", [4]int{1, 9, 9, 1}, "node-1"},
		{"by name of two that are equal, whichever is first by address", [4]int{9, 1, 1, 9}, "node-0"},
	} {
		for _, reversed := range []bool{false, true} {
			w := speakingWorld(0, 4)
			exists := func(label string) lb.L2 {
				return lb.L2{NodeSelector: &lb.Selector{Requirements: []lb.Requirement{{Key: label, Operator: lb.Exists}}}}
			}
			w.Classes = []lb.Class{{Name: "edge", Provider: lb.ProviderL2, L2: exists("edge")}, {Name: "inner", Provider: lb.ProviderL2, L2: exists("inner")}}
			for n, load := range c.loads {
				class := []string{"edge", "inner"}[n/2]
				w.Nodes[n].Labels = map[string]string{class: ""}
				for range load {
					i := len(w.Services)
					addr := fmt.Sprintf("10.0.0.%d", i+1)
					if reversed {
						addr = fmt.Sprintf("10.0.0.%d", 250-i)
					}
					s := newService(fmt.Sprintf("svc-%04d", i), i, holds(addr))
					s.Class = lb.ClassPrefix + class
					w.Services = append(w.Services, s)
					take(&w, w.Nodes[n].Name, s.Held[0])
				}
			}
			if all := offers(w); len(all) != 1 || all[0].from != c.from {
				t.Errorf("%s: loads %v, reversed %t: offers are %v, want one of %s", c.name, c.loads, reversed, all, c.from)
			}
		}
	}
}

func TestNothingIsOfferedUnlessTheWorldIsCalm(t *testing.T) {
	crowded := func() lb.World {
		w := speakingWorld(12, 4)
		for i, s := range w.Services {
			take(&w, fmt.Sprintf("node-%d", i%2), s.Held[0])
		}
		return w
	}
	first := crowded().Services[0].Held[0]
	for _, c := range []struct {
		name   string
		edit   func(*lb.World)
		offers int
	}{
		{"calm", func(*lb.World) {}, 1},
		{"a speaker leaves", func(w *lb.World) { w.Speakers[3].Leaving = true }, 0},
		{"a speaker probes", func(w *lb.World) {
			w.Speakers[3].Claims = []lb.Claim{{Address: netip.MustParseAddr("10.0.9.9"), State: lb.Probing}}
		}, 0},
		{"an address is offered", func(w *lb.World) { w.Speakers[0].Claims[0].Offer = "node-3" }, 0},
		{"an address is announced twice", func(w *lb.World) { take(w, "node-1", first) }, 0},
		{"an address has nobody yet", func(w *lb.World) {
			w.Services = append(w.Services, newService("new", 99, holds("10.0.9.9")))
		}, 0},
		{"an address was not taken over yet", func(w *lb.World) { w.Nodes[1].Alive = false }, 0},
		{"nobody seems to live", func(w *lb.World) {
			for i := range w.Nodes {
				w.Nodes[i].Alive = false
			}
		}, 0},
		{"nobody has a quorum", func(w *lb.World) {
			for i := range w.Speakers {
				w.Speakers[i].Hearing = &lb.Hearing{}
			}
		}, 0},
		{"a dead node's claims are stale", func(w *lb.World) {
			w.Nodes[3].Alive = false
			w.Speakers[3].Leaving = true
			w.Speakers[3].Claims = []lb.Claim{{Address: first, State: lb.Announced, Offer: "node-2"}, {Address: netip.MustParseAddr("10.0.9.9"), State: lb.Probing}}
		}, 1},
		{"an address cannot have an owner", func(w *lb.World) {
			s := newService("local", 99, holds("10.0.9.9"))
			s.Local = true
			w.Services = append(w.Services, s)
		}, 1},
		{"an address is found taken by a foreign host", func(w *lb.World) {
			says(w, "node-0", first).State = lb.Conflict
		}, 1},
		{"all addresses of the first node are found taken by foreign hosts", func(w *lb.World) {
			for i := range w.Speakers[0].Claims {
				w.Speakers[0].Claims[i].State = lb.Conflict
			}
		}, 1},
	} {
		w := crowded()
		c.edit(&w)
		if got := offers(w); len(got) != c.offers {
			t.Errorf("%s: offers are %v, want %d", c.name, got, c.offers)
		}
	}
}

func TestAFewAddressesTooManyAreNotWorthAMove(t *testing.T) {
	for _, c := range []struct {
		loads []int
		moves int
	}{
		{[]int{1, 0}, 0},
		{[]int{2, 1, 0}, 0},
		{[]int{3, 0, 0}, 1},
		{[]int{3, 3, 0}, 1},
		{[]int{11, 10, 9}, 0},
		{[]int{12, 9, 9}, 1},
		{[]int{11, 11, 8}, 1},
		{[]int{15, 15, 0}, 9},
	} {
		w := speakingWorld(0, len(c.loads))
		for n, load := range c.loads {
			for range load {
				i := len(w.Services)
				w.Services = append(w.Services, newService(fmt.Sprintf("svc-%04d", i), i, holds(fmt.Sprintf("10.0.0.%d", i+1))))
				take(&w, w.Nodes[n].Name, w.Services[i].Held[0])
			}
		}
		moves := 0
		for all := offers(w); len(all) > 0 && moves < 99; all = offers(w) {
			drop(&w, all[0].from, all[0].addr)
			take(&w, all[0].to, all[0].addr)
			moves++
		}
		if moves != c.moves {
			t.Errorf("loads %v are mended by %d moves, want %d", c.loads, moves, c.moves)
		}
	}
}
