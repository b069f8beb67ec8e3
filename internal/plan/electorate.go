package plan

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"path"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// electorate is who may own addresses at all, and where Services can be served.
type electorate struct {
	speakers  []*candidate // by node
	endpoints map[lb.Key]*lb.Endpoints
	selection map[string][]*candidate // nodes that a class may use, by its name
	shared    map[string]*group       // of a class without Local Services, by its name
	byNodes   map[string]*group       // by their nodes
	ordered   []*group                // by their first address

	// blind is set where no node seems to live, deaf where none that lives has a quorum:
	// then it is our sight or the heartbeats that are gone, and taking addresses from
	// everybody would make an outage of it.
	blind, deaf bool
	passedOver  map[netip.Addr]bool // addresses that some speaker is unaware of
}

// candidate is a node with a speaker.
type candidate struct {
	lb.Node
	speaker *lb.Speaker
	known   bool // as a Node
	index   int  // among the speakers
	hash    uint64
	// barred says why the node may own nothing, empty if it may.
	barred string
	// unaware are addresses that it does not take although it is its turn.
	unaware map[netip.Addr]bool
}

// AllDeaf tells whether every living speaker that exchanges heartbeats says that it has
// no quorum, and there is one. Then heartbeats are what is broken, such as by a firewall
// rule against their port, and who has a quorum counts for nothing: Kubernetes is to be
// believed. A single node that is cut off does not see this, since the others said that
// they have their quorum when it last heard of them.
func AllDeaf(w lb.World) bool { return newElectorate(w).deaf }

func newElectorate(w lb.World) *electorate {
	e := &electorate{
		endpoints: make(map[lb.Key]*lb.Endpoints, len(w.Endpoints)),
		selection: make(map[string][]*candidate),
		shared:    make(map[string]*group),
		byNodes:   make(map[string]*group),

		passedOver: make(map[netip.Addr]bool),
	}
	for i := range w.Endpoints {
		e.endpoints[w.Endpoints[i].Service] = &w.Endpoints[i]
	}
	nodes := make(map[string]*lb.Node, len(w.Nodes))
	for i := range w.Nodes {
		nodes[w.Nodes[i].Name] = &w.Nodes[i]
	}
	for i := range w.Speakers {
		s := &w.Speakers[i]
		c := &candidate{Node: lb.Node{Name: s.Node}, speaker: s, hash: fnv1a(s.Node), unaware: unaware(s)}
		if n := nodes[s.Node]; n != nil {
			c.Node, c.known = *n, true
		}
		maps.Copy(e.passedOver, c.unaware)
		e.speakers = append(e.speakers, c)
	}
	slices.SortFunc(e.speakers, func(x, y *candidate) int { return cmp.Compare(x.Name, y.Name) })
	e.blind = !slices.ContainsFunc(e.speakers, func(c *candidate) bool { return c.known && c.Alive })
	e.deaf = e.allDeaf()
	for i, c := range e.speakers {
		c.index = i
		c.barred = e.whyBarred(c)
	}
	return e
}

func (e *electorate) allDeaf() bool {
	deaf := false
	for _, c := range e.speakers {
		if h := c.speaker.Hearing; h != nil && e.lives(c) {
			if h.Quorate {
				return false
			}
			deaf = true
		}
	}
	return deaf
}

func (e *electorate) lives(c *candidate) bool { return c.known && (c.Alive || e.blind) }

func (e *electorate) quorate(c *candidate) bool {
	return c.speaker.Hearing == nil || c.speaker.Hearing.Quorate || e.deaf
}

// lost tells whether the node can hand nothing over.
func (e *electorate) lost(c *candidate) bool {
	return !e.lives(c) || c.OutOfService || !e.quorate(c)
}

func (e *electorate) whyBarred(c *candidate) string {
	switch {
	case !c.known:
		return "the node is gone"
	case c.OutOfService:
		return "the node is marked node.kubernetes.io/out-of-service"
	case c.Excluded:
		return "the node is labelled node.kubernetes.io/exclude-from-external-load-balancers"
	case c.NetworkUnavailable:
		return "the node's network is unavailable"
	case c.speaker.Leaving:
		return "the node's speaker is stopping"
	case !e.lives(c):
		return "the node is not ready, or its speaker is not"
	case !e.quorate(c):
		return "the node's speaker hears less than half of its segment, and gave its addresses up"
	}
	return ""
}

