package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

func tcpPool(name string) *pools.CreateOpts {
	return &pools.CreateOpts{Name: name, Protocol: "TCP", LBMethod: "ROUND_ROBIN"}
}

// refusals are creations that Octavia does not begin.
func (s *suite) refusals(t *testing.T) {
	on := func(listeners ...listeners.CreateOpts) loadbalancers.CreateOpts {
		return loadbalancers.CreateOpts{Name: "refused", Listeners: listeners}
	}
	udp := monitor("UDP-CONNECT")
	for what, c := range map[string]struct {
		opts   loadbalancers.CreateOpts
		status int
		words  string
		leaves bool // a VIP port
	}{
		"a pool without a name": {on(listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 1, DefaultPool: tcpPool("")}), http.StatusBadRequest, "must be named", true},
		"pools of one name": {on(listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 1, DefaultPool: tcpPool("a")},
			listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 2, DefaultPool: tcpPool("a")}), http.StatusBadRequest, "must be unique", true},
		"two listeners on one port": {on(listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 1}, listeners.CreateOpts{Protocol: "HTTP", ProtocolPort: 1}),
			http.StatusConflict, "already using protocol", true},
		"a UDP pool of a TCP listener": {on(listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 1, DefaultPool: &pools.CreateOpts{
			Name: "u", Protocol: "UDP", LBMethod: "ROUND_ROBIN"}}), http.StatusBadRequest, "is invalid while the listener protocol is", true},
		"a UDP monitor of a TCP pool": {on(listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 1, DefaultPool: &pools.CreateOpts{
			Name: "m", Protocol: "TCP", LBMethod: "ROUND_ROBIN", Monitor: udp}}), http.StatusBadRequest, "only supported for pools of type", true},
		"CIDRs of another family": {on(listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 1, AllowedCIDRs: []string{"2001:db8::/32"}}),
			http.StatusBadRequest, "IP version incompatible", true},
		"the same member twice": {on(listeners.CreateOpts{Protocol: "TCP", ProtocolPort: 1, DefaultPool: &pools.CreateOpts{
			Name: "d", Protocol: "TCP", LBMethod: "ROUND_ROBIN", Members: []pools.CreateMemberOpts{
				{Address: "10.250.0.1", ProtocolPort: 1}, {Address: "10.250.0.1", ProtocolPort: 1}}}}), http.StatusConflict, "already using ip", true},
		"a tag twice": {loadbalancers.CreateOpts{Name: "refused", Tags: []string{"a", "a"}}, http.StatusConflict, "Already an entity", false},
		"an address outside": {loadbalancers.CreateOpts{Name: "refused", VipAddress: "203.0.113.9"}, http.StatusInternalServerError,
			"is not a valid IP for the specified subnet", false},
		"an unknown provider": {loadbalancers.CreateOpts{Name: "refused", Provider: "nonsense"}, http.StatusBadRequest, "nonsense", false},
		"an unknown subnet":   {loadbalancers.CreateOpts{Name: "refused", VipSubnetID: unknownID}, http.StatusBadRequest, "not found", false},
		"an unknown flavor":   {loadbalancers.CreateOpts{Name: "refused", FlavorID: unknownID}, http.StatusBadRequest, "Invalid flavor_id", false},
		"an unknown zone":     {loadbalancers.CreateOpts{Name: "refused", AvailabilityZone: "nonsense"}, http.StatusBadRequest, "Invalid availability zone", false},
		"one subnet twice": {loadbalancers.CreateOpts{Name: "refused", VipSubnetID: s.SubnetV4, AdditionalVips: []loadbalancers.AdditionalVip{{SubnetID: s.SubnetV4}}},
			http.StatusBadRequest, "Duplicate VIP subnet", false},
	} {
		t.Run(what, func(t *testing.T) {
			if c.opts.VipAddress == "" {
				c.opts.VipAddress = s.FreeV4
			}
			_, err := s.create(t, c.opts)
			refused(t, "create", err, c.status, c.words)
			s.left(t, c.leaves)
		})
	}
	t.Run("no VIP at all", func(t *testing.T) {
		status, answer := raw(t, s.lb, http.MethodPost, s.lb.ServiceURL("lbaas", "loadbalancers"), map[string]any{"loadbalancer": map[string]any{"name": s.name("refused")}})
		if status != http.StatusBadRequest {
			t.Errorf("status %d: %v", status, answer)
		}
	})
	t.Run("an unknown attribute", func(t *testing.T) {
		body := map[string]any{"loadbalancer": map[string]any{"name": s.name("refused"), "vip_subnet_id": s.SubnetV4, "nonsense": 1}}
		if status, answer := raw(t, s.lb, http.MethodPost, s.lb.ServiceURL("lbaas", "loadbalancers"), body); status != http.StatusBadRequest {
			t.Errorf("status %d: %v", status, answer)
		}
	})
	t.Run("names need not be unique, and nothing was made", func(t *testing.T) {
		if found := s.listBalancers(t, loadbalancers.ListOpts{Name: s.name("refused")}); len(found) != 0 {
			t.Errorf("found %v", found)
		}
	})
}

