package fake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

type fixedIP struct {
	subnet *subnet
	addr   netip.Addr
}

type port struct {
	standard
	network      *network
	fixedIPs     []fixedIP
	deviceID     string
	deviceOwner  string
	groups       []string
	adminStateUp bool
	status       string
	mac          string
	addressPairs []map[string]any
	insecure     bool // port_security_enabled is false
}

type portRequest struct {
	Port struct {
		NetworkID    field[string] `json:"network_id"`
		Name         field[string]
		Description  field[string]
		ProjectID    field[string] `json:"project_id"`
		TenantID     field[string] `json:"tenant_id"`
		AdminStateUp field[bool]   `json:"admin_state_up"`
		MACAddress   field[string] `json:"mac_address"`
		FixedIPs     field[[]struct {
			SubnetID  string `json:"subnet_id"`
			IPAddress string `json:"ip_address"`
		}] `json:"fixed_ips"`
		DeviceID            field[string]           `json:"device_id"`
		DeviceOwner         field[string]           `json:"device_owner"`
		SecurityGroups      field[[]string]         `json:"security_groups"`
		AllowedAddressPairs field[[]map[string]any] `json:"allowed_address_pairs"`
		PortSecurityEnabled field[bool]             `json:"port_security_enabled"`
		HostID              field[string]           `json:"binding:host_id"`
	}
}

func (p *port) renderPort() object {
	ips := []map[string]any{}
	for _, ip := range p.fixedIPs {
		ips = append(ips, map[string]any{"subnet_id": ip.subnet.id, "ip_address": ip.addr.String()})
	}
	pairs := p.addressPairs
	if pairs == nil {
		pairs = []map[string]any{}
	}
	return p.render(map[string]any{
		"network_id": p.network.id, "fixed_ips": ips, "device_id": p.deviceID, "device_owner": p.deviceOwner,
		"security_groups": list(p.groups), "admin_state_up": p.adminStateUp, "status": p.status, "mac_address": p.mac,
		"allowed_address_pairs": pairs, "port_security_enabled": !p.insecure, "extra_dhcp_opts": []any{}, "binding:vnic_type": "normal",
	})
}

func (c *Cloud) findPort(id string) *port {
	for _, p := range c.ports {
		if p.id == id {
			return p
		}
	}
	return nil
}

func portNotFound(id string) error {
	return notFound("PortNotFound", fmt.Sprintf("Port %s could not be found.", id))
}

func (c *Cloud) portFor(r *request) (*port, error) {
	id := r.PathValue("id")
	if p := c.findPort(id); p != nil && r.visible(p.project) {
		return p, nil
	}
	return nil, portNotFound(id)
}

func (c *Cloud) listPorts(r *request) (reply, error) {
	var all []object
	for _, p := range c.ports {
		if r.visible(p.project) {
			all = append(all, p.renderPort())
		}
	}
	return c.listNeutron(r, "ports", all, map[string]func(object, []string) bool{
		"fixed_ips": fixedIPFilter, "security_groups": contains("security_groups"),
	})
}

func (c *Cloud) showPort(r *request) (reply, error) {
	p, err := c.portFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "port", p.renderPort())
}

func (c *Cloud) createPort(r *request) (reply, error) {
	var in portRequest
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	n := c.findNetwork(in.Port.NetworkID.value)
	if n == nil || !r.seesNetwork(n) {
		return reply{}, notFound("NetworkNotFound", fmt.Sprintf("Network %s could not be found.", in.Port.NetworkID.value))
	}
	if n.external && !r.token.admin() && !r.visible(n.project) {
		return reply{}, &refusal{http.StatusForbidden, "PolicyNotAuthorized", "rule:create_port is disallowed by policy"}
	}
	if err := c.checkQuota(r.token.project, "port", c.usage(r.token.project)["port"], 1); err != nil {
		return reply{}, err
	}
	var ips []fixedIP
	for _, wanted := range in.Port.FixedIPs.value {
		ip, err := c.takeFixedIP(n, wanted.SubnetID, wanted.IPAddress)
		if err != nil {
			return reply{}, err
		}
		ips = append(ips, ip)
	}
	if !in.Port.FixedIPs.given() {
		var err error
		if ips, err = c.defaultFixedIPs(n); err != nil {
			return reply{}, err
		}
	}
	groups, err := c.groupsFor(r, in.Port.SecurityGroups)
	if err != nil {
		return reply{}, err
	}
	p := c.addPort(r.token.project.id, n, in.Port.Name.value, ips)
	p.description, p.deviceID, p.deviceOwner = in.Port.Description.value, in.Port.DeviceID.value, in.Port.DeviceOwner.value
	p.groups, p.addressPairs, p.adminStateUp = groups, in.Port.AllowedAddressPairs.value, in.Port.AdminStateUp.or(true)
	p.insecure = !in.Port.PortSecurityEnabled.or(true)
	answer, err := show(r, "port", p.renderPort())
	answer.status = http.StatusCreated
	return answer, err
}

