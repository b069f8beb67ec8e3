package liveness

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

// network is a segment in virtual time: every node runs the machine, links lose and
// delay what they carry. The same seed gives the same run.
type network struct {
	testing.TB
	now    time.Duration
	random *rand.Rand
	nodes  []*host
	byID   map[nodeID]*host
	// wheel holds what is going to happen, by time: each slot what falls on one spoke of
	// every turn. A heap would take most of the time of a day.
	wheel  [256][]occasion
	spoke  time.Duration // of the turn, in spokes, that is looked at next
	serial uint64
	loss   float64
	jitter time.Duration
	cut    [][]bool // from, to
	// shun is where heartbeats to the group do not arrive, from, to; nil is nowhere at all.
	shun   [][]bool
	shouts int // heartbeats to the group sent; packets counts those to one
	// deafAlone tells where only heartbeats to the group arrive; nil is nowhere.
	deafAlone  func(from, to int) bool
	packets    int
	beats      []*heartbeat // to be used again
	scratch    []send
	onEvent    func(n *host, e event)
	onDelivery func(from, to int)
	// fumble is how late a node that works wakes up at most.
	fumble time.Duration
}

const spoke = 500 * time.Microsecond

// host is a node of the network.
type host struct {
	index   int
	name    string
	machine *machine
	began   time.Duration // zero of its clock
	boot    uint64
	up      bool
	frozen  bool
	mail    []occasion    // while frozen
	due     time.Duration // when the machine wants to step, by its clock
	planned time.Duration // when it will, as late as it is
}

// occasion is a packet that arrives, or a node's time to step where beat is nil.
type occasion struct {
	at     time.Duration
	serial uint64
	node   int
	boot   uint64
	from   int
	beat   *heartbeat
	came   time.Duration // when the beat came; it is read at at
}

func newNetwork(t testing.TB, seed uint64, nodes int) *network {
	w := &network{TB: t, random: rand.New(rand.NewPCG(seed, 1)), now: time.Second, byID: map[nodeID]*host{}}
	w.cut = make([][]bool, nodes)
	for i := range nodes {
		w.cut[i] = make([]bool, nodes)
		w.nodes = append(w.nodes, &host{index: i, name: fmt.Sprintf("node-%02d", i)})
	}
	for _, n := range w.nodes {
		w.byID[idOf(n.name)] = n
		w.start(n)
	}
	if seed%2 == 1 { // so that every test that tries many sees both kinds of segment
		w.regroup(openGroup)
	}
	return w
}

// settled is a network in which all know each other.
func settled(t testing.TB, seed uint64, nodes int) *network {
	w := newNetwork(t, seed, nodes)
	w.run(time.Second + time.Duration(w.random.Int64N(int64(50*ms))))
	w.expectAllAlive()
	return w
}

func (w *network) start(n *host) {
	n.boot = w.random.Uint64() | 1
	n.began = w.now - time.Duration(w.random.Int64N(int64(time.Second)))
	n.machine = newMachine(n.name, n.boot, Timing{})
	var names []string
	for _, o := range w.nodes {
		names = append(names, o.name)
	}
	n.machine.SetPeers(w.now-n.began, names)
	n.machine.SetGroup(w.shun != nil)
	n.up, n.frozen, n.mail, n.due = true, false, nil, never
	n.planned = w.now + time.Duration(w.random.Int64N(int64(20*ms)))
	w.push(occasion{at: n.planned, node: n.index, boot: n.boot})
}

func (w *network) crash(n *host) { n.up = false }
func (w *network) freeze(n *host) {
	n.frozen = true
}

func (w *network) thaw(n *host) {
	n.frozen = false
	// The socket's buffer is read as fast as it goes, while the timer fires.
	mail := n.mail
	n.mail = nil
	first := w.random.IntN(2) == 0
	if first {
		w.step(n)
	}
	for _, o := range mail {
		if o.beat.To != everyone {
			o.came = w.now // which is when it is read
		}
		w.receive(n, &o)
	}
	if !first {
		w.step(n)
	}
}

// partition cuts all links between the groups that of tells, both ways.
func (w *network) partition(of func(i int) int) {
	for i := range w.cut {
		for j := range w.cut {
			w.cut[i][j] = of(i) != of(j)
		}
	}
}

// regroup lets heartbeats to the group through everywhere but where blocked tells.
func (w *network) regroup(blocked func(from, to int) bool) {
	if w.shun == nil {
		w.shun = make([][]bool, len(w.nodes))
		for i := range w.shun {
			w.shun[i] = make([]bool, len(w.nodes))
		}
		for _, n := range w.nodes {
			n.machine.SetGroup(true)
		}
	}
	for i := range w.shun {
		for j := range w.shun {
			w.shun[i][j] = blocked(i, j)
		}
	}
}

func (w *network) heal() { w.partition(func(int) int { return 0 }) }

// run lets time go by.
func (w *network) run(d time.Duration) {
	for end := w.now + d; ; {
		o, ok := w.pop(end)
		if !ok {
			w.now = end
			return
		}
		if o.at < w.now {
			w.Fatalf("time goes back from %s to %s", w.now, o.at)
		}
		w.now = o.at
		n := w.nodes[o.node]
		switch {
		case !n.up, o.beat == nil && (o.boot != n.boot || n.frozen || o.at != n.planned):
		case o.beat == nil:
			w.step(n)
		case n.frozen:
			n.mail = append(n.mail, o)
			continue
		default:
			if w.onDelivery != nil {
				w.onDelivery(o.from, o.node)
			}
			w.receive(n, &o)
		}
		if o.beat != nil {
			w.beats = append(w.beats, o.beat)
		}
	}
}

