package plan

import (
	"cmp"
	"net/netip"
	"slices"
)

// group is the addresses that the same nodes may own. They are spread among those nodes
// as if there were no others: only so is there an even share that all can have, whatever
// classes and Local Services restrict.
type group struct {
	nodes     []*candidate // by name
	addresses []int        // in the order of the election
	fresh     []int        // those that nobody has or had
	load      []int        // addresses of each node
}

func newGroup(nodes []*candidate) *group {
	return &group{nodes: nodes, load: make([]int, len(nodes))}
}

// find is the position of a candidate in the group, or -1.
func (g *group) find(c *candidate) int {
	at, found := slices.BinarySearchFunc(g.nodes, c.index, func(n *candidate, index int) int { return n.index - index })
	if !found {
		return -1
	}
	return at
}

// named is the position of the node of that name, or -1.
func (g *group) named(node string) int {
	at, found := slices.BinarySearchFunc(g.nodes, node, func(n *candidate, name string) int { return cmp.Compare(n.Name, name) })
	if !found {
		return -1
	}
	return at
}

// room is how many of a number of addresses one of a number of nodes takes at most: a
// tenth above the even share, rounded up.
func room(addresses, nodes int) int { return (11*addresses + 10*nodes - 1) / (10 * nodes) }

// heaviest is the position of the node with the highest weight among those with a load
// below room. There is one while less than all of the group's addresses are placed: the
// rooms add up to more than those.
func (g *group) heaviest(addr uint64, load []int, room int) int {
	best, top := 0, uint64(0)
	for i, c := range g.nodes {
		if load[i] >= room {
			continue
		}
		if w := c.weight(addr); w >= top {
			best, top = i, w
		}
	}
	return best
}

// spread places all addresses of the group as if nobody had one: rendezvous hashing with
// bounded loads. hashes are of all addresses of the election.
func (g *group) spread(hashes []uint64) (places []int) {
	load := make([]int, len(g.nodes))
	limit := room(len(g.addresses), len(g.nodes))
	places = make([]int, len(g.addresses))
	for i, a := range g.addresses {
		places[i] = g.heaviest(hashes[a], load, limit)
		load[places[i]]++
	}
	return places
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