// left asserts whether a refused creation has left its VIP port in Neutron, and takes
// it away. Octavia makes the port before it looks at the children; when it refuses
// those it rolls its database back and forgets the port. The suite asks for an address
// of its own, so that it does not take the port of somebody else's load balancer.
func (s *suite) left(t *testing.T, want bool) {
	t.Helper()
	opts := ports.ListOpts{NetworkID: s.Network, FixedIPs: []ports.FixedIPOpts{{IPAddress: s.FreeV4}}}
	page := must(ports.List(s.network, opts).AllPages(t.Context()))(t, "list ports")
	found := must(ports.ExtractPorts(page))(t, "ports")
	for _, port := range found {
		if !strings.HasPrefix(port.Name, "octavia-lb-") {
			t.Fatalf("%s is somebody else's: %+v", s.FreeV4, port)
		}
		succeeded(t, "delete the VIP port of nothing", ports.Delete(t.Context(), s.network, port.ID).ExtractErr())
	}
	if len(found) > 0 != want {
		t.Errorf("%d VIP ports of a refused load balancer are left, want some: %v", len(found), want)
	}
}

// placement is where the VIP comes from.
func (s *suite) placement(t *testing.T) {
	port := s.makePort(t, ports.CreateOpts{Name: s.name("own-vip")})
	made := map[string]*loadbalancers.LoadBalancer{
		"port":    s.mustCreate(t, loadbalancers.CreateOpts{Name: "by-port", VipPortID: port.ID, VipSubnetID: s.SubnetV4}),
		"address": s.mustCreate(t, loadbalancers.CreateOpts{Name: "by-address", VipSubnetID: s.SubnetV4, VipAddress: s.FreeV4}),
		"network": s.mustCreate(t, loadbalancers.CreateOpts{Name: "by-network", VipNetworkID: s.Network}),
		"IPv6":    s.mustCreate(t, loadbalancers.CreateOpts{Name: "v6", VipSubnetID: s.SubnetV6}),
	}
	down := false
	made["admin down"] = s.mustCreate(t, loadbalancers.CreateOpts{Name: "down", AdminStateUp: &down})
	for what, lb := range made {
		got := s.settled(t, lb.ID, "ACTIVE")
		if got.VipAddress != lb.VipAddress || got.VipPortID != lb.VipPortID {
			t.Errorf("%s: the VIP was %s on %s and is %s on %s", what, lb.VipAddress, lb.VipPortID, got.VipAddress, got.VipPortID)
		}
	}
	if lb := made["port"]; lb.VipPortID != port.ID || lb.VipAddress != v4Of(port) {
		t.Errorf("by port: %s on %s, want %s on %s", lb.VipAddress, lb.VipPortID, v4Of(port), port.ID)
	}
	if lb := made["address"]; lb.VipAddress != s.FreeV4 {
		t.Errorf("by address: %s, want %s", lb.VipAddress, s.FreeV4)
	}
	if lb := made["network"]; lb.VipSubnetID != s.SubnetV4 {
		t.Errorf("by network: subnet %s, want the IPv4 one %s", lb.VipSubnetID, s.SubnetV4)
	}
	if lb := made["IPv6"]; !isV6(lb.VipAddress) {
		t.Errorf("IPv6: %s", lb.VipAddress)
	}
	if made["admin down"].AdminStateUp {
		t.Errorf("admin down: it is up")
	}
	_, err := s.create(t, loadbalancers.CreateOpts{Name: "refused", VipSubnetID: s.SubnetV4, VipAddress: s.FreeV4})
	refused(t, "the same address", err, http.StatusInternalServerError, "reports error: IP address "+s.FreeV4+" already allocated")
	fip := s.makeFloatingIP(t, floatingips.CreateOpts{PortID: made["network"].VipPortID})
	if fip.FixedIP != made["network"].VipAddress {
		t.Errorf("floating IP of a VIP: %+v", fip)
	}
	for _, lb := range made {
		s.destroy(t.Context(), t, lb.ID)
	}
	if left := must(floatingips.Get(t.Context(), s.network, fip.ID).Extract())(t, "floating IP"); left.PortID != "" {
		t.Errorf("the floating IP of a load balancer that has gone: %+v", left)
	}
	must(ports.Get(t.Context(), s.network, port.ID).Extract())(t, "a VIP port of the user outlives its load balancer")
}

