package octavia

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// frontend is a listener with its pool, as wanted.
type frontend struct {
	Listener Listener
	Pool     Pool
	// owner are the names by which objects are known to be the Service's.
	owner []string
}

// want is what should be there of a unit.
type want struct {
	loadBalancer LoadBalancer // without listeners and pools
	frontends    []frontend
	// ours are the would-be names of all Services of this unit, the leaving ones too: a
	// listener that carries one, and is not wanted, goes.
	ours []string
	// signs are the tags of all Services of this unit.
	signs []string
	// cluster is the tag of our cluster.
	cluster string
	// made: the load balancer was made for one of the Services, rather than being
	// somebody else's that they share.
	made bool
	// remove: nobody needs the load balancer any more.
	remove  bool
	cascade bool
	serial  bool
	// refusals by Service: what of it cannot be had. A Service that is refused has no
	// frontend here, but what exists of it stays.
	refusals map[lb.Key]*lb.Refusal
	// frozen are Services whose listeners stay as they are.
	frozen []string
}

// want is what a unit should be. It is decided once.
func (v *view) want(u *unit) *want {
	if u.want == nil {
		w := v.wanted(u)
		u.want = &w
	}
	return u.want
}

func (v *view) wanted(u *unit) want {
	w := want{refusals: make(map[lb.Key]*lb.Refusal), cluster: ClusterTag(v.in.Cluster.UID)}
	for _, h := range slices.Concat(u.halves, u.leaving) {
		w.ours = append(w.ours, h.names(u.have)...)
		w.signs = append(w.signs, h.tag())
		w.made = w.made || u.have == nil || u.have.madeFor(h)
	}
	if len(u.halves) == 0 {
		w.remove = true
		w.cascade = len(u.leaving) == 0 || u.leaving[0].Options.Cascade
		if len(u.leaving) == 0 { // see orphans.go
			w.made, w.ours, w.signs = true, u.have.names(), u.have.Tags
		}
		w.loadBalancer.Tags = v.tags(u)
		return w
	}
	owner := u.halves[0]
	w.cascade, w.serial = owner.Options.Cascade, owner.Options.Serial
	w.loadBalancer = LoadBalancer{
		Name: owner.name(), Description: occm.LoadBalancerDescription(owner.cluster.Name, owner.Service.Namespace, owner.Service.Name),
		Tags: v.tags(u), Provider: owner.Options.Provider, Flavor: owner.Options.Flavor, AvailabilityZone: owner.Options.AvailabilityZone,
	}
	taken := make(map[lb.Port]lb.Key)
	for _, h := range u.halves {
		if r := v.refused(u, &w, h, taken); r != nil {
			w.refusals[h.Service.Key] = r
			w.frozen = append(w.frozen, h.names(u.have)...)
			continue
		}
		for i := range h.Service.Ports {
			w.frontends = append(w.frontends, v.frontend(u, h, i))
		}
	}
	if u.have != nil || len(w.frontends) == 0 {
		return w
	}
	vip, more, refusal := v.vip(owner)
	if refusal != nil {
		w.refusals[owner.Service.Key], w.frontends = refusal, nil
	}
	w.loadBalancer.VIP, w.loadBalancer.Additional = vip, more
	return w
}

