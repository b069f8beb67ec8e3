package lb

import (
	"net"
	"net/netip"
	"time"
)

// Node is a machine that may announce addresses, or take a cloud load balancer's
// connections.
type Node struct {
	Name   string
	Labels map[string]string
	// Alive is what the liveness of neighbours says; without it, what Kubernetes
	// says of the node.
	Alive bool
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

// Speaker is what a node's speaker last said of itself.
type Speaker struct {
	Node string
	// Leaving is set while the speaker hands over before it stops.
	Leaving    bool
	Interfaces []Interface
	Claims     []Claim
}

// Interface is one that a speaker announces on.
type Interface struct {
	Name string
	MAC  net.HardwareAddr
}

// Claim is an address that a speaker owns, and how far it has come with it.
type Claim struct {
	Address netip.Addr
	State   ClaimState
	Since   time.Time
	// Interfaces it is announced on, sorted.
	Interfaces []string
	// Detail tells of a Conflict who answers, and where.
	Detail string
}

// ClaimState is how far a speaker has come with an address.
type ClaimState string

// The states of a claim, in the order in which they follow each other.
const (
	// Probing asks the segment whether somebody else holds the address.
	Probing ClaimState = "Probing"
	// Announced answers for the address.
	Announced ClaimState = "Announced"
	// Conflict has found another host with the address and stays silent.
	Conflict ClaimState = "Conflict"
	// NoInterface has none to announce on.
	NoInterface ClaimState = "NoInterface"
)
