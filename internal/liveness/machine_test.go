package liveness

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// percentiles prints what was measured and gives the 99th of a hundred.
func percentiles(t *testing.T, what string, all []time.Duration) time.Duration {
	slices.Sort(all)
	p99 := all[len(all)*99/100]
	t.Logf("%s: median %s, p99 %s, max %s of %d", what, all[len(all)/2], p99, all[len(all)-1], len(all))
	return p99
}

// seeds is how many of n to try.
func seeds(t *testing.T, n int) int {
	switch {
	case thorough():
		return 10 * n
	case testing.Short():
		return n / 10
	}
	return n
}

func TestOfTwoNodesTheSurvivorGoesOn(t *testing.T) {
	var took []time.Duration
	for seed := range seeds(t, 1000) {
		w := settled(t, uint64(seed), 2)
		w.loss, w.jitter = 0.01, 20*ms
		w.run(time.Second)
		w.crash(w.nodes[seed%2])
		other := w.nodes[1-seed%2]
		took = append(took, w.until(600*ms, "death", func() bool {
			if !w.quorate(other) {
				t.Fatalf("the survivor gives up:\n%s", w)
			}
			return w.state(other, w.nodes[seed%2]) == Dead
		}))
	}
	if p99 := percentiles(t, "crash to dead of two", took); p99 > 500*ms {
		t.Errorf("p99 is %s", p99)
	}
}

// At 1 % loss and 20 ms jitter nobody dies and nobody gives up: for a day, and where
// there are more packets for less, unless the test is to be thorough.
func TestLossAndJitterKillNobodyInADayOrWithManyNodesInMinutes(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		nodes int
		group bool
		time  time.Duration
	}{{2, false, day}, {3, false, day}, {5, true, day}, {5, false, 2 * time.Hour}, {20, true, 10 * time.Minute}, {20, false, 5 * time.Minute}} {
		switch {
		case thorough():
			c.time = day
		case testing.Short():
			c.time /= 50
		}
		t.Run(fmt.Sprintf("%d nodes, multicast %v, %s", c.nodes, c.group, c.time), func(t *testing.T) {
			t.Parallel()
			w := settled(t, 2, c.nodes)
			if c.group {
				w.regroup(openGroup)
			}
			w.roughly()
			w.expectNoVerdict()
			verdict, suspicions := w.onEvent, 0
			w.onEvent = func(n *host, e event) {
				if e.State == Suspected || e.State == Vouched {
					suspicions++
				}
				verdict(n, e)
			}
			start := time.Now()
			w.run(c.time)
			t.Logf("%d packets to one, %d to the group, %d suspicions, in %s", w.packets, w.shouts, suspicions, time.Since(start).Round(ms))
		})
	}
}

func TestMinorityGivesUpAndMajorityGoesOn(t *testing.T) {
	for _, c := range [][2]int{{3, 1}, {5, 2}, {5, 1}, {20, 9}} {
		nodes, minority := c[0], c[1]
		t.Run(fmt.Sprintf("%d of %d", minority, nodes), func(t *testing.T) {
			var gaveUp, dead, back []time.Duration
			for seed := range seeds(t, 600/nodes) {
				w := settled(t, uint64(seed), nodes)
				w.jitter = 20 * ms
				w.run(time.Second)
				small := func(n *host) bool { return n.index < minority }
				w.partition(func(i int) int {
					if i < minority {
						return 1
					}
					return 0
				})
				start := w.now
				gaveUp = append(gaveUp, w.until(300*ms, "minority gives up", func() bool {
					return w.all(func(a, _ *host) bool { return !small(a) || !w.quorate(a) })
				}))
				w.until(400*ms, "majority counts it out", func() bool {
					return w.all(func(a, b *host) bool { return small(a) || w.quorate(a) && w.counts(a, b) == !small(b) })
				})
				dead = append(dead, w.now-start)
				w.run(time.Duration(100+w.random.IntN(10000)) * ms)
				for _, n := range w.nodes {
					if small(n) == w.quorate(n) {
						t.Fatalf("quorum on the wrong side:\n%s", w)
					}
				}
				w.onEvent = func(n *host, e event) {
					if e.Node != "" || !e.Quorum || e.Slept > 0 {
						return
					}
					for _, p := range n.machine.peers {
						if p.counted && !p.state.counts() {
							t.Errorf("%s has its quorum again, and %s is %s: it would take what that one has", n.name, p.name, p.state)
						}
					}
				}
				w.heal()
				back = append(back, w.until(250*ms, "all alive again", w.allAlive))
			}
			if p99 := percentiles(t, "cut to minority gives up", gaveUp); p99 > 300*ms {
				t.Errorf("p99 is %s", p99)
			}
			if p99 := percentiles(t, "cut to majority counts it out", dead); p99 > 400*ms {
				t.Errorf("p99 is %s", p99)
			}
			if p99 := percentiles(t, "healed to all alive", back); p99 > 200*ms {
				t.Errorf("p99 is %s", p99)
			}
		})
	}
}