// until runs until a condition holds, looking every millisecond, and tells how long
// that took.
func (w *network) until(limit time.Duration, what string, done func() bool) time.Duration {
	w.Helper()
	for start := w.now; ; w.run(ms) {
		if done() {
			return w.now - start
		}
		if w.now-start > limit {
			w.Fatalf("%s: not within %s\n%s", what, limit, w)
		}
	}
}

func (w *network) step(n *host) {
	w.scratch = n.machine.Step(w.now-n.began, w.scratch[:0])
	w.carry(n)
}

func (w *network) receive(n *host, o *occasion) {
	var drop Drop
	w.scratch, drop = n.machine.Receive(w.now-n.began, o.came-n.began, o.beat, 0, w.scratch[:0])
	if drop == DropNotForUs || drop == DropStranger {
		w.Fatalf("%s drops: %s", n.name, drop)
	}
	w.carry(n)
}

func (w *network) carry(n *host) {
	for i := range w.scratch {
		s := &w.scratch[i]
		if s.to == everyone {
			w.shouts++
		} else {
			w.packets++
		}
		if s.to != everyone {
			if to := w.byID[s.to]; w.deafAlone == nil || !w.deafAlone(n.index, to.index) {
				w.send(n, to, &s.beat)
			}
			continue
		}
		for _, to := range w.nodes {
			if to != n && !w.shun[n.index][to.index] {
				w.send(n, to, &s.beat)
			}
		}
	}
	for _, e := range n.machine.Events() {
		if w.onEvent != nil {
			w.onEvent(n, e)
		}
	}
	if n.machine.Next() == n.due && n.planned >= w.now {
		return
	}
	n.due = n.machine.Next()
	at := n.due + n.began
	if w.fumble > 0 {
		at += time.Duration(w.random.Int64N(int64(w.fumble)))
	}
	if at = max(at, w.now); n.planned != at {
		n.planned = at
		w.push(occasion{at: at, node: n.index, boot: n.boot})
	}
}

func (w *network) send(from, to *host, h *heartbeat) {
	if w.cut[from.index][to.index] || !to.up || w.random.Float64() < w.loss {
		return
	}
	var own *heartbeat
	if last := len(w.beats) - 1; last >= 0 {
		own, w.beats = w.beats[last], w.beats[:last]
	} else {
		own = &heartbeat{}
	}
	asked, heard := append(own.Asked[:0], h.Asked...), append(own.Heard[:0], h.Heard...)
	*own = *h
	own.Asked, own.Heard = asked, heard
	delay := 50 * time.Microsecond
	if w.jitter > 0 {
		delay += time.Duration(w.random.Int64N(int64(w.jitter)))
	}
	came := w.now + delay
	if w.jitter > 0 && h.To == everyone {
		delay += time.Duration(w.random.Int64N(int64(nap))) // until it is read
	}
	w.push(occasion{at: w.now + delay, node: to.index, from: from.index, beat: own, came: came})
}

func before(a, b *occasion) bool { return a.at < b.at || a.at == b.at && a.serial < b.serial }

func (w *network) push(o occasion) {
	if o.at-w.now >= spoke*time.Duration(len(w.wheel)-1) {
		w.Fatalf("%s from now is too far ahead for the wheel", o.at-w.now)
	}
	w.serial++
	o.serial = w.serial
	slot := &w.wheel[int(o.at/spoke)%len(w.wheel)]
	*slot = append(*slot, o)
}

// pop takes the next occasion that is not after end.
func (w *network) pop(end time.Duration) (next occasion, ok bool) {
	for ; w.spoke <= end/spoke; w.spoke++ {
		slot := &w.wheel[int(w.spoke)%len(w.wheel)]
		least := -1
		for i := range *slot {
			thisTurn := (*slot)[i].at/spoke == w.spoke
			if thisTurn && (least < 0 || before(&(*slot)[i], &(*slot)[least])) {
				least = i
			}
		}
		if least < 0 {
			continue
		}
		if next = (*slot)[least]; next.at > end {
			return next, false
		}
		last := len(*slot) - 1
		(*slot)[least] = (*slot)[last]
		*slot = (*slot)[:last]
		return next, true
	}
	w.spoke = end / spoke
	return next, false
}

func (w *network) state(of, about *host) State {
	return of.machine.byID[about.machine.self].state
}

// counts tells whether one node counts another in.
func (w *network) counts(of, about *host) bool { return w.state(of, about).counts() }

func (w *network) quorate(n *host) bool { return n.machine.Quorate(w.now - n.began) }

// all tells whether something holds of every ordered pair of nodes that work.
func (w *network) all(holds func(a, b *host) bool) bool {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b && a.up && !a.frozen && b.up && !b.frozen && !holds(a, b) {
				return false
			}
		}
	}
	return true
}

func (w *network) allAlive() bool {
	return w.all(func(a, b *host) bool { return w.state(a, b) == Alive && w.quorate(a) })
}

func (w *network) expectAllAlive() {
	w.Helper()
	if !w.allAlive() {
		w.Fatalf("not all alive:\n%s", w)
	}
}

// String draws who thinks what of whom.
func (w *network) String() string {
	s := fmt.Sprintf("at %s\n", w.now)
	for _, a := range w.nodes {
		s += fmt.Sprintf("%s up=%v frozen=%v quorate=%v segment=%d:", a.name, a.up, a.frozen, w.quorate(a), a.machine.segment)
		for _, b := range a.machine.peers {
			s += fmt.Sprintf(" %s(touch %d)", b.state, b.touch)
		}
		s += "\n"
	}
	return s
}
