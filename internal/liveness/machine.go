package liveness

import (
	"cmp"
	"slices"
	"time"
)

// machine decides who lives. It is pure: time and heartbeats come in, heartbeats and
// verdicts go out. Time is the time that passed on this node's monotonic clock since
// the process began, so no step of the wall clock can reach it.
//
// Its users call Receive for every heartbeat and Step no later than Next.
type machine struct {
	timing Timing
	self   nodeID
	boot   uint64
	dice   dice

	peers []*peer // by name
	byID  map[nodeID]*peer

	started  bool
	next     time.Duration // when Step is due
	nextBeat time.Duration
	stamp    uint64

	// calm is when this process last woke up late, woke when it last woke up so late
	// that others may have counted it out.
	calm, woke time.Duration
	askAll     bool

	// segment is how many nodes belong together, this one among them.
	segment      int
	quorate      bool
	quorateSince time.Duration
	term         uint64 // how often the quorum was lost

	group bool // heartbeats to the group leave this node
	beats int  // heartbeats so far, so that peers take turns

	news uint64 // number of what this node published last; zero before the first

	leaving    bool
	leaveStamp uint64 // of the first goodbye

	round  int      // of questions, so that they take turns
	asked  []nodeID // who is not heard
	events []event

	answers []hearing // backs the lists of packets until the next call
}

// event is a change that an operator may want to know.
type event struct {
	Node   string // empty is this node
	State  State  // of the node
	Before State
	Why    string
	// Quorum tells, where Node is empty, whether this node has it now.
	Quorum bool
	// Slept is how late this process woke up, where that is what happened.
	Slept time.Duration
}

// send is a heartbeat on its way. Its lists are valid until the next call.
type send struct {
	to   nodeID
	beat heartbeat
}

func newMachine(node string, boot uint64, t Timing) *machine {
	return &machine{
		timing: t.withDefaults(), self: idOf(node), boot: boot, dice: dice(boot),
		byID: map[nodeID]*peer{}, segment: 1, quorate: true, calm: never, asked: make([]nodeID, 0, listMax),
	}
}

// SetPeers replaces the nodes that should be there. This node may be among them.
func (m *machine) SetPeers(now time.Duration, names []string) {
	wanted := map[nodeID]bool{}
	for _, name := range names {
		id := idOf(name)
		wanted[id] = true
		if id != m.self && m.byID[id] == nil {
			p := newPeer(name, now)
			m.byID[id] = p
			m.peers = append(m.peers, p)
		}
	}
	m.peers = slices.DeleteFunc(m.peers, func(p *peer) bool {
		if wanted[p.id] {
			return false
		}
		delete(m.byID, p.id)
		m.events = append(m.events, event{Node: p.name, State: Unheard, Before: p.state, Why: "no longer among the peers"})
		return true
	})
	m.segment = 1
	for _, p := range m.peers {
		if p.counted {
			m.segment++
		}
		if p.witness != nil && m.byID[p.witness.id] == nil {
			p.witness = nil
		}
	}
	slices.SortFunc(m.peers, func(a, b *peer) int { return cmp.Compare(a.name, b.name) })
	if m.started {
		m.countQuorum(now)
		m.next = min(m.next, m.nextBeat)
	}
}

// Leave says goodbye from now on. Farewell tells when all have heard it.
func (m *machine) Leave(now time.Duration) {
	if !m.leaving {
		m.leaving = true
		m.leaveStamp = max(m.stamp+1, micros(now))
		m.nextBeat, m.next = min(now, m.nextBeat), min(now, m.next)
	}
}

// Farewell tells whether everybody who is there heard the goodbye.
func (m *machine) Farewell(now time.Duration) bool {
	return m.leaving && !slices.ContainsFunc(m.peers, func(p *peer) bool {
		return p.state.present() && now-m.heardOf(p) < m.timing.Dead && p.echoed < m.leaveStamp
	})
}

// Next is when Step is due.
func (m *machine) Next() time.Duration { return m.next }

