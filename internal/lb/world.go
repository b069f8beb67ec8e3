package lb

import (
	"net/netip"
)

// World is everything that a decision may depend on. Slices are sorted by name;
// the same World always leads to the same decisions.
type World struct {
	Services   []Service
	Pools      []Pool
	Classes    []Class
	Namespaces []Namespace
	Nodes      []Node
	Endpoints  []Endpoints
	Speakers   []Speaker
	// Built is what the clouds' drivers say of the Services that they serve. A Service
	// that is not in it was not looked at yet.
	Built []Built
}

// Desired is what should exist. Every Service of ours is in Balancers or in
// Refusals, and in one of them only. The exception is a Service of a cloud that
// carries our finalizer and that its driver has not looked at yet: it is in none, and
// stays as it is.
type Desired struct {
	Balancers []Balancer // by Service
	Refusals  []Refusal  // by Service
	// Released are Services that carry our finalizer or status and should not.
	Released []Key
	Pools    []PoolState
	Classes  []ClassState
}

// Balancer is a Service with its addresses.
type Balancer struct {
	Service  Key
	Class    string
	Provider Provider
	// Grants in the order of the Service's families.
	Grants []Grant
	// Built is what a cloud made; nil for addresses of pools.
	Built *Built
	// Shortfall is set where the Service got less than it asked for.
	Shortfall *Refusal
}

// Grant is an address and the pool that it comes from; Pool is empty while a
// pool edit that would take the address away is held.
type Grant struct {
	Address netip.Addr
	Pool    string
}

// Addresses of the balancer, in the order of its Service's families.
func (b *Balancer) Addresses() []netip.Addr {
	if b.Built != nil {
		return b.Built.Addresses
	}
	out := make([]netip.Addr, len(b.Grants))
	for i, g := range b.Grants {
		out[i] = g.Address
	}
	return out
}

// PoolState is what a pool's status should say.
type PoolState struct {
	Name string
	// InForce are the ranges that allocation uses.
	InForce []Range
	Usage   []Usage // by family, only families that the pool has
	// Refusal is set where what the owner wrote is not in force.
	Refusal *Refusal
	// Releasable tells that a pool under deletion may go.
	Releasable bool
}

// Usage counts addresses of one family; math.MaxInt64 stands for more than that.
type Usage struct {
	Family             Family
	Total, InUse, Free int64
}

// ClassState is what a class's status should say.
type ClassState struct {
	Name    string
	Refusal *Refusal
}

// Announcement is an address that this node should answer for.
type Announcement struct {
	Address netip.Addr
	// Interfaces by name or shell pattern; empty is every usable one.
	Interfaces []string
	// Fresh is set where no speaker of ours answers for the address yet: it is
	// used only after nobody else was found to hold it.
	Fresh bool
	// HandingOver is set while another speaker takes the address over: this node answers
	// who asks, and says nothing unasked.
	HandingOver bool
}
