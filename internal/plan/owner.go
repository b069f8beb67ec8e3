package plan

import (
	"cmp"
	"math"
	"net/netip"
	"path"
	"slices"
	"time"

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
	// Fresh is set where no speaker of ours announces the address yet.
	Fresh bool
	// Predecessors are other nodes whose speakers say that they announce the
	// address, sorted: one that hands over, or one that died.
	Predecessors []string
}

// Owners decides for every address that a Service holds which node announces it.
// Every speaker computes this for itself and they agree, since they see the same
// world: an address stays where it is announced as long as that node may have it,
// and goes where its share of rendezvous hashing puts it otherwise. Nothing moves
// back because a node returned.
func Owners(w lb.World) []Ownership {
	c := resolveClasses(w)
	addresses := announced(w, &c)
	e := newElectorate(w)
	claims := claimsByAddress(w.Speakers)
	var contested []int // addresses that no eligible node announces yet
	owners := make([]Ownership, len(addresses))
	for i, a := range addresses {
		eligible := e.eligible(&a)
		o := Ownership{Address: a.addr, Services: a.keys(), Interfaces: a.interfaces}
		o.Fresh = !slices.ContainsFunc(claims[a.addr], func(c speakerClaim) bool { return c.state == lb.Announced })
		switch holder := incumbent(claims[a.addr], eligible, hashAddr(a.addr)); {
		case len(eligible) == 0:
			o.Refusal = e.whyNone(&a)
		case holder != nil:
			o.Node = holder.Name
		default:
			contested = append(contested, i)
		}
		owners[i] = o
	}
	if len(contested) > 0 {
		ideal := spread(addresses, e)
		for _, i := range contested {
			owners[i].Node = ideal[i]
		}
	}
	for i := range owners {
		owners[i].Predecessors = predecessors(claims[owners[i].Address], owners[i].Node)
	}
	return owners
}

