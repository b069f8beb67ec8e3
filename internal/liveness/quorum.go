package liveness

import "time"

// touch is what a peer is worth for the quorum.
type touch byte

const (
	silent  touch = iota // or not part of the segment
	deaf                 // we hear it, it does not hear us
	inTouch              // heard both ways
)

func (m *machine) touchOf(now time.Duration, p *peer) touch {
	limit := m.limit()
	switch {
	case !p.counted || !p.state.present() || now-m.heardOf(p) >= limit:
		// Nor does one count by its first heartbeats again: it takes some in a row.
		return silent
	case now-p.heard >= 2*limit:
		// However late this process is, again and again: it gets its mail all the same.
		return silent
	case p.hearsUs && now-p.told < outdated*m.timing.Interval && p.heard-p.heardUs < limit-m.timing.AskEvery:
		// We give up one question before the others take over.
		return inTouch
	}
	return deaf
}

// hasQuorum tells whether this node may have addresses: with those that it is in touch
// with, it is at least half of the segment. An exact half is enough, except when
// somebody is heard who does not hear us: that one takes over what we have.
func (m *machine) hasQuorum(now time.Duration) bool {
	here, unanswered := 1, false
	for _, p := range m.peers {
		p.touch = m.touchOf(now, p)
		switch p.touch {
		case inTouch:
			here++
		case deaf:
			unanswered = true
		}
	}
	return 2*here > m.segment || 2*here == m.segment && !unanswered
}

// countQuorum notes whether this node has its quorum, and makes a heartbeat due that
// tells of a change.
func (m *machine) countQuorum(now time.Duration) {
	has := m.hasQuorum(now)
	if has == m.quorate {
		return
	}
	m.quorate, m.quorateSince = has, now
	if has {
		m.pardon(now)
	} else {
		m.term++
	}
	m.nextBeat = min(m.nextBeat, now)
	why := "in touch with half of the segment or more"
	if !has {
		why = "in touch with less than half of the segment"
	}
	m.events = append(m.events, event{Quorum: has, Why: why})
}

// pardon takes back the verdicts of before the quorum was regained. The deaths were found
// by a node that was about to be cut off itself: who was heard a moment longer than the
// last of them may live as well. Who said that it has no quorum was cut off with this node,
// and is about to regain its own. Who is silent from now on is found dead anew.
func (m *machine) pardon(now time.Duration) {
	for _, p := range m.peers {
		switch {
		case p.state == Minority:
			m.judge(now, p)
		case p.state == Dead && p.counted:
			p.life, p.witness, p.row = now, nil, 0
			m.enter(now, p, Suspected, "not heard since this node was cut off itself")
			m.at(now, now+m.timing.Suspect)
		}
	}
}

// resigned tells whether others should count this node out. Who just woke up finds out
// first whether they did.
func (m *machine) resigned(now time.Duration) bool {
	return !m.quorate && now-m.woke >= m.timing.Dead && now-m.calm >= m.timing.Interval
}

// Quorate tells whether this node may have addresses. The answer of a machine that was
// not run for long is no: nobody knows what happened meanwhile.
func (m *machine) Quorate(now time.Duration) bool {
	return m.quorate && (!m.started || now-m.next < m.timing.Asleep)
}

// Standing is how a node stands with its segment.
type Standing struct {
	// Quorate tells whether the node may answer for addresses now.
	Quorate bool
	// Term is another number after each loss of the quorum: who finds it changed must
	// look at what others took over before it answers again.
	Term uint64
	// Resigned tells whether the others count the node out. Who just woke up without its
	// quorum finds out first: when nobody missed it, nothing moves.
	Resigned bool
}

// Standing of this node.
func (m *machine) Standing(now time.Duration) Standing {
	return Standing{Quorate: m.Quorate(now), Term: m.term, Resigned: m.started && m.resigned(now)}
}

// Counts tells whether a node may own addresses, and whether the machine knows at all.
func (m *machine) Counts(id nodeID) (counts, known bool) {
	p := m.byID[id]
	if p == nil || p.state == Unheard {
		return false, false
	}
	return p.state.counts(), true
}
