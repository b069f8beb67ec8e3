package liveness

import "time"

// Receive takes a heartbeat that was authenticated and came at a time, now or before it
// was read, and appends the answer if it wants one at once. h is free to be used again.
func (m *machine) Receive(now, at time.Duration, h *heartbeat, key KeyID, out []send) ([]send, Drop) {
	m.wake(now)
	if h.From == m.self {
		return out, DropOwn
	}
	toAll := h.To == everyone
	if h.To != m.self && !toAll {
		return out, DropNotForUs
	}
	p := m.byID[h.From]
	if p == nil {
		return out, DropStranger
	}
	drop := m.admit(now, p, h)
	if toAll && (drop == "" || drop == DropRepeated) {
		m.overhear(at, p, h)
	}
	switch drop {
	case "":
	case DropUnproven:
		if toAll {
			return out, drop // it proves nothing, and need not be told
		}
		// Our echo lets it prove itself, and it shall echo us, without waiting for the
		// next heartbeats.
		m.answers = m.answers[:0]
		return append(out, m.to(now, p, true)), drop
	default:
		return out, drop
	}
	silence := at - p.heard
	if p.heard > never {
		p.noteLate(now, silence-m.timing.Interval)
	}
	// What came before may have been read before, by another socket.
	p.key, p.heard, p.boot, p.stamp = key, max(p.heard, at), h.Boot, h.Stamp
	p.asked = append(p.asked[:0], h.Asked...)
	m.noteLack(now, p)
	if toAll {
		m.noteAbsence(at, p, h)
	} else {
		m.noteEcho(at, p, h)
	}
	if h.Leaving {
		m.bidFarewell(now, p)
	} else {
		m.alive(now, p, at, nil, h.Minority)
	}
	for _, one := range h.Heard {
		m.testify(now, at, p, one)
	}
	m.judge(now, p)
	if m.touchOf(now, p) != p.touch {
		m.countQuorum(now)
		m.next = min(m.next, m.nextBeat)
	}
	if h.Ask || silence >= m.timing.Suspect {
		// Who was away for long is told at once that it is heard again.
		m.answers = m.answers[:0]
		out = append(out, m.to(now, p, false))
	}
	return out, ""
}

// admit tells why a heartbeat of p must not be taken. A process that p was not heard
// from before must show that it lives now: by the echo of a packet that we sent within
// the last second, and since we admitted the process that it follows. So nothing that
// was recorded can be played again after a restart of either side, and no packet of a
// process that ended, however late it comes, can put it in the place of its successor.
func (m *machine) admit(now time.Duration, p *peer, h *heartbeat) Drop {
	switch {
	case h.Boot == 0:
		return DropMalformed
	case h.Boot == p.boot && h.Stamp <= p.stamp:
		// Strictly newer, without the usual window for packets that overtook each other:
		// what an older one says is outdated.
		return DropRepeated
	case h.Boot == p.boot:
		return ""
	case h.To == everyone:
		return DropUnproven
	case h.Boot == p.unprovenBoot && h.Stamp <= p.unprovenStamp:
		return DropRepeated
	case !m.recent(now, h):
		p.unprovenBoot, p.unprovenStamp = h.Boot, h.Stamp
		return DropUnproven
	case h.EchoStamp <= p.admitted:
		return DropOldBoot
	}
	p.boot, p.stamp, p.echoed, p.admitted = h.Boot, 0, 0, m.stamp
	p.overheard, p.groupStamp = never, 0
	p.unprovenBoot, p.unprovenStamp = 0, 0
	return ""
}

// recent tells whether the echo in h is of a packet that we sent not long ago, and
// sent at all.
func (m *machine) recent(now time.Duration, h *heartbeat) bool {
	return h.EchoBoot == m.boot && h.EchoStamp <= m.stamp && micros(now)-min(h.EchoStamp, micros(now)) <= uint64(proof/time.Microsecond)
}

// noteEcho takes what a heartbeat to us alone says of our own.
func (m *machine) noteEcho(at time.Duration, p *peer, h *heartbeat) {
	p.hearsUs, p.reached = false, false
	if h.EchoBoot != m.boot || h.EchoStamp > m.stamp {
		return
	}
	p.echoed = max(p.echoed, h.EchoStamp)
	p.hearsUs = h.EchoStamp >= micros(m.woke) && h.Age < tooOld
	p.heardUs = at - time.Duration(h.Age)*time.Millisecond
	p.told, p.reached = at, h.Reached
}

// alive takes a sign of life that was given at a time: heard by us, or by a witness.
// Whoever does not count returns after some in a row.
func (m *machine) alive(now time.Duration, p *peer, at time.Duration, witness *peer, minority bool) {
	if at <= p.life {
		return
	}
	gap := at - p.life
	p.life, p.witness, p.minority = at, witness, minority
	if p.state.present() {
		return
	}
	switch {
	case gap >= m.timing.Suspect:
		p.row, p.rowAt = 1, at
	case at-p.rowAt >= m.timing.Interval/2: // answers to questions are no heartbeats
		p.row, p.rowAt = p.row+1, at
	}
	if p.row < rowToReturn {
		return
	}
	p.row = 0
	m.count(p, true)
	m.enter(now, p, Alive, "heard again and again")
}

// testify takes the word of a witness for a node, which came at a time.
func (m *machine) testify(now, at time.Duration, witness *peer, h hearing) {
	p := m.byID[h.Node]
	if p == nil || p == witness {
		return
	}
	// Who left is gone for its neighbours at the same time, save for what they said
	// just before.
	if p.state == Left && now-p.since < m.timing.Settle {
		return
	}
	m.alive(now, p, at-time.Duration(h.Age)*time.Millisecond, witness, h.Minority)
	m.judge(now, p)
}

func (m *machine) bidFarewell(now time.Duration, p *peer) {
	p.life, p.witness, p.row = now, nil, 0
	m.count(p, false)
	m.enter(now, p, Left, "said goodbye")
}
