package speaker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
)

func newTestListener(turn uint32) *listener {
	return &listener{
		boot: "b", turn: turn,
		keys:  func() []string { return []string{"k"} },
		fence: func() (bool, string) { return true, "" },
	}
}

var quorate = liveness.Standing{Quorate: true}

func TestTheObjectTellsWhoIsMissing(t *testing.T) {
	l := newTestListener(0)
	died := time.Unix(990, 0)
	h, next := l.hear(time.Unix(1000, 0), []liveness.Neighbour{
		{Node: "alive", State: liveness.Alive},
		{Node: "dead", State: liveness.Dead, Since: died, Why: "silent"},
		{Node: "new", State: liveness.Unheard},
		{Node: "deaf", State: liveness.Vouched, Since: died, Why: "heard by alive"},
		{Node: "just", State: liveness.Suspected, Since: time.Unix(1000, 0)},
	}, quorate)
	want := lb.Hearing{
		Boot: "b", Quorate: true, Counted: 3, Keys: []string{"k"}, Fence: lb.Fence{Kernel: true},
		Missing: []lb.Missing{
			{Node: "dead", State: "Dead", Since: died, Why: "silent"},
			{Node: "deaf", State: "Vouched", Since: died, Why: "heard by alive"},
		},
	}
	if diff := cmp.Diff(want, h); diff != "" || !next.Equal(time.Unix(1000, 0).Add(latenessPace)) {
		t.Errorf("hearing (-want +got), next look %s:\n%s", next, diff)
	}
}

func TestADeathIsToldInTurn(t *testing.T) {
	l := newTestListener(2)
	now := time.Unix(1000, 0)
	alive := []liveness.Neighbour{{Node: "x", State: liveness.Alive}, {Node: "y", State: liveness.Alive}}
	l.hear(now, alive, quorate)
	dead := []liveness.Neighbour{{Node: "x", State: liveness.Dead, Since: now}, {Node: "y", State: liveness.Alive}}
	h, next := l.hear(now, dead, quorate)
	if want := now.Add(2 * spreadPerNode); len(h.Missing) > 0 || !next.Equal(want) {
		t.Errorf("tells %v at once, and looks again at %s, not at %s", h.Missing, next, want)
	}
	if h, _ = l.hear(next, dead, quorate); len(h.Missing) != 1 {
		t.Errorf("tells %v in its turn", h.Missing)
	}
}

func TestALostQuorumIsToldAtOnce(t *testing.T) {
	l := newTestListener(2)
	now := time.Unix(1000, 0)
	view := []liveness.Neighbour{{Node: "x", State: liveness.Alive}, {Node: "y", State: liveness.Alive}}
	l.hear(now, view, quorate)
	if h, _ := l.hear(now, view, liveness.Standing{Resigned: true}); h.Quorate {
		t.Error("it says that it has its quorum")
	}
}

func TestLatenessIsToldInStepsAndOnceAMinute(t *testing.T) {
	l := newTestListener(0)
	now := time.Unix(1000, 0)
	tell := func(late time.Duration) time.Duration {
		h, next := l.hear(now, []liveness.Neighbour{{Node: "x", State: liveness.Alive, Late: late}}, quorate)
		if !next.After(now) || next.Sub(now) > latenessPace {
			t.Errorf("it looks again after %s", next.Sub(now))
		}
		return h.Late
	}
	for _, c := range []struct {
		after      time.Duration
		late, want time.Duration
	}{
		{0, 60 * time.Millisecond, 50 * time.Millisecond},
		{time.Second, 120 * time.Millisecond, 50 * time.Millisecond},
		{latenessPace - time.Second, 120 * time.Millisecond, 100 * time.Millisecond},
		{latenessPace - time.Second, 2 * time.Millisecond, 100 * time.Millisecond},
		{time.Second, 2 * time.Millisecond, 0},
	} {
		now = now.Add(c.after)
		if got := tell(c.late); got != c.want {
			t.Errorf("%s late is told as %s, want %s", c.late, got, c.want)
		}
	}
}