func TestBothExactHalvesGoOn(t *testing.T) {
	w := settled(t, 1, 4)
	w.partition(func(i int) int { return i / 2 })
	w.run(400 * ms)
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b && (!w.quorate(a) || w.counts(a, b) != (a.index/2 == b.index/2)) {
				t.Fatalf("%s and %s:\n%s", a.name, b.name, w)
			}
		}
	}
	w.heal()
	w.until(250*ms, "all alive again", w.allAlive)
}

func TestSleeperDeclaresNobodyDead(t *testing.T) {
	for seed := range seeds(t, 500) {
		nodes := 2 + seed%4
		w := settled(t, uint64(seed), nodes)
		w.jitter, w.loss = 20*ms, 0.01
		sleeper := w.nodes[seed%nodes]
		w.freeze(sleeper)
		w.run(time.Duration(60+w.random.IntN(3000)) * ms)
		w.onEvent = func(n *host, e event) {
			if n == sleeper && e.Node != "" && !e.State.counts() {
				t.Fatalf("seed %d: having slept, %s says: %s is %s, %s", seed, n.name, e.Node, e.State, e.Why)
			}
		}
		w.thaw(sleeper)
		w.until(400*ms, "all alive again", w.allAlive)
		w.run(time.Second)
	}
}

// Whoever slept so long that others may have its addresses has no quorum until it
// knows that they count it in.
func TestSleeperHasNoQuorumUntilItIsHeard(t *testing.T) {
	w := settled(t, 1, 3)
	sleeper := w.nodes[0]
	w.freeze(sleeper)
	w.run(2 * time.Second)
	if w.quorate(sleeper) {
		t.Error("has its quorum while it sleeps")
	}
	w.partition(func(i int) int { return min(i, 1) }) // it wakes up alone
	w.thaw(sleeper)                                   // and finds two seconds of mail
	if w.quorate(sleeper) {
		t.Error("has its quorum by old mail")
	}
	w.run(time.Second)
	if w.quorate(sleeper) {
		t.Error("has its quorum alone")
	}
	w.heal()
	w.until(200*ms, "quorum", func() bool { return w.quorate(sleeper) })
}

func TestStumbleMovesNothing(t *testing.T) {
	for seed := range seeds(t, 1000) {
		w := settled(t, uint64(seed), 3+seed%3)
		w.jitter = 5 * ms
		w.onEvent = func(n *host, e event) {
			if e.Node != "" && !e.State.counts() {
				t.Fatalf("seed %d: %s says: %s is %s, %s", seed, n.name, e.Node, e.State, e.Why)
			}
		}
		for range 5 {
			n := w.nodes[w.random.IntN(len(w.nodes))]
			w.freeze(n)
			// 200 ms until it is dead for others, less an interval that passed before and
			// the answer's way.
			w.run(time.Duration(w.random.IntN(130)) * ms)
			w.thaw(n)
			w.run(300 * ms)
		}
	}
}

func TestNodeThatNobodyHearsGivesUpAndOthersTakeOver(t *testing.T) {
	for nodes := 2; nodes <= 5; nodes++ {
		for _, direction := range []string{"out", "in"} {
			t.Run(fmt.Sprintf("%d %s", nodes, direction), func(t *testing.T) {
				var overlap time.Duration
				for seed := range seeds(t, 200) {
					w := settled(t, uint64(seed), nodes)
					w.jitter = 20 * ms
					w.run(time.Second)
					mute := w.nodes[0]
					for i := 1; i < nodes; i++ {
						w.cut[0][i], w.cut[i][0] = direction == "out", direction == "in"
					}
					start := w.now
					var gaveUp, taken time.Duration
					w.until(600*ms, "handed over", func() bool {
						if gaveUp == 0 && !w.quorate(mute) {
							gaveUp = w.now - start
						}
						if taken == 0 && w.all(func(a, _ *host) bool { return a == mute || !w.counts(a, mute) }) {
							taken = w.now - start
						}
						// Of two, the one that hears nothing cannot tell that the other lives.
						if nodes == 2 && direction == "in" {
							return !w.quorate(w.nodes[1]) && w.state(mute, w.nodes[1]) == Dead
						}
						return gaveUp != 0 && taken != 0
					})
					overlap = max(overlap, gaveUp-taken)
				}
				t.Logf("two owners for %s at worst", overlap)
				if overlap > 60*ms {
					t.Error("too long")
				}
			})
		}
	}
}

func TestGoodbyeCountsOutAtOnce(t *testing.T) {
	for seed := range seeds(t, 500) {
		w := settled(t, uint64(seed), 5)
		w.loss, w.jitter = 0.2, 20*ms
		for i, leaver := range w.nodes[:4] { // down to the last one
			leaver.machine.Leave(w.now - leaver.began)
			w.step(leaver)
			w.until(400*ms, "all heard the goodbye", func() bool {
				return leaver.machine.Farewell(w.now-leaver.began) && w.all(func(a, b *host) bool { return b != leaver || w.state(a, b) == Left })
			})
			w.crash(leaver)
			for _, n := range w.nodes[i+1:] {
				if !w.quorate(n) {
					t.Fatalf("goodbyes cost the quorum:\n%s", w)
				}
			}
		}
		w.loss = 0
		for _, n := range w.nodes[:4] {
			w.start(n)
		}
		w.until(400*ms, "all back", w.allAlive)
	}
}

