package speaker

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// records are how this node came to the addresses that it answers for.
type records map[netip.Addr]record

type record struct {
	cause lb.Cause
	from  string
	epoch uint64
	// offer names the node that shall take the address over.
	offer string
}

// held are those announcements that are of addresses which this node has already: all that
// one without a quorum may go on with, and others may have taken the rest.
func (r records) held(want []lb.Announcement) []lb.Announcement {
	return slices.DeleteFunc(want, func(a lb.Announcement) bool { _, has := r[a.Address]; return !has })
}

// keep records the addresses that this node newly owns, and forgets those that it
// answers for no more. It returns those that are new.
func (r records) keep(node string, w *lb.World, owners []plan.Ownership, want []lb.Announcement, resumed bool) (taken []plan.Ownership) {
	wanted := make(map[netip.Addr]bool, len(want))
	for _, a := range want {
		wanted[a.Address] = true
	}
	for addr := range r {
		if !wanted[addr] {
			delete(r, addr)
		}
	}
	var epochs map[netip.Addr]lb.Claim // the newest claim on each, made when needed
	for _, o := range owners {
		if _, known := r[o.Address]; known || o.Node != node || !wanted[o.Address] {
			continue
		}
		if epochs == nil {
			epochs = newestClaims(w)
		}
		newest := epochs[o.Address]
		cause, from := o.Cause, o.From
		epoch := newest.Epoch + 1
		if !resumed && own(w, node, o.Address) {
			cause, from, epoch = lb.Resumed, "", newest.Epoch
		}
		r[o.Address] = record{cause: cause, from: from, epoch: epoch}
		taken = append(taken, o)
	}
	return taken
}

func newestClaims(w *lb.World) map[netip.Addr]lb.Claim {
	out := make(map[netip.Addr]lb.Claim)
	for i := range w.Speakers {
		for _, c := range w.Speakers[i].Claims {
			if last, seen := out[c.Address]; !seen || c.Epoch > last.Epoch {
				out[c.Address] = c
			}
		}
	}
	return out
}

func own(w *lb.World, node string, addr netip.Addr) bool {
	self := find(w, node)
	return self != nil && slices.ContainsFunc(self.Claims, func(c lb.Claim) bool { return c.Address == addr })
}

// complete adds to claims how this node came to them.
func (r records) complete(claims []lb.Claim) []lb.Claim {
	for i := range claims {
		c := &claims[i]
		known := r[c.Address]
		c.Since = c.Since.Truncate(time.Microsecond) // as others will read it
		c.Cause, c.From, c.Epoch, c.Offer = known.cause, known.from, known.epoch, known.offer
	}
	return claims
}
