package liveness

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pressroom is a segment in virtual time whose nodes exchange news, over links that
// lose, delay, reorder and repeat packets. Their heartbeats are as the machine takes
// them: of the newest process, each newer than the last. The same seed gives the same
// run.
type pressroom struct {
	rapid.TB
	now      time.Duration
	random   *rand.Rand
	nodes    []*reporter
	codec    *codec
	mail     []delivery // by time
	loss     float64
	repeat   float64
	jitter   time.Duration
	toil     time.Duration            // what it takes a node to read a packet
	lose     func(l *newsPacket) bool // loses more, where it is set
	group    bool                     // the nodes use a group
	deaf     bool                     // and nothing comes through it
	packets  int                      // sent so far
	requests int
}

// reporter is a node of the pressroom.
type reporter struct {
	name      string
	boot      uint64
	exchange  *exchange
	began     time.Duration
	up        bool
	beat      time.Duration // when the next heartbeat is due
	busy      time.Duration // until when it reads
	published map[uint64][][]byte
	admitted  map[nodeID][2]uint64 // boot, and when the last heartbeat was sent
}

// delivery is a packet that arrives at a node: a heartbeat where it is empty.
type delivery struct {
	at     time.Duration
	to     *reporter
	packet []byte
	late   bool // it came by the group, which is read now and then

	from         nodeID
	boot, number uint64
	sent         uint64
}

func newPressroom(t rapid.TB, seed uint64, nodes int) *pressroom {
	r := &pressroom{TB: t, random: rand.New(rand.NewPCG(seed, 7)), now: time.Second, codec: newCodec("test", Keyring{newKey})}
	for i := range nodes {
		r.nodes = append(r.nodes, &reporter{name: fmt.Sprint("node-", i), published: map[uint64][][]byte{}})
	}
	for _, n := range r.nodes {
		r.start(n)
	}
	return r
}

// acquainted is a pressroom in which all heard each other.
func acquainted(t rapid.TB, seed uint64, nodes int) *pressroom {
	r := newPressroom(t, seed, nodes)
	r.run(100 * ms)
	return r
}

func (r *pressroom) start(n *reporter) {
	n.boot++ // grows, so that the pressroom knows the newer process
	n.began = r.now - time.Duration(r.random.Int64N(int64(time.Second)))
	n.exchange = newExchange(n.name, n.boot)
	n.admitted, n.up = map[nodeID][2]uint64{}, true
	n.beat = r.now + time.Duration(r.random.Int64N(int64(50*ms)))
	var names []string
	for _, o := range r.nodes {
		names = append(names, o.name)
	}
	n.exchange.SetPeers(names)
}

func (r *pressroom) publish(n *reporter, news []byte) {
	if n.exchange.Publish(r.now-n.began, news, r.grouped) {
		n.published[n.boot] = append(n.published[n.boot], news)
	}
}

func (r *pressroom) grouped(nodeID) bool { return r.group }

// essay is news of a size, other than any before.
func (r *pressroom) essay(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.random.Uint32())
	}
	return b
}

// run lets time go by.
func (r *pressroom) run(d time.Duration) {
	for end := r.now + d; ; {
		at := end
		if len(r.mail) > 0 {
			at = min(at, r.mail[0].at)
		}
		for _, n := range r.nodes {
			if n.up {
				at = min(at, n.beat, n.exchange.Next()+n.began)
			}
		}
		r.now = max(r.now, at)
		for len(r.mail) > 0 && r.mail[0].at <= r.now {
			d := r.mail[0]
			r.mail = r.mail[1:]
			if d.to.up {
				r.arrive(d)
			}
		}
		for _, n := range r.nodes {
			if n.up {
				r.work(n)
			}
		}
		if r.now >= end {
			return
		}
	}
}