// takeFixedIP finds the address that a request asks for, by subnet or address or both.
func (c *Cloud) takeFixedIP(n *network, subnetID, address string) (fixedIP, error) {
	var wanted netip.Addr
	if address != "" {
		var err error
		if wanted, err = netip.ParseAddr(address); err != nil {
			return fixedIP{}, badRequest("HTTPBadRequest", fmt.Sprintf("Invalid input for fixed_ips. Reason: '%s' is not a valid IP address.", address))
		}
	}
	for _, s := range c.subnetsOf(n) {
		if subnetID == s.id || subnetID == "" && s.cidr.Contains(wanted) {
			addr, err := c.allocate(s, wanted)
			return fixedIP{s, addr}, err
		}
	}
	if subnetID != "" {
		return fixedIP{}, subnetNotFound(subnetID)
	}
	return fixedIP{}, badRequest("InvalidIpForNetwork", fmt.Sprintf("IP address %s is not a valid IP for any of the subnets on the specified network.", address))
}

// defaultFixedIPs takes one address of each family, as Neutron does.
func (c *Cloud) defaultFixedIPs(n *network) ([]fixedIP, error) {
	var ips []fixedIP
	for _, six := range []bool{false, true} {
		var last error
		for _, s := range c.subnetsOf(n) {
			if s.cidr.Addr().Is6() != six {
				continue
			}
			addr, err := c.allocate(s, netip.Addr{})
			if last = err; err == nil {
				ips = append(ips, fixedIP{s, addr})
				break
			}
		}
		if last != nil {
			return nil, last
		}
	}
	return ips, nil
}

func (c *Cloud) addPort(project string, n *network, name string, ips []fixedIP) *port {
	p := &port{standard: c.newStandard(project, name, ""), network: n, fixedIPs: ips, adminStateUp: true, status: "DOWN"}
	p.mac = "fa:16:3e:" + p.id[0:2] + ":" + p.id[2:4] + ":" + p.id[4:6]
	c.ports = append(c.ports, p)
	return p
}

func (c *Cloud) updatePort(r *request) (reply, error) {
	p, err := c.portFor(r)
	if err != nil {
		return reply{}, err
	}
	var in portRequest
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	if err := p.checkRevision(r); err != nil {
		return reply{}, err
	}
	if in.Port.NetworkID.set || in.Port.ProjectID.set || in.Port.TenantID.set {
		return reply{}, badRequest("HTTPBadRequest", "Cannot update read-only attribute network_id")
	}
	groups := p.groups
	if in.Port.SecurityGroups.set {
		if groups, err = c.groupsFor(r, in.Port.SecurityGroups); err != nil {
			return reply{}, err
		}
	}
	p.groups = groups
	in.Port.Name.update(&p.name)
	in.Port.Description.update(&p.description)
	in.Port.DeviceID.update(&p.deviceID)
	in.Port.DeviceOwner.update(&p.deviceOwner)
	in.Port.AdminStateUp.update(&p.adminStateUp)
	in.Port.AllowedAddressPairs.update(&p.addressPairs)
	if in.Port.PortSecurityEnabled.given() {
		p.insecure = !in.Port.PortSecurityEnabled.value
	}
	c.touch(&p.standard, r)
	return show(r, "port", p.renderPort())
}

func (c *Cloud) deletePort(r *request) (reply, error) {
	p, err := c.portFor(r)
	if err != nil {
		return reply{}, err
	}
	if strings.HasPrefix(p.deviceOwner, "network:") {
		return reply{}, conflict("ServicePortInUse", fmt.Sprintf("Port %s cannot be deleted directly via the port API: has device owner %s.", p.id, p.deviceOwner))
	}
	c.removePort(p)
	return reply{status: http.StatusNoContent}, nil
}

// removePort takes the port away, and the floating IPs off it.
func (c *Cloud) removePort(p *port) {
	c.ports = slices.DeleteFunc(c.ports, func(q *port) bool { return q == p })
	for _, f := range c.floatingIPs {
		if f.port == p {
			f.port, f.fixed, f.status = nil, netip.Addr{}, "DOWN"
			f.revision++
		}
	}
}
