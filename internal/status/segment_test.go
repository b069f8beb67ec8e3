package status

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

func segmentWorld() lb.World {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	dead := lb.Missing{Node: "c", State: "Dead", Since: at, Why: "silent for all"}
	return lb.World{
		Nodes: []lb.Node{{Name: "a", Alive: true}, {Name: "b", Alive: true}, {Name: "c", Alive: true}, {Name: "d", Alive: true}},
		Speakers: []lb.Speaker{
			{Node: "a", Hearing: &lb.Hearing{Quorate: true, Counted: 1, Missing: []lb.Missing{dead}, Late: 50 * time.Millisecond, LateNode: "b", Fence: lb.Fence{Kernel: true}},
				Claims: []lb.Claim{{Address: netip.MustParseAddr("192.0.2.1"), State: lb.Announced, Since: at.Add(time.Second), Cause: lb.Failure, From: "c"}}},
			{Node: "b", Hearing: &lb.Hearing{Quorate: true, Counted: 1, Missing: []lb.Missing{dead}, Fence: lb.Fence{Detail: "Linux 5.15 has no tcx"}}},
			{Node: "c", Hearing: &lb.Hearing{Quorate: true, Counted: 2},
				Claims: []lb.Claim{{Address: netip.MustParseAddr("192.0.2.1"), State: lb.Announced, Since: at.Add(-time.Hour), Cause: lb.First}}},
			{Node: "d"},
			{Node: "e"},
		},
	}
}

func TestTheSegmentTellsWhoSeesWhom(t *testing.T) {
	s := TakeSegment(segmentWorld())
	var states []string
	for _, n := range s.Nodes {
		states = append(states, n.Node+" "+string(n.State))
	}
	want := "a alive, b alive, c dead, d no hearing, e gone"
	if got := strings.Join(states, ", "); got != want {
		t.Errorf("nodes are %s; want %s", got, want)
	}
	if got := s.Nodes[2].MissedBy; len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("c is missed by %v", got)
	}
}

func TestTheNewestClaimOnAnAddressComesFirst(t *testing.T) {
	s := TakeSegment(segmentWorld())
	if len(s.Claims) != 2 || s.Claims[0].Node != "a" || s.Claims[0].Cause != "Failure" || s.Claims[0].From != "c" {
		t.Errorf("%+v", s.Claims)
	}
}

func TestASegmentAsATable(t *testing.T) {
	var out strings.Builder
	if err := TakeSegment(segmentWorld()).Write(&out, "wide"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a      alive        1 of 2   c (Dead since 09:00:00.000: silent for all)",
		"50 ms (b)   kernel                           1",
		"process: Linux 5.15 has no tcx",
		"192.0.2.1   a      announced   2026-11-21 09:00:01.000   Failure   c",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if err := (Segment{}).Write(&out, "csv"); err == nil || !strings.Contains(err.Error(), "json, yaml or wide") {
		t.Errorf("an unknown format gives %v", err)
	}
}

func TestANodeWithoutQuorumOrReadinessSaysSo(t *testing.T) {
	w := segmentWorld()
	w.Speakers[0].Hearing.Missing, w.Speakers[1].Hearing.Missing = nil, nil
	w.Speakers[2].Hearing.Quorate = false
	w.Nodes[1].Alive = false
	w.Speakers[0].Leaving = true
	s := TakeSegment(w)
	if s.Nodes[0].State != NodeLeaving || s.Nodes[1].State != NodeNotReady || s.Nodes[2].State != NodeNoQuorum {
		t.Errorf("%+v", s.Nodes)
	}
	w.Speakers[0].Hearing.Missing = []lb.Missing{{Node: "b", State: "Vouched"}}
	w.Nodes[1].Alive = true
	if s := TakeSegment(w); s.Nodes[1].State != NodeDoubted {
		t.Errorf("a node that one other does not hear is %s", s.Nodes[1].State)
	}
}
