package liveness

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// thorough tells whether tests may take hours.
func thorough() bool { return os.Getenv("FAIRLEAD_TEST_SOAK") != "" }

// roughly is a network as bad as the bounds allow for.
func (w *network) roughly() {
	w.loss, w.jitter, w.fumble = 0.01, 20*ms, 5*ms
}

// chaos makes random faults, and writes down which.
type chaos struct {
	*network
	log []string
}

func (c *chaos) fault() {
	n := c.nodes[c.random.IntN(len(c.nodes))]
	faults := []struct {
		name string
		do   func()
	}{
		{"crash " + n.name, func() { c.crash(n) }},
		{"restart " + n.name, func() { c.start(n) }},
		{"freeze " + n.name, func() {
			if n.up {
				c.freeze(n)
			}
		}},
		{"thaw all", c.thawAll},
		{"start all", c.startAll},
		{"split", func() {
			side := make([]int, len(c.nodes))
			for i := range side {
				side[i] = c.random.IntN(2)
			}
			c.partition(func(i int) int { return side[i] })
		}},
		{"mute " + n.name, func() {
			for i := range c.nodes {
				c.cut[n.index][i] = true
			}
		}},
		{"cut one way " + n.name, func() { c.cut[n.index][c.random.IntN(len(c.nodes))] = true }},
		{"cut a third", func() {
			for i := range c.cut {
				for j := range c.cut {
					c.cut[i][j] = c.random.IntN(3) == 0
				}
			}
		}},
		{"heal", c.heal},
		{"block the group", func() { c.regroup(c.groupFault()) }},
	}
	f := faults[c.random.IntN(len(faults))]
	c.log = append(c.log, fmt.Sprint(c.now, " ", f.name))
	f.do()
}

func (w *network) thawAll() {
	for _, n := range w.nodes {
		if n.up && n.frozen {
			w.thaw(n)
		}
	}
}

func (w *network) startAll() {
	for _, n := range w.nodes {
		if !n.up {
			w.start(n)
		}
	}
}

// half tells whether n is in touch with exactly half of its segment.
func (n *host) half() bool {
	here := 1
	for _, p := range n.machine.peers {
		if p.touch == inTouch {
			here++
		}
	}
	return 2*here == n.machine.segment
}

// sameSegment tells whether two nodes count the same nodes for their segment.
func (w *network) sameSegment(a, b *host) bool {
	return !slices.ContainsFunc(w.nodes, func(n *host) bool {
		in := func(of *host) bool { return of == n || of.machine.byID[n.machine.self].counted }
		return in(a) != in(b)
	})
}

// overlaps finds how long two nodes both have their quorum while one counts the other
// out, or each the other.
type overlaps struct {
	since  map[[2]int]time.Duration
	exempt map[[2]int]bool
	worst  map[string]time.Duration
}

// look is called every few milliseconds. A verdict that was made, or kept, while one of
// the two had an exact half, or another segment, is exempt until it is taken back: that
// both go on is on purpose there, or not to be helped (see the package's documentation).
func (o *overlaps) look(w *network) {
	for _, a := range w.nodes {
		for _, p := range a.machine.peers {
			b := w.byID[p.id]
			pair := [2]int{a.index, b.index}
			if p.state != Dead || !a.up || !b.up {
				delete(o.since, pair)
				delete(o.exempt, pair)
				continue
			}
			if !w.quorate(a) || !w.quorate(b) {
				delete(o.since, pair)
				continue
			}
			if a.half() || b.half() || !w.sameSegment(a, b) {
				o.exempt[pair] = true
			}
			if o.exempt[pair] {
				continue
			}
			if _, begun := o.since[pair]; !begun {
				o.since[pair] = w.now
			}
			kind := "one counts the other out"
			if w.state(b, a) == Dead {
				kind = "each counts the other out"
			}
			if a.machine.segment == 2 {
				kind += ", of two"
			}
			o.worst[kind] = max(o.worst[kind], w.now-o.since[pair])
		}
	}
}

