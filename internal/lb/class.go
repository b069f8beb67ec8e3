package lb

import "time"

// ClassPrefix precedes the class's name in a Service's spec.loadBalancerClass.
const ClassPrefix = "fairlead.dev/"

// ImplicitClass is the name of the class that serves when pools exist and no
// class object does.
const ImplicitClass = "implicit-l2"

// Provider is the kind of load balancer that a class gives.
type Provider string

// The providers of this version.
const (
	// ProviderL2 announces addresses by ARP and NDP from the nodes.
	ProviderL2 Provider = "L2"
	// ProviderOctavia makes an OpenStack load balancer for each Service.
	ProviderOctavia Provider = "Octavia"
)

// Cloud tells whether a cloud makes the addresses, rather than pools.
func (p Provider) Cloud() bool { return p == ProviderOctavia }

// Class is to load balancers what a StorageClass is to volumes.
type Class struct {
	Name     string
	Created  time.Time
	Default  bool
	Provider Provider
	// Problem is set where the class cannot be understood.
	Problem *Refusal
	// Pools that its Services get addresses from; empty is all pools.
	Pools []string
	L2    L2
	// Octavia is what a class of that provider sets; nil for other providers.
	Octavia *Octavia
}

// L2 restricts where a class's addresses are announced.
type L2 struct {
	// Interfaces by name or shell pattern; empty is every usable one.
	Interfaces []string
	// NodeSelector picks the nodes that may announce; nil is every node.
	NodeSelector *Selector
}
