package claims

import "time"

// Timing is when things are said. Zero fields get their default.
type Timing struct {
	// Probes are sent ProbeInterval apart before a fresh address is used; the
	// last is given ProbeWait for an answer. A negative count asks nobody.
	Probes        int
	ProbeInterval time.Duration
	ProbeWait     time.Duration
	// Reprobe is the time from a conflict to the next attempt.
	Reprobe time.Duration
	// Burst are the offsets from a take-over at which it is announced, from 0 on.
	Burst []time.Duration
	// Period is the time between announcements of an address while it is held.
	Period time.Duration
	// Defend is the least time between two defences of an address.
	Defend time.Duration
	// Remember is how long a claim's Detail tells of a foreign host that was not
	// heard again.
	Remember time.Duration
	// Yield is how long periodic announcements pause after a peer announced the
	// address.
	Yield time.Duration
}

// withDefaults fills in what is zero.
func (t Timing) withDefaults() Timing {
	// RFC 5227 s.1.1 waits for human beings who plug in a cable: PROBE_WAIT 1 s,
	// PROBE_NUM 3 probes PROBE_MIN 1 s to PROBE_MAX 2 s apart, ANNOUNCE_WAIT 2 s;
	// RFC 4862 s.5.1 has RetransTimer 1 s. The host we look for has been there for
	// long and answers from its kernel within a millisecond, and somebody waits for
	// the Service. A host that answers later still is found while we hold the address.
	fill(&t.Probes, 3)
	fill(&t.ProbeInterval, 100*time.Millisecond)
	fill(&t.ProbeWait, 200*time.Millisecond)
	fill(&t.Reprobe, 10*time.Second)
	// The early ones cover lost frames and an owner that answered a last request
	// after our first; the later ones a switch port that was not forwarding yet.
	if len(t.Burst) == 0 {
		t.Burst = []time.Duration{
			0, 20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 10 * time.Second,
		}
	}
	// Switches forget a silent MAC after 300 s, hosts and routers ask again after
	// up to four hours: without this, frames to the address are flooded or lost.
	fill(&t.Period, time.Minute)
	fill(&t.Defend, 10*time.Second) // RFC 5227 s.1.1 DEFEND_INTERVAL
	fill(&t.Remember, 2*time.Minute)
	fill(&t.Yield, 30*time.Second)
	return t
}

func fill[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Announcements of many addresses leave in slots, so that neither our queue nor
// those of the receivers overflow: 1,000 addresses take 50 ms.
const (
	slotSize = 50
	slotTime = 2500 * time.Microsecond
)

// phaseStep is the grain of periodic announcements: few wake-ups, small bursts.
const phaseStep = 100 * time.Millisecond
