package claims

import (
	"container/heap"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// queue orders claims by their deadlines.
type queue struct{ heap deadlines }

// set puts c where its deadline belongs, or takes it out when it has none.
func (q *queue) set(c *claim) {
	at := c.deadline()
	switch {
	case at.IsZero():
		q.remove(c)
	case c.queued < 0:
		c.at = at
		heap.Push(&q.heap, c)
	default:
		c.at = at
		heap.Fix(&q.heap, c.queued)
	}
}

func (q *queue) remove(c *claim) {
	if c.queued >= 0 {
		heap.Remove(&q.heap, c.queued)
	}
}

// deadline is when c has something to do; zero is never.
func (c *claim) deadline() time.Time {
	var first time.Time
	consider := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	switch c.state {
	case lb.Probing, lb.Conflict:
		consider(c.probeAt)
	case lb.Announced:
		for _, p := range c.posts {
			consider(p.next)
		}
		consider(c.forgetAt)
		if c.defendOn != 0 {
			consider(c.defendAt)
		}
	}
	return first
}

// deadlines implements heap.Interface; equal deadlines are ordered by address.
type deadlines []*claim

func (d deadlines) Len() int { return len(d) }

func (d deadlines) Less(i, j int) bool {
	if d[i].at.Equal(d[j].at) {
		return d[i].address.Less(d[j].address)
	}
	return d[i].at.Before(d[j].at)
}

func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].queued, d[j].queued = i, j
}

func (d *deadlines) Push(x any) {
	c := x.(*claim)
	c.queued = len(*d)
	*d = append(*d, c)
}

func (d *deadlines) Pop() any {
	last := len(*d) - 1
	c := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	c.queued = -1
	return c
}
