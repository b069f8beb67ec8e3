package liveness

import (
	"fmt"
	"time"
)

// heardOf is when p was heard, or should have been at the earliest: what this process
// slept through is no silence.
func (m *machine) heardOf(p *peer) time.Duration {
	if p.heard == never {
		return never
	}
	return max(p.heard, m.calm)
}

// lifeOf is the last sign of life of p from anywhere, likewise.
func (m *machine) lifeOf(p *peer) time.Duration { return max(p.life, m.calm) }

// limit is the silence that counts as death.
func (m *machine) limit() time.Duration {
	if m.segment == 2 {
		return m.timing.Lonely
	}
	return m.timing.Dead
}

// judge finds the state of p, asks where there is doubt, and sets when to look again.
func (m *machine) judge(now time.Duration, p *peer) {
	t := &m.timing
	if !p.state.present() {
		m.settle(now, p)
		return
	}
	heard, life := m.heardOf(p), m.lifeOf(p)
	if now-heard < t.Ask {
		p.doubted = never
	} else if p.doubted == never {
		p.doubted = now
	}
	limit := m.limit()
	// The answers to what was asked have come by now, and we are entitled to judge.
	entitled := m.quorate && now-m.quorateSince >= t.Dead && p.doubted != never && now-p.doubted >= t.Dead-t.Suspect
	switch {
	case now-life >= limit && entitled && m.firm(now):
		p.doubted, p.row, p.rowAt = never, 0, never
		p.due = true // should it live, it learns by our packet that it is not heard
		m.enter(now, p, Dead, m.whyDead(now, p))
		m.at(now, now+t.Settle)
		return
	case p.minority && now-m.quorateSince >= t.Dead:
		// When links heal, one node has its quorum before the others, who are about to.
		m.enter(now, p, Minority, "it sees less than half of the segment")
	case now-heard < t.Suspect:
		m.enter(now, p, Alive, "heard")
	case now-life < t.Suspect:
		m.enter(now, p, Vouched, "heard by "+p.witnessName())
	default:
		m.enter(now, p, Suspected, "silent")
	}
	if p.doubted != never && now-life >= t.Ask && now-p.lastAsk >= t.AskEvery {
		p.lastAsk = now
		m.ask(now, p)
	}
	m.schedule(now, p, heard, life, limit)
}

// firm tells whether this node has its quorum even without those that it has not heard
// for a moment. One that is being cut off hears all of them for the last time at nearly
// the same moment: it must not bury one on the authority of the others, who are no
// longer heard either.
func (m *machine) firm(now time.Duration) bool {
	here := 1
	for _, p := range m.peers {
		if now-m.heardOf(p) < m.timing.Ask && m.touchOf(now, p) == inTouch {
			here++
		}
	}
	return 2*here >= m.segment
}

// schedule makes Step due when the next threshold of p is reached.
func (m *machine) schedule(now time.Duration, p *peer, heard, life, limit time.Duration) {
	t := &m.timing
	m.at(now, heard+t.Ask)
	m.at(now, heard+t.Suspect)
	m.at(now, heard+limit)
	if p.doubted == never {
		return
	}
	m.at(now, life+t.Ask)
	m.at(now, life+t.Suspect)
	m.at(now, life+limit)
	m.at(now, p.doubted+t.Dead-t.Suspect)
	if now-life >= t.Ask {
		m.at(now, p.lastAsk+t.AskEvery)
	}
}

func (p *peer) witnessName() string {
	if p.witness == nil {
		return "us just before"
	}
	return p.witness.name
}

// whyDead takes the words for a death.
func (m *machine) whyDead(now time.Duration, p *peer) string {
	hearing := 0
	for _, w := range m.peers {
		if w != p && m.touchOf(now, w) == inTouch {
			hearing++
		}
	}
	return fmt.Sprintf("no heartbeat for %s, no sign of life through %d others for %s",
		(now - m.heardOf(p)).Round(time.Millisecond), hearing, (now - m.lifeOf(p)).Round(time.Millisecond))
}

// ask makes questions due: to the silent node itself, which may have lost its
// heartbeats only, and to some that may hear it, each time others.
func (m *machine) ask(now time.Duration, p *peer) {
	p.due = true
	m.round++
	first := m.round * witnesses
	asked := 0
	for i := range m.peers {
		w := m.peers[(first+i)%len(m.peers)]
		if w == p || now-w.heard >= m.timing.Ask {
			continue
		}
		w.due = true
		if asked++; asked == witnesses {
			return
		}
	}
}

// collectAsked lists who is not heard, for all heartbeats of this step: those in
// doubt, and after them those who were dead or never heard, since a link may be broken
// to us only. Where there are too many, they take turns.
func (m *machine) collectAsked(now time.Duration) {
	m.asked = m.asked[:0]
	m.collect(func(p *peer) bool { return p.doubted != never })
	m.collect(func(p *peer) bool { return !p.state.present() && now-p.heard >= m.timing.Ask })
}

func (m *machine) collect(wanted func(*peer) bool) {
	m.round++
	for i := range m.peers {
		if p := m.peers[(m.round*listMax/2+i)%len(m.peers)]; wanted(p) && len(m.asked) < listMax {
			m.asked = append(m.asked, p.id)
		}
	}
}

// settle takes a node that has long been dead out of the segment: those who stayed go
// on without it, should more of them fail. Whoever lacks the quorum settles nothing,
// or each part of a split would in time be all of its own segment.
func (m *machine) settle(now time.Duration, p *peer) {
	if p.state != Dead || !p.counted || !m.quorate {
		return
	}
	if at := max(p.since, m.quorateSince) + m.timing.Settle; now >= at {
		m.count(p, false)
	} else {
		m.at(now, at)
	}
}