// work does what is due at a node.
func (r *pressroom) work(n *reporter) {
	if r.now >= n.beat {
		n.beat = r.now + 50*ms
		for _, to := range r.nodes {
			if to != n {
				r.carry(delivery{to: to, from: n.exchange.self, boot: n.boot, number: n.exchange.number, sent: uint64(r.now)})
			}
		}
	}
	if r.now < n.exchange.Next()+n.began {
		return
	}
	for _, d := range n.exchange.Step(r.now-n.began, nil) {
		r.packets++
		if d.packet.Kind == newsRequest {
			r.requests++
		}
		for _, to := range r.nodes {
			meant := to.exchange.self == d.packet.To || d.packet.To == everyone && to != n && !r.deaf
			if meant && (r.lose == nil || !r.lose(&d.packet)) {
				r.carry(delivery{to: to, packet: r.codec.sealNews(nil, &d.packet), late: d.packet.To == everyone})
			}
		}
	}
	if next := n.exchange.Next() + n.began; next <= r.now {
		r.Fatalf("%s: after Step at %s the next is due at %s", n.name, r.now, next)
	}
}

func (r *pressroom) carry(d delivery) {
	for again := true; again; again = r.random.Float64() < r.repeat {
		if r.random.Float64() < r.loss {
			continue
		}
		d.at = r.now + 50*time.Microsecond
		if r.jitter > 0 {
			d.at += time.Duration(r.random.Int64N(int64(r.jitter)))
		}
		if d.late {
			d.at = d.at.Truncate(nap) + nap
		}
		if r.toil > 0 {
			d.at = max(d.at, d.to.busy) + r.toil
			d.to.busy = d.at
		}
		i, _ := slices.BinarySearchFunc(r.mail, d.at+1, func(d delivery, at time.Duration) int { return int(d.at - at) })
		r.mail = slices.Insert(r.mail, i, d)
	}
}

func (r *pressroom) arrive(d delivery) {
	n := d.to
	now := r.now - n.began
	if d.packet == nil {
		last := n.admitted[d.from]
		if d.boot > last[0] || d.boot == last[0] && d.sent > last[1] {
			n.admitted[d.from] = [2]uint64{d.boot, d.sent}
			n.exchange.Heard(now, d.from, d.boot, d.number)
		}
	} else {
		r.take(n, d.packet)
	}
	r.verify(n)
}

func (r *pressroom) take(n *reporter, packet []byte) (bool, Drop) {
	var l newsPacket
	if drop := r.codec.openNews(packet, &l); drop != "" {
		r.Fatalf("a packet of ours is dropped: %s", drop)
	}
	return n.exchange.Receive(r.now-n.began, &l)
}

// verify checks that all a node holds was published like that, by the process that its
// heartbeats come from.
func (r *pressroom) verify(n *reporter) {
	for _, o := range r.nodes {
		c := n.exchange.byID[o.exchange.self]
		if c == nil {
			continue
		}
		if c.boot != n.admitted[c.id][0] {
			r.Fatalf("%s talks to process %d of %s, its heartbeats are of %d", n.name, c.boot, o.name, n.admitted[c.id][0])
		}
		news, ok := n.exchange.News(c.id)
		if !ok {
			continue
		}
		if said := o.published[c.boot]; c.held > uint64(len(said)) || !bytes.Equal(news, said[c.held-1]) {
			r.Fatalf("%s holds news %d of %s's process %d, %d octets, that were never published so", n.name, c.held, o.name, c.boot, len(news))
		}
	}
}

// knows tells whether all that are up have the newest news of a node.
func (r *pressroom) knows(of *reporter) bool {
	for _, n := range r.nodes {
		if n == of || !n.up {
			continue
		}
		news, ok := n.exchange.News(of.exchange.self)
		if ok != (of.exchange.number > 0) || !bytes.Equal(news, of.exchange.news) {
			return false
		}
	}
	return true
}

