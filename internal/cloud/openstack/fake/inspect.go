package fake

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// LoadBalancer is one of Octavia with all its children, as a plain value to compare.
type LoadBalancer struct {
	ID, ProjectID, Name, Description     string
	Provider, FlavorID, AvailabilityZone string
	ProvisioningStatus, OperatingStatus  string
	AdminStateUp                         bool
	Tags                                 []string
	VIPAddress                           netip.Addr
	VIPSubnetID, VIPNetworkID, VIPPortID string
	AdditionalVIPs                       []VIP
	Listeners                            []Listener
	Pools                                []Pool
}

// VIP is an additional address of a load balancer.
type VIP struct {
	SubnetID string
	Address  netip.Addr
}

// Listener is one of a LoadBalancer, in the order of creation.
type Listener struct {
	ID, Name, Description               string
	ProvisioningStatus, OperatingStatus string
	AdminStateUp                        bool
	Tags                                []string
	Protocol                            string
	Port                                int
	ConnectionLimit                     int
	DefaultPoolID                       string
	AllowedCIDRs                        []string
	InsertHeaders                       map[string]string
	TimeoutClientData                   int // ms, as the others
	TimeoutMemberConnect                int
	TimeoutMemberData                   int
	TimeoutTCPInspect                   int
}

// Pool is one of a LoadBalancer, in the order of creation.
type Pool struct {
	ID, Name, Description               string
	ProvisioningStatus, OperatingStatus string
	AdminStateUp                        bool
	Tags                                []string
	Protocol, Algorithm                 string
	Persistence                         map[string]any // nil when there is none
	Members                             []Member
	Monitor                             *Monitor
}

// Member is one of a Pool, in the order of creation.
type Member struct {
	ID, Name                            string
	ProvisioningStatus, OperatingStatus string
	AdminStateUp                        bool
	Tags                                []string
	Address                             netip.Addr
	Port, Weight                        int
	Backup                              bool
	SubnetID                            string
	MonitorAddress                      string
	MonitorPort                         int
}

// Monitor is the health monitor of a Pool.
type Monitor struct {
	ID, Name                            string
	ProvisioningStatus, OperatingStatus string
	AdminStateUp                        bool
	Tags                                []string
	Type                                string
	Delay, Timeout                      int // seconds
	MaxRetries, MaxRetriesDown          int
	HTTPMethod, URLPath, ExpectedCodes  string
}

// FloatingIP is one of Neutron. Port and Fixed are empty when it is associated with
// nothing.
type FloatingIP struct {
	ID, ProjectID, Description string
	Tags                       []string
	NetworkID, SubnetID        string
	Address                    netip.Addr
	PortID                     string
	Fixed                      netip.Addr
	Status                     string
}

// SecurityGroup is one of Neutron, with its rules in the order of creation.
type SecurityGroup struct {
	ID, ProjectID, Name, Description string
	Tags                             []string
	Rules                            []Rule
}

// Rule is one of a SecurityGroup. Ports are 0 for all of them.
type Rule struct {
	ID, Description                string
	Direction, Ethertype, Protocol string
	PortMin, PortMax               int
	RemotePrefix, RemoteGroupID    string
}

// Port is one of Neutron. Those that hold a floating IP in the external network are
// not told.
type Port struct {
	ID, ProjectID, Name, Description string
	Tags                             []string
	NetworkID                        string
	DeviceID, DeviceOwner            string
	Addresses                        []netip.Addr
	SecurityGroups                   []string
	AdminStateUp                     bool
	Revision                         int
}

// LoadBalancers are all of them, of every project, in the order of creation.
func (c *Cloud) LoadBalancers() []LoadBalancer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(time.Now())
	var all []LoadBalancer
	for _, b := range c.balancers {
		all = append(all, b.value())
	}
	return all
}

// LoadBalancer is the one with the name, or the zero value.
func (c *Cloud) LoadBalancer(name string) LoadBalancer {
	for _, b := range c.LoadBalancers() {
		if b.Name == name {
			return b
		}
	}
	return LoadBalancer{}
}