// tags are those that the load balancer has, without those of Services that leave,
// with those of Services that are here.
func (v *view) tags(u *unit) []string {
	var out []string
	if u.have != nil {
		out = slices.Clone(u.have.Tags)
	}
	for _, h := range u.leaving {
		// Another cluster of the same name may have a Service of the same name here.
		shared := u.have != nil && u.have.foreign(v.in.Cluster.UID)
		out = slices.DeleteFunc(out, func(t string) bool { return t == h.tag() || t == h.name() && !shared })
	}
	for _, h := range u.halves {
		for _, t := range []string{h.name(), h.tag()} {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	cluster := ClusterTag(v.in.Cluster.UID)
	switch has := slices.Contains(out, cluster); {
	case len(u.halves) > 0 && !has:
		out = append(out, cluster)
	case len(u.halves) == 0 && has:
		out = slices.DeleteFunc(out, func(t string) bool { return t == cluster })
	}
	return out
}

// refused says why a Service cannot be served by this unit; taken are the ports of
// those before it.
func (v *view) refused(u *unit, w *want, h *half, taken map[lb.Port]lb.Key) *lb.Refusal {
	o, s := &h.Options, &h.Service
	able := u.ability(o)
	switch {
	case h.Problem != nil:
		return h.Problem
	case u.sought != "" && len(s.Held) == 0:
		return lb.Refuse(lb.LoadBalancerNotFound, "correct the annotation, or take it out",
			"annotation loadbalancer.openstack.org/load-balancer-id: there is no load balancer %q in the project", u.sought)
	case u.have != nil && !h.second && o.LoadBalancerID != "" && o.LoadBalancerID != u.have.ID && v.byID[o.LoadBalancerID] != nil:
		return lb.Refuse(lb.BadOption, "write "+u.have.ID+", or recreate the Service",
			"annotation loadbalancer.openstack.org/load-balancer-id asks for %s, but the Service is on load balancer %s; it cannot be moved", o.LoadBalancerID, u.have.ID)
	case len(s.NodePorts) != len(s.Ports) || slices.Contains(s.NodePorts, 0):
		return lb.Refuse(lb.NoNodes, "set spec.allocateLoadBalancerNodePorts: true", "the Service has ports without a node port, which the load balancer needs")
	case u.have != nil && len(u.have.Additional) > 0 && len(everybodyButAll(o.SourceRanges, h.families)) > 0:
		return lb.Refuse(lb.Unsupported, "take the ranges out, or recreate the Service: it then gets a load balancer for each family",
			"source ranges on a load balancer with VIPs of both families: Octavia would make rules that Neutron refuses")
	case v.Features.Minor < minorTags:
		return lb.Refuse(lb.Unsupported, "upgrade Octavia (Stein or later)", "the cloud's Octavia API is v2.%d; without tags (v2.5) nothing could be found again", v.Features.Minor)
	case o.ProxyProtocol == lb.ProxyV2 && v.Features.Minor < minorProxyV2:
		return lb.Refuse(lb.Unsupported, `write proxy-protocol: "v1"`, "PROXY protocol v2 needs Octavia API v2.22, and the cloud has v2.%d", v.Features.Minor)
	case len(everybodyButAll(o.SourceRanges, h.families)) > 0 && v.Features.Minor < minorAllowedCIDRs && !able.keepsClient:
		return lb.Refuse(lb.Unsupported, "upgrade Octavia (Train or later), or take the ranges out", "source ranges need Octavia API v2.12, and the cloud has v2.%d", v.Features.Minor)
	case len(everybodyButAll(o.SourceRanges, h.families)) > 0 && able.keepsClient && !o.SecurityGroups:
		return lb.Refuse(lb.Unsupported, "set manage-security-groups=true in cloud.conf, or securityGroups: Managed in the class",
			"provider %s cannot restrict source ranges itself; the nodes' security groups can, and they are not managed", o.Provider)
	}
	for _, p := range s.Ports {
		if p.Protocol == "SCTP" && v.Features.Minor < minorSCTP {
			return lb.Refuse(lb.Unsupported, "upgrade Octavia (Wallaby or later)", "SCTP needs Octavia API v2.23, and the cloud has v2.%d", v.Features.Minor)
		}
		if other, is := taken[p]; is {
			return lb.Refuse(lb.PortTaken, "change the port, or use another load balancer", "port %d/%s of the load balancer is %s's", p.Number, p.Protocol, other)
		}
		if u.have == nil {
			continue
		}
		if l := u.have.listener(p.Protocol, p.Number); l != nil && !w.mine(l.Tags, l.Name) && !w.unsigned(l) {
			return lb.Refuse(lb.PortTaken, "change the port, or use another load balancer",
				"port %d/%s of load balancer %s has a listener that is not this cluster's: %s", p.Number, p.Protocol, u.have.ID, cmp.Or(l.Name, l.ID))
		}
	}
	for _, p := range s.Ports {
		taken[p] = s.Key
	}
	return nil
}

// vip is where a new load balancer takes connections.
func (v *view) vip(h *half) (VIP, []VIP, *lb.Refusal) {
	o := &h.Options
	family := h.families[0]
	out := VIP{Port: o.Port}
	if out.Port == "" {
		out.Subnet, out.Network = v.place(h.Request, family)
		if out.Subnet == "" && out.Network == "" {
			return VIP{}, nil, lb.Refuse(lb.BadOption, "set subnet-id or network-id in cloud.conf, networkID in the class, or the annotation loadbalancer.openstack.org/network-id",
				"no %s subnet for the load balancer: none is named, and no node has an address of that family on a network of the project", family)
		}
		if out.Subnet == "" && family == lb.IPv6 {
			return VIP{}, nil, lb.Refuse(lb.FamilyUnavailable, "add one, or use ipFamilyPolicy: SingleStack", "the network %s has no IPv6 subnet", out.Network)
		}
		out.Address = v.fixedAddress(h, family)
	}
	if len(h.families) < 2 {
		return out, nil, nil
	}
	return out, []VIP{{Subnet: v.additional(h.Request)}}, nil
}

// fixedAddress is the VIP that must be had: one that is asked for and not floating,
// or the one that the Service shows while its load balancer is lost.
func (v *view) fixedAddress(h *half, family lb.Family) netip.Addr {
	direct := h.Options.Internal || family == lb.IPv6
	for _, a := range slices.Concat(h.Service.Request.Addresses, h.Service.Held) {
		if direct && lb.FamilyOf(a) == family {
			return a
		}
	}
	return netip.Addr{}
}

// frontend makes the listener and the pool of one port.
func (v *view) frontend(u *unit, h *half, i int) frontend {
	o, s := &h.Options, &h.Service
	able := u.ability(o)
	port := s.Ports[i]
	name := h.name()
	l := Listener{
		Name: occm.ListenerName(i, name), Tags: []string{name, ClusterTag(v.in.Cluster.UID)}, Protocol: port.Protocol, Port: port.Number,
		ConnectionLimit: o.ConnectionLimit,
	}
	p := Pool{Name: occm.PoolName(i, name), Protocol: port.Protocol, Method: u.method(o), Sticky: s.Affinity > 0}
	if p.Sticky && port.Protocol != "TCP" {
		p.StickyFor = int(s.Affinity / time.Second)
	}
	if port.Protocol == "TCP" {
		l.Protocol, p.Protocol = protocols(o)
		l.ForwardedFor = o.XForwardedFor
		if l.Protocol == "TERMINATED_HTTPS" {
			l.TLSContainer = o.TLSContainer
		}
	}
	if able.timeouts {
		l.Timeouts = &Timeouts{ms(o.Timeouts.ClientData), ms(o.Timeouts.MemberConnect), ms(o.Timeouts.MemberData), ms(o.Timeouts.TCPInspect)}
	}
	if able.allowed {
		l.AllowedCIDRs = everybodyButAll(o.SourceRanges, h.families)
	}
	p.Monitor = v.monitor(u, h, i)
	p.Members = v.members(u, h, i, p.Monitor)
	return frontend{l, p, h.names(u.have)}
}

// ability of the provider that a load balancer has, which cannot be changed, or else of
// the one that it shall have.
func (u *unit) ability(o *lb.CloudOptions) ability {
	if u.have != nil {
		return abilityOf(u.have.Provider)
	}
	return abilityOf(o.Provider)
}

// method is the one that is asked for, where the provider has it.
func (u *unit) method(o *lb.CloudOptions) string {
	const ofOVN = "SOURCE_IP_PORT"
	switch {
	case u.have == nil || (u.have.Provider == ovn) == (o.Provider == ovn):
		return o.Method
	case u.have.Provider == ovn:
		return ofOVN
	case o.Method == ofOVN:
		return "ROUND_ROBIN"
	}
	return o.Method
}

// names are those by which objects are known to be the half's: what OCCM calls its load
// balancer, what was before OCCM, and what the load balancer is called that was made for
// it.
func (h *half) names(have *LoadBalancer) []string {
	out := []string{h.name()}
	if !h.second {
		out = append(out, occm.LegacyName(h.Service.UID))
	}
	if have != nil && have.madeFor(h) && !slices.Contains(out, have.Name) {
		out = append(out, have.Name)
	}
	return out
}

// protocols of a TCP port's listener and pool (Octavia API reference, "Protocol
// Combinations").
func protocols(o *lb.CloudOptions) (listener, pool string) {
	listener, pool = "TCP", "TCP"
	switch {
	case o.TLSContainer != "":
		listener, pool = "TERMINATED_HTTPS", "HTTP"
	case o.XForwardedFor:
		listener, pool = "HTTP", "HTTP"
	}
	if o.ProxyProtocol != "" {
		pool = string(o.ProxyProtocol)
	}
	return listener, pool
}

func ms(d time.Duration) int { return int(d / time.Millisecond) }

// everybodyButAll is nil where the ranges let everybody of the families in: Octavia's
// word for that is no list, OCCM's is 0.0.0.0/0.
func everybodyButAll(ranges []netip.Prefix, families []lb.Family) []netip.Prefix {
	if len(ranges) == 0 {
		return nil
	}
	open := 0
	for _, f := range families {
		if slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() == 0 && lb.FamilyOf(r.Addr()) == f }) {
			open++
		}
	}
	if open == len(families) {
		return nil
	}
	// Octavia refuses a range of a family that no VIP has, and takes no range at all for
	// everybody: a family that is not among the ranges gets one that nobody comes from.
	var out []netip.Prefix
	for _, f := range families {
		before := len(out)
		for _, r := range ranges {
			if lb.FamilyOf(r.Addr()) == f {
				out = append(out, r.Masked())
			}
		}
		if len(out) == before {
			out = append(out, nobody(f))
		}
	}
	slices.SortFunc(out, comparePrefix)
	return slices.Compact(out)
}