// until runs until a condition holds, and tells how long that took.
func (r *pressroom) until(limit time.Duration, what string, done func() bool) time.Duration {
	r.Helper()
	for start := r.now; ; r.run(ms / 4) {
		if done() {
			return r.now - start
		}
		if r.now-start > limit {
			r.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// A node that is too busy to read what it has must not ask for the same again and again.
func TestSlowReadersAreNotBuried(t *testing.T) {
	for _, toil := range []time.Duration{ms / 5, ms, 5 * ms} {
		r := acquainted(t, 1, 20)
		r.toil = toil
		for _, n := range r.nodes {
			r.publish(n, r.essay(25_000))
		}
		took := r.until(30*time.Second, "all of all", func() bool {
			return !slices.ContainsFunc(r.nodes, func(n *reporter) bool { return !r.knows(n) })
		})
		least := 20 * 19 * fragmentsOf(25_000)
		waste := float64(r.packets)/float64(least) - 1
		t.Logf("%s a packet: with all after %s of at least %s; %.0f %% of the packets were in vain",
			toil, took, toil*time.Duration(least/20), 100*waste)
		if waste > .2 {
			t.Errorf("%d packets, %d would do", r.packets, least)
		}
	}
}

// Whatever is lost, overtaken, repeated or restarted: what is held was published so, and
// in the end all hold the newest.
func TestNewsConvergeToTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newPressroom(t, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(2, 4).Draw(t, "nodes"))
		r.group, r.deaf = rapid.Bool().Draw(t, "group"), rapid.Bool().Draw(t, "deaf")
		r.loss = rapid.Float64Range(0, .2).Draw(t, "loss")
		r.repeat = rapid.Float64Range(0, .3).Draw(t, "repeat")
		r.jitter = time.Duration(rapid.IntRange(0, 30).Draw(t, "jitter")) * ms
		for range rapid.IntRange(1, 15).Draw(t, "deeds") {
			n := rapid.SampledFrom(r.nodes).Draw(t, "node")
			switch rapid.IntRange(0, 4).Draw(t, "deed") {
			case 0:
				n.up = false
			case 1:
				r.start(n)
			default:
				if n.up {
					r.publish(n, r.essay(rapid.SampledFrom([]int{0, 1, fragmentSize, fragmentSize + 1, 10_000, 30_000}).Draw(t, "size")))
				}
			}
			r.run(time.Duration(rapid.IntRange(0, 120).Draw(t, "pause")) * ms)
		}
		for _, n := range r.nodes {
			if !n.up {
				r.start(n)
			}
		}
		r.until(5*time.Second, "all have the newest of all", func() bool {
			return !slices.ContainsFunc(r.nodes, func(n *reporter) bool { return !r.knows(n) })
		})
	})
}

func TestNewsOutlastLoss(t *testing.T) {
	for _, c := range []struct {
		loss   float64
		size   int
		median time.Duration
		limit  time.Duration
	}{
		{0, 25_000, 20 * ms, 20 * ms},
		{.01, 25_000, 30 * ms, 100 * ms},
		{.2, 25_000, 150 * ms, 400 * ms},
		{.01, 500, 20 * ms, 100 * ms},
		{.2, newsMax, 400 * ms, 800 * ms},
	} {
		var took []time.Duration
		for seed := range uint64(20) {
			r := acquainted(t, seed, 20)
			if c.size == newsMax {
				r = acquainted(t, seed, 3)
			}
			r.loss, r.jitter = c.loss, ms
			r.publish(r.nodes[0], r.essay(c.size))
			took = append(took, r.until(c.limit, fmt.Sprintf("%d octets at %v loss", c.size, c.loss), func() bool { return r.knows(r.nodes[0]) }))
		}
		slices.Sort(took)
		median, worst := took[len(took)/2], took[len(took)-1]
		t.Logf("%6d octets, %2.0f %% loss: with all after %s (median), %s (worst of %d)", c.size, 100*c.loss, median, worst, len(took))
		if median > c.median {
			t.Errorf("%d octets at %v loss take %s", c.size, c.loss, median)
		}
	}
}

func TestPublishingTheSameAgainSendsNothing(t *testing.T) {
	r := acquainted(t, 1, 3)
	a := r.nodes[0]
	r.publish(a, []byte("the same"))
	r.run(time.Second)
	sent := r.packets
	r.publish(a, []byte("the same"))
	r.run(time.Second)
	if r.packets != sent || a.exchange.number != 1 {
		t.Errorf("%d packets, number %d", r.packets-sent, a.exchange.number)
	}
	if want := 2 * 2; sent != want { // to two peers, each with its probe
		t.Errorf("%d packets for one fragment without loss, want %d", sent, want)
	}
}

func TestEmptyNewsAreNews(t *testing.T) {
	r := acquainted(t, 1, 2)
	a, b := r.nodes[0], r.nodes[1]
	r.publish(a, nil)
	r.run(10 * ms)
	if news, ok := b.exchange.News(a.exchange.self); !ok || len(news) != 0 {
		t.Errorf("%q, %v", news, ok)
	}
}

