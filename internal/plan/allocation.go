package plan

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// allocation is one plan in the making.
type allocation struct {
	world      lb.World
	classes    classes
	pools      []*pool // in the order in which automatic allocation tries them
	byName     map[string]*pool
	index      []ownedRange // by first address
	reserved   map[lb.Key][]lb.Reservation
	ledger     ledger
	claimants  []*claimant // by age
	clouds     []*custody
	built      map[lb.Key]*lb.Built
	released   []lb.Key
	namespaces map[string]map[string]string // labels by namespace
	conflicts  map[netip.Addr]string        // addresses that another host answers for
	// keepOrphans: so many Services hold addresses of no pool that it is taken for
	// a mistake, and they keep them.
	keepOrphans bool

	traced lb.Key
	trace  []Check
}

// claimant is a Service of ours on its way to a balancer or a refusal.
type claimant struct {
	*lb.Service
	class     *lb.Class
	grants    []lb.Grant // by family order of the Service once concluded
	shortfall *lb.Refusal
	refusal   *lb.Refusal
}

// newAllocation sorts the world out; traced names a Service whose checks are
// recorded, or nothing.
func newAllocation(w lb.World, traced lb.Key) *allocation {
	a := &allocation{
		world:     w,
		classes:   resolveClasses(w),
		ledger:    newLedger(len(w.Services)),
		claimants: make([]*claimant, 0, len(w.Services)),
		conflicts: conflicts(w.Speakers),
		built:     make(map[lb.Key]*lb.Built, len(w.Built)),
		traced:    traced,
	}
	for i := range w.Built {
		a.built[w.Built[i].Service] = &w.Built[i]
	}
	backing := make([]claimant, len(w.Services))
	for i := range w.Services {
		s := &w.Services[i]
		if u := a.classes.custodyOf(s); u != nil {
			a.explainCustody(u)
			a.clouds = append(a.clouds, u)
			continue
		}
		if !s.LoadBalancer || s.Deleting {
			a.note(s, "type", false, "the Service is not of type LoadBalancer, or it is being deleted")
			if s.Marked {
				a.released = append(a.released, s.Key)
			}
			continue
		}
		class, refusal := a.classes.of(s)
		if class == nil && refusal == nil {
			a.note(s, "class", false, "the Service is not ours: its class is %q, and the class that takes Services without one is not ours", s.Class)
			continue
		}
		if a.tracing(s) && class != nil {
			a.note(s, "class", true, "LoadBalancerClass %q, provider %s", class.Name, class.Provider)
		}
		backing[i] = claimant{Service: s, class: class, refusal: refusal}
		a.claimants = append(a.claimants, &backing[i])
	}
	slices.SortFunc(a.claimants, byAge)
	services := make([]*lb.Service, len(a.claimants))
	for i, c := range a.claimants {
		services[i] = c.Service
	}
	a.openPools(settle(w.Pools, services))
	a.keepOrphans = a.manyOrphans()
	return a
}

// manyOrphans tells whether more Services than the brake allows hold an address
// that no pool contains: a pool object that vanished, not an edit.
func (a *allocation) manyOrphans() bool {
	orphans, running := 0, 0
	for _, c := range a.claimants {
		if len(c.Held) == 0 {
			continue
		}
		running++
		if slices.ContainsFunc(c.Held, func(addr netip.Addr) bool { return a.poolOf(addr) == nil && !a.givenUp(addr) }) {
			orphans++
		}
	}
	return tooMany(orphans, running)
}

// givenUp tells whether an edit that took effect let go of addr: its pool said
// so, which is more than the address being unknown.
func (a *allocation) givenUp(addr netip.Addr) bool {
	return slices.ContainsFunc(a.pools, func(p *pool) bool { return lb.Contains(p.InForce, addr) })
}

