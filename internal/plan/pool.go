package plan

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// pool is a pool of the world with what this plan has given out of it.
type pool struct {
	*lb.Pool
	ranges   []lb.Range // in force
	refusal  *lb.Refusal
	reserved map[netip.Addr]lb.Key
	quota    map[string]int // addresses held, by namespace
	// next is the lowest address of each range that may still be free.
	next []netip.Addr
}

// openPools makes the pools ready for allocation, in the order in which it tries
// them: those made for somebody before those for all, then by priority.
func (a *allocation) openPools(s settlement) {
	a.byName = make(map[string]*pool, len(a.world.Pools))
	a.reserved = make(map[lb.Key][]lb.Reservation)
	for i := range a.world.Pools {
		p := &pool{Pool: &a.world.Pools[i], quota: make(map[string]int), reserved: make(map[netip.Addr]lb.Key)}
		p.ranges = s.inForce[p.Name]
		for _, r := range p.ranges {
			p.next = append(p.next, r.First)
		}
		for _, r := range p.Reservations {
			p.reserved[r.Address] = r.Service
		}
		p.refusal = s.refusal[p.Name]
		a.pools = append(a.pools, p)
		a.byName[p.Name] = p
	}
	slices.SortStableFunc(a.pools, func(x, y *pool) int {
		return cmp.Or(boolOrder(x.Restricted(), y.Restricted()), cmp.Compare(rank(x), rank(y)), cmp.Compare(x.Name, y.Name))
	})
	for _, p := range a.pools {
		for _, r := range p.Reservations {
			a.reserved[r.Service] = append(a.reserved[r.Service], r)
		}
	}
	a.index = indexRanges(a.pools)
}

