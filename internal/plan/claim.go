package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// speakerClaim is what a node says of an address.
type speakerClaim struct {
	*lb.Claim
	by *candidate
}

func (e *electorate) claimsByAddress() map[netip.Addr][]speakerClaim {
	n := 0
	for _, c := range e.speakers {
		n += len(c.speaker.Claims)
	}
	out := make(map[netip.Addr][]speakerClaim, n)
	for _, c := range e.speakers {
		for i := range c.speaker.Claims {
			said := &c.speaker.Claims[i]
			out[said.Address] = append(out[said.Address], speakerClaim{said, c})
		}
	}
	return out
}

func (c speakerClaim) announced() bool { return c.State == lb.Announced }

// compare orders two claims on one address by how much they count: who announces goes
// before who does not yet, and who took the address over before who had it, so that it
// moves no second time. Clocks are asked only where two nodes took it over without
// knowing of each other, and for no more than the microseconds that a record has: a node
// knows its own clock better than the others do.
func (c speakerClaim) compare(other speakerClaim, addr uint64) int {
	return cmp.Or(
		boolOrder(other.announced(), c.announced()),
		cmp.Compare(c.Epoch, other.Epoch),
		cmp.Compare(c.Since.UnixMicro(), other.Since.UnixMicro()),
		cmp.Compare(c.by.weight(addr), other.by.weight(addr)),
	)
}

// newest is the claim that counts most among those that which lets pass.
func newest(claims []speakerClaim, addr uint64, which func(speakerClaim) bool) (best speakerClaim, ok bool) {
	for _, c := range claims {
		if which(c) && (!ok || c.compare(best, addr) > 0) {
			best, ok = c, true
		}
	}
	return best, ok
}

// holder is the position of the node in the group that has the address: the one whose
// claim counts most, or whom it offers the address to. The offer of a node that may not
// have the address any more counts while nobody else has it, so that it makes no
// difference who knows of the node's death already. It is -1 where nobody has it;
// orphaned tells that somebody had.
func (g *group) holder(claims []speakerClaim, addr uint64) (at int, orphaned bool) {
	if len(claims) == 0 {
		return -1, false
	}
	best, held := newest(claims, addr, func(c speakerClaim) bool { return g.find(c.by) >= 0 })
	if !held {
		best, orphaned = newest(claims, addr, speakerClaim.announced)
		if !orphaned {
			return -1, false
		}
	}
	if best.Offer != "" {
		if to := g.named(best.Offer); to >= 0 {
			return to, orphaned
		}
	}
	return g.find(best.by), orphaned
}

// record notes in an ownership what others claim.
func (o *Ownership) record(claims []speakerClaim, addr uint64, e *electorate) {
	o.Fresh = !slices.ContainsFunc(claims, speakerClaim.announced)
	others := func(c speakerClaim) bool { return c.announced() && c.by.Name != o.Node }
	for _, c := range claims {
		if others(c) {
			o.Predecessors = append(o.Predecessors, c.by.Name) // by name, as the speakers are
		}
	}
	if o.Node == "" || slices.ContainsFunc(claims, func(c speakerClaim) bool { return c.announced() && c.by.Name == o.Node }) {
		return
	}
	before, ok := newest(claims, addr, others)
	if !ok {
		o.Cause = lb.First
		return
	}
	o.From = before.by.Name
	switch {
	case before.by.speaker.Leaving:
		// First of all: who has left is not alive either.
		o.Cause = lb.HandOver
	case e.lost(before.by):
		o.Cause = lb.Failure
	case before.Offer == o.Node:
		o.Cause = lb.Mended
	default:
		o.Cause = lb.Moved
	}
}
