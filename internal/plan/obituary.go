package plan

import (
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// What a speaker's Hearing says of a neighbour that it does not hear (the states of
// package liveness, which the core does not import).
const (
	unheard   = "Unheard"
	vouched   = "Vouched"
	suspected = "Suspected"
	dead      = "Dead"
)

// Obituaries are the nodes that at least one speaker with a vote calls dead, by name.
//
// A speaker has a vote when it exchanges heartbeats, is in touch with half of its
// segment or more, does not stop, and its node exists. Nor has one a vote that more
// than half call dead.
//
// A node is dead beyond doubt when
//
//   - more than half of all speakers call it dead, itself and those without a vote
//     included in the count: two such majorities have a speaker in common, so that no
//     two parts of a broken segment condemn each other;
//   - no speaker with a vote hears it, or hears from others that it lives, or got its
//     goodbye: such a speaker either knows better, or will have changed its mind in a
//     moment. One that never heard it has no say; nor has one whose node is not ready
//     for Kubernetes: it may be cut off from the API server, and what it wrote old;
//   - and the node itself did not write that it lost its quorum, or any of those who
//     call it dead: one that lost its power writes nothing.
//
// The last one goes by what it wrote before, should it have died of a trouble that
// began earlier: then nothing is done, and Kubernetes finds out in its own time.
func Obituaries(nodes []lb.Node, speakers []lb.Speaker) []lb.Obituary {
	return poll(nodes, speakers).obituaries()
}

// ballot is what the speakers say of each other.
type ballot struct {
	nodes    map[string]*lb.Node
	speakers map[string]*lb.Speaker // that exchange heartbeats
	order    []string               // of speakers
	voters   []string
	// accusers by the node that they call dead; all of them have a vote.
	accusers map[string][]string
}

func poll(nodes []lb.Node, speakers []lb.Speaker) *ballot {
	b := &ballot{nodes: make(map[string]*lb.Node, len(nodes)), speakers: make(map[string]*lb.Speaker, len(speakers))}
	for i := range nodes {
		b.nodes[nodes[i].Name] = &nodes[i]
	}
	for i := range speakers {
		s := &speakers[i]
		if s.Hearing == nil || b.nodes[s.Node] == nil || s.Leaving {
			continue
		}
		b.speakers[s.Node] = s
		b.order = append(b.order, s.Node)
		if s.Hearing.Quorate {
			b.voters = append(b.voters, s.Node)
		}
	}
	slices.Sort(b.order)
	slices.Sort(b.voters)
	// Whoever a majority calls dead has no vote, and what he said before is not counted
	// again: one round is enough, for it can only make us say less.
	b.count()
	condemned := func(node string) bool { return b.majority(len(b.accusers[node])) }
	b.voters = slices.DeleteFunc(b.voters, condemned)
	b.count()
	return b
}

// count collects who calls whom dead.
func (b *ballot) count() {
	b.accusers = make(map[string][]string)
	for _, voter := range b.voters {
		for _, m := range b.speakers[voter].Hearing.Missing {
			if m.State == dead && m.Node != voter && b.nodes[m.Node] != nil {
				b.accusers[m.Node] = append(b.accusers[m.Node], voter)
			}
		}
	}
}

// majority tells whether n are more than half of all speakers.
func (b *ballot) majority(n int) bool { return 2*n > len(b.speakers) }

// missing is what a speaker says of a node that it does not hear.
func (b *ballot) missing(speaker, node string) (lb.Missing, bool) {
	list := b.speakers[speaker].Hearing.Missing
	i := slices.IndexFunc(list, func(m lb.Missing) bool { return m.Node == node })
	if i < 0 {
		return lb.Missing{}, false
	}
	return list[i], true
}

// fresh tells whether what a speaker says of who lives may be up to date: that it
// calls one dead it wrote after the death, but that it hears one it wrote at any time.
func (b *ballot) fresh(speaker string) bool { return b.nodes[speaker].Alive }

// hears tells whether a speaker hears a node. Nodes that it never heard are not listed
// as missing, nor are more than a few dozen; then it counts fewer neighbours than
// there are, and what it does not list may be anything.
func (b *ballot) hears(speaker, node string) bool {
	if _, missed := b.missing(speaker, node); missed {
		return false
	}
	h := b.speakers[speaker].Hearing
	accounted := h.Counted
	for _, m := range h.Missing {
		if m.State != vouched && b.speakers[m.Node] != nil { // those vouched for are counted
			accounted++
		}
	}
	return accounted >= len(b.speakers)-1
}

func (b *ballot) obituaries() []lb.Obituary {
	var out []lb.Obituary
	for _, node := range b.order {
		if accusers := b.accusers[node]; len(accusers) > 0 {
			out = append(out, b.obituary(node, accusers))
		}
	}
	return out
}

func (b *ballot) obituary(node string, accusers []string) lb.Obituary {
	o := lb.Obituary{Node: node, Boot: b.speakers[node].Hearing.Boot, Say: len(accusers), Of: len(b.speakers)}
	for i, a := range accusers {
		if m, _ := b.missing(a, node); i == 0 || m.Since.Before(o.Since) {
			o.Since = m.Since
		}
	}
	o.Doubt = b.doubt(node, accusers)
	return o
}

func (b *ballot) doubt(node string, accusers []string) *lb.Refusal {
	if own := b.speakers[node].Hearing; !own.Quorate {
		return lb.Refuse(lb.NodeContradicts, "look at its network", "speaker %q calls node %q dead, whose own speaker says that it is out of touch with its segment", accusers[0], node)
	}
	for _, a := range accusers {
		if m, missed := b.missing(node, a); missed && m.State != unheard {
			return lb.Refuse(lb.NodeContradicts, "look at its network", "speaker %q calls node %q dead, whose own speaker says the same of it", a, node)
		}
	}
	for _, v := range b.voters {
		m, missed := b.missing(v, node)
		knowsBetter := missed && m.State != dead && m.State != suspected && m.State != unheard
		if v != node && b.fresh(v) && (knowsBetter || b.hears(v, node)) {
			return lb.Refuse(lb.StillHeard, "look at the network between the two", "speaker %q calls node %q dead, but %q does not", accusers[0], node, v)
		}
	}
	if !b.majority(len(accusers)) {
		return lb.Refuse(lb.NoMajority, "look at the speakers; two of them cannot outvote each other", "%d of %d speakers call node %q dead, which is not more than half", len(accusers), len(b.speakers), node)
	}
	return nil
}

// back tells whether more than half of all speakers hear a node.
func (b *ballot) back(node string) bool {
	own := b.speakers[node]
	if own == nil || !own.Hearing.Quorate {
		return false
	}
	hear := 1 // it hears itself
	for _, v := range b.voters {
		if v != node && b.fresh(v) && b.hears(v, node) {
			hear++
		}
	}
	return b.majority(hear)
}
