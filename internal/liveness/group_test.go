package liveness

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// grouped is a network in which all reach all through the group, and know.
func grouped(t testing.TB, seed uint64, nodes int) *network {
	w := settled(t, seed, nodes)
	w.regroup(openGroup)
	w.run((trust + 2*sparse) * 50 * ms)
	if !w.all(func(a, b *host) bool { return w.spares(a, b) }) {
		t.Fatalf("not all reached through the group:\n%s", w)
	}
	return w
}

func openGroup(_, _ int) bool { return false }

// spares tells whether from sends to the other through the group only, most of the time.
func (w *network) spares(from, to *host) bool {
	return from.machine.spared(w.now-from.began, from.machine.byID[to.machine.self])
}

// expectNoVerdict fails the test when a node counts another out, or itself.
func (w *network) expectNoVerdict() {
	w.onEvent = func(n *host, e event) {
		switch {
		case e.Node == "" && e.Slept == 0 && !e.Quorum:
			w.Fatalf("%s at %s: %s\n%s", n.name, w.now, e.Why, w)
		case e.Node != "" && !e.State.counts():
			w.Fatalf("%s at %s: %s is %s, %s\n%s", n.name, w.now, e.Node, e.State, e.Why, w)
		}
	}
}

func TestGroupSparesNineOfTenPackets(t *testing.T) {
	for _, nodes := range []int{5, 20} {
		w := grouped(t, 1, nodes)
		w.packets, w.shouts = 0, 0
		w.run(10 * time.Second)
		each := float64(w.packets) / float64(nodes*(nodes-1)) / 10
		t.Logf("%d nodes: %.2f packets a second to each peer alone, %.2f to the group", nodes, each, float64(w.shouts)/float64(nodes)/10)
		if each > 2.1 {
			t.Errorf("%d nodes: %.2f packets a second to each peer alone", nodes, each)
		}
	}
}

func TestGroupIsNotUsedWhereItSavesNothing(t *testing.T) {
	w := settled(t, 1, groupMin)
	w.shouts = 0
	w.run(5 * time.Second)
	if w.shouts != 0 {
		t.Errorf("%d heartbeats to a group of %d", w.shouts, groupMin)
	}
}

// Who froze and comes back has its quorum at once. One whom it does not reach counted it
// out, and learns from the others alone that it is back.
func TestANodeThatOnlyOthersHearReturnsSoon(t *testing.T) {
	for _, nodes := range []int{5, 8, 20} {
		var took []time.Duration
		for seed := range uint64(seeds(t, 1000/nodes)) {
			w := grouped(t, seed, nodes)
			w.roughly()
			w.freeze(w.nodes[0])
			w.run(time.Second)
			w.cut[0][1] = true
			w.thaw(w.nodes[0])
			took = append(took, w.until(OverlapWithin, fmt.Sprintf("seed %d: return", seed), func() bool {
				return w.counts(w.nodes[1], w.nodes[0])
			}))
		}
		percentiles(t, fmt.Sprintf("%d nodes, back to counted in by hearsay", nodes), took)
	}
}

// A switch that snoops lets the group through for minutes, and then does not: for some
// or for all, from all or from one, and later again.
func TestGroupThatFailsKillsNobody(t *testing.T) {
	for seed := range uint64(seeds(t, 12)) {
		nodes := []int{5, 8, 20}[seed%3]
		w := grouped(t, seed, nodes)
		w.roughly()
		w.run(time.Second)
		w.expectNoVerdict()
		for range 20 {
			w.regroup(w.groupFault())
			w.run(time.Duration(w.random.IntN(3000)) * ms)
			w.regroup(openGroup)
			w.run(time.Duration(w.random.IntN(8000)) * ms)
		}
	}
}

// groupFault draws who does not hear whom through the group.
func (w *network) groupFault() func(from, to int) bool {
	one, share := w.random.IntN(len(w.nodes)), w.random.IntN(4)
	some := make([]bool, len(w.nodes)*len(w.nodes))
	for i := range some {
		some[i] = w.random.IntN(4) < share
	}
	return []func(from, to int) bool{
		func(_, _ int) bool { return true },
		func(from, _ int) bool { return from == one },
		func(_, to int) bool { return to == one },
		func(from, to int) bool { return some[to] || some[from] },
		func(from, to int) bool { return some[from*len(w.nodes)+to] },
		func(from, to int) bool { return from < one && to >= one },
	}[w.random.IntN(6)]
}

func TestWhoMissesTheGroupIsReachedAloneAtOnceAndByTheGroupLater(t *testing.T) {
	var away, again []time.Duration
	for seed := range uint64(seeds(t, 60)) {
		w := grouped(t, seed, 5+int(seed%4))
		w.jitter = 20 * ms
		w.run(time.Second)
		w.expectNoVerdict()
		from, to := w.nodes[0], w.nodes[1]
		w.regroup(func(f, t int) bool { return f == 0 && t == 1 })
		start, last := w.now, time.Duration(0)
		for range 6000 {
			w.run(ms)
			now, p := w.now-to.began, to.machine.byID[from.machine.self]
			if now-p.life > 160*ms {
				t.Fatalf("seed %d: no sign of life for %s", seed, now-p.life)
			}
			if from.machine.byID[to.machine.self].reached {
				last = w.now - start
			}
			if !w.spares(to, from) && last < w.now-start-time.Second {
				t.Fatalf("seed %d: the other direction is reached alone", seed)
			}
		}
		away = append(away, last)
		w.regroup(openGroup)
		again = append(again, w.until(5*time.Second, "reached by the group", func() bool { return w.spares(from, to) }))
	}
	if p99 := percentiles(t, "group stops to reached alone", away); p99 > 300*ms {
		t.Errorf("p99 is %s", p99)
	}
	if p99 := percentiles(t, "group works to reached by it", again); p99 > (trust+sparse)*50*ms+500*ms {
		t.Errorf("p99 is %s", p99)
	}
}

