package liveness

import (
	"context"
	"time"
)

// nap is how long packets to the group wait before they are read together. None is
// urgent: questions, answers and short news come to this node alone, and long news
// would wait longer for their turn. To wake up for each would cost most of what
// heartbeats cost. It is a little more than half of the longest time between two
// heartbeats of this node, so that it wakes up for them, and once in between.
const nap = 28 * time.Millisecond

// beat reads what came by the group, since nobody is to be judged by what was not read
// yet, lets the machine step, and tells when it is to do so again.
func (m *Mesh) beat() (next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.overhear()
	now := m.now()
	m.sends = m.machine.Step(now, m.sends[:0])
	m.deliver()
	if m.departs != nil && !m.gone && m.machine.Farewell(now) {
		close(m.departs)
		m.gone = true
	}
	m.metrics.multicast.Set(float64(m.machine.spares(now)))
	m.asleep = now
	if all {
		m.asleep = min(m.machine.Next(), now+nap)
	}
	return m.asleep
}

// overhear takes what came by the groups, and tells whether that was all. The caller
// holds mu.
func (m *Mesh) overhear() (all bool) {
	all = true
	for _, g := range m.groups {
		if g != nil {
			all = m.drain(g) && all
		}
	}
	return all
}

// drain takes what came by one group. A flood of packets keeps nobody else waiting.
func (m *Mesh) drain(g *group) (all bool) {
	for range sweep {
		if g.in.err != nil {
			return true
		}
		before := m.now()
		g.in.drain(g.fd)
		m.takeAll(g.in, g.emptied)
		if g.in.err != nil {
			m.log.Info("heartbeats to a group are no longer heard", "err", g.in.err)
		}
		if !g.in.full() {
			g.emptied = before
			return true
		}
	}
	return false
}

// whenDue steps when that is due or a poke says so, until ctx is done.
func (m *Mesh) whenDue(ctx context.Context, poked <-chan struct{}, step func() (next time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poked:
		case <-timer.C:
		}
		timer.Reset(step() - m.now())
	}
}