// dualStack is one port with two addresses, and the trap in it: allowed_cidrs of one
// family, which is all that Octavia accepts, break it.
func (s *suite) dualStack(t *testing.T) {
	two := []loadbalancers.AdditionalVip{{SubnetID: s.SubnetV6}}
	lb := s.mustCreate(t, loadbalancers.CreateOpts{Name: "dual", VipSubnetID: s.SubnetV4, AdditionalVips: two})
	if len(lb.AdditionalVips) != 1 || !isV6(lb.AdditionalVips[0].IPAddress) {
		t.Errorf("additional VIPs in the answer: %+v", lb.AdditionalVips)
	}
	port := must(ports.Get(t.Context(), s.network, lb.VipPortID).Extract())(t, "VIP port")
	if len(port.FixedIPs) != 2 {
		t.Errorf("VIP port %+v", port.FixedIPs)
	}
	s.settled(t, lb.ID, "ACTIVE")
	listener := must(listeners.Create(t.Context(), s.lb, listeners.CreateOpts{
		LoadbalancerID: lb.ID, Protocol: "TCP", ProtocolPort: 80, AllowedCIDRs: []string{"192.0.2.0/24"}}).Extract())(t, "create a listener")
	s.settled(t, lb.ID, "ACTIVE")
	if l := must(listeners.Get(t.Context(), s.lb, listener.ID).Extract())(t, "listener"); l.ProvisioningStatus != "ERROR" {
		t.Errorf("a listener with allowed_cidrs on two families is %s, want ERROR below an ACTIVE load balancer", l.ProvisioningStatus)
	}
	broken := s.mustCreate(t, loadbalancers.CreateOpts{Name: "dual-full", VipSubnetID: s.SubnetV4, AdditionalVips: two, Listeners: []listeners.CreateOpts{
		{Protocol: "TCP", ProtocolPort: 80, AllowedCIDRs: []string{"192.0.2.0/24"}}}})
	s.settled(t, broken.ID, "ERROR")
	name := "x"
	_, err := loadbalancers.Update(t.Context(), s.lb, broken.ID, loadbalancers.UpdateOpts{Name: &name}).Extract()
	refused(t, "update in ERROR", err, http.StatusConflict, "Invalid state ERROR of loadbalancer resource "+broken.ID)
}

