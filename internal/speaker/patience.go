package speaker

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

const (
	// patienceLimit is how long the owner of an address may take to claim it. It sees the
	// same Service within milliseconds, unless it is cut off from the API server: then
	// the address would have nobody.
	patienceLimit = 2 * time.Second
	// forgiveness is how long a node that did not claim an address is passed over for it.
	forgiveness = time.Minute
)

// patience notes which owners do not take what is theirs.
type patience struct {
	node    string
	waiting map[netip.Addr]wait
	passed  map[string]map[netip.Addr]time.Time // until when, by node
}

type wait struct {
	owner string
	since time.Time
}

func newPatience(node string) *patience {
	return &patience{node: node, waiting: make(map[netip.Addr]wait), passed: make(map[string]map[netip.Addr]time.Time)}
}

// unaware are the addresses that a node does not take, sorted.
func (p *patience) unaware(now time.Time, node string) []netip.Addr {
	var out []netip.Addr
	for addr, until := range p.passed[node] {
		if now.Before(until) {
			out = append(out, addr)
		} else {
			delete(p.passed[node], addr)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// blind forgets who was waited for: a node that does not hear the others cannot tell
// what they claim.
func (p *patience) blind() { clear(p.waiting) }

// watch notes who should claim what and does not. next is when to look again at the
// latest, zero for never.
func (p *patience) watch(now time.Time, w *lb.World, owners []plan.Ownership) (next time.Time) {
	claimed := make(map[claim]bool)
	for i := range w.Speakers {
		for _, c := range w.Speakers[i].Claims {
			claimed[claim{w.Speakers[i].Node, c.Address}] = true
		}
	}
	waiting := make(map[netip.Addr]wait)
	for _, o := range owners {
		if o.Node == "" || o.Node == p.node || claimed[claim{o.Node, o.Address}] {
			continue
		}
		at, known := p.waiting[o.Address]
		if !known || at.owner != o.Node {
			at = wait{o.Node, now}
		}
		if now.Sub(at.since) < patienceLimit {
			waiting[o.Address] = at
			next = earlier(next, at.since.Add(patienceLimit))
			continue
		}
		if p.passed[o.Node] == nil {
			p.passed[o.Node] = make(map[netip.Addr]time.Time)
		}
		p.passed[o.Node][o.Address] = now.Add(forgiveness)
		next = now // the next in turn is found by another look
	}
	p.waiting = waiting
	return next
}

// claim is an address at a node.
type claim struct {
	node string
	addr netip.Addr
}