// nobody is the loopback, which no packet comes from.
func nobody(f lb.Family) netip.Prefix {
	a := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if f == lb.IPv6 {
		a = netip.IPv6Loopback()
	}
	return netip.PrefixFrom(a, a.BitLen())
}

func comparePrefix(x, y netip.Prefix) int {
	return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(x.Bits(), y.Bits()))
}

// monitor of a port. With Local traffic, a node without a pod must not get any, so
// that it is always there.
func (v *view) monitor(u *unit, h *half, i int) *Monitor {
	o, s := &h.Options, &h.Service
	local := s.Local && s.HealthCheckNodePort > 0
	if o.Monitor == nil && !local {
		return nil
	}
	t := o.MonitorDefaults
	if o.Monitor != nil {
		t = *o.Monitor
	}
	m := &Monitor{
		Name: occm.MonitorName(i, h.name()), Delay: seconds(t.Delay), Timeout: seconds(t.Timeout),
		MaxRetries: t.MaxRetries, MaxRetriesDown: t.MaxRetriesDown,
	}
	switch protocol := s.Ports[i].Protocol; {
	case local && v.asksNodes(u, h, protocol):
		m.Type, m.Path = "HTTP", "/healthz"
	case protocol == "UDP":
		m.Type = "UDP-CONNECT"
	case protocol == "SCTP" && !u.ability(o).monitorPort:
		return nil // OVN has TCP and UDP-CONNECT only
	case protocol == "SCTP":
		m.Type = "SCTP"
	default:
		m.Type = "TCP"
	}
	if o.Monitor == nil && m.Type != "HTTP" {
		return nil // members are chosen by their endpoints instead
	}
	return m
}