// Step does what is due, and appends the heartbeats to send.
func (m *machine) Step(now time.Duration, out []send) []send {
	m.wake(now)
	m.answers = m.answers[:0]
	m.next = now + time.Hour
	for _, p := range m.peers {
		m.judge(now, p)
	}
	m.countQuorum(now)
	beat := now >= m.nextBeat
	if beat {
		m.nextBeat = now + m.dice.around(m.pace(now))
		m.beats++
	}
	m.at(now, m.nextBeat)
	m.collectAsked(now)
	if beat && m.grouped() {
		out = append(out, m.shout(now))
	}
	for i, p := range m.peers {
		turn := (m.beats+i)%m.turns(now, p) == 0
		if p.due || m.askAll || beat && (turn || !m.spared(now, p)) {
			out = append(out, m.to(now, p, p.due || m.askAll || m.leaving || m.overdue(now, p)))
		}
		p.due = false
	}
	m.askAll = false
	return out
}

// pace is the interval between heartbeats; goodbyes go out like questions until all
// have heard.
func (m *machine) pace(now time.Duration) time.Duration {
	if m.leaving && !m.Farewell(now) {
		return m.timing.AskEvery
	}
	return m.timing.Interval
}

// at makes Step due at t, unless that is past: what was due then was done.
func (m *machine) at(now, t time.Duration) {
	if t > now && t < m.next {
		m.next = t
	}
}

// wake notes how late this process is. Silence that it slept through says nothing.
func (m *machine) wake(now time.Duration) {
	if !m.started {
		m.started, m.nextBeat, m.next = true, now, now
		return
	}
	late := now - m.next
	if late < m.timing.Late {
		return
	}
	m.calm, m.next = now, now
	if late >= m.timing.Asleep {
		// The others may have counted us out. Only an echo of what we say from now on
		// tells that they count us in; ask for it.
		m.woke, m.askAll = now, true
		for _, p := range m.peers {
			p.hearsUs = false
		}
		m.countQuorum(now)
		m.next = now
	}
	m.events = append(m.events, event{Slept: late, Quorum: m.quorate})
}

// to makes a heartbeat for p.
func (m *machine) to(now time.Duration, p *peer, ask bool) send {
	m.stamp = max(m.stamp+1, micros(now))
	h := heartbeat{
		Leaving: m.leaving, Minority: m.resigned(now), Ask: ask, Reached: m.reaches(now, p),
		To: p.id, From: m.self, Boot: m.boot, Stamp: m.stamp,
		EchoBoot: p.boot, EchoStamp: p.stamp, News: m.news, Age: tooOld, Asked: m.asked,
	}
	if p.heard > never {
		// Who wakes up does not tell the others that they are not heard: it did not listen.
		h.Age = ageIn(now - m.heardOf(p))
	}
	// While the process that we know goes on, nobody can put another in its place.
	if p.unprovenBoot != 0 && (p.boot == 0 || now-m.heardOf(p) >= m.timing.Ask) {
		h.EchoBoot, h.EchoStamp = p.unprovenBoot, p.unprovenStamp
	}
	start := len(m.answers)
	for _, id := range p.asked {
		if about := m.byID[id]; about != nil && about.state != Left && now-about.heard < m.timing.Dead {
			m.answers = append(m.answers, hearing{Node: id, Age: ageIn(now - about.heard), Minority: about.minority})
		}
	}
	h.Heard = m.answers[start:len(m.answers):len(m.answers)]
	return send{p.id, h}
}

// enter changes the state of p.
func (m *machine) enter(now time.Duration, p *peer, s State, why string) {
	if p.state == s {
		return
	}
	m.events = append(m.events, event{Node: p.name, State: s, Before: p.state, Why: why})
	p.state, p.since, p.why = s, now, why
}

// Events hands over what happened since the last call.
func (m *machine) Events() []event {
	events := m.events
	m.events = nil
	return events
}

// count makes p part of the segment, or no longer.
func (m *machine) count(p *peer, counted bool) {
	if p.counted == counted {
		return
	}
	p.counted = counted
	if counted {
		m.segment++
	} else {
		m.segment--
	}
}

func micros(now time.Duration) uint64 { return uint64(max(now, 0) / time.Microsecond) }
