package fence

import (
	"sync/atomic"
	"time"
)

// page is what the process and the kernel's program share: the value of the map, as the
// program reads it (program.go).
type page struct {
	// deadline is the Moment from which on the gate is shut.
	deadline atomic.Uint64
	// dropped counts the frames that the program dropped.
	dropped atomic.Uint64
}

// Deadlines that have always passed, and tell why the gate is shut. Every Shut leaves
// another one, so that a push that began before it finds that something happened. They
// are ns: the machine needs longer to start.
const (
	neverOpened = 0
	closed      = 1 // for good
	firstShut   = 2
)

// gate opens and shuts. It has no lock: a thread that is stopped in the middle must
// leave nothing that others wait for.
type gate struct {
	*page
	shuts    atomic.Uint64
	openings atomic.Uint64
}

// push opens the gate until hold after the moment at, unless that has passed; one that
// lies ahead counts as now. It never brings the deadline forward. was is the deadline that the caller saw before it took
// the time: if there is another by now, somebody pushed or shut meanwhile, and that
// counts.
func (g *gate) push(was uint64, at, now Moment, hold time.Duration) {
	until := uint64(min(at, now).add(hold))
	if was == closed || until <= was || until <= uint64(now) {
		return
	}
	if was <= uint64(now) {
		g.openings.Add(1) // before it is open: nobody passes with the old number
	}
	g.deadline.CompareAndSwap(was, until)
}

// shut closes the gate at once.
func (g *gate) shut() { g.leave(firstShut + g.shuts.Add(1)) }

// close shuts it for good.
func (g *gate) close() { g.leave(closed) }

// leave sets a deadline that has passed.
func (g *gate) leave(mark uint64) {
	for {
		was := g.deadline.Load()
		if was == closed || g.deadline.CompareAndSwap(was, mark) {
			return
		}
	}
}

func (g *gate) open(now Moment) bool { return uint64(now) < g.deadline.Load() }
