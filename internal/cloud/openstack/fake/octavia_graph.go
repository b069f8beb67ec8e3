package fake

import "slices"

// populate makes the children of a fully populated creation, in Octavia's order and
// with its checks (api/v2/controllers/load_balancer.py, _graph_create).
func (c *Cloud) populate(r *request, b *loadBalancer, listeners []listenerPOST, pools []poolPOST) error {
	project := c.findProject(b.project, "")
	pools = slices.Clone(pools)
	var referred []string
	for _, l := range listeners {
		if !l.DefaultPool.given() {
			continue
		}
		p := l.DefaultPool.value
		if p.Name.value == "" {
			return validation("Pools must be named when creating a fully populated loadbalancer.")
		}
		if p.onlyName() {
			referred = append(referred, p.Name.value)
		} else {
			pools = append(pools, p)
		}
	}
	names := map[string]*pool{}
	for _, p := range pools {
		if _, twice := names[p.Name.value]; twice {
			return validation("Pool names must be unique when creating a fully populated loadbalancer.")
		}
		names[p.Name.value] = nil
	}
	for _, name := range referred {
		if _, defined := names[name]; !defined {
			return validation("Pool '%s' was referenced but no full definition was found.", name)
		}
	}
	if len(pools) > 0 && c.lbQuotaMet(project, "pool", len(pools)) {
		return quotaMet("Pool")
	}
	for _, want := range pools {
		p, err := c.populatePool(b, want)
		if err != nil {
			return err
		}
		names[p.name] = p
	}
	if len(listeners) > 0 && c.lbQuotaMet(project, "listener", len(listeners)) {
		return quotaMet("Listener")
	}
	for _, want := range listeners {
		var p *pool
		if want.DefaultPool.given() {
			p = names[want.DefaultPool.value.Name.value]
			if err := compatible(want.Protocol.value, p.protocol); err != nil {
				return err
			}
		}
		l, err := c.newListener(b, want)
		if err != nil {
			return err
		}
		l.pool = p
		b.listeners = append(b.listeners, l)
	}
	return nil
}

// onlyName tells a reference from a definition.
func (want poolPOST) onlyName() bool {
	return !want.Protocol.set && !want.LBAlgorithm.set && !want.Members.set && !want.HealthMonitor.set && !want.SessionPersistence.set &&
		!want.Tags.set && !want.Description.set
}

func (c *Cloud) populatePool(b *loadBalancer, want poolPOST) (*pool, error) {
	project := c.findProject(b.project, "")
	for name, f := range map[string]field[string]{"protocol": want.Protocol, "lb_algorithm": want.LBAlgorithm} {
		if !f.given() {
			return nil, validation("Pool definition for '%s' missing required attribute: %s", want.Name.value, name)
		}
	}
	p, err := c.newPool(b, want)
	if err != nil {
		return nil, err
	}
	b.pools = append(b.pools, p)
	if want.HealthMonitor.given() {
		if c.lbQuotaMet(project, "health_monitor", 1) {
			return nil, quotaMet("Health Monitor")
		}
		if p.monitor, err = c.newMonitor(p, want.HealthMonitor.value); err != nil {
			return nil, err
		}
		if err := want.HealthMonitor.value.suits(p.protocol); err != nil {
			return nil, err
		}
	}
	if c.lbQuotaMet(project, "member", len(want.Members.value)) {
		return nil, quotaMet("Member")
	}
	for _, wanted := range want.Members.value {
		m, err := c.newMember(p, wanted)
		if err != nil {
			return nil, err
		}
		// Subnets are not looked up here, unlike in a batch.
		if p.member(m.address, m.port) != nil {
			return nil, duplicateMember(m)
		}
		p.members = append(p.members, m)
	}
	return p, nil
}
