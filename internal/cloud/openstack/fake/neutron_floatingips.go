package fake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
)

type floatingIP struct {
	standard
	network *network
	subnet  *subnet
	addr    netip.Addr
	port    *port
	fixed   netip.Addr
	status  string
	own     *port // the port in the external network that holds the address, of no project
}

type floatingIPRequest struct {
	FloatingIP struct {
		FloatingNetworkID field[string] `json:"floating_network_id"`
		FloatingIPAddress field[string] `json:"floating_ip_address"`
		SubnetID          field[string] `json:"subnet_id"`
		PortID            field[string] `json:"port_id"`
		FixedIPAddress    field[string] `json:"fixed_ip_address"`
		Description       field[string]
		ProjectID         field[string] `json:"project_id"`
		TenantID          field[string] `json:"tenant_id"`
	} `json:"floatingip"`
}

func (f *floatingIP) renderFloatingIP() object {
	more := map[string]any{
		"floating_network_id": f.network.id, "floating_ip_address": f.addr.String(), "status": f.status,
		"port_id": nil, "fixed_ip_address": nil, "router_id": nil, "port_details": nil, "qos_policy_id": nil, "port_forwardings": []any{},
	}
	if f.port != nil {
		more["port_id"], more["fixed_ip_address"], more["router_id"] = f.port.id, f.fixed.String(), "router-"+f.port.network.id
		more["port_details"] = map[string]any{
			"name": f.port.name, "network_id": f.port.network.id, "mac_address": f.port.mac, "admin_state_up": f.port.adminStateUp,
			"status": f.port.status, "device_id": f.port.deviceID, "device_owner": f.port.deviceOwner,
		}
	}
	o := f.render(more)
	delete(o.attributes, "name")
	return o
}

func (c *Cloud) floatingIPFor(r *request) (*floatingIP, error) {
	id := r.PathValue("id")
	for _, f := range c.floatingIPs {
		if f.id == id && r.visible(f.project) {
			return f, nil
		}
	}
	return nil, notFound("FloatingIPNotFound", fmt.Sprintf("Floating IP %s could not be found", id))
}

func (c *Cloud) listFloatingIPs(r *request) (reply, error) {
	var all []object
	for _, f := range c.floatingIPs {
		if r.visible(f.project) {
			all = append(all, f.renderFloatingIP())
		}
	}
	return c.listNeutron(r, "floatingips", all, nil)
}

func (c *Cloud) showFloatingIP(r *request) (reply, error) {
	f, err := c.floatingIPFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "floatingip", f.renderFloatingIP())
}

func (c *Cloud) createFloatingIP(r *request) (reply, error) {
	var in floatingIPRequest
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	want := in.FloatingIP
	if want.FloatingIPAddress.given() && !r.token.admin() {
		return reply{}, &refusal{http.StatusForbidden, "PolicyNotAuthorized",
			"(rule:create_floatingip and rule:create_floatingip:floating_ip_address) is disallowed by policy"}
	}
	n := c.findNetwork(want.FloatingNetworkID.value)
	if n == nil || !r.seesNetwork(n) {
		return reply{}, notFound("NetworkNotFound", fmt.Sprintf("Network %s could not be found.", want.FloatingNetworkID.value))
	}
	if !n.external {
		return reply{}, badRequest("BadRequest", fmt.Sprintf("Bad floatingip request: Network %s is not a valid external network.", n.id))
	}
	p, fixed, err := c.floatingTarget(r, nil, n, want.PortID, want.FixedIPAddress)
	if err != nil {
		return reply{}, err
	}
	if err := c.checkQuota(r.token.project, "floatingip", c.usage(r.token.project)["floatingip"], 1); err != nil {
		return reply{}, err
	}
	ip, err := c.externalAddress(n, want.SubnetID.value, want.FloatingIPAddress.value)
	if err != nil {
		return reply{}, err
	}
	f := &floatingIP{standard: c.newStandard(r.token.project.id, "", want.Description.value), network: n, subnet: ip.subnet, addr: ip.addr, status: "DOWN"}
	f.own = c.addPort("", n, "", []fixedIP{ip})
	f.own.deviceID, f.own.deviceOwner, f.own.status = f.id, "network:floatingip", "N/A"
	c.attach(f, p, fixed)
	f.revision = 1
	c.floatingIPs = append(c.floatingIPs, f)
	answer, err := show(r, "floatingip", f.renderFloatingIP())
	answer.status = http.StatusCreated
	return answer, err
}