// unaware are the addresses that a speaker is passed over for. What it claims it knows.
func unaware(s *lb.Speaker) map[netip.Addr]bool {
	if len(s.Unaware) == 0 {
		return nil
	}
	out := make(map[netip.Addr]bool, len(s.Unaware))
	for _, a := range s.Unaware {
		out[a] = true
	}
	for _, c := range s.Claims {
		delete(out, c.Address)
	}
	return out
}

// eligible lists the nodes that may own the address, by name. The slice is shared.
func (e *electorate) eligible(v *vip) []*candidate {
	nodes := e.selected(v)
	if v.local() {
		nodes = e.serving(v, nodes)
	}
	if e.passedOver[v.addr] {
		nodes = slices.DeleteFunc(slices.Clone(nodes), func(c *candidate) bool { return c.unaware[v.addr] })
	}
	return nodes
}

// selected lists the nodes that the class may use, whatever serves where.
func (e *electorate) selected(v *vip) []*candidate {
	if nodes, ok := e.selection[v.class.Name]; ok {
		return nodes
	}
	nodes := []*candidate{}
	for _, c := range e.speakers {
		if c.barred == "" && e.whyNotSelected(c, v) == "" {
			nodes = append(nodes, c)
		}
	}
	e.selection[v.class.Name] = nodes
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

// serving lists those of the nodes where one of the address's Services can be served.
// Both lists are sorted, and walked side by side.
func (e *electorate) serving(v *vip, nodes []*candidate) []*candidate {
	served := make([]bool, len(nodes))
	for _, s := range v.services {
		ep := e.endpoints[s.Key]
		if ep == nil {
			continue
		}
		names := ep.Nodes
		for i := 0; i < len(nodes) && len(names) > 0; {
			switch order := cmp.Compare(nodes[i].Name, names[0]); {
			case order < 0:
				i++
			case order > 0:
				names = names[1:]
			default:
				served[i] = true
				i, names = i+1, names[1:]
			}
		}
	}
	out := make([]*candidate, 0, len(nodes))
	for i, c := range nodes {
		if served[i] {
			out = append(out, c)
		}
	}
	return out
}

// serves tells whether one of the address's Services can be served on the node.
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

// group is that of the address; addresses that the same nodes may own are in one.
func (e *electorate) group(v *vip) *group {
	own := v.local() || e.passedOver[v.addr]
	if g := e.shared[v.class.Name]; g != nil && !own {
		return g
	}
	nodes := e.eligible(v)
	key := make([]byte, 0, 2*len(nodes))
	for _, c := range nodes {
		key = binary.AppendUvarint(key, uint64(c.index))
	}
	g := e.byNodes[string(key)]
	if g == nil {
		g = newGroup(nodes)
		e.byNodes[string(key)] = g
		e.ordered = append(e.ordered, g)
	}
	if !own {
		e.shared[v.class.Name] = g
	}
	return g
}

// whyNone says why no node may own the address.
func (e *electorate) whyNone(v *vip) *lb.Refusal {
	if len(e.speakers) == 0 {
		return lb.Refuse(lb.NoSpeaker, "look at the DaemonSet fairlead-speaker", "no node has a speaker")
	}
	nodes := e.selected(v)
	if v.local() && len(nodes) > 0 && len(e.serving(v, nodes)) == 0 {
		return lb.Refuse(lb.NoEndpoints, "look at the Service's selector and where its pods run, or set externalTrafficPolicy: Cluster",
			"externalTrafficPolicy is Local, and no node that may announce %s has a serving pod", v.addr)
	}
	first := e.speakers[0]
	return lb.Refuse(lb.NoSpeaker, "see fairlead explain for every node", "none of %d nodes may announce %s; of %q, %s", len(e.speakers), v.addr, first.Name, e.whyNot(first, v))
}

// whyNot says why the node may not own the address, empty if it may.
func (e *electorate) whyNot(c *candidate, v *vip) string {
	why := cmp.Or(c.barred, e.whyNotSelected(c, v))
	switch {
	case why != "":
		return why
	case v.local() && !e.serves(v, c.Name):
		return "externalTrafficPolicy is Local, and no pod of the Service serves on the node"
	case c.unaware[v.addr]:
		return "it is passed over: its speaker did not take the address when it was its turn, such as for want of the API server"
	}
	return ""
}

// MatchesInterface tells whether an interface is one of those that patterns name;
// no pattern names all. Patterns are those of path.Match.
func MatchesInterface(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
