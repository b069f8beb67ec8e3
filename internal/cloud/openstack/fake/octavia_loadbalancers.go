package fake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

type loadBalancer struct {
	element
	vip        vip
	additional []vip
	ownsPort   bool
	provider   string
	flavor     string
	zone       string
	listeners  []*listener
	pools      []*pool
	work       *work
	trapped    bool // the next deletion fails: see trap
}

type vip struct {
	addr    netip.Addr
	subnet  *subnet
	network *network
	portID  string
}

type balancerPOST struct {
	basics
	VIPAddress       field[string]    `json:"vip_address"`
	VIPPortID        field[string]    `json:"vip_port_id"`
	VIPSubnetID      field[string]    `json:"vip_subnet_id"`
	VIPNetworkID     field[string]    `json:"vip_network_id"`
	VIPQosPolicyID   field[string]    `json:"vip_qos_policy_id"`
	AdditionalVIPs   field[[]vipPOST] `json:"additional_vips"`
	Listeners        field[[]listenerPOST]
	Pools            field[[]poolPOST]
	Provider         field[string]
	FlavorID         field[string] `json:"flavor_id"`
	AvailabilityZone field[string] `json:"availability_zone"`
}

type vipPOST struct {
	SubnetID  field[string] `json:"subnet_id"`
	IPAddress field[string] `json:"ip_address"`
}

func (b *loadBalancer) renderBalancer() object {
	listeners, pools := []idOnly{}, []idOnly{}
	for _, l := range b.listeners {
		listeners = append(listeners, idOnly{l.id})
	}
	for _, p := range b.pools {
		pools = append(pools, idOnly{p.id})
	}
	vips := []any{}
	for _, v := range b.additional {
		vips = append(vips, map[string]any{"subnet_id": v.subnet.id, "ip_address": orNil(addrText(v.addr))})
	}
	return b.render(map[string]any{
		"vip_address": orNil(addrText(b.vip.addr)), "vip_port_id": orNil(b.vip.portID), "vip_subnet_id": b.vip.subnet.id,
		"vip_network_id": b.vip.network.id, "vip_qos_policy_id": nil, "additional_vips": vips, "provider": b.provider,
		"flavor_id": orNil(b.flavor), "availability_zone": orNil(b.zone), "listeners": listeners, "pools": pools,
	})
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// renderFull is the answer to a creation: children in full.
func (b *loadBalancer) renderFull() object {
	o := b.renderBalancer()
	listeners, pools := []any{}, []any{}
	for _, l := range b.listeners {
		full := l.renderListener()
		delete(full.attributes, "loadbalancers")
		listeners = append(listeners, full.attributes)
	}
	for _, p := range b.pools {
		pools = append(pools, p.renderFull())
	}
	o.attributes["listeners"], o.attributes["pools"] = listeners, pools
	return o
}

func (c *Cloud) findBalancer(id string) *loadBalancer {
	for _, b := range c.balancers {
		if b.id == id {
			return b
		}
	}
	return nil
}

func (c *Cloud) balancerFor(r *request) (*loadBalancer, error) {
	id := r.PathValue("id")
	b := c.findBalancer(id)
	if b == nil {
		return nil, missing("Load Balancer", id)
	}
	return b, r.may(b.project)
}

func (c *Cloud) listBalancers(r *request) (reply, error) {
	var all []object
	for _, b := range c.balancers {
		if r.owned(b.project) {
			all = append(all, c.hideNew(b.renderBalancer()))
		}
	}
	return c.listOctavia(r, "loadbalancers", all, nil)
}

func (c *Cloud) showBalancer(r *request) (reply, error) {
	b, err := c.balancerFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "loadbalancer", c.hideNew(b.renderBalancer()))
}

