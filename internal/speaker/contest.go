package speaker

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/plan"
)

// contests are the addresses that this node answers for while another that lives says
// that it does, too: as after a split that left both sides working.
type contests map[netip.Addr]bool

// over tells which of them the others let go of: clients that had heard them learn by an
// announcement who is left, where they would ask for some seconds in vain.
func (c contests) over(node string, owners []plan.Ownership, e evidence) (left []netip.Addr) {
	mine := make(map[netip.Addr]bool, len(owners))
	for _, o := range owners {
		if o.Node != node || !e.answering[o.Address] {
			continue
		}
		mine[o.Address] = true
		switch {
		case e.claimed[o.Address]:
			c[o.Address] = true
		case c[o.Address]:
			delete(c, o.Address)
			left = append(left, o.Address)
		}
	}
	for address := range c {
		if !mine[address] {
			delete(c, address)
		}
	}
	return left
}
