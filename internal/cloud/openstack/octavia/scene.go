package octavia

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// Cluster says whose load balancers these are.
type Cluster struct {
	// UID of the Namespace kube-system: no other cluster has it.
	UID string
	// Name that OCCM knows the cluster by (--cluster-name). It is in names and
	// descriptions, and need not be unique.
	Name string
}

// Request is a Service that this cloud should serve, or let go of.
type Request struct {
	Service lb.Service
	Options lb.CloudOptions
	// Problem is set where the options cannot be read: what exists stays as it is.
	Problem *lb.Refusal
	// Wanted is false when all that is there for the Service should go.
	Wanted bool
}

// Input is what the cluster wants of the cloud.
type Input struct {
	Cluster  Cluster
	Requests []Request // by Service
	Nodes    []lb.Node
	// Endpoints serve the choice of members where a provider cannot ask
	// healthCheckNodePort itself.
	Endpoints []lb.Endpoints
	// Living are the UIDs of all Services of the cluster, sorted, whoever serves them.
	// What was made for any other is cleared away. nil is unknown: nothing is.
	Living []string
}

// Scene is what is known of the cloud.
type Scene struct {
	Features      Features
	LoadBalancers []LoadBalancer // by id
	FloatingIPs   []neutron.FloatingIP
	Networks      []neutron.Network // external ones
	Subnets       []neutron.Subnet
	// Ports of the nodes, by node name.
	Ports map[string]neutron.Port
	// Groups are the security groups of this cluster.
	Groups []neutron.Group
}

// Features are what this cloud's Octavia can do.
type Features struct {
	// Minor is N of its API version v2.N.
	Minor int
}

// The API versions that matter (octavia/api/root_controller.py).
const (
	minorTags           = 5
	minorAllowedCIDRs   = 12
	minorUDPMonitors    = 16 // HTTP and TCP monitors of UDP pools
	minorProxyV2        = 22
	minorSCTP           = 23
	minorAdditionalVIPs = 26
)

const ovn = "ovn"

// ability is what a provider can do; Octavia's API does not tell, so the ones that
// differ from the amphora are known by name.
type ability struct {
	// keepsClient: packets arrive at the nodes with the client's address.
	keepsClient bool
	// layer7, timeouts, allowed, monitorPort, additional, failover: see provider
	// documentation of OVN ("Limitations of the OVN Provider Driver").
	layer7, timeouts, allowed, monitorPort, additional, failover bool
	// memberSubnets: members are looked for in their own subnet only.
	memberSubnets bool
}

func abilityOf(provider string) ability {
	if provider == ovn {
		return ability{keepsClient: true, memberSubnets: true}
	}
	return ability{layer7: true, timeouts: true, allowed: true, monitorPort: true, additional: true, failover: true}
}

// view is a Scene that is looked at for an Input, with what is looked up often.
type view struct {
	*Scene
	in     *Input
	byID   map[string]*LoadBalancer
	byTag  map[string][]*LoadBalancer
	byName map[string][]*LoadBalancer
	// Indices of FloatingIPs by what they are looked for.
	byPort        map[string][]int
	byDescription map[string][]int
	byAddress     map[netip.Addr]int
	// Of every frontend: what all Services see alike.
	nodeSubnets map[lb.Family]place
}

type place struct{ subnet, network string }

func newView(in *Input, s *Scene) *view {
	v := &view{
		Scene: s, in: in,
		byID:   make(map[string]*LoadBalancer, len(s.LoadBalancers)),
		byTag:  make(map[string][]*LoadBalancer, len(s.LoadBalancers)),
		byName: make(map[string][]*LoadBalancer, len(s.LoadBalancers)),
		byPort: make(map[string][]int, len(s.FloatingIPs)), byDescription: make(map[string][]int, len(s.FloatingIPs)),
		byAddress: make(map[netip.Addr]int, len(s.FloatingIPs)), nodeSubnets: make(map[lb.Family]place),
	}
	for i := range s.LoadBalancers {
		l := &s.LoadBalancers[i]
		if l.Status == Deleted {
			continue
		}
		if l.Status != PendingDelete {
			v.byID[l.ID] = l
			v.byName[l.Name] = append(v.byName[l.Name], l)
		}
		for _, t := range l.Tags {
			v.byTag[t] = append(v.byTag[t], l)
		}
	}
	for i := range s.FloatingIPs {
		f := &s.FloatingIPs[i]
		if f.PortID != "" {
			v.byPort[f.PortID] = append(v.byPort[f.PortID], i)
		}
		v.byDescription[f.Description] = append(v.byDescription[f.Description], i)
		v.byAddress[f.Address] = i
	}
	for _, family := range []lb.Family{lb.IPv4, lb.IPv6} {
		subnet, network := s.nodeSubnet(in.Nodes, family)
		v.nodeSubnets[family] = place{subnet, network}
	}
	return v
}

// leadsTo tells whether a floating IP of that address leads to a port.
func (v *view) leadsTo(a netip.Addr, port string) bool {
	return port != "" && slices.ContainsFunc(v.byPort[port], func(i int) bool { return v.FloatingIPs[i].Address == a })
}

func (s *Scene) subnet(id string) (neutron.Subnet, bool) {
	i := slices.IndexFunc(s.Subnets, func(n neutron.Subnet) bool { return n.ID == id })
	if i < 0 {
		return neutron.Subnet{}, false
	}
	return s.Subnets[i], true
}

func (s *Scene) loadBalancer(id string) *LoadBalancer {
	for i := range s.LoadBalancers {
		if s.LoadBalancers[i].ID == id {
			return &s.LoadBalancers[i]
		}
	}
	return nil
}

// subnetIn finds a subnet of a family in a network.
func (s *Scene) subnetIn(network string, family lb.Family) string {
	for _, n := range s.Subnets {
		if n.NetworkID == network && lb.FamilyOf(n.CIDR.Addr()) == family {
			return n.ID
		}
	}
	return ""
}

// nodeSubnet is the subnet and network of the first node's address of a family.
func (s *Scene) nodeSubnet(nodes []lb.Node, family lb.Family) (subnet, network string) {
	for _, n := range nodes {
		for _, a := range n.Addresses {
			if subnet := s.subnetOf(n.Name, a); subnet != "" && lb.FamilyOf(a) == family {
				return subnet, s.Ports[n.Name].NetworkID
			}
		}
	}
	return "", ""
}

func (s *Scene) subnetOf(node string, addr netip.Addr) string {
	for _, ip := range s.Ports[node].FixedIPs {
		if ip.Address == addr {
			return ip.SubnetID
		}
	}
	return ""
}
