package announce

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/announce/claims"
)

// Gate tells whether this node may be heard. Others take its addresses over when it was
// not heard for a while, and from then on it must not answer for them. Both methods are
// called for every frame, by several goroutines.
type Gate interface {
	// Open tells whether frames may be sent now.
	Open() bool
	// Opened counts how often the gate was opened.
	Opened() uint64
}

// alwaysOpen is the gate of a node that nobody silences.
type alwaysOpen struct{}

func (alwaysOpen) Open() bool     { return true }
func (alwaysOpen) Opened() uint64 { return 0 }

// reopenPoll is how often a shut gate is looked at while something is to be said. A
// gate that told when it opens could not be one that costs next to nothing.
const reopenPoll = 10 * time.Millisecond

// pass is what a frame needs at the gate: the opening at which its content was decided.
// A gate that was shut in between lets nothing through that was decided before: a
// process that was stopped there does not know yet what others did meanwhile.
type pass uint64

// pass is to be taken before the table is asked what to say.
func (a *Announcer) pass() pass { return pass(a.gate.Opened()) }

func (a *Announcer) mayLeave(p pass) bool { return a.gate.Open() && p == a.pass() }

// unsaid has what the gate held back announced when it opens.
func (a *Announcer) unsaid(sends ...claims.Send) {
	if len(sends) == 0 {
		return
	}
	a.mu.Lock()
	now := time.Now()
	for _, s := range sends {
		a.table.Unsaid(now, s)
	}
	a.mu.Unlock()
	poke(a.poked)
}

// unanswered is unsaid for a question that got no answer: who asked is told when the
// gate opens.
func (s *station) unanswered(about netip.Addr) {
	s.announce.unsaid(claims.Send{Index: s.index, Address: about, Say: claims.Announce})
}
