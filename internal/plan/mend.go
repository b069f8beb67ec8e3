package plan

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/lb"
)

// Mend says which address a node should offer to which other node now, to mend an uneven
// spread; ok tells whether it should. At most one node should at a time.
//
// Nothing is offered unless the world is calm: every address that can have an owner is
// settled at it, nobody leaves, and no address is on its way. Then, among nodes that may
// own the same addresses, the one with most of them gives to the one with fewest, if it
// has more than a tenth above the even share, rounded up, or that one has less than a
// tenth below, rounded down. The widest gap is mended first.
//
// This ends. A giver is left with the even share or more, rounded down, and a receiver
// comes to the even share at most, rounded up: a move mends an excess or a want and makes
// neither, and no node that was given an address gives one.
func Mend(w lb.World, node string) (addr netip.Addr, to string, ok bool) {
	e := elect(w)
	if !e.calm() {
		return addr, "", false
	}
	announced := e.announced()
	var widest imbalance
	for _, g := range e.ordered {
		if i := g.imbalance(announced[g]); i.wider(&widest) {
			widest = i
		}
	}
	if widest.group == nil || widest.from.Name != node {
		return addr, "", false
	}
	var top uint64
	for _, i := range widest.group.addresses {
		if !e.announces(i) || e.owners[i].Node != node {
			continue
		}
		if weight := widest.to.weight(hashAddr(e.owners[i].Address)); !ok || weight > top {
			addr, top, ok = e.owners[i].Address, weight, true
		}
	}
	return addr, widest.to.Name, ok
}

// imbalance is a gap between the loads of two nodes that is worth an interruption.
type imbalance struct {
	group    *group
	from, to *candidate
	gap      int
}

func (i *imbalance) wider(other *imbalance) bool {
	return i.group != nil && (other.group == nil || i.gap > other.gap || i.gap == other.gap && i.from.Name < other.from.Name)
}

// imbalance of the group where its nodes announce so many addresses; without a group
// where they are spread well enough.
func (g *group) imbalance(load []int) imbalance {
	most, least, sum := 0, 0, 0
	for i, n := range load {
		sum += n
		if n > load[most] {
			most = i
		}
		if n < load[least] {
			least = i
		}
	}
	if sum == 0 || load[most] <= room(sum, len(load)) && load[least] >= 9*sum/(10*len(load)) {
		return imbalance{}
	}
	return imbalance{group: g, from: g.nodes[most], to: g.nodes[least], gap: load[most] - load[least]}
}

// calm tells whether nothing moves, or is about to. What a node said before it was lost
// does not count: it may stand there for long.
func (e *election) calm() bool {
	if e.blind || e.deaf {
		return false
	}
	announcers := make(map[netip.Addr]int, len(e.owners))
	for _, c := range e.speakers {
		if e.lost(c) {
			continue
		}
		if c.speaker.Leaving {
			return false
		}
		for _, said := range c.speaker.Claims {
			if said.State == lb.Announced {
				announcers[said.Address]++
			}
			if said.State == lb.Probing || said.Offer != "" || announcers[said.Address] > 1 {
				return false
			}
		}
	}
	for i := range e.owners {
		// A claim that is in conflict, or has no interface, may stay so for long.
		if _, claimed := e.claimed(i); !claimed && e.places[i] >= 0 {
			return false
		}
	}
	return true
}

// claimed is what the owner of an address says of it.
func (e *election) claimed(address int) (speakerClaim, bool) {
	o := &e.owners[address]
	for _, c := range e.claims[o.Address] {
		if c.by.Name == o.Node {
			return c, true
		}
	}
	return speakerClaim{}, false
}

// announces tells whether the owner of an address announces it: only such can move.
func (e *election) announces(address int) bool {
	c, claimed := e.claimed(address)
	return claimed && c.announced()
}

// announced counts the addresses that each node announces, by group.
func (e *election) announced() map[*group][]int {
	out := make(map[*group][]int, len(e.ordered))
	for _, g := range e.ordered {
		out[g] = make([]int, len(g.nodes))
	}
	for i, at := range e.places {
		if at >= 0 && e.announces(i) {
			out[e.groups[i]][at]++
		}
	}
	return out
}
