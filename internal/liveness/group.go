package liveness

import (
	"slices"
	"time"
)

// everyone is the receiver of a heartbeat to the group. No node has this ID.
const everyone nodeID = 0

const (
	// groupMin peers make the group worth while: with fewer it saves no packet that
	// anybody would miss.
	groupMin = 4
	// sparse is how many intervals pass from one heartbeat to a peer alone to the next,
	// where it is reached through the group.
	sparse = 20
	// tellers is how many nodes, at least, tell a peer in an interval about one that they
	// hear and it does not: each of a few, or all in turn.
	tellers = 8
	// trust is for how many intervals a peer must be heard through the group before it is
	// told that it reaches us so. It is also how long it stays away from a group that
	// failed, and so what a switch costs that lets the group through now and then.
	trust = 60
	// overdue is after how many intervals without a word of what a peer hears of us it is
	// asked for one, and outdated after how many the last one is worth nothing: eight
	// questions were lost by then, or their answers.
	overdue, outdated = 22, 30
)

// SetGroup tells whether heartbeats to the group leave this node. Who of the peers gets
// them, they tell.
func (m *machine) SetGroup(open bool) { m.group = open }

// grouped tells whether this node sends heartbeats to the group.
func (m *machine) grouped() bool { return m.group && len(m.peers) >= groupMin }

// spared tells whether the heartbeat to the group is enough for p: while it says that it
// gets it, and nothing is in doubt in either direction.
func (m *machine) spared(now time.Duration, p *peer) bool {
	return m.grouped() && p.reached &&
		p.state == Alive && p.doubted == never && !m.overdue(now, p) &&
		m.quorate && !m.leaving &&
		len(m.asked) < listMax // or the list may be cut, and who is not on it know nothing
}

// turns is how many intervals pass from one heartbeat to p alone to the next, where the
// group is enough for it. Only these say whom this node hears. Who counts a node out that
// the others hear returns it after some such words in a row, and must not wait for them.
func (m *machine) turns(now time.Duration, p *peer) int {
	if p.lacks != never && now-p.lacks >= m.timing.Interval {
		return max(1, len(m.peers)/tellers)
	}
	return sparse
}

// noteLack notes since when p has been asking for somebody who is heard here.
func (m *machine) noteLack(now time.Duration, p *peer) {
	heardHere := slices.ContainsFunc(p.asked, func(id nodeID) bool {
		about := m.byID[id]
		return about != nil && about.state != Left && now-about.heard < m.timing.Ask
	})
	switch {
	case !heardHere:
		p.lacks = never
	case p.lacks == never:
		p.lacks = now
	}
}

// overheardBy tells whether a peer gets what this node sends to the group.
func (m *machine) overheardBy(id nodeID) bool {
	p := m.byID[id]
	return p != nil && p.reached && m.grouped()
}

// spares is for how many peers the heartbeat to the group is enough.
func (m *machine) spares(now time.Duration) int {
	n := 0
	for _, p := range m.peers {
		if m.spared(now, p) {
			n++
		}
	}
	return n
}

// overdue tells whether p, which is there, should have said by now what it hears of us.
func (m *machine) overdue(now time.Duration, p *peer) bool {
	return p.state.present() && now-p.told >= overdue*m.timing.Interval
}

// shout makes a heartbeat to the group. It echoes nobody, so it proves nothing of a
// process that is not known, but to those who know it says as much as one to each of
// them: that this node lives, and by the list of those it does not hear, who is heard.
func (m *machine) shout(now time.Duration) send {
	m.stamp = max(m.stamp+1, micros(now))
	return send{everyone, heartbeat{
		Leaving: m.leaving, Minority: m.resigned(now),
		To: everyone, From: m.self, Boot: m.boot, Stamp: m.stamp, News: m.news, Age: tooOld, Asked: m.asked,
	}}
}

// overhear notes that the group lets the heartbeats of p through. What a late one says
// is outdated, but not that it came.
func (m *machine) overhear(at time.Duration, p *peer, h *heartbeat) {
	if h.Boot != p.boot || h.Stamp <= p.groupStamp {
		return
	}
	if at-max(p.overheard, m.calm) >= m.timing.Suspect {
		p.overheardSince = at
	}
	p.overheard, p.groupStamp = at, h.Stamp
}

// reaches tells whether p's heartbeats to the group come, and have been coming.
func (m *machine) reaches(now time.Duration, p *peer) bool {
	return p.overheard > never && now-max(p.overheard, m.calm) < m.timing.Ask &&
		p.overheard-p.overheardSince >= trust*m.timing.Interval
}

// noteAbsence takes from a heartbeat to the group what it says of us: whoever is not on
// a list that has room left was heard within the time after which it would be. So does
// the sender of one that woke up just now say; it did not listen, and its word is not
// worth less than its echo then.
func (m *machine) noteAbsence(at time.Duration, p *peer, h *heartbeat) {
	switch atLeast := at - m.timing.Ask; {
	case slices.Contains(h.Asked, m.self):
		p.reached = false
		p.heardUs = min(p.heardUs, atLeast)
	case len(h.Asked) < listMax:
		p.heardUs = max(p.heardUs, atLeast)
	}
}