func TestSegmentShrinksToTheLastNode(t *testing.T) {
	w := settled(t, 1, 5)
	for i := range 4 {
		w.crash(w.nodes[i])
		w.run(6 * time.Second)
		for _, n := range w.nodes[i+1:] {
			if !w.quorate(n) {
				t.Fatalf("after %d died one after the other:\n%s", i+1, w)
			}
		}
	}
	for i := range 4 {
		w.start(w.nodes[i])
	}
	w.until(300*ms, "all back", w.allAlive)
}

func TestBrokenLinkBetweenTwoIsNoDeath(t *testing.T) {
	w := settled(t, 1, 3)
	a, b := w.nodes[0], w.nodes[1]
	w.cut[0][1], w.cut[1][0] = true, true
	w.onEvent = func(n *host, e event) {
		if e.Node != "" && !e.State.counts() {
			t.Fatalf("%s says: %s is %s, %s", n.name, e.Node, e.State, e.Why)
		}
	}
	w.run(10 * time.Minute)
	if w.state(a, b) != Vouched || w.state(b, a) != Vouched {
		t.Fatalf("not vouched for:\n%s", w)
	}
	w.onEvent = nil
	w.crash(b)
	w.until(350*ms, "death", func() bool { return w.state(a, b) == Dead })
	w.start(b)
	w.until(500*ms, "return through a witness", func() bool { return w.counts(a, b) && w.counts(b, a) })
}

// However the links fail, two nodes that both have more than half of the
// segment agree that both live. Only an exact half can be in two places.
func TestWhoHasQuorumIsAliveForAllWhoHave(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		nodes := rapid.SampledFrom([]int{3, 5, 7}).Draw(rt, "nodes")
		w := settled(t, rapid.Uint64().Draw(rt, "seed"), nodes)
		w.jitter = 20 * ms
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			for i := range nodes {
				for j := range nodes {
					w.cut[i][j] = i != j && rapid.IntRange(0, 2).Draw(rt, "cut") == 0
				}
			}
			w.run(1500 * ms) // below Settle: the segment stays whole
			for _, a := range w.nodes {
				for _, b := range w.nodes {
					if a != b && w.quorate(a) && w.quorate(b) && !w.counts(a, b) {
						rt.Fatalf("%s counts %s out, and both have quorum:\n%s", a.name, b.name, w)
					}
					if a != b && w.quorate(a) && !w.quorate(b) && w.state(a, b) == Alive {
						rt.Fatalf("%s hears that %s gave up, and counts it in:\n%s", a.name, b.name, w)
					}
				}
			}
		}
		w.heal()
		w.run(400 * ms)
		if !w.allAlive() {
			rt.Fatalf("healed, not all alive:\n%s", w)
		}
	})
}

// After any schedule of faults, all who work agree within a second.
func TestAnyScheduleEndsInAgreement(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		nodes := rapid.IntRange(2, 6).Draw(rt, "nodes")
		w := settled(t, rapid.Uint64().Draw(rt, "seed"), nodes)
		w.loss, w.jitter = 0.01, 20*ms
		for range rapid.IntRange(1, 12).Draw(rt, "faults") {
			n := w.nodes[rapid.IntRange(0, nodes-1).Draw(rt, "node")]
			switch rapid.SampledFrom([]string{"crash", "start", "freeze", "thaw", "partition", "one way", "heal", "leave"}).Draw(rt, "fault") {
			case "crash":
				w.crash(n)
			case "start":
				w.start(n)
			case "freeze":
				if n.up {
					w.freeze(n)
				}
			case "thaw":
				if n.up && n.frozen {
					w.thaw(n)
				}
			case "partition":
				at := rapid.IntRange(0, nodes).Draw(rt, "at")
				w.partition(func(i int) int { return min(1, i/max(1, at)) })
			case "one way":
				w.cut[n.index][rapid.IntRange(0, nodes-1).Draw(rt, "to")] = true
			case "heal":
				w.heal()
			case "leave":
				if n.up && !n.frozen {
					n.machine.Leave(w.now - n.began)
					w.run(100 * ms)
					w.crash(n)
				}
			}
			w.run(time.Duration(rapid.IntRange(0, 7000).Draw(rt, "ms")) * ms)
		}
		w.loss = 0
		w.heal()
		for _, n := range w.nodes {
			if n.up && n.frozen {
				w.thaw(n)
			}
		}
		w.run(time.Second)
		// Those who died at once may have been too many for the rest to have quorum.
		if !w.all(func(a, b *host) bool {
			return w.state(a, b) == Alive && w.quorate(b) || w.state(a, b) == Minority && !w.quorate(b)
		}) {
			rt.Fatalf("no agreement:\n%s", w)
		}
		for _, n := range w.nodes {
			if !n.up {
				w.start(n)
			}
		}
		w.run(time.Second)
		if !w.allAlive() {
			rt.Fatalf("all started, not all alive:\n%s", w)
		}
	})
}
