package fake

import (
	"fmt"
	"net/netip"
)

type network struct {
	standard
	external, shared bool
}

type subnet struct {
	standard
	network *network
	cidr    netip.Prefix
	gateway netip.Addr
	pool    [2]netip.Addr // first and last to allocate
}

func (c *Cloud) addNetwork(project, name string, external bool) *network {
	n := &network{standard: c.newStandard(project, name, ""), external: external}
	c.networks = append(c.networks, n)
	return n
}

// addSubnet adds a subnet whose gateway is the first address and whose pool are the
// count addresses from the given one.
func (c *Cloud) addSubnet(n *network, name, cidr, first string, count int) *subnet {
	s := &subnet{standard: c.newStandard(n.project, name, ""), network: n, cidr: netip.MustParsePrefix(cidr)}
	s.gateway = s.cidr.Masked().Addr().Next()
	s.pool[0] = netip.MustParseAddr(first)
	s.pool[1] = s.pool[0]
	for range count - 1 {
		s.pool[1] = s.pool[1].Next()
	}
	c.subnets = append(c.subnets, s)
	return s
}

func (c *Cloud) subnetsOf(n *network) []*subnet {
	var of []*subnet
	for _, s := range c.subnets {
		if s.network == n {
			of = append(of, s)
		}
	}
	return of
}

func (c *Cloud) findNetwork(id string) *network {
	for _, n := range c.networks {
		if n.id == id {
			return n
		}
	}
	return nil
}

func (c *Cloud) findSubnet(id string) *subnet {
	for _, s := range c.subnets {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (r *request) seesNetwork(n *network) bool { return n.external || n.shared || r.visible(n.project) }

// seesSubnet: the subnets of an external network are not shared with the network; a
// project sees them only when it owns them or the network is shared as well.
func (c *Cloud) seesSubnet(r *request, s *subnet) bool {
	return s.network.shared || r.visible(s.project) || s.network.external && !c.options.HideExternalSubnets
}

func (c *Cloud) renderNetwork(n *network) object {
	ids := []string{}
	for _, s := range c.subnetsOf(n) {
		ids = append(ids, s.id)
	}
	return n.render(map[string]any{
		"router:external": n.external, "shared": n.shared, "admin_state_up": true, "status": "ACTIVE", "subnets": ids, "mtu": 1450,
		"port_security_enabled": true, "availability_zones": []string{}, "availability_zone_hints": []string{},
	})
}

func (c *Cloud) renderSubnet(s *subnet) object {
	version := 4
	var mode any
	if s.cidr.Addr().Is6() {
		version, mode = 6, "dhcpv6-stateful"
	}
	return s.render(map[string]any{
		"network_id": s.network.id, "cidr": s.cidr.String(), "ip_version": version, "gateway_ip": s.gateway.String(), "enable_dhcp": true,
		"allocation_pools": []any{map[string]any{"start": s.pool[0].String(), "end": s.pool[1].String()}},
		"dns_nameservers":  []string{}, "host_routes": []string{}, "ipv6_address_mode": mode, "ipv6_ra_mode": mode,
		"service_types": []string{}, "subnetpool_id": nil,
	})
}

func (c *Cloud) listNetworks(r *request) (reply, error) {
	var all []object
	for _, n := range c.networks {
		if r.seesNetwork(n) {
			all = append(all, c.renderNetwork(n))
		}
	}
	return c.listNeutron(r, "networks", all, nil)
}

func (c *Cloud) showNetwork(r *request) (reply, error) {
	id := r.PathValue("id")
	if n := c.findNetwork(id); n != nil && r.seesNetwork(n) {
		return show(r, "network", c.renderNetwork(n))
	}
	return reply{}, notFound("NetworkNotFound", fmt.Sprintf("Network %s could not be found.", id))
}

func (c *Cloud) listSubnets(r *request) (reply, error) {
	var all []object
	for _, s := range c.subnets {
		if c.seesSubnet(r, s) {
			all = append(all, c.renderSubnet(s))
		}
	}
	return c.listNeutron(r, "subnets", all, nil)
}

func (c *Cloud) showSubnet(r *request) (reply, error) {
	id := r.PathValue("id")
	if s := c.findSubnet(id); s != nil && c.seesSubnet(r, s) {
		return show(r, "subnet", c.renderSubnet(s))
	}
	return reply{}, subnetNotFound(id)
}

func subnetNotFound(id string) error {
	return notFound("SubnetNotFound", fmt.Sprintf("Subnet %s could not be found.", id))
}

// allocate takes a free address of a subnet: the wanted one, or the first of the pool.
func (c *Cloud) allocate(s *subnet, wanted netip.Addr) (netip.Addr, error) {
	taken := map[netip.Addr]bool{s.gateway: true}
	for _, p := range c.ports {
		for _, ip := range p.fixedIPs {
			if ip.subnet == s {
				taken[ip.addr] = true
			}
		}
	}
	if wanted.IsValid() {
		if !s.cidr.Contains(wanted) {
			return netip.Addr{}, badRequest("InvalidIpForSubnet", fmt.Sprintf("IP address %s is not a valid IP for the specified subnet.", wanted))
		}
		if taken[wanted] {
			return netip.Addr{}, conflict("IpAddressAlreadyAllocated", fmt.Sprintf("IP address %s already allocated in subnet %s", wanted, s.id))
		}
		return wanted, nil
	}
	for a := s.pool[0]; a.IsValid() && !s.pool[1].Less(a); a = a.Next() {
		if !taken[a] {
			return a, nil
		}
	}
	return netip.Addr{}, conflict("IpAddressGenerationFailure", fmt.Sprintf("No more IP addresses available on network %s.", s.network.id))
}