func (c *Cloud) createBalancer(r *request) (reply, error) {
	var in struct{ LoadBalancer balancerPOST }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	want := in.LoadBalancer
	if err := c.checkVersions(want); err != nil {
		return reply{}, err
	}
	b := &loadBalancer{element: c.newElement(r.token.project.id, want.basics)}
	b.balancer, b.operating = b, offline
	if err := c.placeVIP(r, b, want); err != nil {
		return reply{}, err
	}
	if err := c.chooseProvider(b, want); err != nil {
		return reply{}, err
	}
	if c.lbQuotaMet(r.token.project, "load_balancer", 1) {
		return reply{}, quotaMet("Load Balancer")
	}
	if twice(want.Tags.value) {
		return reply{}, conflict("", "Already an entity with that specified id.")
	}
	if err := c.takeVIP(b, want.VIPAddress.value); err != nil {
		return reply{}, vipRefusal(b.provider, err)
	}
	// From here on a refusal leaves the VIP port behind in Neutron: the database of
	// Octavia is rolled back, Neutron is not (api/v2/controllers/load_balancer.py, post).
	if err := c.populate(r, b, want.Listeners.value, want.Pools.value); err != nil {
		return reply{}, err
	}
	if err := b.driverCreates(); err != nil {
		return reply{}, err
	}
	c.balancers = append(c.balancers, b)
	c.begin(r, b, Change{Kind: "create", Object: "loadbalancer"}, work{changed: c.reported(b)})
	answer, err := show(r, "loadbalancer", c.hideNew(b.renderFull()))
	answer.status = http.StatusCreated
	return answer, err
}

func twice(tags []string) bool {
	sorted := slices.Sorted(slices.Values(tags))
	return len(slices.Compact(sorted)) != len(tags)
}

// reported are the elements of a new load balancer that its driver reports about in
// the end; the others stay PENDING_CREATE.
func (c *Cloud) reported(b *loadBalancer) []*element {
	if b.provider != ovn {
		if c.options.ForgetsChildren {
			return []*element{&b.element}
		}
		return b.elements()
	}
	// ovn-octavia-provider 3.0.0 makes no health monitors here (loadbalancer_create).
	return slices.DeleteFunc(b.elements(), func(e *element) bool {
		return slices.ContainsFunc(b.pools, func(p *pool) bool { return p.monitor != nil && e == &p.monitor.element })
	})
}

// elements are the load balancer and all below it.
func (b *loadBalancer) elements() []*element {
	all := []*element{&b.element}
	for _, l := range b.listeners {
		all = append(all, &l.element)
	}
	for _, p := range b.pools {
		all = append(all, &p.element)
		for _, m := range p.members {
			all = append(all, &m.element)
		}
		if p.monitor != nil {
			all = append(all, &p.monitor.element)
		}
	}
	return all
}

// placeVIP finds network, subnet and address of the VIP in what was asked for.
func (c *Cloud) placeVIP(r *request, b *loadBalancer, want balancerPOST) error {
	switch {
	case want.VIPPortID.given():
		if err := c.vipFromPort(r, b, want); err != nil {
			return err
		}
	case want.VIPNetworkID.given():
		if err := c.vipFromNetwork(r, b, want); err != nil {
			return err
		}
	case want.VIPSubnetID.given():
		s := c.findSubnet(want.VIPSubnetID.value)
		if s == nil || !c.seesSubnet(r, s) {
			return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Subnet %s not found.", want.VIPSubnetID.value)}
		}
		b.vip.subnet, b.vip.network = s, s.network
	default:
		return &refusal{http.StatusBadRequest, "", "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."}
	}
	used := []*subnet{b.vip.subnet}
	for _, more := range want.AdditionalVIPs.value {
		s := c.findSubnet(more.SubnetID.value)
		if s == nil {
			return &refusal{http.StatusInternalServerError, "", fmt.Sprintf("subnet not found (subnet id: %s).", more.SubnetID.value)}
		}
		if slices.Contains(used, s) {
			return validation("Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.")
		}
		if s.network != b.vip.network {
			return validation("All VIP subnets must belong to the same network.")
		}
		used = append(used, s)
		addr, _ := netip.ParseAddr(more.IPAddress.value) // none is none
		b.additional = append(b.additional, vip{subnet: s, network: s.network, addr: addr})
	}
	return nil
}

