package speaker

import (
	"testing"

	"fairlead.dev/fairlead/internal/fence"
	"fairlead.dev/fairlead/internal/liveness"
)

// segment is a neighbourhood with a standing that the test sets.
type segment struct {
	kubernetesKnows
	now liveness.Standing
}

func (s *segment) Standing() liveness.Standing { return s.now }

// fenceOpen is a fence that tells whether it was pushed or shut last.
type fenceOpen bool

func (f *fenceOpen) Now() fence.Moment     { return 1 }
func (f *fenceOpen) PushFrom(fence.Moment) { *f = true }
func (f *fenceOpen) Shut()                 { *f = false }

func TestTheGateIsShutUntilTheLoopLooked(t *testing.T) {
	var open fenceOpen
	s := &segment{now: liveness.Standing{Quorate: true}}
	g := &gate{fence: &open, neighbours: s}
	if g.check(); open {
		t.Error("it opens before anything was looked at")
	}
	if g.trust(s.now, false); !open {
		t.Error("it is shut after the loop looked")
	}
}

func TestALostQuorumShutsTheGateUntilTheLoopLookedAgain(t *testing.T) {
	var open fenceOpen
	s := &segment{now: liveness.Standing{Quorate: true}}
	g := &gate{fence: &open, neighbours: s}
	g.trust(s.now, false)
	s.now = liveness.Standing{Quorate: false, Term: 1}
	if g.check(); open {
		t.Error("it is open without a quorum")
	}
	// The quorum comes back before anybody looked: in between, others may have taken over.
	s.now = liveness.Standing{Quorate: true, Term: 1}
	if g.check(); open {
		t.Error("it opens by the quorum alone")
	}
	if g.trust(s.now, false); !open {
		t.Error("it is shut after the loop looked")
	}
}

func TestAQuorumThatWasLostAndFoundBetweenTwoChecksIsNoticed(t *testing.T) {
	var open fenceOpen
	s := &segment{now: liveness.Standing{Quorate: true, Term: 4}}
	g := &gate{fence: &open, neighbours: s}
	g.trust(s.now, false)
	s.now.Term = 5
	if g.check(); open {
		t.Error("it stays open over a loss")
	}
}

func TestWhereHeartbeatsAreBrokenForAllTheGateOpens(t *testing.T) {
	var open fenceOpen
	s := &segment{now: liveness.Standing{Quorate: false, Term: 1, Resigned: true}}
	g := &gate{fence: &open, neighbours: s}
	if g.trust(s.now, true); !open {
		t.Error("it is shut")
	}
	if g.trust(s.now, false); open {
		t.Error("it stays open when heartbeats count again")
	}
}
