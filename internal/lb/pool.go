package lb

import (
	"net/netip"
	"slices"
	"time"
)

// Pool is a set of addresses that Services may get.
type Pool struct {
	Name    string
	Created time.Time
	// Generation counts the edits of the pool's spec.
	Generation int64

	// Ranges are those that its owner wrote, in their order. Problem is set, and
	// Ranges empty, where they cannot be understood.
	Ranges  []Range
	Problem *Refusal
	// InForce are the ranges that were last accepted, read back from the pool's
	// status; nil for a pool that was never accepted.
	InForce []Range

	AutoAssign bool
	// AvoidBuggyIPs leaves out .0 and .255, which some old routers drop.
	AvoidBuggyIPs bool
	// Priority orders pools for automatic allocation: 1 before 2, 0 last.
	Priority int

	// Namespaces and NamespaceSelector restrict who is served: a namespace that
	// either names. ServiceSelector restricts it further.
	Namespaces        []string
	NamespaceSelector *Selector
	ServiceSelector   *Selector
	// QuotaPerNamespace bounds the addresses of this pool that one namespace may
	// hold; 0 is no bound.
	QuotaPerNamespace int
	Reservations      []Reservation

	// Confirmed tells that the owner agreed to this generation, although it takes
	// addresses from Services.
	Confirmed bool
	Deleting  bool
}

// Reservation keeps an address for a Service, also while there is no such Service.
type Reservation struct {
	Service Key
	Address netip.Addr
}

// Restricted tells whether the pool serves only some Services.
func (p *Pool) Restricted() bool {
	return len(p.Namespaces) > 0 || p.NamespaceSelector != nil || p.ServiceSelector != nil
}

// Contains tells whether a lies in one of the ranges.
func Contains(ranges []Range, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r Range) bool { return r.Contains(a) })
}
