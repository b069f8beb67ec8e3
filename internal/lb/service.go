package lb

import (
	"cmp"
	"net/netip"
	"time"
)

// Key names a Service.
type Key struct {
	Namespace string
	Name      string
}

func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Compare orders keys by namespace, then name.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Name, other.Name))
}

// Family is an IP address family.
type Family uint8

// The two families, in the order in which they are listed everywhere.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// FamilyOf tells the family of a valid address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Port is what a client connects to: two Services may share an address only
// while no Port is in both.
type Port struct {
	Protocol string // TCP, UDP or SCTP
	Number   uint16
}

// Service is a Kubernetes Service as far as balancing it depends on it.
type Service struct {
	Key
	UID     string
	Created time.Time

	// LoadBalancer is false for a Service that changed its type while it still
	// carries our traces.
	LoadBalancer bool
	Deleting     bool
	// Class is spec.loadBalancerClass, empty where none is named.
	Class  string
	Labels map[string]string

	// Families are those of spec.clusterIPs, the primary first. Empty for a
	// headless Service.
	Families []Family
	// AllFamilies is set by RequireDualStack: one family alone is a refusal.
	AllFamilies bool
	Ports       []Port
	// NodePorts by Ports; 0 where the Service has none (allocateLoadBalancerNodePorts).
	NodePorts []uint16
	// HealthCheckNodePort answers on every node whether it serves; 0 unless Local.
	HealthCheckNodePort uint16
	// SourceRanges are spec.loadBalancerSourceRanges; empty lets everybody in.
	SourceRanges []netip.Prefix
	// Affinity is how long a client stays at one endpoint (sessionAffinity
	// ClientIP); 0 is none.
	Affinity time.Duration
	// Local is externalTrafficPolicy: Local.
	Local bool
	// Selector is the canonical text of spec.selector: two Services that Local
	// traffic makes depend on their pods share only when these are equal.
	Selector string

	Request Request
	// Annotations of load balancing: ours and OCCM's. The others are left out.
	Annotations map[string]string
	// Held are the addresses in status.loadBalancer, in their order there: the
	// cluster is the memory.
	Held []netip.Addr
	// Hostname in status.loadBalancer, where it is a name that is shown.
	Hostname string
	// Proxy tells that Held are shown with ipMode Proxy.
	Proxy bool
	// Marked tells that our condition is on the Service, or on its way off.
	Marked bool
	// Finalized tells that the clean-up finalizer was seen on the Service: only then
	// may a cloud object be made for it.
	Finalized bool
	// CloudClass is our note on the Service of the class by which a cloud makes, or
	// made, a load balancer for it. It is there from before the first cloud object to
	// after the last; empty where no cloud serves the Service.
	CloudClass string
}

// Request is what annotations and spec.loadBalancerIP ask for.
type Request struct {
	Addresses  []netip.Addr
	Pool       string
	SharingKey string
	// Problem is set where the request cannot be understood. What the Service
	// holds stays, and it is told.
	Problem *Refusal
}

// Endpoints tells where a Service can be served. Serving counts, also while
// terminating (KEP-1669).
type Endpoints struct {
	Service Key
	// Nodes with at least one serving endpoint, sorted.
	Nodes []string
}