// asksNodes tells whether the provider can ask healthCheckNodePort.
func (v *view) asksNodes(u *unit, h *half, protocol string) bool {
	return u.ability(&h.Options).monitorPort && (protocol == "TCP" || v.Features.Minor >= minorUDPMonitors)
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// members are the nodes that may take the port's connections, by address.
func (v *view) members(u *unit, h *half, i int, m *Monitor) []Member {
	s, o := &h.Service, &h.Options
	able := u.ability(o)
	nodes := v.eligible(o.NodeSelector)
	if s.Local && (m == nil || m.Type != "HTTP") {
		nodes = v.serving(nodes, s.Key)
	}
	vipSubnet, _ := v.place(h.Request, h.families[0])
	if u.have != nil {
		vipSubnet = u.have.VIP.Subnet
	}
	var out []Member
	for _, n := range nodes {
		addr, ok := nodeAddress(&n, h.families[0], able.keepsClient)
		if !ok {
			continue
		}
		member := Member{Name: n.Name, Address: addr, Port: s.NodePorts[i], Weight: 1, Subnet: o.MemberSubnet}
		if at := v.subnetOf(n.Name, addr); member.Subnet == "" && at != "" && (able.memberSubnets || at != vipSubnet) {
			member.Subnet = at
		}
		if m != nil && m.Type == "HTTP" {
			member.MonitorPort = s.HealthCheckNodePort
		}
		out = append(out, member)
	}
	slices.SortFunc(out, func(x, y Member) int { return cmp.Or(x.Address.Compare(y.Address), cmp.Compare(x.Port, y.Port)) })
	return slices.CompactFunc(out, func(x, y Member) bool { return x.key() == y.key() })
}

// eligible are the nodes that may take connections. When no node is ready it is our
// sight that is gone: readiness is ignored.
func (v *view) eligible(selector *lb.Selector) []lb.Node {
	var ready, all []lb.Node
	for _, n := range v.in.Nodes {
		if n.Excluded || n.OutOfService || !selector.Matches(n.Labels) {
			continue
		}
		all = append(all, n)
		if n.Alive && !n.NetworkUnavailable {
			ready = append(ready, n)
		}
	}
	if len(ready) == 0 {
		return all
	}
	return ready
}

// serving are the nodes with an endpoint, or all while there is none anywhere: an
// empty pool would not be better.
func (v *view) serving(nodes []lb.Node, service lb.Key) []lb.Node {
	i, found := slices.BinarySearchFunc(v.in.Endpoints, service, func(e lb.Endpoints, k lb.Key) int { return e.Service.Compare(k) })
	if !found {
		return nodes
	}
	var out []lb.Node
	for _, n := range nodes {
		if slices.Contains(v.in.Endpoints[i].Nodes, n.Name) {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return nodes
	}
	return out
}

// nodeAddress is the node's address of the family, or of the other one where the load
// balancer is a proxy that can change families.
func nodeAddress(n *lb.Node, f lb.Family, same bool) (netip.Addr, bool) {
	for _, a := range n.Addresses {
		if lb.FamilyOf(a) == f {
			return a, true
		}
	}
	if same || len(n.Addresses) == 0 {
		return netip.Addr{}, false
	}
	return n.Addresses[0], true
}
