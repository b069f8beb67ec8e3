package speaker

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
)

const (
	// missingMax bounds the neighbours that a Speaker object lists as missing: when
	// hundreds are, a few tell the story, and every speaker reads every object.
	missingMax = 32
	// latenessPace is how often the object tells another lateness at most: on a busy
	// machine it is another one all the time, and every speaker reads every object.
	latenessPace = time.Minute
	// spreadPerNode paces the writes of a cluster that all follow from one death.
	spreadPerNode = 10 * time.Millisecond
)

// latenessSteps are what the object tells of lateness; smaller changes are not worth a
// write.
var latenessSteps = []time.Duration{0, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

// listener makes of what the neighbours are what the Speaker object says of them.
type listener struct {
	boot  string
	keys  func() []string
	fence func() (kernel bool, detail string)
	turn  uint32 // of this node, for the pace of writes

	told  lb.Hearing
	late  time.Time // when lateness was told
	shown bool
	due   time.Time // when a change may be told; zero for none
}

// hear takes a look, and tells when to take another at the latest.
func (l *listener) hear(now time.Time, view []liveness.Neighbour, standing liveness.Standing) (lb.Hearing, time.Time) {
	h := lb.Hearing{Boot: l.boot, Quorate: !standing.Resigned, Keys: l.keys()}
	h.Fence.Kernel, h.Fence.Detail = l.fence()
	for _, n := range view {
		switch n.State {
		case liveness.Alive:
			h.Counted++
		case liveness.Vouched, liveness.Suspected:
			// Passing states: either heard again or dead within 200 ms. A link that is
			// broken to us alone stays Vouched.
			h.Counted++
			if n.State == liveness.Suspected || now.Sub(n.Since) < time.Second {
				continue
			}
			fallthrough
		default:
			if n.State != liveness.Unheard && len(h.Missing) < missingMax {
				h.Missing = append(h.Missing, lb.Missing{Node: n.Node, State: string(n.State), Since: n.Since.Truncate(time.Microsecond), Why: n.Why})
			}
		}
		if n.Late > h.Late {
			h.Late, h.LateNode = n.Late, n.Node
		}
	}
	h.Late = step(h.Late)
	if h.Late == 0 {
		h.LateNode = ""
	}
	if !l.shown || now.Sub(l.late) >= latenessPace {
		l.late, l.told.Late, l.told.LateNode = now, h.Late, h.LateNode
	}
	h.Late, h.LateNode = l.told.Late, l.told.LateNode
	h, next := l.pace(now, h, len(view))
	return h, earlier(next, l.late.Add(latenessPace))
}

// step is the greatest of latenessSteps that d reaches.
func step(d time.Duration) time.Duration {
	out := time.Duration(0)
	for _, s := range latenessSteps {
		if d >= s {
			out = s
		}
	}
	return out
}

// pace tells what may be told now, and when the rest, zero for no rest: at once what
// concerns this node's own standing, and whom it misses in turn with the others, who miss
// the same.
func (l *listener) pace(now time.Time, h lb.Hearing, neighbours int) (lb.Hearing, time.Time) {
	same := h.Counted == l.told.Counted && slices.Equal(h.Missing, l.told.Missing)
	switch {
	case same:
		l.due = time.Time{}
	case l.shown && l.due.IsZero():
		l.due = now.Add(time.Duration(int(l.turn)%(neighbours+1)) * spreadPerNode)
	}
	if !same && l.shown && now.Before(l.due) {
		h.Missing, h.Counted = l.told.Missing, l.told.Counted
		return h, l.due
	}
	l.told, l.shown, l.due = h, true, time.Time{}
	return h, time.Time{}
}
