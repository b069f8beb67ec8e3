package plan

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// Ownership says which node answers for an address.
type Ownership struct {
	Address netip.Addr
	// Services that have the address, sorted; more than one where they share it.
	Services []lb.Key
	// Interfaces to announce it on, by name or pattern; empty is every usable one.
	Interfaces []string
	// Node that owns the address, empty where none can; Refusal then says why.
	Node    string
	Refusal *lb.Refusal
	// Cause is why Node gets the address, and From the node that announced it last; both
	// are empty where Node announces it already.
	Cause lb.Cause
	From  string
	// Fresh is set where no speaker of ours announces the address yet.
	Fresh bool
	// Predecessors are other nodes whose speakers say that they announce the
	// address, sorted: one that hands over, or one that died.
	Predecessors []string
}

// Owners decides for every address that a Service holds which node announces it.
// Every speaker computes this for itself and they agree, since they see the same
// world. Nothing moves back because a node returned:
//
//   - An address stays where it is claimed as long as that node may have it, or goes
//     where that node offers it.
//   - One that was announced by nodes that may not have it any more goes to the node with
//     the highest weight among those with room beside what they have.
//   - One that nobody announced yet goes where a spread of all addresses puts it,
//     whatever is claimed of others: many are created at once, and their claims come one
//     by one, of speakers that have not all seen the same Services.
//
// A takeover that is seen changes no answer, so those who have not seen it yet agree with
// those who have. It counts as load before it is its turn in the order of addresses, but a
// node that is given addresses has room for all of them, and one that is full before an
// address's turn is so for what it had and for what is before that in the order.
func Owners(w lb.World) []Ownership { return elect(w).owners }

// election is Owners with what led to it. Its lists are by address.
type election struct {
	*electorate
	claims map[netip.Addr][]speakerClaim
	owners []Ownership
	groups []*group
	places []int // of the owner in its group, -1 for none
}

func elect(w lb.World) *election {
	c := resolveClasses(w)
	addresses := announced(w, &c)
	voters := newElectorate(w)
	e := &election{
		electorate: voters, claims: voters.claimsByAddress(), owners: make([]Ownership, len(addresses)),
		groups: make([]*group, len(addresses)), places: make([]int, len(addresses)),
	}
	hashes := make([]uint64, len(addresses))
	var orphans []int
	for i := range addresses {
		v := &addresses[i]
		e.owners[i] = Ownership{Address: v.addr, Services: v.keys(), Interfaces: v.interfaces}
		hashes[i] = hashAddr(v.addr)
		g := e.group(v)
		e.groups[i], e.places[i] = g, -1
		g.addresses = append(g.addresses, i)
		if len(g.nodes) == 0 {
			e.owners[i].Refusal = e.whyNone(v)
			continue
		}
		switch at, orphaned := g.holder(e.claims[v.addr], hashes[i]); {
		case at >= 0:
			e.place(i, at)
		case orphaned:
			orphans = append(orphans, i)
		default:
			g.fresh = append(g.fresh, i)
		}
	}
	for _, g := range e.ordered {
		e.placeFresh(g, hashes)
	}
	for _, i := range orphans {
		g := e.groups[i]
		e.place(i, g.heaviest(hashes[i], g.load, room(len(g.addresses), len(g.nodes))))
	}
	for i := range e.owners {
		o := &e.owners[i]
		o.record(e.claims[o.Address], hashes[i], e.electorate)
	}
	return e
}

// place gives an address to a node of its group.
func (e *election) place(address, at int) {
	g := e.groups[address]
	e.places[address] = at
	e.owners[address].Node = g.nodes[at].Name
	g.load[at]++
}

// placeFresh gives the addresses that nobody announced yet to whom a spread of all
// addresses of the group gives them.
func (e *election) placeFresh(g *group, hashes []uint64) {
	if len(g.fresh) == 0 {
		return
	}
	places := g.spread(hashes)
	for _, i := range g.fresh {
		at, _ := slices.BinarySearch(g.addresses, i)
		e.place(i, places[at])
	}
}

// vip is an address with those who share it.
type vip struct {
	addr       netip.Addr
	services   []*lb.Service
	class      *lb.Class
	interfaces []string
}

func (v *vip) keys() []lb.Key {
	out := make([]lb.Key, len(v.services))
	for i, s := range v.services {
		out[i] = s.Key
	}
	return out
}

// local tells whether only nodes with a pod may own the address.
func (v *vip) local() bool {
	return slices.ContainsFunc(v.services, func(s *lb.Service) bool { return s.Local })
}

// announced lists the addresses that Services of ours hold, sorted.
func announced(w lb.World, c *classes) []vip {
	var out []vip
	at := make(map[netip.Addr]int, len(w.Services))
	for i := range w.Services {
		s := &w.Services[i]
		if !s.LoadBalancer || !s.Marked || s.CloudClass != "" {
			continue // a cloud's addresses are not on our segments
		}
		class, refusal := c.of(s)
		if class == nil && refusal == nil || class != nil && class.Provider.Cloud() {
			continue
		}
		if class == nil {
			// Its class vanished; what it holds goes on working everywhere.
			class = &lb.Class{Provider: lb.ProviderL2}
		}
		for _, addr := range s.Held {
			j, seen := at[addr]
			if !seen {
				j = len(out)
				at[addr] = j
				out = append(out, vip{addr: addr, class: class, interfaces: class.L2.Interfaces})
			}
			out[j].services = append(out[j].services, s)
		}
	}
	slices.SortFunc(out, func(x, y vip) int { return x.addr.Compare(y.addr) })
	return out
}