func TestNewerNewsReplaceThoseUnderWay(t *testing.T) {
	r := acquainted(t, 1, 20)
	a := r.nodes[0]
	old, newer := r.essay(25_000), r.essay(25_000)
	r.publish(a, old)
	r.run(5 * ms)
	r.publish(a, newer)
	r.lose = func(l *newsPacket) bool {
		if l.Kind == newsFragment && l.Number == 1 {
			t.Error("what was replaced is still sent")
		}
		return false
	}
	r.until(20*ms, "the newer", func() bool { return r.knows(a) })

	r.group, r.lose = true, nil
	a.exchange.Publish(r.now-a.began, r.essay(25_000), r.grouped)
	a.exchange.Step(r.now-a.began, nil)
	r.group = false
	r.publish(a, []byte("short"))
	r.now += 5 * ms
	for _, s := range a.exchange.Step(r.now-a.began, nil) {
		if s.packet.To == everyone {
			t.Error("what was replaced is still sent to the group")
		}
	}
}

func TestPeersTakeTurns(t *testing.T) {
	r := acquainted(t, 1, 20)
	a := r.nodes[0]
	a.exchange.Publish(r.now-a.began, r.essay(25_000), r.grouped)
	count := map[nodeID]int{}
	for _, s := range a.exchange.Step(r.now-a.began, nil) {
		count[s.packet.To]++
	}
	for id, n := range count {
		if n > (newsBurst+18)/19 {
			t.Errorf("%d of the first %d packets are for %x", n, newsBurst, id)
		}
	}
	if len(count) != 19 {
		t.Errorf("the first %d packets are for %d peers", newsBurst, len(count))
	}
}

func TestGroupGetsEachFragmentOnce(t *testing.T) {
	r := acquainted(t, 1, 20)
	r.group = true
	a := r.nodes[0]
	count := map[nodeID]int{}
	r.lose = func(l *newsPacket) bool { count[l.To]++; return false }
	r.publish(a, r.essay(25_000))
	if took := r.until(2*nap, "the news", func() bool { return r.knows(a) }); count[everyone] != 19*fragmentsOf(25_000) || len(count) != 1 {
		t.Errorf("after %s, packets taken by receivers: %v", took, count)
	}
	r.run(nap + newsProbe + ms)
	if len(count) != 20 || count[everyone] != 19*fragmentsOf(25_000) {
		t.Errorf("with the probes: %v", count)
	}
}

// A switch lets a group through for minutes, and then no longer.
func TestGroupThatFailsIsMadeUpFor(t *testing.T) {
	r := acquainted(t, 1, 20)
	r.group, r.deaf = true, true
	a := r.nodes[0]
	r.publish(a, r.essay(25_000))
	took := r.until(60*ms, "the news", func() bool { return r.knows(a) })
	t.Logf("25 KB were with 19 others after %s", took)
}

// Who is heard, but not through the group, gets fragments of its own.
func TestWhoMissesTheGroupIsSentNewsAlone(t *testing.T) {
	r := acquainted(t, 1, 6)
	a, b := r.nodes[0], r.nodes[1]
	a.exchange.Publish(r.now-a.began, r.essay(25_000), func(id nodeID) bool { return id != b.exchange.self })
	got := map[nodeID]int{}
	for range 100 {
		for _, s := range a.exchange.Step(r.now-a.began, nil) {
			got[s.packet.To]++
		}
		r.now += ms / 10
	}
	if want := map[nodeID]int{everyone: fragmentsOf(25_000), b.exchange.self: fragmentsOf(25_000)}; !maps.Equal(got, want) {
		t.Errorf("packets to %v, want %v", got, want)
	}
}

// The group is read now and then, a node's own socket at once.
func TestShortNewsDoNotWaitForTheGroup(t *testing.T) {
	r := acquainted(t, 1, 20)
	r.group = true
	a := r.nodes[0]
	r.lose = func(l *newsPacket) bool {
		if l.To == everyone {
			t.Errorf("fragment %d goes to the group", l.Index)
		}
		return false
	}
	r.publish(a, r.essay(3*fragmentSize))
	r.until(ms, "the news", func() bool { return r.knows(a) })
}

