package speaker

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// handoverLimit bounds how long a node goes on answering for an address that
// another one should have by now.
const handoverLimit = 5 * time.Second

// tenure is what a node knows, from one look to the next, about the addresses that
// it answers for.
type tenure struct {
	node string
	// since is when another node became the owner of an address that this one
	// still answers for.
	since map[netip.Addr]time.Time
}

func newTenure(node string) *tenure {
	return &tenure{node: node, since: make(map[netip.Addr]time.Time)}
}

// evidence is what shows that a successor answers.
type evidence struct {
	// claimed are the addresses that a speaker elsewhere says it announces.
	claimed map[netip.Addr]bool
	// heard tells when a speaker of ours was last heard announcing an address.
	heard func(netip.Addr) time.Time
	// answering are the addresses that this node answers for now.
	answering map[netip.Addr]bool
}

// announcements are what this node should answer for: what it owns, and what it
// hands over until its successor was seen to answer. next is when to look again at
// the latest, zero for never.
func (t *tenure) announcements(now time.Time, owners []plan.Ownership, e evidence) (want []lb.Announcement, next time.Time) {
	handing := make(map[netip.Addr]time.Time)
	for _, o := range owners {
		a := lb.Announcement{Address: o.Address, Interfaces: o.Interfaces, Fresh: o.Fresh}
		if o.Node == t.node {
			want = append(want, a)
			continue
		}
		if o.Node == "" || !e.answering[o.Address] {
			continue
		}
		since, begun := t.since[o.Address]
		if !begun {
			since = now
		}
		handing[o.Address] = since // also when it is over, so that it does not begin again
		if e.claimed[o.Address] || e.heard(o.Address).After(since) || now.Sub(since) >= handoverLimit {
			continue
		}
		a.HandingOver = true
		want = append(want, a)
		next = earlier(next, since.Add(handoverLimit))
	}
	t.since = handing
	return want, next
}
