package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/lb"
)

// truth is what really happens to a segment, of which speakers write at any time.
type truth struct {
	Outage
	clock int64
	// part tells which nodes hear each other; 0 is dead.
	part []int
	// down tells of a node that lost its power since it was last well.
	down []bool
}

func genTruth(t *rapid.T) *truth {
	n := rapid.IntRange(2, 24).Draw(t, "nodes")
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("n%02d", i))
	}
	w := &truth{Outage: lan(names...), part: slices.Repeat([]int{1}, n), down: make([]bool, n)}
	for s := range rapid.IntRange(1, 4).Draw(t, "services") {
		at := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, min(n, 5), rapid.ID[string]).Draw(t, "endpoints")
		w.backs(fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"web", "other"}).Draw(t, "whose"), s), at...)
	}
	return w
}

// write lets a node's speaker write what it knows.
func (w *truth) write(i int) {
	if w.part[i] == 0 {
		return
	}
	h := w.Speakers[i].Hearing
	here := 0
	for _, p := range w.part {
		if p == w.part[i] {
			here++
		}
	}
	h.Quorate = 2*here >= len(w.part)
	old := h.Missing
	h.Missing = nil
	for j, p := range w.part {
		if p == w.part[i] {
			continue
		}
		m := lb.Missing{Node: w.Nodes[j].Name, State: suspected, Since: time.Unix(w.clock, 0)}
		if h.Quorate {
			m.State = dead
		}
		if k := slices.IndexFunc(old, func(x lb.Missing) bool { return x.Node == m.Node && x.State == m.State }); k >= 0 {
			m.Since = old[k].Since
		}
		h.Missing = append(h.Missing, m)
	}
	w.count(h)
}

// happen changes something.
func (w *truth) happen(t *rapid.T) {
	w.clock++
	i := rapid.IntRange(0, len(w.part)-1).Draw(t, "node")
	switch rapid.SampledFrom([]string{"write", "write all", "die", "part", "heal", "kubernetes", "contradict"}).Draw(t, "event") {
	case "write":
		w.write(i)
	case "write all":
		for j := range w.part {
			w.write(j)
		}
	case "die":
		w.part[i], w.down[i] = 0, true
	case "part":
		if w.part[i] > 0 {
			w.part[i] = 3 - w.part[i]
		}
	case "heal":
		for j := range w.part {
			if w.down[j] {
				w.Speakers[j].Hearing.Boot += "'"
				w.down[j] = false
			}
			w.part[j] = 1
			w.Nodes[j].Alive = true
		}
	case "kubernetes":
		w.Nodes[i].Alive = w.part[i] > 0
	case "contradict": // a kubelet that nobody could ask says that its pods are ready
		for j := range w.Backends {
			if w.part[i] > 0 && w.Backends[j].Node == w.Nodes[i].Name {
				w.Backends[j].Ready = true
			}
		}
	}
	// The worst case: no kubelet is ever in the way.
	for _, n := range w.Nodes {
		w.Kubelets[n.Name] = KubeletSilent
	}
}

// quorate tells whether a node is in a part of the segment that has more than half of it.
func (w *truth) quorate(node string) bool {
	i := slices.IndexFunc(w.Nodes, func(n lb.Node) bool { return n.Name == node })
	here := 0
	for _, p := range w.part {
		if p == w.part[i] {
			here++
		}
	}
	return w.part[i] > 0 && 2*here > len(w.part)
}

// heldOut are the nodes with withdrawn pods that Kubernetes calls ready.
func (w *truth) heldOut() map[string]bool {
	out := make(map[string]bool)
	for _, x := range w.Withdrawn {
		if w.node(x.Node).Alive {
			out[x.Node] = true
		}
	}
	return out
}

func (w *truth) ready(service lb.Key, except map[lb.Pod]bool) bool {
	return slices.ContainsFunc(w.Backends, func(b lb.Backend) bool { return b.Service == service && b.Ready && !except[b.Pod] })
}

func TestTheBrakeHoldsWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTruth(t)
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			w.happen(t)
			before := len(w.heldOut())
			r := Relieve(w.Outage)
			going := make(map[lb.Pod]bool)
			for _, x := range r.Withdraw {
				going[x.Pod] = true
				if !w.node(x.Node).Alive {
					t.Fatalf("%s is withdrawn, and Kubernetes calls %s dead", x.Pod, x.Node)
				}
			}
			for _, b := range w.Backends {
				if going[b.Pod] && b.Ready && !w.ready(b.Service, going) {
					t.Fatalf("%s was the last ready endpoint of %s", b.Pod, b.Service)
				}
			}
			w.obey(r)
			if limit := max(1, len(w.Nodes)/10); len(w.heldOut()) > max(limit, before) {
				t.Fatalf("pods of %d of %d nodes are out of service: %v", len(w.heldOut()), len(w.Nodes), w.heldOut())
			}
			if again := Relieve(w.Outage); len(again.Withdraw) > 0 || len(again.Restore) > 0 || len(again.Forget) > 0 {
				t.Fatalf("done, and then: %v", inShort(again))
			}
		}
	})
}

// What the dead wrote, and those who lost their quorum, is old: it is still there, and
// said what it likes. Nobody loses a pod for it who is in touch with more than half of
// the segment, when those have written.
func TestNobodyIsCondemnedWhoIsWithTheMajority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTruth(t)
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			w.happen(t)
			for j, n := range w.Nodes {
				if w.quorate(n.Name) {
					w.write(j)
				}
			}
			r := Relieve(w.Outage)
			for _, x := range r.Withdraw {
				if w.quorate(x.Node) {
					t.Fatalf("%s is withdrawn: %s", x.Pod, x.Account)
				}
			}
			w.obey(r)
		}
	})
}

func TestWhenAllIsWellNothingStaysWithdrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTruth(t)
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			w.happen(t)
			w.obey(Relieve(w.Outage))
		}
		wasDown := make(map[string]bool)
		for j, down := range w.down {
			wasDown[w.Nodes[j].Name] = down
			if down {
				w.Speakers[j].Hearing.Boot += "'"
			}
			w.part[j], w.Nodes[j].Alive = 1, true
		}
		for j := range w.part {
			w.write(j)
		}
		r := Relieve(w.Outage)
		for _, x := range r.Restore {
			if wasDown[x.Node] {
				t.Fatalf("%s is put back, whose node lost its power", x.Pod)
			}
		}
		if w.obey(r); len(w.Withdrawn) > 0 || len(r.Withdraw) > 0 || len(r.Held) > 0 {
			t.Fatalf("left are %v, after %v", w.Withdrawn, inShort(r))
		}
	})
}

func TestTheOrderOfAWorldChangesNoOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTruth(t)
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			w.happen(t)
			first := Relieve(w.Outage)
			other := w.Outage
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			other.Nodes, other.Speakers, other.Backends, other.Services = slices.Clone(w.Nodes), slices.Clone(w.Speakers), slices.Clone(w.Backends), slices.Clone(w.Services)
			r.Shuffle(len(other.Nodes), func(i, j int) { other.Nodes[i], other.Nodes[j] = other.Nodes[j], other.Nodes[i] })
			r.Shuffle(len(other.Speakers), func(i, j int) { other.Speakers[i], other.Speakers[j] = other.Speakers[j], other.Speakers[i] })
			r.Shuffle(len(other.Backends), func(i, j int) { other.Backends[i], other.Backends[j] = other.Backends[j], other.Backends[i] })
			if diff := cmp.Diff(first, Relieve(other), compareValues); diff != "" {
				t.Fatalf("(-first +second):\n%s", diff)
			}
			w.obey(first)
		}
	})
}
