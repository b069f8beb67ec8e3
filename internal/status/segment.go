package status

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// Segment is everything that fairlead status --nodes shows: who sees whom, and who has
// what since when and why.
type Segment struct {
	Nodes  []Node  `json:"nodes"`
	Claims []Claim `json:"claims"`
}

// Node is what a node's speaker says, and what the others say of it.
type Node struct {
	Node  string    `json:"node"`
	State NodeState `json:"state"`
	// Hears is how many neighbours it counts as alive, of Neighbours.
	Hears      int `json:"hears"`
	Neighbours int `json:"neighbours"`
	// Missing are those that it does not hear, and why.
	Missing []Missing `json:"missing,omitempty"`
	// MissedBy are the nodes that do not hear this one.
	MissedBy []string `json:"missedBy,omitempty"`
	// LateMilliseconds is its longest wait for a heartbeat beyond the interval, and
	// LateNode whose it was.
	LateMilliseconds int64  `json:"lateMilliseconds"`
	LateNode         string `json:"lateNode,omitempty"`
	Quorate          bool   `json:"quorate"`
	// Fence is what silences it should its speaker freeze: kernel, or process and why.
	Fence       string `json:"fence,omitempty"`
	FenceDetail string `json:"fenceDetail,omitempty"`
	// Addresses that it announces.
	Addresses int `json:"addresses"`
}

// NodeState sums up what is known of a node.
type NodeState string

// The states of a node, the worst first.
const (
	NodeGone     NodeState = "gone"       // it has a Speaker object and no Node
	NodeDead     NodeState = "dead"       // its neighbours agree that it is silent
	NodeNoQuorum NodeState = "no quorum"  // it sees less than half of its segment, and announces nothing
	NodeNotReady NodeState = "not ready"  // Kubernetes says so, and no heartbeat says otherwise
	NodeDoubted  NodeState = "doubted"    // some do not hear it
	NodeLeaving  NodeState = "leaving"    // its speaker stops
	NodeDeaf     NodeState = "no hearing" // its speaker exchanges no heartbeats
	NodeAlive    NodeState = "alive"
)

// Missing is a neighbour that a node does not hear.
type Missing struct {
	Node  string    `json:"node"`
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Why   string    `json:"why,omitempty"`
}

// Claim is an address at a node.
type Claim struct {
	VIP   string    `json:"vip"`
	Node  string    `json:"node"`
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Cause string    `json:"cause,omitempty"`
	From  string    `json:"from,omitempty"`
	Offer string    `json:"offer,omitempty"`
}

// TakeSegment makes a Segment of a world as Kubernetes remembers it.
func TakeSegment(w lb.World) Segment {
	nodes := make(map[string]lb.Node, len(w.Nodes))
	for _, n := range w.Nodes {
		nodes[n.Name] = n
	}
	missed := missedBy(w.Speakers)
	hearing := 0
	for i := range w.Speakers {
		if w.Speakers[i].Hearing != nil {
			hearing++
		}
	}
	out := Segment{Nodes: []Node{}, Claims: []Claim{}}
	for i := range w.Speakers {
		s := &w.Speakers[i]
		line := Node{Node: s.Node, MissedBy: missed[s.Node].all}
		if h := s.Hearing; h != nil {
			line.Hears, line.Neighbours, line.Quorate = h.Counted, max(hearing-1, h.Counted), h.Quorate
			line.LateMilliseconds, line.LateNode = h.Late.Milliseconds(), h.LateNode
			line.Fence, line.FenceDetail = "process", h.Fence.Detail
			if h.Fence.Kernel {
				line.Fence = "kernel"
			}
			for _, m := range h.Missing {
				line.Missing = append(line.Missing, Missing(m))
			}
		}
		n, known := nodes[s.Node]
		line.State = stateOf(s, n, known, missed[s.Node])
		for _, c := range s.Claims {
			if c.State == lb.Announced {
				line.Addresses++
			}
			out.Claims = append(out.Claims, Claim{
				VIP: c.Address.String(), Node: s.Node, State: strings.ToLower(string(c.State)), Since: c.Since,
				Cause: string(c.Cause), From: c.From, Offer: c.Offer,
			})
		}
		out.Nodes = append(out.Nodes, line)
	}
	slices.SortStableFunc(out.Claims, func(x, y Claim) int {
		return cmp.Or(strings.Compare(x.VIP, y.VIP), -x.Since.Compare(y.Since))
	})
	return out
}

