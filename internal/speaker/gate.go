package speaker

import (
	"sync/atomic"

	"fairlead.dev/fairlead/internal/fence"
	"fairlead.dev/fairlead/internal/liveness"
)

// barrier is what silences this node by itself when it is not pushed: fence.Fence.
type barrier interface {
	Now() fence.Moment
	PushFrom(at fence.Moment)
	Shut()
}

// gate keeps the fence open while this node may be heard: while it has its quorum, and
// has looked at what others took over since it last lost it.
type gate struct {
	fence      barrier
	neighbours Neighbours

	// trusted is the term in which the loop looked, and one; zero is none.
	trusted atomic.Uint64
	// deaf is set while heartbeats say nothing.
	deaf atomic.Bool
}

// mayBeHeard tells whether frames may leave now.
func (g *gate) mayBeHeard(s liveness.Standing) bool {
	trusted := g.trusted.Load()
	return trusted != 0 && (g.deaf.Load() || s.Quorate && trusted == s.Term+1)
}

// check opens or shuts the fence. It is called with every pulse of this node, at least four
// times in what one push is good for, so that a late one does no harm. The loop does not
// do it: while it waits for something, it must not silence the node.
func (g *gate) check() {
	at := g.fence.Now() // before the standing is taken: between the two, time may pass
	if g.mayBeHeard(g.neighbours.Standing()) {
		g.fence.PushFrom(at)
	} else {
		g.fence.Shut()
	}
}

// trust tells that the loop applied what follows from the world as it is in that term.
func (g *gate) trust(s liveness.Standing, deaf bool) {
	g.deaf.Store(deaf)
	g.trusted.Store(s.Term + 1)
	g.check()
}