// externalAddress takes an address of the named subnet, or of the first IPv4 one that
// has any left.
func (c *Cloud) externalAddress(n *network, subnetID, address string) (fixedIP, error) {
	if subnetID != "" || address != "" {
		return c.takeFixedIP(n, subnetID, address)
	}
	last := conflict("IpAddressGenerationFailure", fmt.Sprintf("No more IP addresses available on network %s.", n.id))
	for _, s := range c.subnetsOf(n) {
		if s.cidr.Addr().Is6() {
			continue
		}
		addr, err := c.allocate(s, netip.Addr{})
		if err == nil {
			return fixedIP{s, addr}, nil
		}
		last = err
	}
	return fixedIP{}, last
}

// floatingTarget finds the port and address that a floating IP is to point at; both
// may be none.
func (c *Cloud) floatingTarget(r *request, self *floatingIP, external *network, portID, fixedAddress field[string]) (*port, netip.Addr, error) {
	if !portID.given() || portID.value == "" {
		if fixedAddress.given() {
			return nil, netip.Addr{}, badRequest("BadRequest", "Bad floatingip request: fixed_ip_address cannot be specified without a port_id.")
		}
		return nil, netip.Addr{}, nil
	}
	p := c.findPort(portID.value)
	if p == nil || !r.visible(p.project) {
		return nil, netip.Addr{}, portNotFound(portID.value)
	}
	var fixed netip.Addr
	var four []netip.Addr
	for _, ip := range p.fixedIPs {
		if ip.addr.Is4() {
			four = append(four, ip.addr)
		}
		if fixedAddress.given() && ip.addr.String() == fixedAddress.value {
			fixed = ip.addr
		}
	}
	switch {
	case fixedAddress.given() && !fixed.IsValid():
		return nil, fixed, badRequest("BadRequest", fmt.Sprintf("Bad floatingip request: Port %s does not have fixed ip %s.", p.id, fixedAddress.value))
	case fixedAddress.given():
	case len(four) == 0:
		return nil, fixed, badRequest("BadRequest", fmt.Sprintf("Bad floatingip request: Cannot add floating IP to port %s that has no fixed IPv4 addresses.", p.id))
	case len(four) > 1:
		return nil, fixed, badRequest("BadRequest", fmt.Sprintf("Bad floatingip request: Port %s has multiple fixed IPv4 addresses. "+
			"Must provide a specific IPv4 address when assigning a floating IP.", p.id))
	default:
		fixed = four[0]
	}
	for _, f := range c.floatingIPs {
		if f != self && f.port == p && f.fixed == fixed && f.network == external {
			return nil, fixed, conflict("FloatingIPPortAlreadyAssociated", fmt.Sprintf(
				"Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.",
				f.addr, f.id, p.id, fixed, external.id))
		}
	}
	return p, fixed, nil
}

func (c *Cloud) attach(f *floatingIP, p *port, fixed netip.Addr) {
	f.port, f.fixed, f.status = p, fixed, "DOWN"
	if p != nil && !c.options.FloatingIPsDown {
		f.status = "ACTIVE"
	}
}

func (c *Cloud) updateFloatingIP(r *request) (reply, error) {
	f, err := c.floatingIPFor(r)
	if err != nil {
		return reply{}, err
	}
	var in floatingIPRequest
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	want := in.FloatingIP
	if want.FloatingNetworkID.set || want.FloatingIPAddress.set || want.SubnetID.set {
		return reply{}, badRequest("HTTPBadRequest", "Cannot update read-only attribute floating_network_id")
	}
	if err := f.checkRevision(r); err != nil {
		return reply{}, err
	}
	// A port_id of null detaches; one that is left out changes nothing.
	if want.PortID.set || want.FixedIPAddress.set {
		p, fixed, err := c.floatingTarget(r, f, f.network, want.PortID, want.FixedIPAddress)
		if err != nil {
			return reply{}, err
		}
		c.attach(f, p, fixed)
	}
	want.Description.update(&f.description)
	c.touch(&f.standard, r)
	return show(r, "floatingip", f.renderFloatingIP())
}

func (c *Cloud) deleteFloatingIP(r *request) (reply, error) {
	f, err := c.floatingIPFor(r)
	if err != nil {
		return reply{}, err
	}
	c.removeFloatingIP(f)
	return reply{status: http.StatusNoContent}, nil
}

func (c *Cloud) removeFloatingIP(f *floatingIP) {
	c.floatingIPs = slices.DeleteFunc(c.floatingIPs, func(g *floatingIP) bool { return g == f })
	c.removePort(f.own)
}
