package plan

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// request grants what a Service asks for by name: addresses, or a pool. It tells
// whether that freed an address. What cannot be granted leaves the Service with
// what it holds, and a shortfall.
func (a *allocation) request(c *claimant) (freed bool) {
	if c.class != nil {
		c.refusal = hopeless(c.Service, c.class)
	}
	if c.refusal != nil || a.satisfied(c) {
		return false
	}
	var grants []lb.Grant
	switch {
	case len(c.Request.Addresses) > 0:
		grants, c.refusal = a.asked(c)
	case c.Request.Pool != "" && len(c.grants) > 0:
		grants, c.refusal = a.moved(c)
	default:
		return false
	}
	if c.refusal != nil {
		return false
	}
	before := len(c.grants)
	grants = append(grants, c.untouched(grants)...)
	a.revoke(c)
	for _, g := range grants {
		a.grant(c, g.Address, a.byName[g.Pool])
		a.note(c.Service, "request", true, "%s of pool %q is granted as asked", g.Address, g.Pool)
	}
	return before > 0
}

// untouched are the addresses that c holds of families which the request, now that
// it is granted, says nothing about.
func (c *claimant) untouched(granted []lb.Grant) []lb.Grant {
	return slices.DeleteFunc(slices.Clone(c.grants), func(g lb.Grant) bool {
		replaced := slices.ContainsFunc(granted, func(n lb.Grant) bool { return lb.FamilyOf(n.Address) == lb.FamilyOf(g.Address) })
		return replaced || (c.Request.Pool != "" && g.Pool != c.Request.Pool)
	})
}

// hopeless says what keeps a Service from getting anything new, whatever is free.
func hopeless(s *lb.Service, class *lb.Class) *lb.Refusal {
	switch {
	case class.Problem != nil:
		return class.Problem
	case s.Request.Problem != nil:
		return s.Request.Problem
	case len(s.Families) == 0:
		return lb.Refuse(lb.NoClusterIP, "take clusterIP: None out, or use another type",
			"spec.clusterIP of the Service is None; a load balancer needs a cluster IP")
	case len(s.Ports) == 0:
		return lb.Refuse(lb.NoPorts, "add one", "spec.ports of the Service is empty")
	}
	return nil
}

// satisfied tells whether the Service has what it asked for by name.
func (a *allocation) satisfied(c *claimant) bool {
	for _, addr := range c.Request.Addresses {
		if !slices.ContainsFunc(c.grants, func(g lb.Grant) bool { return g.Address == addr }) {
			return false
		}
	}
	for _, g := range c.grants {
		if c.Request.Pool != "" && g.Pool != c.Request.Pool {
			return false
		}
	}
	return len(c.Request.Addresses) > 0 || c.Request.Pool == "" || len(c.grants) > 0
}

// asked checks the addresses that a Service asks for: that they fit the Service,
// then one by one whether it can have them.
func (a *allocation) asked(c *claimant) ([]lb.Grant, *lb.Refusal) {
	seen := make(map[lb.Family]netip.Addr, 2)
	for _, addr := range c.Request.Addresses {
		f := lb.FamilyOf(addr)
		if other, twice := seen[f]; twice {
			return nil, lb.Refuse(lb.FamilyMismatch, "ask for one address a family", "%s and %s are asked for, both %s", other, addr, f)
		}
		seen[f] = addr
		if !slices.Contains(c.Families, f) {
			return nil, lb.Refuse(lb.FamilyMismatch, "ask for an address of a family in spec.ipFamilies, or set spec.ipFamilyPolicy: PreferDualStack",
				"%s is asked for, but the Service has no %s cluster IP", addr, f)
		}
	}
	var grants []lb.Grant
	for _, addr := range c.Request.Addresses {
		p, refusal := a.mayHave(c, addr)
		if refusal != nil {
			return nil, refusal
		}
		grants = append(grants, lb.Grant{Address: addr, Pool: p.Name})
	}
	return grants, nil
}