func (b *loadBalancer) value() LoadBalancer {
	v := LoadBalancer{
		ID: b.id, ProjectID: b.project, Name: b.name, Description: b.description, Provider: b.provider, FlavorID: b.flavor, AvailabilityZone: b.zone,
		ProvisioningStatus: b.provisioning, OperatingStatus: b.operating, AdminStateUp: b.adminStateUp, Tags: slices.Clone(b.tags),
		VIPAddress: b.vip.addr, VIPSubnetID: b.vip.subnet.id, VIPNetworkID: b.vip.network.id, VIPPortID: b.vip.portID,
	}
	for _, more := range b.additional {
		v.AdditionalVIPs = append(v.AdditionalVIPs, VIP{more.subnet.id, more.addr})
	}
	for _, l := range b.listeners {
		w := Listener{
			ID: l.id, Name: l.name, Description: l.description, ProvisioningStatus: l.provisioning, OperatingStatus: l.operating,
			AdminStateUp: l.adminStateUp, Tags: slices.Clone(l.tags), Protocol: l.protocol, Port: l.port, ConnectionLimit: l.connectionLimit,
			AllowedCIDRs: slices.Clone(l.allowedCIDRs), InsertHeaders: maps.Clone(l.insertHeaders),
			TimeoutClientData: l.timeouts[0], TimeoutMemberConnect: l.timeouts[1], TimeoutMemberData: l.timeouts[2], TimeoutTCPInspect: l.timeouts[3],
		}
		if l.pool != nil {
			w.DefaultPoolID = l.pool.id
		}
		v.Listeners = append(v.Listeners, w)
	}
	for _, p := range b.pools {
		v.Pools = append(v.Pools, p.value())
	}
	return v
}

func (p *pool) value() Pool {
	v := Pool{
		ID: p.id, Name: p.name, Description: p.description, ProvisioningStatus: p.provisioning, OperatingStatus: p.operating,
		AdminStateUp: p.adminStateUp, Tags: slices.Clone(p.tags), Protocol: p.protocol, Algorithm: p.algorithm, Persistence: maps.Clone(p.persistence),
	}
	for _, m := range p.members {
		w := Member{
			ID: m.id, Name: m.name, ProvisioningStatus: m.provisioning, OperatingStatus: m.operating, AdminStateUp: m.adminStateUp,
			Tags: slices.Clone(m.tags), Address: m.address, Port: m.port, Weight: m.weight, Backup: m.backup, SubnetID: m.subnetID,
			MonitorAddress: m.monitorAddress,
		}
		if m.monitorPort != nil {
			w.MonitorPort = *m.monitorPort
		}
		v.Members = append(v.Members, w)
	}
	if m := p.monitor; m != nil {
		v.Monitor = &Monitor{
			ID: m.id, Name: m.name, ProvisioningStatus: m.provisioning, OperatingStatus: m.operating, AdminStateUp: m.adminStateUp,
			Tags: slices.Clone(m.tags), Type: m.kind, Delay: m.delay, Timeout: m.timeout, MaxRetries: m.rise, MaxRetriesDown: m.fall,
			HTTPMethod: m.method, URLPath: m.path, ExpectedCodes: m.codes,
		}
	}
	return v
}

// FloatingIPs are all of them, of every project, in the order of creation.
func (c *Cloud) FloatingIPs() []FloatingIP {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(time.Now())
	var all []FloatingIP
	for _, f := range c.floatingIPs {
		v := FloatingIP{
			ID: f.id, ProjectID: f.project, Description: f.description, Tags: slices.Clone(f.tags), NetworkID: f.network.id,
			SubnetID: f.subnet.id, Address: f.addr, Fixed: f.fixed, Status: f.status,
		}
		if f.port != nil {
			v.PortID = f.port.id
		}
		all = append(all, v)
	}
	return all
}

// SecurityGroups are all of them but the default ones, in the order of creation.
func (c *Cloud) SecurityGroups() []SecurityGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []SecurityGroup
	for _, g := range c.groups {
		if g.name == "default" {
			continue
		}
		v := SecurityGroup{ID: g.id, ProjectID: g.project, Name: g.name, Description: g.description, Tags: slices.Clone(g.tags)}
		for _, rule := range g.rules {
			v.Rules = append(v.Rules, rule.value())
		}
		all = append(all, v)
	}
	return all
}

func (rule *securityRule) value() Rule {
	v := Rule{
		ID: rule.id, Description: rule.description, Direction: rule.direction, Ethertype: rule.ethertype, Protocol: rule.protocol,
		RemotePrefix: rule.prefix, RemoteGroupID: rule.remoteGroup,
	}
	if rule.portMin != nil {
		v.PortMin = *rule.portMin
	}
	if rule.portMax != nil {
		v.PortMax = *rule.portMax
	}
	return v
}

// Ports are all that belong to a project, in the order of creation: those of nodes,
// and the VIPs.
func (c *Cloud) Ports() []Port {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(time.Now())
	var all []Port
	for _, p := range c.ports {
		if p.project == "" {
			continue
		}
		v := Port{
			ID: p.id, ProjectID: p.project, Name: p.name, Description: p.description, Tags: slices.Clone(p.tags), NetworkID: p.network.id,
			DeviceID: p.deviceID, DeviceOwner: p.deviceOwner, SecurityGroups: slices.Clone(p.groups), AdminStateUp: p.adminStateUp, Revision: p.revision,
		}
		for _, ip := range p.fixedIPs {
			v.Addresses = append(v.Addresses, ip.addr)
		}
		all = append(all, v)
	}
	return all
}
