package claims

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

// Event tells that a claim changed.
type Event struct {
	Address netip.Addr
	State   lb.ClaimState // empty for an address that is released
	Detail  string
}

// Foreign tells whether the event is that another host was found with the address.
func (e Event) Foreign() bool {
	return e.State == lb.Conflict || e.State == lb.Announced && e.Detail != ""
}

// Changes returns what happened since the last call, and whether Claims or
// TakenOver tell something else than then.
func (t *Table) Changes() ([]Event, bool) {
	events, changed := t.events, t.changed
	t.events, t.changed = nil, false
	return events, changed
}

// Claims tells how far every wanted address has come, sorted by address.
func (t *Table) Claims() []lb.Claim {
	out := make([]lb.Claim, 0, len(t.sorted))
	for _, c := range t.sorted {
		claim := lb.Claim{Address: c.address, State: c.state, Since: c.since, Detail: c.detail}
		if c.state == lb.Announced {
			for _, p := range c.posts {
				claim.Interfaces = append(claim.Interfaces, p.name)
			}
			slices.Sort(claim.Interfaces)
		}
		out = append(out, claim)
	}
	return out
}

// TakenOver tells when a peer last announced an address while we answered for it;
// zero where none did.
func (t *Table) TakenOver(a netip.Addr) time.Time {
	if c := t.claims[a.Unmap()]; c != nil {
		return c.takenOver
	}
	return time.Time{}
}

// Groups are the solicited-node groups that solicitations for our addresses on an
// interface are sent to, sorted. Also for addresses that are not in use yet:
// RFC 4862 s.5.4.2 wants to hear others that probe for the same.
func (t *Table) Groups(index int) []netip.Addr {
	groups := map[netip.Addr]bool{}
	for _, c := range t.sorted {
		if c.family == lb.IPv6 && c.isOn(index) {
			groups[ndp.SolicitedNode(c.address)] = true
		}
	}
	return slices.SortedFunc(maps.Keys(groups), netip.Addr.Compare)
}

// Pending tells whether Changes has something to return.
func (t *Table) Pending() bool { return t.changed || len(t.events) > 0 }