// In any schedule of crashes, restarts, freezes, partitions of any kind and blocked
// groups, two nodes that both have a majority of one segment soon agree who of them lives.
// The wall clock may jump as it likes: nothing here ever sees one.
func TestTwoMajoritiesAgreeWhoLives(t *testing.T) {
	runs := seeds(t, 1000)
	worst := map[string]time.Duration{}
	faults := 0
	for seed := range uint64(runs) {
		c := &chaos{network: settled(t, seed, 2+int(seed/2%7))}
		c.roughly()
		o := overlaps{map[[2]int]time.Duration{}, map[[2]int]bool{}, worst}
		for range 30 {
			c.fault()
			faults++
			longest := []int{20, 100, 400, 3000}[c.random.IntN(4)]
			for range c.random.IntN(longest) {
				const look = 5 * ms
				c.run(look)
				o.look(c.network)
				for kind, d := range worst {
					bound := OverlapWithin
					if strings.HasSuffix(kind, "of two") {
						bound = LonelyOverlapWithin
					}
					if d > bound+look {
						t.Fatalf("seed %d: both have their quorum and %s for %s:\n%s\n%s", seed, kind, d, strings.Join(c.log, "\n"), c)
					}
				}
			}
		}
	}
	t.Logf("%d faults in %d segments; at worst %v", faults, runs, worst)
}

// With a majority alive, and however many of the rest crash at once.
func TestCrashedNodesAreDeadForAllWithinTheBound(t *testing.T) {
	for _, nodes := range []int{3, 5, 8, 20} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			var took []time.Duration
			for seed := range uint64(seeds(t, 600/nodes)) {
				w := settled(t, seed, nodes)
				w.run(4 * time.Second) // until the group is used, where it works
				w.roughly()
				w.run(time.Duration(w.random.IntN(1000)) * ms)
				dead := w.random.Perm(nodes)[:1+w.random.IntN((nodes-1)/2)]
				for _, i := range dead {
					w.crash(w.nodes[i])
				}
				took = append(took, w.until(DeadWithin, fmt.Sprintf("seed %d: death", seed), func() bool {
					return w.all(func(a, _ *host) bool {
						return !slices.ContainsFunc(dead, func(i int) bool { return w.state(a, w.nodes[i]) != Dead })
					})
				}))
			}
			percentiles(t, "crash to dead for all", took)
		})
	}
}

// How long a death takes where nothing is lost and nothing late: what remains is when
// the last heartbeat was.
func TestWithoutLossDeathTakesFourIntervalsLessThePhase(t *testing.T) {
	for _, nodes := range []int{3, 5, 20} {
		var took []time.Duration
		for seed := range uint64(seeds(t, 1500/nodes)) {
			w := settled(t, seed, nodes)
			w.run(4*time.Second + time.Duration(w.random.Int64N(int64(time.Second))))
			w.crash(w.nodes[0])
			took = append(took, w.until(DeadWithin, "death", func() bool {
				return w.all(func(a, _ *host) bool { return w.state(a, w.nodes[0]) == Dead })
			}))
		}
		if p99 := percentiles(t, fmt.Sprint(nodes, " nodes, crash to dead for all"), took); p99 > 202*ms {
			t.Errorf("%d nodes: p99 is %s", nodes, p99)
		}
	}
}

// After the first packet that passes, both sides of a healed partition are together
// within the bound: however long they were apart, and with what group there is.
func TestHealedPartsAreOneSegmentWithinTheBound(t *testing.T) {
	var took []time.Duration
	for seed := range uint64(seeds(t, 200)) {
		nodes := 2 + int(seed/2%8)
		w := settled(t, seed, nodes)
		w.jitter, w.fumble = 20*ms, 5*ms
		w.run(4 * time.Second)
		at := 1 + w.random.IntN(nodes-1)
		w.partition(func(i int) int { return min(1, i/at) })
		w.run(time.Duration(300+w.random.IntN([]int{1000, 15000}[seed%2])) * ms)
		w.heal()
		first := time.Duration(0)
		w.onDelivery = func(from, to int) {
			if first == 0 && (from < at) != (to < at) {
				first = w.now
			}
		}
		w.until(300*ms, fmt.Sprintf("seed %d: all alive again", seed), w.allAlive)
		took = append(took, w.now-first)
		if took[seed] > ReturnWithin {
			t.Errorf("seed %d: %s", seed, took[seed])
		}
	}
	percentiles(t, "first packet that passes to all alive and quorate", took)
}
