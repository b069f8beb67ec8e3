package doctor

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// Facts are everything that a finding depends on. What could not be read has the
// reason in its place, since that is a finding too.
type Facts struct {
	// Source says where the configuration comes from: "Secret fairlead-system/openstack".
	Source string
	// Unread is why there is no configuration; nil where it was read.
	Unread   *lb.Refusal
	Config   *occm.Config
	Warnings []occm.Warning
	// Uses are the ways in which the configuration is used: the classes, and the sections
	// of cloud.conf.
	Uses []Use

	Cluster Cluster
	// SignIn is why there is no Cloud; nil where there is.
	SignIn error
	Cloud  *Cloud
}

// Use is a way of making load balancers that somebody may ask for.
type Use struct {
	// Where it is written: `LoadBalancerClass "public"`.
	Where   string
	Options lb.CloudOptions
	// Refusal is set where the options contradict themselves.
	Refusal *lb.Refusal
}

// All are the uses, and every Service as one.
func (f *Facts) All() []Use {
	out := slices.Clone(f.Uses)
	for i := range f.Cluster.Services {
		if s := &f.Cluster.Services[i]; s.LoadBalancer && !s.Deleting {
			out = append(out, Use{Where: "Service " + s.Key.String(), Options: s.Options})
		}
	}
	return out
}

// Cluster is what the Kubernetes cluster wants of the cloud.
type Cluster struct {
	// Unread is why the cluster was not looked at; nil where it was.
	Unread error
	UID    string
	Nodes  []lb.Node
	// Services of this cloud.
	Services []Service
	// Unplanned is why nobody knows what is left to do for the Services; nil where it was
	// found out.
	Unplanned error
}

// Service is one that the cloud serves or should serve.
type Service struct {
	lb.Service
	Options lb.CloudOptions
	// Built: it has a load balancer, whatever is left to do.
	Built bool
	// Refusal is why it gets nothing, or not what it asks for.
	Refusal *lb.Refusal
}

// Answer is what the cloud said, or why it said nothing.
type Answer[T any] struct {
	Value T
	Err   error
}

// Cloud is what was read of a project.
type Cloud struct {
	// Name of project and cloud.
	Name string
	// Network and LoadBalancer are the services' addresses.
	Network, LoadBalancer string
	// Roles of the user in the project; empty where the token does not tell.
	Roles []string

	Version    Answer[access.Version]
	Extensions Answer[map[string]bool]
	Providers  Answer[[]string]
	// Flavors and Zones of Octavia, and whether they are enabled. They are asked for
	// only where some option names one.
	Flavors, Zones Answer[map[string]bool]
	// Balancers is how many load balancers there are; the error tells whether the user
	// may look at any.
	Balancers Answer[int]
	// BalancerQuota is Octavia's, NetworkQuota Neutron's, by the names there.
	BalancerQuota, NetworkQuota Answer[map[string]Quota]

	External Answer[[]neutron.Network]
	// Networks that the options name and that are there, by id.
	Networks Answer[[]string]
	Subnets  Answer[[]neutron.Subnet]
	// Ports that the options name and that are there, by id.
	Ports     Answer[[]string]
	NodePorts Answer[map[string]neutron.Port] // by node
	Groups    Answer[[]Group]
	// Routers that the project sees. Their interfaces tell which subnets reach which
	// external network.
	Routers Answer[[]Router]
}

// Quota is how much of something a project may have.
type Quota struct {
	Limit int // -1 is no limit
	// Used is -1 where nobody tells.
	Used int
}

// Group is a security group of nodes' ports.
type Group struct {
	ID, Name string
	Rules    []Rule // ingress
}

// Rule lets traffic in.
type Rule struct {
	Family lb.Family
	// Protocol is empty for all of them.
	Protocol         string
	PortMin, PortMax uint16
	// Remote is invalid where it is not a prefix: the ports of a security group, which
	// those of load balancers are not in, or a group of addresses.
	Remote netip.Prefix
}

// covers tells whether everything that a wanted rule lets in is let in.
func (r Rule) covers(w neutron.Rule) bool {
	return r.Family == w.Family && (r.Protocol == "" || r.Protocol == w.Protocol) && r.PortMin <= w.PortMin && w.PortMax <= r.PortMax &&
		r.Remote.IsValid() && r.Remote.Bits() <= w.Remote.Bits() && r.Remote.Contains(w.Remote.Addr())
}

// Router joins subnets to an external network.
type Router struct {
	ID string
	// External network of its gateway; empty where it has none.
	External string
	Subnets  []string
}
