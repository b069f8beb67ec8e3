package lb

import "net/netip"

// Node is a machine that may announce addresses, or take a cloud load balancer's
// connections.
type Node struct {
	Name   string
	Labels map[string]string
	// Alive is what the liveness of neighbours says; without it, what Kubernetes
	// says of the node.
	Alive bool
	// Parted is set while neighbours take the node for one whose speaker said goodbye: it
	// announces nothing, and forwards what it did.
	Parted bool
	// Excluded by the label node.kubernetes.io/exclude-from-external-load-balancers.
	Excluded bool
	// OutOfService is the taint node.kubernetes.io/out-of-service.
	OutOfService bool
	// NetworkUnavailable is the node condition of that name.
	NetworkUnavailable bool
	// Addresses of type InternalIP, in the node's order.
	Addresses []netip.Addr
	// ServerID is the id of the cloud server that the node runs on, from
	// spec.providerID; empty where the node is none.
	ServerID string
}

// Namespace is what a pool's namespace selector looks at.
type Namespace struct {
	Name   string
	Labels map[string]string
}
