package claims

import (
	"hash/fnv"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// Say is what is said of an address.
type Say uint8

// What can be said unasked.
const (
	// Probe asks whether anybody has the address.
	Probe Say = iota
	// Announce tells everybody that we have it.
	Announce
	// Defend tells it to one who thinks otherwise, in a single packet.
	Defend
)

// Send is a packet that is due.
type Send struct {
	Index   int // of the interface
	Address netip.Addr
	Say     Say
}

// Next is the time of the next deadline; false where there is none.
func (t *Table) Next() (time.Time, bool) {
	if len(t.queue.heap) == 0 {
		return time.Time{}, false
	}
	return t.queue.heap[0].at, true
}

// Due appends to sends what is to be said by now. Afterwards Next is later than now.
func (t *Table) Due(now time.Time, sends []Send) []Send {
	for len(t.queue.heap) > 0 && !t.queue.heap[0].at.After(now) {
		c := t.queue.heap[0]
		switch c.state {
		case lb.Announced:
			sends = t.dueAnnounced(now, c, sends)
		default:
			sends = t.dueProbe(now, c, sends)
		}
		t.queue.set(c)
	}
	return sends
}

// dueProbe goes on with a round of probes, or ends it: nobody answered.
func (t *Table) dueProbe(now time.Time, c *claim, sends []Send) []Send {
	if c.probes >= t.timing.Probes {
		t.announce(now, c)
		return sends
	}
	for _, p := range c.posts {
		sends = append(sends, Send{Index: p.index, Address: c.address, Say: Probe})
	}
	c.probes++
	if c.probes < t.timing.Probes {
		c.probeAt = now.Add(t.timing.ProbeInterval)
	} else {
		c.probeAt = now.Add(t.timing.ProbeWait)
	}
	return sends
}

func (t *Table) dueAnnounced(now time.Time, c *claim, sends []Send) []Send {
	if c.defendOn != 0 {
		if !c.handingOver {
			sends = append(sends, Send{Index: c.defendOn, Address: c.address, Say: Defend})
		}
		c.defendOn = 0
	}
	if !c.forgetAt.IsZero() && !c.forgetAt.After(now) {
		c.forgetAt = time.Time{}
		t.enter(now, c, lb.Announced, "")
	}
	for i := range c.posts {
		p := &c.posts[i]
		if p.next.After(now) {
			continue
		}
		if !t.holdsBack(now, c, p) {
			sends = append(sends, Send{Index: p.index, Address: c.address, Say: Announce})
		}
		t.advance(now, c, p)
	}
	return sends
}

// holdsBack tells whether a peer that took over would lose the address again to our
// repetition. Who is not told to hand it over goes on with its burst: it may be the new
// owner, that hears a last word of the old one.
func (t *Table) holdsBack(now time.Time, c *claim, p *post) bool {
	return c.handingOver || p.step >= len(t.timing.Burst) && t.yields(now, c)
}

func (t *Table) yields(now time.Time, c *claim) bool {
	return !c.takenOver.IsZero() && now.Sub(c.takenOver) < t.timing.Yield
}

// advance sets the next announcement. Steps that a late call has missed are not
// made up for.
func (t *Table) advance(now time.Time, c *claim, p *post) {
	for p.step < len(t.timing.Burst) {
		p.next = p.start.Add(t.timing.Burst[p.step])
		if p.next.After(now) {
			return
		}
		p.step++
	}
	p.next = t.periodic(now, c.address)
}

// periodic is the next time after now that belongs to the address: its hash spreads
// them over the period, and they stay where they are.
func (t *Table) periodic(now time.Time, a netip.Addr) time.Time {
	since := now.Sub(t.start)
	offset := phase(a, t.timing.Period)
	if offset <= since {
		offset += ((since-offset)/t.timing.Period + 1) * t.timing.Period
	}
	return t.start.Add(offset)
}

// phase is a multiple of phaseStep below period.
func phase(a netip.Addr, period time.Duration) time.Duration {
	steps := uint32(max(1, period/phaseStep))
	h := fnv.New32a()
	b := a.As16()
	h.Write(b[:])
	return time.Duration(h.Sum32()%steps) * phaseStep
}