// ovn is the provider without machines, and what it does not do.
func (s *suite) ovn(t *testing.T) {
	if !s.OVN {
		t.Skip("the target has no provider ovn")
	}
	lb := s.mustCreate(t, loadbalancers.CreateOpts{Name: "ovn", Provider: "ovn", Tags: []string{s.mark}})
	if lb.Provider != "ovn" || lb.ProvisioningStatus != "PENDING_CREATE" {
		t.Errorf("got %+v", lb)
	}
	port := must(ports.Get(t.Context(), s.network, lb.VipPortID).Extract())(t, "VIP port")
	if port.Name != "ovn-lb-vip-"+lb.ID || port.DeviceOwner != "" || port.DeviceID != "" || port.ProjectID != s.project {
		t.Errorf("VIP port %+v", port)
	}
	if got := s.settled(t, lb.ID, "ACTIVE"); got.OperatingStatus != "ONLINE" {
		t.Errorf("operating status %s", got.OperatingStatus)
	}
	listener := must(listeners.Create(t.Context(), s.lb, listeners.CreateOpts{LoadbalancerID: lb.ID, Protocol: "TCP", ProtocolPort: 80}).Extract())(t, "create a listener")
	s.settled(t, lb.ID, "ACTIVE")
	for what, c := range map[string]struct {
		path string
		body map[string]any
	}{
		"HTTP": {"listeners", map[string]any{"listener": map[string]any{"loadbalancer_id": lb.ID, "protocol": "HTTP", "protocol_port": 8080}}},
		"allowed_cidrs": {"listeners", map[string]any{"listener": map[string]any{
			"loadbalancer_id": lb.ID, "protocol": "TCP", "protocol_port": 99, "allowed_cidrs": []string{"192.0.2.0/24"}}}},
		"ROUND_ROBIN": {"pools", map[string]any{"pool": map[string]any{"loadbalancer_id": lb.ID, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}},
		"PROXY":       {"pools", map[string]any{"pool": map[string]any{"loadbalancer_id": lb.ID, "protocol": "PROXY", "lb_algorithm": "SOURCE_IP_PORT"}}},
	} {
		if status, answer := raw(t, s.lb, http.MethodPost, s.lb.ServiceURL("lbaas", c.path), c.body); status != http.StatusNotImplemented {
			t.Errorf("%s: %d %v", what, status, answer)
		}
		s.settled(t, lb.ID, "ACTIVE")
	}
	pool := must(pools.Create(t.Context(), s.lb, pools.CreateOpts{ListenerID: listener.ID, Protocol: "TCP", LBMethod: "SOURCE_IP_PORT"}).Extract())(t, "create a pool")
	s.settled(t, lb.ID, "ACTIVE")
	if status := s.batch(t, pool.ID, "", at("10.250.0.1", "subnet_id", s.SubnetV4), at("10.250.0.2", "subnet_id", s.SubnetV4)); status != http.StatusAccepted {
		t.Errorf("batch of members: %d", status)
	}
	s.settled(t, lb.ID, "ACTIVE")
	if members := s.members(t, pool.ID); len(members) != 2 || members["10.250.0.1"].OperatingStatus != "NO_MONITOR" {
		t.Errorf("members %+v", members)
	}
	s.ovnForgets(t, lb.ID, listener.ID, pool.ID)
	dual := s.mustCreate(t, loadbalancers.CreateOpts{Name: "ovn-dual", Provider: "ovn", AdditionalVips: []loadbalancers.AdditionalVip{{SubnetID: s.SubnetV6}}})
	got := s.settled(t, dual.ID, "ACTIVE")
	if len(got.AdditionalVips) != 1 || got.AdditionalVips[0].IPAddress != "" {
		t.Errorf("additional VIPs are accepted and nothing: %+v", got.AdditionalVips)
	}
	if s.Admin != nil {
		admin := s.enter(t, *s.Admin)
		refused(t, "failover", loadbalancers.Failover(t.Context(), admin.lb, lb.ID).ExtractErr(), http.StatusNotImplemented)
		s.settled(t, lb.ID, "ACTIVE")
	}
}

// ovnForgets is what the driver of that age does not report about.
func (s *suite) ovnForgets(t *testing.T, lbID, listenerID, poolID string) {
	name := "named"
	must(pools.Update(t.Context(), s.lb, poolID, pools.UpdateOpts{Name: &name}).Extract())(t, "update the pool")
	s.settled(t, lbID, "ACTIVE")
	if l := must(listeners.Get(t.Context(), s.lb, listenerID).Extract())(t, "listener"); l.ProvisioningStatus != "PENDING_UPDATE" {
		t.Errorf("after an update of its pool a listener is %s, want it left PENDING_UPDATE", l.ProvisioningStatus)
	}
	must(listeners.Update(t.Context(), s.lb, listenerID, listeners.UpdateOpts{Name: &name}).Extract())(t, "update the listener")
	s.settled(t, lbID, "ACTIVE")
	if l := must(listeners.Get(t.Context(), s.lb, listenerID).Extract())(t, "listener"); l.ProvisioningStatus != "ACTIVE" {
		t.Errorf("after an update of its own a listener is %s", l.ProvisioningStatus)
	}
	full := s.mustCreate(t, loadbalancers.CreateOpts{Name: "ovn-full", Provider: "ovn", Listeners: []listeners.CreateOpts{
		{Protocol: "TCP", ProtocolPort: 80, DefaultPool: &pools.CreateOpts{
			Name: "p", Protocol: "TCP", LBMethod: "SOURCE_IP_PORT", Monitor: monitor("TCP"),
			Members: []pools.CreateMemberOpts{{Address: "10.250.0.1", ProtocolPort: 1, SubnetID: s.SubnetV4}}}}}})
	s.settled(t, full.ID, "ACTIVE")
	s.wait(t, "children of a fully populated load balancer of ovn", func() (bool, string) {
		tree := must(loadbalancers.GetStatuses(t.Context(), s.lb, full.ID).Extract())(t, "tree").Loadbalancer
		l := tree.Listeners[0]
		p := l.Pools[0]
		state := l.ProvisioningStatus + " " + p.ProvisioningStatus + " " + p.Members[0].ProvisioningStatus
		return state == "ACTIVE ACTIVE ACTIVE", state
	})
	page := must(pools.List(s.lb, pools.ListOpts{LoadbalancerID: full.ID}).AllPages(t.Context()))(t, "list")
	pool := must(pools.ExtractPools(page))(t, "pools")[0]
	if m := must(monitors.Get(t.Context(), s.lb, pool.MonitorID).Extract())(t, "monitor"); m.ProvisioningStatus != "PENDING_CREATE" {
		t.Errorf("the monitor of a fully populated load balancer is %s, want it forgotten", m.ProvisioningStatus)
	}
}

// strangers are users who may not.
func (s *suite) strangers(t *testing.T) {
	if s.Other == nil || s.NoRoles == nil {
		t.Skip("the target names no other users")
	}
	lb := s.mustCreate(t, loadbalancers.CreateOpts{Name: "guarded"})
	other, noRoles := s.enter(t, *s.Other), s.enter(t, *s.NoRoles)
	refused(t, "get from another project", loadbalancers.Get(t.Context(), other.lb, lb.ID).Err, http.StatusForbidden)
	refused(t, "delete from another project", loadbalancers.Delete(t.Context(), other.lb, lb.ID, nil).ExtractErr(), http.StatusForbidden)
	page := must(loadbalancers.List(other.lb, loadbalancers.ListOpts{Name: s.name("guarded")}).AllPages(t.Context()))(t, "list from another project")
	if found := must(loadbalancers.ExtractLoadBalancers(page))(t, "load balancers"); len(found) != 0 {
		t.Errorf("another project sees %v", found)
	}
	refused(t, "the VIP port from another project", ports.Get(t.Context(), other.network, lb.VipPortID).Err, http.StatusNotFound)
	_, err := loadbalancers.List(noRoles.lb, loadbalancers.ListOpts{}).AllPages(t.Context())
	refused(t, "list without a role", err, http.StatusForbidden, "Policy does not allow this request to be performed.")
	s.settled(t, lb.ID, "ACTIVE")
	refused(t, "failover by a member", loadbalancers.Failover(t.Context(), s.lb, lb.ID).ExtractErr(), http.StatusForbidden)
}

func (s *suite) octaviaQuotas(t *testing.T) {
	quota := must(quotas.Get(t.Context(), s.lb, s.project).Extract())(t, "quota")
	if s.Admin == nil {
		t.Skip("the target names no administrator, so nothing can be exceeded")
	}
	admin := s.enter(t, *s.Admin)
	for what, opts := range map[string]quotas.UpdateOpts{
		"Load Balancer": {Loadbalancer: new(int)}, "Pool": {Pool: new(int)}, "Listener": {Listener: new(int)}, "Member": {Member: new(int)},
	} {
		must(quotas.Update(t.Context(), admin.lb, s.project, opts).Extract())(t, "limit the project")
		_, err := s.create(t, loadbalancers.CreateOpts{Name: "refused", VipAddress: s.FreeV4, Listeners: []listeners.CreateOpts{{Protocol: "TCP", ProtocolPort: 1, DefaultPool: &pools.CreateOpts{
			Name: "p", Protocol: "TCP", LBMethod: "ROUND_ROBIN", Members: []pools.CreateMemberOpts{{Address: "10.250.0.1", ProtocolPort: 1}}}}}})
		refused(t, "one too many: "+what, err, http.StatusForbidden, "Quota has been met for resources: "+what)
		s.left(t, what != "Load Balancer")
		back := quotas.UpdateOpts{Loadbalancer: &quota.Loadbalancer, Pool: &quota.Pool, Listener: &quota.Listener, Member: &quota.Member}
		must(quotas.Update(t.Context(), admin.lb, s.project, back).Extract())(t, "free the project")
	}
}

// injection puts a load balancer into states that are hard to come by.
func (s *suite) injection(t *testing.T) {
	if s.Inject == nil {
		t.Skip("the target cannot write statuses")
	}
	lb := s.mustCreate(t, loadbalancers.CreateOpts{Name: "injected", Listeners: []listeners.CreateOpts{{Protocol: "TCP", ProtocolPort: 80}}})
	built := s.settled(t, lb.ID, "ACTIVE")
	set := func(provisioning, operating string) {
		t.Helper()
		succeeded(t, "inject "+provisioning+operating, s.Inject(t.Context(), lb.ID, provisioning, operating))
	}
	listener := built.Listeners[0].ID
	name := "x"
	set("PENDING_UPDATE", "")
	_, err := loadbalancers.Update(t.Context(), s.lb, lb.ID, loadbalancers.UpdateOpts{Name: &name}).Extract()
	refused(t, "update while PENDING_UPDATE", err, http.StatusConflict, "Invalid state PENDING_UPDATE of loadbalancer resource "+lb.ID)
	_, err = listeners.Update(t.Context(), s.lb, listener, listeners.UpdateOpts{Name: &name}).Extract()
	refused(t, "update a listener while PENDING_UPDATE", err, http.StatusConflict, "Load Balancer "+lb.ID+" is immutable and cannot be updated.")
	refused(t, "delete while PENDING_UPDATE", loadbalancers.Delete(t.Context(), s.lb, lb.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr(), http.StatusConflict)
	set("ERROR", "ERROR")
	_, err = listeners.Update(t.Context(), s.lb, listener, listeners.UpdateOpts{Name: &name}).Extract()
	refused(t, "update a listener in ERROR", err, http.StatusConflict, "is immutable")
	set("ACTIVE", "DEGRADED")
	if got := s.settled(t, lb.ID, "ACTIVE"); got.OperatingStatus != "DEGRADED" {
		t.Errorf("operating status %s", got.OperatingStatus)
	}
	if s.Admin != nil {
		admin := s.enter(t, *s.Admin)
		set("ERROR", "")
		succeeded(t, "failover from ERROR", loadbalancers.Failover(t.Context(), admin.lb, lb.ID).ExtractErr())
		s.settled(t, lb.ID, "ACTIVE")
	}
	set("ERROR", "")
	succeeded(t, "delete in ERROR", loadbalancers.Delete(t.Context(), s.lb, lb.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr())
}
