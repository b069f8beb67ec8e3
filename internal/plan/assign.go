package plan

import (
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// assign gives a Service the addresses that it still lacks: those reserved for
// it, then out of the pool it names, else out of the pools of its class.
func (a *allocation) assign(c *claimant) {
	missing := c.missing()
	if c.refusal != nil || len(missing) == 0 {
		return
	}
	pools, refusal := a.candidates(c)
	if refusal != nil {
		c.refusal = refusal
		return
	}
	a.assignReserved(c)
	missing = c.missing()
	if len(missing) > 1 {
		a.assignTogether(c, pools)
		missing = c.missing()
	}
	for _, f := range missing {
		a.assignFamily(c, pools, f)
	}
	a.settleAccount(c, pools)
}

// settleAccount says what an assignment left open. With RequireDualStack a
// Service that held nothing gets both families or none.
func (a *allocation) settleAccount(c *claimant, pools []*pool) {
	missing := c.missing()
	if len(missing) == 0 {
		c.shortfall = nil
		return
	}
	c.shortfall = a.shortage(c, pools, missing)
	if c.AllFamilies && len(c.Held) == 0 {
		a.revoke(c)
	}
}

// candidates are the pools that may serve c, in the order to try them.
func (a *allocation) candidates(c *claimant) ([]*pool, *lb.Refusal) {
	if c.Request.Pool != "" {
		p, refusal := a.named(c)
		if refusal != nil {
			return nil, refusal
		}
		return []*pool{p}, nil
	}
	var out []*pool
	var closed []string
	for _, p := range a.pools {
		switch {
		case !a.serves(c.class, p) || len(p.ranges) == 0:
			a.note(c.Service, "pool "+p.Name, false, "not in force, or not a pool of LoadBalancerClass %q", c.class.Name)
		case !p.AutoAssign:
			a.note(c.Service, "pool "+p.Name, false, "spec.autoAssign is false: only by fairlead.dev/pool or fairlead.dev/addresses")
			closed = append(closed, fmt.Sprintf("%q has autoAssign: false", p.Name))
		default:
			if why := p.closedTo(c.Service, a.labels()); why != "" {
				a.note(c.Service, "pool "+p.Name, false, "%s", why)
				closed = append(closed, fmt.Sprintf("of %q, %s", p.Name, why))
				continue
			}
			out = append(out, p)
		}
	}
	if len(out) == 0 && len(a.reserved[c.Key]) == 0 {
		detail := fmt.Sprintf("LoadBalancerClass %q has no pool in force", c.class.Name)
		if len(closed) > 0 {
			detail = fmt.Sprintf("no pool of LoadBalancerClass %q serves the Service: %s", c.class.Name, strings.Join(closed, "; "))
		}
		return nil, lb.Refuse(lb.NoPool, "create an AddressPool, or open one to the Service", "%s", detail)
	}
	return out, nil
}

// assignReserved gives c what pools of its class keep for it.
func (a *allocation) assignReserved(c *claimant) {
	for _, r := range a.reserved[c.Key] {
		p := a.poolOf(r.Address)
		wanted := p != nil && p.reserved[r.Address] == c.Key && a.serves(c.class, p) &&
			(c.Request.Pool == "" || c.Request.Pool == p.Name)
		if !wanted || !slices.Contains(c.missing(), lb.FamilyOf(r.Address)) {
			continue
		}
		if other := a.ledger.blocker(r.Address, c.Service); other != nil {
			a.note(c.Service, "reservation", false, "%s is still held by %s", r.Address, other.Key)
			continue
		}
		a.grant(c, r.Address, p)
		a.note(c.Service, "reservation", true, "%s of pool %q is reserved for the Service", r.Address, p.Name)
	}
}

// assignTogether looks for one pool with an address of every missing family, so
// that a dual-stack Service is reached through one network where possible.
func (a *allocation) assignTogether(c *claimant, pools []*pool) {
	for _, p := range pools {
		var grants []lb.Grant
		for _, f := range c.missing() {
			if addr, ok := p.lowest(f, c.Service, &a.ledger); ok {
				grants = append(grants, lb.Grant{Address: addr})
			}
		}
		room := p.QuotaPerNamespace == 0 || p.quota[c.Namespace]+len(grants) <= p.QuotaPerNamespace
		if len(grants) < len(c.missing()) || !room {
			continue
		}
		for _, g := range grants {
			a.grant(c, g.Address, p)
			a.note(c.Service, "pool "+p.Name, true, "%s is free", g.Address)
		}
		return
	}
}

// assignFamily takes one address of family f, from a pool that c already has an
// address of if that has one.
func (a *allocation) assignFamily(c *claimant, pools []*pool, f lb.Family) {
	for _, sibling := range []bool{true, false} {
		for _, p := range pools {
			if c.holdsOf(p) != sibling || p.overQuota(c.Namespace) {
				continue
			}
			addr, ok := p.lowest(f, c.Service, &a.ledger)
			if !ok {
				continue
			}
			a.grant(c, addr, p)
			a.note(c.Service, "pool "+p.Name, true, "%s is free", addr)
			return
		}
	}
}

// shortage says why none of the pools had an address of the missing families.
func (a *allocation) shortage(c *claimant, pools []*pool, missing []lb.Family) *lb.Refusal {
	f := missing[0]
	var full []string
	for _, p := range pools {
		switch {
		case !p.has(f):
			a.note(c.Service, "pool "+p.Name, false, "it has no %s addresses", f)
		case p.overQuota(c.Namespace):
			a.note(c.Service, "pool "+p.Name, false, "namespace %q has used up its quota of %d", c.Namespace, p.QuotaPerNamespace)
			return quotaRefusal(p, c.Namespace)
		default:
			a.note(c.Service, "pool "+p.Name, false, "no %s address is free", f)
			full = append(full, fmt.Sprintf("pool %q has 0 of %d free", p.Name, p.total(f)))
		}
	}
	if len(full) > 0 {
		return lb.Refuse(lb.PoolExhausted, "widen it, delete a Service, or ask for another pool", "no %s address is free: %s", f, strings.Join(full, "; "))
	}
	return lb.Refuse(lb.FamilyUnavailable, fmt.Sprintf("add %s addresses to a pool, or set spec.ipFamilyPolicy: SingleStack", f),
		"the Service wants an %s address, but no pool that serves it has any (%s)", f, names(pools))
}