func predecessors(claims []speakerClaim, owner string) []string {
	var out []string
	for _, c := range claims {
		if c.state == lb.Announced && c.node != owner {
			out = append(out, c.node)
		}
	}
	slices.Sort(out)
	return out
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

// speakerClaim is one node's claim on an address.
type speakerClaim struct {
	node  string
	state lb.ClaimState
	since time.Time
}

func claimsByAddress(speakers []lb.Speaker) map[netip.Addr][]speakerClaim {
	out := make(map[netip.Addr][]speakerClaim)
	for _, s := range speakers {
		for _, c := range s.Claims {
			out[c.Address] = append(out[c.Address], speakerClaim{s.Node, c.State, c.Since})
		}
	}
	return out
}

// incumbent is the eligible node that has the address already. Where two claim
// it, as after a partition or a restart, the one that announces it goes before one
// that only probes, and who took it over before who had it: it moves no second time.
func incumbent(claims []speakerClaim, eligible []*candidate, addr uint64) *candidate {
	var best *candidate
	var by speakerClaim
	for _, claim := range claims {
		i, ok := slices.BinarySearchFunc(eligible, claim.node, func(c *candidate, name string) int { return cmp.Compare(c.Name, name) })
		if !ok {
			continue
		}
		c := eligible[i]
		order := cmp.Or(
			-boolOrder(claim.state == lb.Announced, by.state == lb.Announced),
			claim.since.Compare(by.since),
		)
		if best == nil || order > 0 || (order == 0 && c.weight(addr) > best.weight(addr)) {
			best, by = c, claim
		}
	}
	return best
}

// spread gives every address to the node with the highest weight that has room:
// rendezvous hashing with bounded loads. A node's room is a tenth above its even
// share, so that many addresses spread evenly and a node that joins or leaves
// moves few others.
func spread(addresses []vip, e *electorate) []string {
	owners := make([]string, len(addresses))
	for _, c := range e.speakers {
		c.load = 0
	}
	for i := range addresses {
		eligible := e.eligible(&addresses[i])
		if len(eligible) == 0 {
			continue
		}
		room := (len(addresses)*11 + 10*len(eligible) - 1) / (10 * len(eligible))
		owner := heaviest(eligible, hashAddr(addresses[i].addr), room)
		owner.load++
		owners[i] = owner.Name
	}
	return owners
}

// heaviest is the node with the highest weight among those with a load below
// room, or among all where none has room.
func heaviest(nodes []*candidate, addr uint64, room int) *candidate {
	var best *candidate
	var top uint64
	for _, c := range nodes {
		if c.load >= room {
			continue
		}
		if w := c.weight(addr); best == nil || w > top {
			best, top = c, w
		}
	}
	if best == nil {
		return heaviest(nodes, addr, math.MaxInt)
	}
	return best
}

// weight is how much an address is drawn to a node: the finalizer of SplitMix64
// over both hashes. Speakers of two versions must agree on it during an upgrade,
// so it never changes.
func (c *candidate) weight(addr uint64) uint64 {
	h := c.hash ^ addr
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

func hashAddr(addr netip.Addr) uint64 {
	b := addr.As16()
	return fnv1a(b[:])
}

// fnv1a is the 64-bit FNV-1a hash, written out because a hash.Hash allocates.
func fnv1a[T string | []byte](data T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(data) {
		h = (h ^ uint64(data[i])) * 1099511628211
	}
	return h
}

// electorate is who may own addresses at all, and where Services can be served.
type electorate struct {
	speakers  []*candidate // by node
	endpoints map[lb.Key]*lb.Endpoints
	cached    map[string][]*candidate // nodes that a class may use, by its name
}

// candidate is a node with a speaker.
type candidate struct {
	lb.Node
	speaker *lb.Speaker
	hash    uint64 // of the name
	load    int    // addresses that spread gave it
	// barred says why the node may own nothing, empty if it may.
	barred string
}

func newElectorate(w lb.World) *electorate {
	e := &electorate{endpoints: make(map[lb.Key]*lb.Endpoints, len(w.Endpoints)), cached: make(map[string][]*candidate)}
	for i := range w.Endpoints {
		e.endpoints[w.Endpoints[i].Service] = &w.Endpoints[i]
	}
	nodes := make(map[string]lb.Node, len(w.Nodes))
	for _, n := range w.Nodes {
		nodes[n.Name] = n
	}
	living := 0
	for i := range w.Speakers {
		s := &w.Speakers[i]
		n, known := nodes[s.Node]
		n.Name = s.Node
		c := &candidate{Node: n, speaker: s, hash: fnv1a(s.Node), barred: whyBarred(n, s, known)}
		if known && n.Alive {
			living++
		}
		e.speakers = append(e.speakers, c)
	}
	// When nobody seems to live it is our sight that is gone: taking addresses from
	// everybody would make an outage out of a failed observer.
	if living == 0 {
		for _, c := range e.speakers {
			if c.barred == notAlive {
				c.barred = ""
			}
		}
	}
	return e
}

const notAlive = "the node is not ready, or its speaker is not"

func whyBarred(n lb.Node, s *lb.Speaker, known bool) string {
	switch {
	case !known:
		return "the node is gone"
	case n.OutOfService:
		return "the node is marked node.kubernetes.io/out-of-service"
	case n.Excluded:
		return "the node is labelled node.kubernetes.io/exclude-from-external-load-balancers"
	case n.NetworkUnavailable:
		return "the node's network is unavailable"
	case s.Leaving:
		return "the node's speaker is stopping"
	case !n.Alive:
		return notAlive
	}
	return ""
}

// eligible lists the nodes that may own the address, by name. The slice is shared.
func (e *electorate) eligible(v *vip) []*candidate {
	nodes := e.selected(v)
	if !slices.ContainsFunc(v.services, func(s *lb.Service) bool { return s.Local }) {
		return nodes
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(c *candidate) bool { return !e.serves(v, c.Name) })
}

// selected lists the nodes that the class may use, whatever serves where.
func (e *electorate) selected(v *vip) []*candidate {
	if nodes, ok := e.cached[v.class.Name]; ok {
		return nodes
	}
	nodes := []*candidate{}
	for _, c := range e.speakers {
		if c.barred == "" && e.whyNotSelected(c, v) == "" {
			nodes = append(nodes, c)
		}
	}
	slices.SortFunc(nodes, func(x, y *candidate) int { return cmp.Compare(x.Name, y.Name) })
	e.cached[v.class.Name] = nodes
	return nodes
}

func (e *electorate) whyNotSelected(c *candidate, v *vip) string {
	if !v.class.L2.NodeSelector.Matches(c.Labels) {
		return "the class's l2.nodeSelector does not match the node"
	}
	if !slices.ContainsFunc(c.speaker.Interfaces, func(i lb.Interface) bool { return MatchesInterface(v.interfaces, i.Name) }) {
		return "the node has no usable interface that the class's l2.interfaces name"
	}
	return ""
}

// serves tells whether a Service with Local traffic can be served on the node.
func (e *electorate) serves(v *vip, node string) bool {
	return slices.ContainsFunc(v.services, func(s *lb.Service) bool {
		ep := e.endpoints[s.Key]
		if ep == nil {
			return false
		}
		_, found := slices.BinarySearch(ep.Nodes, node)
		return found
	})
}

// whyNone says why no node may own the address.
func (e *electorate) whyNone(v *vip) *lb.Refusal {
	if len(e.speakers) == 0 {
		return lb.Refuse(lb.NoSpeaker, "look at the DaemonSet fairlead-speaker", "no node has a speaker")
	}
	if len(e.selected(v)) > 0 {
		return lb.Refuse(lb.NoEndpoints, "look at the Service's selector and where its pods run, or set externalTrafficPolicy: Cluster",
			"externalTrafficPolicy is Local, and no node that may announce %s has a serving pod", v.addr)
	}
	first := e.speakers[0]
	why := cmp.Or(first.barred, e.whyNotSelected(first, v))
	return lb.Refuse(lb.NoSpeaker, "see fairlead explain for every node", "none of %d nodes may announce %s; of %q, %s", len(e.speakers), v.addr, first.Name, why)
}

// MatchesInterface tells whether an interface is one of those that patterns name;
// no pattern names all. Patterns are those of path.Match.
func MatchesInterface(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