func (c *Cloud) vipFromPort(r *request, b *loadBalancer, want balancerPOST) error {
	p := c.findPort(want.VIPPortID.value)
	if p == nil || !r.visible(p.project) {
		return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Port %s not found.", want.VIPPortID.value)}
	}
	if p.deviceID != "" {
		return validation("Port %s is already used by device %s ", p.id, p.deviceID)
	}
	b.vip.network, b.vip.portID = p.network, p.id
	for _, ip := range p.fixedIPs {
		switch {
		case want.VIPSubnetID.given() && ip.subnet.id != want.VIPSubnetID.value:
		case want.VIPAddress.given() && ip.addr.String() != want.VIPAddress.value:
		case b.vip.subnet != nil && !want.VIPSubnetID.given():
			return validation("VIP port's subnet could not be determined. Please specify either a VIP subnet or address.")
		case b.vip.subnet == nil:
			b.vip.subnet, b.vip.addr = ip.subnet, ip.addr
		}
	}
	if b.vip.subnet == nil {
		if want.VIPSubnetID.given() {
			return validation("No VIP address found on the specified VIP port within the specified subnet.")
		}
		return validation("Specified VIP address not found on the specified VIP port.")
	}
	return nil
}

func (c *Cloud) vipFromNetwork(r *request, b *loadBalancer, want balancerPOST) error {
	n := c.findNetwork(want.VIPNetworkID.value)
	if n == nil || !r.seesNetwork(n) {
		return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Network %s not found.", want.VIPNetworkID.value)}
	}
	b.vip.network = n
	wanted, _ := netip.ParseAddr(want.VIPAddress.value) // none is none
	for _, s := range c.subnetsOf(n) {
		switch {
		case want.VIPSubnetID.given():
			if s.id == want.VIPSubnetID.value {
				b.vip.subnet = s
			}
		case wanted.IsValid():
			if s.cidr.Contains(wanted) {
				b.vip.subnet = s
			}
		// The first subnet, but rather the first one of IPv4.
		case b.vip.subnet == nil || b.vip.subnet.cidr.Addr().Is6() && s.cidr.Addr().Is4():
			b.vip.subnet = s
		}
	}
	switch {
	case b.vip.subnet != nil:
		return nil
	case want.VIPSubnetID.given():
		return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Subnet %s not found.", want.VIPSubnetID.value)}
	case wanted.IsValid():
		return validation("Supplied network does not contain a subnet for VIP address specified.")
	default:
		return validation("Supplied network does not contain a subnet.")
	}
}

// takeVIP makes the VIP port in Neutron, synchronously.
func (c *Cloud) takeVIP(b *loadBalancer, address string) error {
	if b.provider == ovn {
		// ovn-octavia-provider 3.0.0 takes additional VIPs and does nothing about them.
		for i := range b.additional {
			b.additional[i].addr = netip.Addr{}
		}
	}
	if b.vip.portID != "" {
		return nil
	}
	owner := c.findProject(b.project, "")
	if err := c.checkQuota(owner, "port", c.usage(owner)["port"], 1); err != nil {
		return err
	}
	ip, err := c.takeFixedIP(b.vip.network, b.vip.subnet.id, address)
	if err != nil {
		return err
	}
	ips := []fixedIP{ip}
	if b.provider != ovn {
		for i, more := range b.additional {
			ip, err := c.takeFixedIP(b.vip.network, more.subnet.id, addrText(more.addr))
			if err != nil {
				return err
			}
			ips, b.additional[i].addr = append(ips, ip), ip.addr
		}
	}
	p := c.addPort(b.project, b.vip.network, "octavia-lb-"+b.id, ips)
	if b.provider == ovn {
		p.name = "ovn-lb-vip-" + b.id
	} else {
		p.deviceID, p.deviceOwner, p.adminStateUp = "lb-"+b.id, "Octavia", false
	}
	p.groups = []string{c.defaultGroup(b.project).id}
	for i := range b.additional {
		b.additional[i].portID = p.id
	}
	b.vip.addr, b.vip.portID, b.ownsPort = ip.addr, p.id, true
	return nil
}

// vipRefusal: whatever Neutron said about the VIP port, also that an address is taken
// or a quota is met, is a failure of the driver and so a 500.
func vipRefusal(provider string, err error) error {
	return &refusal{http.StatusInternalServerError, "", fmt.Sprintf(
		"Provider '%s' reports error: %s\nNeutron server returns request_ids: ['req-%s']", provider, err, unknownRequest)}
}