// adopt lets a Service keep what it holds as far as some pool still contains it
// and nobody older has it.
func (a *allocation) adopt(c *claimant) {
	for _, addr := range c.Held {
		p := a.poolOf(addr)
		family := lb.FamilyOf(addr)
		switch {
		case p == nil && !(a.keepOrphans && !a.givenUp(addr)):
			a.note(c.Service, "held", false, "%s is in no pool in force: it is released", addr)
			continue
		case !slices.Contains(c.Families, family):
			a.note(c.Service, "held", false, "%s is released: the Service has no cluster IP of family %s", addr, family)
			continue
		case c.has(family):
			a.note(c.Service, "held", false, "%s is released: the Service has another %s address", addr, family)
			continue
		}
		if other := a.ledger.blocker(addr, c.Service); other != nil {
			c.shortfall = takenRefusal(addr, other, c.Service)
			a.note(c.Service, "held", false, "%s is released: %s has it, and %s", addr, other.Key, whyNotShare(other, c.Service))
			continue
		}
		a.grant(c, addr, p)
		if p == nil {
			c.shortfall = lb.Refuse(lb.PoolEditHeld, "create the AddressPool again, or recreate the Service",
				"no pool contains %s, but so many Services would lose their addresses that they keep them", addr)
		}
		a.note(c.Service, "held", true, "%s is held and kept", addr)
	}
}

func (c *claimant) has(f lb.Family) bool {
	return slices.ContainsFunc(c.grants, func(g lb.Grant) bool { return lb.FamilyOf(g.Address) == f })
}

// missing are the families of the Service that it has no address of, in order.
func (c *claimant) missing() []lb.Family {
	var out []lb.Family
	for _, f := range c.Families {
		if !c.has(f) {
			out = append(out, f)
		}
	}
	return out
}

func (a *allocation) grant(c *claimant, addr netip.Addr, p *pool) {
	a.ledger.hold(addr, c.Service)
	g := lb.Grant{Address: addr}
	if p != nil {
		g.Pool = p.Name
		p.granted(c.Namespace)
	}
	c.grants = append(c.grants, g)
}

// revoke takes back all that the claimant was granted.
func (a *allocation) revoke(c *claimant) {
	for _, g := range c.grants {
		a.ledger.free(g.Address, c.Service)
		if p := a.byName[g.Pool]; p != nil {
			p.revoked(c.Namespace, g.Address)
		}
	}
	c.grants = nil
}

// conclude turns the claimant into a balancer or a refusal.
func (a *allocation) conclude(c *claimant, d *lb.Desired) {
	if len(c.grants) == 0 {
		refusal := c.refusal
		if refusal == nil {
			refusal = c.shortfall
		}
		refusal.Service = c.Key
		d.Refusals = append(d.Refusals, *refusal)
		a.note(c.Service, "result", false, "%s: %s", refusal.Reason, refusal.Message())
		return
	}
	slices.SortFunc(c.grants, func(x, y lb.Grant) int {
		return slices.Index(c.Families, lb.FamilyOf(x.Address)) - slices.Index(c.Families, lb.FamilyOf(y.Address))
	})
	b := lb.Balancer{Service: c.Key, Provider: lb.ProviderL2, Grants: c.grants}
	if c.class != nil {
		b.Class, b.Provider = c.class.Name, c.class.Provider
	}
	shortfall := c.shortfall
	if c.refusal != nil {
		shortfall = c.refusal
	}
	for _, g := range c.grants {
		if detail, ok := a.conflicts[g.Address]; ok {
			shortfall = lb.Refuse(lb.AddressConflict, "remove the address from that host, or take it out of the pool",
				"%s cannot be announced: %s", g.Address, detail)
		}
	}
	if shortfall != nil {
		own := *shortfall
		own.Service = c.Key
		b.Shortfall = &own
		a.note(c.Service, "result", true, "%s, but %s: %s", addressList(b.Addresses()), own.Reason, own.Message())
	} else {
		a.note(c.Service, "result", true, "%s", addressList(b.Addresses()))
	}
	d.Balancers = append(d.Balancers, b)
}

// conflicts are the addresses that a speaker found on another host while no other
// speaker announces them, with what it found.
func conflicts(speakers []lb.Speaker) map[netip.Addr]string {
	out := make(map[netip.Addr]string)
	for _, s := range speakers {
		for _, c := range s.Claims {
			if c.State == lb.Conflict {
				out[c.Address] = c.Detail
			}
		}
	}
	for _, s := range speakers {
		for _, c := range s.Claims {
			if c.State == lb.Announced {
				delete(out, c.Address)
			}
		}
	}
	return out
}
