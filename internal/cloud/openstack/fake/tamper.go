package fake

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// What somebody does behind the controller's back. All of it takes effect at once,
// whatever state things are in, and is in no journal. An id that is unknown is a
// mistake of the test, and panics.

func (c *Cloud) tamper(id string, found func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(time.Now())
	if !found() {
		panic(fmt.Sprintf("fake: nothing has the id %s", id))
	}
}

// SetStatus writes the statuses of any object of Octavia; empty leaves one as it is.
// It ends what is under way on the load balancer, also a Stuck one. DELETED as
// provisioning status takes the object away.
func (c *Cloud) SetStatus(id, provisioning, operating string) {
	c.tamper(id, func() bool {
		for _, b := range c.balancers {
			for _, e := range b.elements() {
				if e.id != id {
					continue
				}
				b.work = nil
				if provisioning == "DELETED" {
					return c.remove(id)
				}
				e.setStatus(provisioning, operating)
				return true
			}
		}
		return false
	})
}

func (e *element) setStatus(provisioning, operating string) {
	if provisioning != "" {
		e.provisioning = provisioning
	}
	if operating != "" {
		e.operating = operating
	}
	e.updated = time.Now()
}

// Remove takes away any object of Neutron or Octavia: a load balancer with all that is
// below it and its VIP port, a listener, pool, member, health monitor, floating IP,
// port, security group or rule.
func (c *Cloud) Remove(id string) { c.tamper(id, func() bool { return c.remove(id) }) }

func (c *Cloud) remove(id string) bool {
	for _, b := range c.balancers {
		if b.id == id {
			c.removeBalancer(b)
			return true
		}
		for _, l := range b.listeners {
			if l.id == id {
				b.removeListener(l)
				return true
			}
		}
		for _, p := range b.pools {
			if b.removeBelow(p, id) {
				return true
			}
		}
	}
	for _, f := range c.floatingIPs {
		if f.id == id {
			c.removeFloatingIP(f)
			return true
		}
	}
	if p := c.findPort(id); p != nil {
		c.removePort(p)
		return true
	}
	for _, g := range c.groups {
		if g.id == id {
			c.removeGroup(g)
			for _, p := range c.ports {
				p.groups = slices.DeleteFunc(p.groups, func(other string) bool { return other == id })
			}
			return true
		}
		for _, rule := range g.rules {
			if rule.id == id {
				c.removeRule(rule)
				return true
			}
		}
	}
	return false
}

func (b *loadBalancer) removeBelow(p *pool, id string) bool {
	if p.id == id {
		b.removePool(p)
		return true
	}
	if p.monitor != nil && p.monitor.id == id {
		p.monitor = nil
		return true
	}
	for _, m := range p.members {
		if m.id == id {
			p.removeMember(m)
			return true
		}
	}
	return false
}

// EditListener lets somebody change a listener: f gets it as it is, and what it leaves
// is what it will be. IDs and statuses stay.
func (c *Cloud) EditListener(id string, f func(*Listener)) {
	c.tamper(id, func() bool {
		l := c.findListener(id)
		if l == nil {
			return false
		}
		b := l.balancer
		v := b.value().Listeners[slices.Index(b.listeners, l)]
		f(&v)
		l.name, l.description, l.adminStateUp, l.tags = v.Name, v.Description, v.AdminStateUp, v.Tags
		l.connectionLimit, l.allowedCIDRs, l.insertHeaders = v.ConnectionLimit, v.AllowedCIDRs, v.InsertHeaders
		l.timeouts = [4]int{v.TimeoutClientData, v.TimeoutMemberConnect, v.TimeoutMemberData, v.TimeoutTCPInspect}
		l.pool = c.findPool(v.DefaultPoolID)
		l.updated, b.updated = time.Now(), time.Now()
		return true
	})
}

// EditPool is EditListener for a pool; its members and monitor are objects of their own.
func (c *Cloud) EditPool(id string, f func(*Pool)) {
	c.tamper(id, func() bool {
		p := c.findPool(id)
		if p == nil {
			return false
		}
		v := p.value()
		f(&v)
		p.name, p.description, p.adminStateUp, p.tags = v.Name, v.Description, v.AdminStateUp, v.Tags
		p.algorithm, p.persistence = v.Algorithm, v.Persistence
		p.updated, p.balancer.updated = time.Now(), time.Now()
		return true
	})
}

// EditMember is EditListener for a member.
func (c *Cloud) EditMember(id string, f func(*Member)) {
	c.tamper(id, func() bool {
		for _, b := range c.balancers {
			for _, p := range b.pools {
				for i, m := range p.members {
					if m.id != id {
						continue
					}
					v := p.value().Members[i]
					f(&v)
					m.name, m.adminStateUp, m.tags, m.weight, m.backup = v.Name, v.AdminStateUp, v.Tags, v.Weight, v.Backup
					m.updated, b.updated = time.Now(), time.Now()
					return true
				}
			}
		}
		return false
	})
}

// EditLoadBalancer is EditListener for a load balancer: name, description, tags and
// admin state.
func (c *Cloud) EditLoadBalancer(id string, f func(*LoadBalancer)) {
	c.tamper(id, func() bool {
		b := c.findBalancer(id)
		if b == nil {
			return false
		}
		v := b.value()
		f(&v)
		b.name, b.description, b.tags, b.adminStateUp, b.updated = v.Name, v.Description, v.Tags, v.AdminStateUp, time.Now()
		return true
	})
}

// Detach takes a floating IP off its port.
func (c *Cloud) Detach(floatingIPID string) {
	c.tamper(floatingIPID, func() bool {
		for _, f := range c.floatingIPs {
			if f.id == floatingIPID {
				f.port, f.fixed, f.status = nil, netip.Addr{}, "DOWN"
				f.revision++
				return true
			}
		}
		return false
	})
}

// SetPortGroups writes the security groups of a port.
func (c *Cloud) SetPortGroups(portID string, groups ...string) {
	c.tamper(portID, func() bool {
		p := c.findPort(portID)
		if p == nil {
			return false
		}
		p.groups = groups
		p.revision++
		return true
	})
}