func boolOrder(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

// rank is the order of a priority; 0 is last.
func rank(p *pool) int {
	if p.Priority == 0 {
		return math.MaxInt
	}
	return p.Priority
}

// ownedRange is a range in force and the pool that has it.
type ownedRange struct {
	lb.Range
	pool *pool
}

// indexRanges lists all ranges by first address: pools do not overlap, so the
// pool of an address is found by bisection.
func indexRanges(pools []*pool) []ownedRange {
	var out []ownedRange
	for _, p := range pools {
		for _, r := range p.ranges {
			out = append(out, ownedRange{r, p})
		}
	}
	slices.SortFunc(out, func(x, y ownedRange) int { return x.First.Compare(y.First) })
	return out
}

// poolOf is the pool that has addr in force, or nil.
func (a *allocation) poolOf(addr netip.Addr) *pool {
	i, found := slices.BinarySearchFunc(a.index, addr, func(r ownedRange, x netip.Addr) int { return r.First.Compare(x) })
	if !found {
		i--
	}
	if i < 0 || !a.index[i].Contains(addr) {
		return nil
	}
	return a.index[i].pool
}

// usable tells whether addr may be given to s, which did not ask for it, as far as
// the pool alone decides.
func (p *pool) usable(addr netip.Addr, s *lb.Service) bool {
	if p.leavesOut(addr) {
		return false
	}
	owner, reserved := p.reserved[addr]
	return !reserved || owner == s.Key
}

// leavesOut tells whether the pool gives addr only to who asks for it.
func (p *pool) leavesOut(addr netip.Addr) bool {
	return anycast(addr) || (p.AvoidBuggyIPs && buggy(addr))
}

// anycast is the subnet-router anycast address of a /64 (RFC 4291 section 2.6.1):
// every router on the segment may answer for it, and nodes are routers.
func anycast(addr netip.Addr) bool {
	if addr.Is4() {
		return false
	}
	b := addr.As16()
	return binary.BigEndian.Uint64(b[8:]) == 0
}

// buggy addresses end in .0 or .255.
func buggy(addr netip.Addr) bool {
	if !addr.Is4() {
		return false
	}
	last := addr.As4()[3]
	return last == 0 || last == 255
}

// lowest is the first address of the family that s can have, free or shared.
func (p *pool) lowest(f lb.Family, s *lb.Service, l *ledger) (netip.Addr, bool) {
	var best netip.Addr
	if key := s.Request.SharingKey; key != "" {
		for _, addr := range l.shared[key] {
			fits := lb.FamilyOf(addr) == f && lb.Contains(p.ranges, addr) && p.usable(addr, s) && l.blocker(addr, s) == nil
			if fits && (!best.IsValid() || addr.Less(best)) {
				best = addr
			}
		}
	}
	for i, r := range p.ranges {
		if r.Family() != f {
			continue
		}
		addr, ok := p.firstFree(i, l)
		if ok && (!best.IsValid() || addr.Less(best)) {
			return addr, true
		}
		if ok {
			break
		}
	}
	return best, best.IsValid()
}

// firstFree walks range i from the lowest address that may be free. What it passes
// over is free for nobody: an address reserved for a Service reaches it another way.
func (p *pool) firstFree(i int, l *ledger) (netip.Addr, bool) {
	r := p.ranges[i]
	for addr := p.next[i]; addr.IsValid() && r.Contains(addr); addr = addr.Next() {
		_, reserved := p.reserved[addr]
		if len(l.holders[addr]) == 0 && !reserved && !p.leavesOut(addr) {
			return addr, true
		}
		p.next[i] = addr.Next()
	}
	return netip.Addr{}, false
}

func (p *pool) granted(namespace string) { p.quota[namespace]++ }

// revoked counts an address back and lets allocation find it again.
func (p *pool) revoked(namespace string, addr netip.Addr) {
	p.quota[namespace]--
	for i, r := range p.ranges {
		if r.Contains(addr) && (!p.next[i].IsValid() || addr.Less(p.next[i])) {
			p.next[i] = addr
		}
	}
}

// has tells whether the pool has ranges of the family in force.
func (p *pool) has(f lb.Family) bool {
	return slices.ContainsFunc(p.ranges, func(r lb.Range) bool { return r.Family() == f })
}

// closedTo says why the pool does not serve the Service, empty if it does. A
// namespace is served when it is named or selected; a service selector must match
// besides.
func (p *pool) closedTo(s *lb.Service, namespaces map[string]map[string]string) string {
	if len(p.Namespaces) > 0 || p.NamespaceSelector != nil {
		named := slices.Contains(p.Namespaces, s.Namespace)
		selected := p.NamespaceSelector != nil && p.NamespaceSelector.Matches(namespaces[s.Namespace])
		if !named && !selected {
			return fmt.Sprintf("it is not open to namespace %q", s.Namespace)
		}
	}
	if !p.ServiceSelector.Matches(s.Labels) {
		return "its serviceSelector does not match the Service's labels"
	}
	return ""
}

// overQuota tells whether the namespace holds all that the pool grants to one.
func (p *pool) overQuota(namespace string) bool {
	return p.QuotaPerNamespace > 0 && p.quota[namespace] >= p.QuotaPerNamespace
}

// poolStates reports every pool, by name.
func (a *allocation) poolStates() []lb.PoolState {
	inUse := make(map[*pool]map[lb.Family]int64, len(a.pools))
	for _, p := range a.pools {
		inUse[p] = make(map[lb.Family]int64, 2)
	}
	for addr := range a.ledger.holders {
		if p := a.poolOf(addr); p != nil {
			inUse[p][lb.FamilyOf(addr)]++
		}
	}
	leaving := a.leaving()
	states := make([]lb.PoolState, 0, len(a.pools))
	for _, p := range a.pools {
		state := lb.PoolState{Name: p.Name, InForce: p.ranges, Refusal: p.refusal}
		if leaving[p] {
			state.InForce = p.InForce
		}
		for _, f := range []lb.Family{lb.IPv4, lb.IPv6} {
			if !p.has(f) {
				continue
			}
			total := p.total(f)
			used := inUse[p][f]
			free := max(total-used-a.idleReservations(p, f), 0)
			state.Usage = append(state.Usage, lb.Usage{Family: f, Total: total, InUse: used, Free: free})
		}
		state.Releasable = p.Deleting && p.refusal == nil && !leaving[p]
		states = append(states, state)
	}
	slices.SortFunc(states, func(x, y lb.PoolState) int { return cmp.Compare(x.Name, y.Name) })
	return states
}

// idleReservations counts the addresses that wait for their Service.
func (a *allocation) idleReservations(p *pool, f lb.Family) int64 {
	var n int64
	for addr := range p.reserved {
		if lb.FamilyOf(addr) == f && len(a.ledger.holders[addr]) == 0 && lb.Contains(p.ranges, addr) {
			n++
		}
	}
	return n
}

// leaving are the pools that Services still hold addresses of which the pool gave
// up. Such a pool remembers its old ranges until the last one let go: after a
// crash in between they would look like addresses of a pool that vanished.
func (a *allocation) leaving() map[*pool]bool {
	out := make(map[*pool]bool)
	var shrunk []*pool
	for _, p := range a.pools {
		if !slices.Equal(p.InForce, p.ranges) && len(p.InForce) > 0 {
			shrunk = append(shrunk, p)
		}
	}
	if len(shrunk) == 0 {
		return out
	}
	for _, c := range a.claimants {
		for _, addr := range c.Held {
			for _, p := range shrunk {
				if lb.Contains(p.InForce, addr) && a.poolOf(addr) == nil {
					out[p] = true
				}
			}
		}
	}
	return out
}

// total counts the addresses of a family that the pool can give.
func (p *pool) total(f lb.Family) int64 {
	var n int64
	for _, r := range p.ranges {
		if r.Family() != f {
			continue
		}
		size := r.Size()
		switch {
		case f == lb.IPv6 && size < math.MaxInt64:
			size -= anycastIn(r)
		case f == lb.IPv4 && p.AvoidBuggyIPs:
			size -= buggyIn(r)
		}
		if n > math.MaxInt64-size {
			return math.MaxInt64
		}
		n += size
	}
	return n
}

// anycastIn counts the subnet-router anycast addresses of a range that is smaller
// than a /64: one at most.
func anycastIn(r lb.Range) int64 {
	first, last := r.First.As16(), r.Last.As16()
	crosses := binary.BigEndian.Uint64(first[:8]) != binary.BigEndian.Uint64(last[:8])
	if crosses || anycast(r.First) {
		return 1
	}
	return 0
}

// buggyIn counts the addresses of an IPv4 range that end in .0 or .255.
func buggyIn(r lb.Range) int64 {
	upTo := func(a netip.Addr) int64 { // in 0.0.0.0..a
		b := a.As4()
		v := int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
		return v/256 + 1 + (v+1)/256
	}
	n := upTo(r.Last) - upTo(r.First)
	if buggy(r.First) {
		n++
	}
	return n
}

// names lists pools for a message.
func names(pools []*pool) string {
	out := make([]string, len(pools))
	for i, p := range pools {
		out[i] = fmt.Sprintf("%q", p.Name)
	}
	return strings.Join(out, ", ")
}

func addressList(addrs []netip.Addr) string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return strings.Join(out, ", ")
}