// mayHave finds the pool of an address that c asks for, or why it cannot have it.
func (a *allocation) mayHave(c *claimant, addr netip.Addr) (*pool, *lb.Refusal) {
	p := a.poolOf(addr)
	if p == nil || !a.serves(c.class, p) {
		return nil, lb.Refuse(lb.AddressOutsidePools, "ask for an address of "+a.offer(c.class)+", or add this one to a pool",
			"%s is asked for, but no pool of LoadBalancerClass %q contains it", addr, c.class.Name)
	}
	if c.Request.Pool != "" && c.Request.Pool != p.Name {
		return nil, lb.Refuse(lb.ContradictoryRequest, "keep one of the two annotations",
			"fairlead.dev/pool asks for pool %q, but the address %s that is asked for is in pool %q", c.Request.Pool, addr, p.Name)
	}
	owner, reserved := p.reserved[addr]
	if reserved && owner != c.Key {
		return nil, lb.Refuse(lb.AddressReserved, "ask for another address, or change spec.reservations of the pool",
			"%s is asked for, but pool %q reserves it for %s", addr, p.Name, owner)
	}
	if why := p.closedTo(c.Service, a.labels()); why != "" && !reserved {
		return nil, lb.Refuse(lb.PoolNotAllowed, "open the pool to the Service, or ask for an address of another",
			"%s is asked for, but pool %q does not serve the Service: %s", addr, p.Name, why)
	}
	if other := a.ledger.blocker(addr, c.Service); other != nil {
		return nil, takenRefusal(addr, other, c.Service)
	}
	if p.overQuota(c.Namespace) && !reserved && !c.holdsOf(p) {
		return nil, quotaRefusal(p, c.Namespace)
	}
	return p, nil
}

func (c *claimant) holdsOf(p *pool) bool {
	return slices.ContainsFunc(c.grants, func(g lb.Grant) bool { return g.Pool == p.Name })
}

// moved finds addresses in the pool that the Service now asks for, for the families
// that it has none of there.
func (a *allocation) moved(c *claimant) ([]lb.Grant, *lb.Refusal) {
	p, refusal := a.named(c)
	if refusal != nil {
		return nil, refusal
	}
	var grants []lb.Grant
	there := 0
	for _, f := range c.Families {
		if slices.ContainsFunc(c.grants, func(g lb.Grant) bool { return lb.FamilyOf(g.Address) == f && g.Pool == p.Name }) {
			there++
			continue
		}
		if addr, ok := p.lowest(f, c.Service, &a.ledger); ok && !p.overQuota(c.Namespace) {
			grants = append(grants, lb.Grant{Address: addr, Pool: p.Name})
		}
	}
	if len(grants) == 0 || (c.AllFamilies && there+len(grants) < len(c.Families)) {
		return nil, a.shortage(c, []*pool{p}, c.Families)
	}
	return grants, nil
}

// named finds the pool that fairlead.dev/pool asks for.
func (a *allocation) named(c *claimant) (*pool, *lb.Refusal) {
	p := a.byName[c.Request.Pool]
	if p == nil || len(p.ranges) == 0 || !a.serves(c.class, p) {
		return nil, lb.Refuse(lb.PoolNotFound, "name one of "+a.offer(c.class),
			"fairlead.dev/pool asks for pool %q, which is not there, not in force, or not one of LoadBalancerClass %q", c.Request.Pool, c.class.Name)
	}
	if why := p.closedTo(c.Service, a.labels()); why != "" {
		return nil, lb.Refuse(lb.PoolNotAllowed, "open the pool to the Service, or name another",
			"fairlead.dev/pool asks for pool %q, which does not serve the Service: %s", p.Name, why)
	}
	return p, nil
}

// serves tells whether a class takes addresses from the pool.
func (a *allocation) serves(class *lb.Class, p *pool) bool {
	return !p.Deleting && (len(class.Pools) == 0 || slices.Contains(class.Pools, p.Name))
}

// offer lists the pools of a class for a message.
func (a *allocation) offer(class *lb.Class) string {
	var offered []*pool
	for _, p := range a.pools {
		if len(p.ranges) > 0 && a.serves(class, p) {
			offered = append(offered, p)
		}
	}
	if len(offered) == 0 {
		return "the pools you create (there is none in force)"
	}
	return names(offered)
}

func (a *allocation) labels() map[string]map[string]string {
	if a.namespaces == nil {
		a.namespaces = make(map[string]map[string]string, len(a.world.Namespaces))
		for _, n := range a.world.Namespaces {
			a.namespaces[n.Name] = n.Labels
		}
	}
	return a.namespaces
}

func takenRefusal(addr netip.Addr, holder, asking *lb.Service) *lb.Refusal {
	return lb.Refuse(lb.AddressTaken, "ask for another address, or make the two fit to share it",
		"%s is held by %s, and %s", addr, holder.Key, whyNotShare(holder, asking))
}

func quotaRefusal(p *pool, namespace string) *lb.Refusal {
	return lb.Refuse(lb.QuotaExceeded, "raise spec.quota.perNamespace of the pool, or delete a Service of the namespace",
		"namespace %q holds %d of the %d addresses that pool %q grants to one", namespace, p.quota[namespace], p.QuotaPerNamespace, p.Name)
}