const unknownRequest = "00000000-0000-4000-8000-000000000000"

func (c *Cloud) chooseProvider(b *loadBalancer, want balancerPOST) error {
	b.flavor, b.zone = want.FlavorID.value, want.AvailabilityZone.value
	b.provider = want.Provider.or(c.options.DefaultProvider)
	if b.flavor != "" {
		if !slices.ContainsFunc(c.flavors(), func(f flavor) bool { return f.id == b.flavor }) {
			return validation("Invalid flavor_id.")
		}
		if !want.Provider.given() {
			b.provider = amphora
		}
		if b.provider != amphora {
			return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Flavor '%s' is not compatible with provider '%s'", b.flavor, b.provider)}
		}
	}
	if b.zone != "" && b.zone != zoneName {
		return validation("Invalid availability zone.")
	}
	if !slices.Contains(c.options.Providers, b.provider) {
		return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Provider '%s' is not enabled.", b.provider)}
	}
	if b.zone != "" && b.provider == ovn {
		return &refusal{http.StatusNotImplemented, "", "Provider 'ovn' does not support a requested action: This provider does not support validating availability zones."}
	}
	return nil
}

func (c *Cloud) updateBalancer(r *request) (reply, error) {
	var in struct {
		LoadBalancer struct {
			basics
			VIPQosPolicyID field[string] `json:"vip_qos_policy_id"`
		}
	}
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	b, err := c.balancerFor(r)
	if err != nil {
		return reply{}, err
	}
	if b.provisioning != active {
		return reply{}, pendingState(b)
	}
	b.apply(in.LoadBalancer.basics)
	c.begin(r, b, Change{Kind: "update", Object: "loadbalancer"}, work{changed: []*element{&b.element}})
	return show(r, "loadbalancer", c.hideNew(b.renderBalancer()))
}

// pendingState is how the load balancer itself refuses a change; its children say that
// it is immutable.
func pendingState(b *loadBalancer) error {
	return conflict("", fmt.Sprintf("Invalid state %s of loadbalancer resource %s", b.provisioning, b.id))
}

func (c *Cloud) deleteBalancer(r *request) (reply, error) {
	b, err := c.balancerFor(r)
	if err != nil {
		return reply{}, err
	}
	cascade := slices.Contains([]string{"1", "t", "true", "on", "y", "yes"}, strings.ToLower(r.query.Get("cascade")))
	if len(b.listeners)+len(b.pools) > 0 && !cascade {
		return reply{}, validation("Cannot delete Load Balancer %s - it has children", b.id)
	}
	if b.provisioning != active && b.provisioning != failed {
		return reply{}, pendingState(b)
	}
	c.begin(r, b, Change{Kind: "delete", Object: "loadbalancer"}, work{
		changed: []*element{&b.element}, done: func(time.Time) { c.removeBalancer(b) }})
	return reply{status: http.StatusNoContent}, nil
}

// removeBalancer takes the load balancer away, and its VIP port if it is Octavia's.
func (c *Cloud) removeBalancer(b *loadBalancer) {
	c.balancers = slices.DeleteFunc(c.balancers, func(other *loadBalancer) bool { return other == b })
	if p := c.findPort(b.vip.portID); p != nil && b.ownsPort {
		c.removePort(p)
	}
}

func (c *Cloud) failover(r *request) (reply, error) {
	b, err := c.balancerFor(r)
	if err != nil {
		return reply{}, err
	}
	if !r.token.admin() && !slices.Contains(r.token.roles, roleLBAdmin) {
		return reply{}, policyForbidden()
	}
	if b.provisioning != active && b.provisioning != failed {
		return reply{}, pendingState(b)
	}
	if b.provider == ovn {
		return reply{}, unsupported(ovn, "OVN provider does not support loadbalancer failover")
	}
	c.begin(r, b, Change{Kind: "failover", Object: "loadbalancer"}, work{changed: b.elements()})
	return reply{status: http.StatusAccepted}, nil
}
