package liveness

import (
	"math"
	"time"
)

// State is what this node holds of another.
type State string

// The states of a neighbour.
const (
	Unheard   State = "Unheard"   // never heard: Kubernetes knows better
	Alive     State = "Alive"     // heard
	Vouched   State = "Vouched"   // not heard, but others hear it
	Suspected State = "Suspected" // silent, and not yet known to be dead
	Minority  State = "Minority"  // lives, and said that it gave its addresses up
	Dead      State = "Dead"      // silent, for everybody who was asked
	Left      State = "Left"      // said goodbye
)

func states() []State {
	return []State{Unheard, Alive, Vouched, Suspected, Minority, Dead, Left}
}

// counts tells whether a node in this state may own addresses. A suspicion moves
// nothing.
func (s State) counts() bool { return s == Alive || s == Vouched || s == Suspected }

// present tells whether silence still has to be judged.
func (s State) present() bool { return s.counts() || s == Minority }

// never lies before everything, and far enough from the end of time to subtract it.
const never = time.Duration(math.MinInt64 / 4)

// peer is a neighbour as the machine knows it. Times are those of the machine.
type peer struct {
	name string
	id   nodeID

	state State
	since time.Duration
	why   string
	// counted is set while the peer is part of the segment.
	counted bool

	// boot and stamp are of the newest heartbeat taken; zero before the first.
	boot, stamp uint64
	// admitted is the stamp that we had reached when we first took one of boot.
	admitted uint64
	// unproven are boot and stamp of a process that did not echo us yet: it needs our
	// echo to prove itself.
	unprovenBoot, unprovenStamp uint64

	heard time.Duration // the last heartbeat
	// life is the last sign of life from anywhere: heard, or as witness told.
	life     time.Duration
	witness  *peer // whose word life is; nil is our own ear
	minority bool  // as of life
	row      int   // signs of life in a row while it does not count
	rowAt    time.Duration

	// told is when it last said to us alone what it hears of us: hearsUs, since we woke up.
	told    time.Duration
	hearsUs bool
	// heardUs is when it heard us last, by what it said last.
	heardUs time.Duration
	touch   touch // as of the last count of the quorum
	// echoed is the newest stamp of ours that it repeated.
	echoed uint64
	// asked are the nodes that it does not hear, of its last heartbeat.
	asked []nodeID
	// lacks is since when it has been asking for one whom we hear; never, if it is not.
	lacks time.Duration

	// reached is set while it says that it gets our heartbeats to the group.
	reached bool
	// overheard is the last heartbeat of its own to the group, overheardSince the first of
	// those that came without a gap, groupStamp the newest one's stamp.
	overheard, overheardSince time.Duration
	groupStamp                uint64

	doubted time.Duration // since when it is asked for; never, while it is heard
	lastAsk time.Duration
	due     bool // a question is due to this peer
	key     KeyID

	// The longest wait for a heartbeat beyond the interval, of this and the last span.
	late, lateBefore time.Duration
	lateSpan         time.Duration // which one this is
}

func newPeer(name string, now time.Duration) *peer {
	return &peer{
		name: name, id: idOf(name), state: Unheard, since: now, why: "no heartbeat yet",
		heard: never, life: never, doubted: never, lastAsk: never, rowAt: never, lacks: never,
		told: never, heardUs: never, overheard: never, overheardSince: never,
	}
}

// latenessSpan is how long the worst lateness is told at least.
const latenessSpan = time.Minute

func (p *peer) noteLate(now, late time.Duration) {
	switch span := now / latenessSpan; span {
	case p.lateSpan:
		p.late = max(p.late, late)
	case p.lateSpan + 1:
		p.lateBefore, p.late, p.lateSpan = p.late, late, span
	default:
		p.lateBefore, p.late, p.lateSpan = 0, late, span
	}
}

func (p *peer) worstLate(now time.Duration) time.Duration {
	switch now / latenessSpan {
	case p.lateSpan:
		return max(p.late, p.lateBefore)
	case p.lateSpan + 1:
		return p.late
	}
	return 0
}
