package lb

import (
	"cmp"
	"time"
)

// Pod names one pod; a pod that is made anew under the same name has another UID.
type Pod struct {
	Namespace string
	Name      string
	UID       string
}

func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// Compare orders pods by namespace, name and UID.
func (p Pod) Compare(other Pod) int {
	return cmp.Or(cmp.Compare(p.Namespace, other.Namespace), cmp.Compare(p.Name, other.Name), cmp.Compare(p.UID, other.UID))
}

// Backend is an endpoint of a Service in one family.
type Backend struct {
	Service Key
	Family  Family
	// Pod behind it; the zero Pod where it is none, as with endpoints written by hand.
	Pod Pod
	// Node that the pod runs on; empty where it is none of the cluster.
	Node string
	// Ready backends get new connections. One that terminates is not ready, nor is one
	// whose pod is not, whatever spec.publishNotReadyAddresses makes of it.
	Ready bool
}

// Withdrawal is what is written on a pod that was taken out of service because its
// node is dead.
type Withdrawal struct {
	Pod  Pod
	Node string
	// Boot is the process of the node's speaker that died (Hearing.Boot): the same one
	// heard again means that the machine, and what ran on it, was never down.
	Boot string
	// Account says who calls the node dead.
	Account string
}

// Obituary is what the speakers say of a node that one of them calls dead.
type Obituary struct {
	Node string
	// Boot of its speaker, as it last said itself.
	Boot string
	// Since is when the first of them lost it, by that one's clock.
	Since time.Time
	// Say speakers of Of call it dead.
	Say, Of int
	// Doubt is nil where they agree.
	Doubt *Refusal
}