// Nothing tells who lost the only fragment that there was anything, before the next
// heartbeat.
func TestLostEndIsRepeatedBeforeTheNextHeartbeat(t *testing.T) {
	r := acquainted(t, 1, 2)
	a := r.nodes[0]
	r.until(time.Second, "a heartbeat just went", func() bool { return a.beat-r.now > 45*ms })
	lost := 0
	r.lose = func(*newsPacket) bool { lost++; return lost == 1 }
	r.publish(a, []byte("short"))
	if took := r.until(20*ms, "the short news", func() bool { return r.knows(a) }); took < newsProbe {
		t.Errorf("after %s, and %d packets: nothing was lost", took, lost)
	}
}

func TestNewProcessesAskForNews(t *testing.T) {
	r := acquainted(t, 1, 3)
	a, b := r.nodes[0], r.nodes[1]
	r.publish(a, r.essay(25_000))
	r.until(20*ms, "the news", func() bool { return r.knows(a) })

	r.start(b) // which knows nothing
	if took := r.until(150*ms, "the news, again", func() bool { return r.knows(a) }); took == 0 {
		t.Error("a new process has old news")
	}

	r.start(a) // which has none, and of the former's nothing is left
	r.until(150*ms, "the news forgotten", func() bool {
		_, ok := b.exchange.News(a.exchange.self)
		return !ok
	})
	r.publish(a, []byte("of a new process"))
	r.until(150*ms, "its news", func() bool { return r.knows(a) })
}

func TestNoMorePacketsAtOnceThanBuffersHold(t *testing.T) {
	r := acquainted(t, 1, 20)
	a := r.nodes[0]
	a.exchange.Publish(r.now-a.began, r.essay(newsMax), r.grouped)
	start, sent := r.now-a.began, 0
	for now := start; !r.knows(a) && now < start+time.Second; now = max(a.exchange.Next(), now+ms/10) {
		sent += len(a.exchange.Step(now, nil))
		if most := newsBurst + int((now-start)/newsEvery) + 1; sent > most {
			t.Fatalf("%d packets within %s, want %d at most", sent, now-start, most)
		}
	}
	if want := 19 * fragmentsMax; sent < want { // and probes
		t.Errorf("%d packets in a second, want %d", sent, want)
	}
}

func TestSilentPeersAreNotAskedForEver(t *testing.T) {
	r := acquainted(t, 1, 2)
	a, b := r.nodes[0], r.nodes[1]
	r.lose = func(l *newsPacket) bool { return l.Kind == newsFragment }
	r.publish(a, []byte("never comes"))
	r.run(200 * ms)
	a.up = false
	r.run(newsHeard)
	before := r.requests
	r.run(10 * time.Second)
	if before < 5 || r.requests != before {
		t.Errorf("%d requests while it was heard, %d after", before, r.requests-before)
	}
	b.exchange.Heard(r.now-b.began, a.exchange.self, a.boot, 1)
	b.exchange.Publish(r.now-b.began, r.essay(25_000), r.grouped) // which it does not get to send
	r.now += newsHeard
	b.exchange.Publish(r.now-b.began, []byte("to nobody"), r.grouped)
	if out := b.exchange.Step(r.now-b.began, nil); len(out) != 0 {
		t.Errorf("%d packets to a peer that is silent", len(out))
	}
}

func TestAnotherAddressIsTriedWhereNewsWereLost(t *testing.T) {
	r := acquainted(t, 1, 2)
	a, b := r.nodes[0], r.nodes[1]
	a.exchange.Publish(r.now-a.began, []byte("news"), r.grouped)
	if out := a.exchange.Step(r.now-a.began, nil); len(out) != 1 || out[0].attempt != 0 {
		t.Fatalf("%+v", out)
	}
	b.exchange.Heard(r.now-b.began, a.exchange.self, a.boot, 1)
	for i := range 3 {
		r.now += max(newsAskEvery, newsQuiet)
		asked := b.exchange.Step(r.now-b.began, nil)
		if len(asked) != 1 || asked[0].attempt != i {
			t.Fatalf("request %d: %+v", i, asked)
		}
		if _, drop := a.exchange.Receive(r.now-a.began, &asked[0].packet); drop != "" {
			t.Fatal(drop)
		}
		if out := a.exchange.Step(r.now-a.began, nil); len(out) != 1 || out[0].attempt != i+1 {
			t.Fatalf("answer %d: %+v", i, out)
		}
	}
}