// Whoever is heard through the group, and does not hear alone, gives up as fast as if
// there were no group; whether it hears the lists of who is not heard, or not even that.
func TestNodeThatNobodyHearsGivesUpThoughItHearsTheGroup(t *testing.T) {
	for _, c := range []struct {
		name        string
		aloneDoesIt bool
		within      time.Duration
	}{{"by questions", true, 201 * ms}, {"by the list alone", false, 221 * ms}} {
		t.Run(c.name, func(t *testing.T) {
			var took []time.Duration
			for seed := range uint64(seeds(t, 200)) {
				w := grouped(t, seed, 5)
				mute := w.nodes[0]
				w.run(time.Duration(w.random.IntN(500)) * ms)
				for i := 1; i < 5; i++ {
					w.cut[0][i] = true
				}
				w.deafAlone = func(_, to int) bool { return to == 0 && !c.aloneDoesIt }
				took = append(took, w.until(time.Second, "gives up", func() bool { return !w.quorate(mute) }))
			}
			if percentiles(t, "cut to given up", took); took[len(took)-1] > c.within {
				t.Errorf("%s at most", took[len(took)-1])
			}
		})
	}
}

// A peer may have taken us from its list: then it sends us nothing alone, and does not
// miss us either.
func TestWhoSaysNothingToUsAloneIsNotInTouch(t *testing.T) {
	w := grouped(t, 1, 6)
	p := w.nodes[0].machine.byID[w.nodes[1].machine.self]
	w.deafAlone = func(from, to int) bool { return from == 1 && to == 0 }
	w.until((outdated+2)*50*ms, "not in touch", func() bool { return p.touch == deaf && p.state == Alive })
}

// Who does not hear a node asks others: those that are reached by the group must answer
// at once, and not when it is their turn to write.
func TestBrokenLinkBetweenTwoIsNoSuspicionWhereTheGroupIsUsed(t *testing.T) {
	w := grouped(t, 1, 8)
	w.jitter = 20 * ms
	w.cut[0][1], w.cut[1][0] = true, true
	w.run(time.Second)
	w.onEvent = func(n *host, e event) {
		if e.Node != "" {
			t.Fatalf("%s at %s: %s is %s, %s", n.name, w.now, e.Node, e.State, e.Why)
		}
	}
	w.run(time.Minute)
	if a := w.nodes[0]; w.state(a, w.nodes[1]) != Vouched || !w.spares(a, w.nodes[2]) {
		t.Errorf("not vouched for, or others not by the group:\n%s", w)
	}
}

func TestHeartbeatToTheGroupProvesNoProcess(t *testing.T) {
	w := grouped(t, 1, 5)
	a, b := w.nodes[0], w.nodes[1]
	old := b.machine.shout(w.now - b.began).beat
	w.run(100 * ms)
	receive := func(h heartbeat) (answers int, drop Drop) {
		out, drop := a.machine.Receive(w.now-a.began, w.now-a.began, &h, 0, nil)
		return len(out), drop
	}
	if _, drop := receive(old); drop != DropRepeated {
		t.Errorf("played again: %q", drop)
	}
	w.crash(b)
	w.run(time.Second)
	if _, drop := receive(old); drop != DropRepeated || w.state(a, b) != Dead {
		t.Errorf("played again after the death: %q, %s", drop, w.state(a, b))
	}
	next := b.machine.shout(w.now - b.began).beat
	next.Boot++
	for range 10 {
		next.Stamp++
		if answers, drop := receive(next); drop != DropUnproven || answers != 0 || w.state(a, b) != Dead {
			t.Fatalf("of another process: %q, %d answers, %s", drop, answers, w.state(a, b))
		}
		w.run(50 * ms)
	}
	if got := a.machine.byID[b.machine.self].unprovenBoot; got == next.Boot {
		t.Error("takes the place of a process that could prove itself")
	}
	own := a.machine.shout(w.now - a.began).beat
	if _, drop := receive(own); drop != DropOwn {
		t.Errorf("our own: %q", drop)
	}
}

// What a node knows of who hears it must not depend on the order in which its two kinds
// of heartbeats come.
func TestGroupSaysNothingNewerThanAWordToUsAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := settled(t, 2*rapid.Uint64Max(1<<60).Draw(rt, "seed"), 6)
		a, b := w.nodes[0], w.nodes[1]
		p := a.machine.byID[b.machine.self]
		at := b.machine.byID[a.machine.self]
		now := w.now - b.began
		at.heard = now - time.Duration(rapid.IntRange(0, 300).Draw(rt, "age"))*ms
		shout := b.machine.shout(now)
		alone := b.machine.to(now, at, false)
		if _, drop := a.machine.Receive(w.now-a.began, w.now-a.began, &alone.beat, 0, nil); drop != "" {
			rt.Fatal(drop)
		}
		before := p.heardUs
		if _, drop := a.machine.Receive(w.now-a.began, w.now-a.began, &shout.beat, 0, nil); drop != DropRepeated || p.heardUs != before {
			rt.Fatalf("overtaken: %q, heard us %s instead of %s", drop, p.heardUs, before)
		}
		if p.overheard != w.now-a.began {
			rt.Fatal("it came, though late")
		}
	})
}
