package claims

import (
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// While this node must not be heard, the table stands still: its caller does not call
// Due, and calls Resume before it does so again. What is heard is taken in all the same.

// Unsaid takes in that what Due gave was not sent after all, or that a question was not
// answered, as this node must not be heard: the address is announced after Resume.
func (t *Table) Unsaid(now time.Time, s Send) {
	c := t.claims[s.Address]
	if c == nil || c.state != lb.Announced {
		return // probing begins anew in any case
	}
	for i := range c.posts {
		p := &c.posts[i]
		if p.index != s.Index {
			continue
		}
		if p.step == 1 {
			p.step = 0 // nobody heard that we took it over
		}
		if p.next.After(now) {
			p.next = now
		}
	}
	t.queue.set(c)
}

// Resume goes on after a time in which this node was not to be heard. What came due in
// it is announced from the beginning: the segment may have forgotten us, or have heard
// another. Where it heard a peer after us, the peer has the address. Probes begin anew:
// some may be missing, and answers to them.
func (t *Table) Resume(now time.Time) {
	for _, c := range t.sorted {
		switch c.state {
		case lb.Probing:
			t.startProbing(now, c)
		case lb.Conflict:
			if c.probes > 0 {
				c.probes, c.probeAt = 0, now
			}
		case lb.Announced:
			t.announceAgain(now, c)
		}
		t.queue.set(c)
	}
}

// announceAgain begins the burst anew where an announcement is overdue.
func (t *Table) announceAgain(now time.Time, c *claim) {
	for i := range c.posts {
		p := &c.posts[i]
		switch {
		case p.next.After(now):
		case p.step > 0 && t.yields(now, c):
			p.step = len(t.timing.Burst)
			p.next = t.periodic(now, c.address)
		default:
			t.startBurst(now, p)
		}
	}
}