// reports are who does not hear a node.
type reports struct {
	all  []string
	dead int // those who say that it is dead
}

func missedBy(speakers []lb.Speaker) map[string]reports {
	out := make(map[string]reports)
	for i := range speakers {
		h := speakers[i].Hearing
		if h == nil {
			continue
		}
		for _, m := range h.Missing {
			r := out[m.Node]
			r.all = append(r.all, speakers[i].Node)
			if m.State == "Dead" && h.Quorate {
				r.dead++
			}
			out[m.Node] = r
		}
	}
	return out
}

func stateOf(s *lb.Speaker, n lb.Node, known bool, r reports) NodeState {
	switch {
	case !known:
		return NodeGone
	case r.dead > 0 && 2*r.dead >= len(r.all):
		return NodeDead
	case s.Hearing != nil && !s.Hearing.Quorate:
		return NodeNoQuorum
	case !n.Alive:
		return NodeNotReady
	case len(r.all) > 0:
		return NodeDoubted
	case s.Leaving:
		return NodeLeaving
	case s.Hearing == nil:
		return NodeDeaf
	}
	return NodeAlive
}

// Write prints a segment as "json", "yaml", "wide" or, for "", as a table.
func (s Segment) Write(w io.Writer, format string) error {
	return write(w, format, s, s.table)
}

func (s Segment) table(w io.Writer, wide bool) error {
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(t, "NODE\tSTATE\tHEARS\tMISSING\tLATE\tFENCE\tADDRESSES")
	for _, n := range s.Nodes {
		fmt.Fprintln(t, strings.Join([]string{
			n.Node, string(n.State), n.hears(), dash(n.missing(wide)), dash(n.late()), dash(n.fence(wide)), fmt.Sprint(n.Addresses),
		}, "\t"))
	}
	if len(s.Nodes) == 0 {
		fmt.Fprintln(t, "(no speaker: look at the DaemonSet fairlead-speaker)")
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "VIP\tNODE\tSTATE\tSINCE\tCAUSE\tFROM")
	for _, c := range s.Claims {
		state := c.State
		if c.Offer != "" {
			state += ", offered to " + c.Offer
		}
		fmt.Fprintln(t, strings.Join([]string{c.VIP, c.Node, state, c.Since.UTC().Format("2006-01-02 15:04:05.000"), dash(c.Cause), dash(c.From)}, "\t"))
	}
	if len(s.Claims) == 0 {
		fmt.Fprintln(t, "(no address)")
	}
	return t.Flush()
}

func (n Node) hears() string {
	if n.Fence == "" {
		return "-"
	}
	return fmt.Sprintf("%d of %d", n.Hears, n.Neighbours)
}

func (n Node) missing(wide bool) string {
	var out []string
	for _, m := range n.Missing {
		text := fmt.Sprintf("%s (%s)", m.Node, m.State)
		if wide {
			text = fmt.Sprintf("%s (%s since %s: %s)", m.Node, m.State, m.Since.UTC().Format("15:04:05.000"), m.Why)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func (n Node) late() string {
	if n.LateMilliseconds == 0 {
		return ""
	}
	return fmt.Sprintf("%d ms (%s)", n.LateMilliseconds, n.LateNode)
}

func (n Node) fence(wide bool) string {
	if wide && n.FenceDetail != "" {
		return n.Fence + ": " + n.FenceDetail
	}
	return n.Fence
}
