package plan

import (
	"math/rand/v2"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/lb"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawFrom(t *rapid.T) func(n int) int {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
}

// genElection is a world in which anything happens.
func genElection(t *rapid.T) lb.World {
	f := everything
	if rapid.Bool().Draw(t, "plain") {
		// All nodes may own all addresses: so it is in most clusters, and rooms are tight.
		f = features{dead: 25, leaving: 15, announced: 75, twice: 10, probing: 10, offered: 10}
	}
	return makeElection(rapid.IntRange(1, 8).Draw(t, "nodes"), rapid.IntRange(1, 30).Draw(t, "services"), f, drawFrom(t))
}

// While addresses move, every speaker has seen another part of the takeovers and of what
// those before let go. All must go on giving every address to the same node, or two take
// it, or none.
func TestTakeoversThatAreSeenChangeNoAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genElection(t)
		owners := Owners(w)
		seen := copySpeakers(w)
		for _, o := range owners {
			if o.Node == "" || rapid.Bool().Draw(t, "unseen") {
				continue
			}
			if c := says(&w, o.Node, o.Address); c == nil || c.State != lb.Announced || len(o.Predecessors) > 0 {
				take(&seen, o.Node, o.Address)
			}
			for _, s := range w.Speakers {
				if s.Node != o.Node && rapid.Bool().Draw(t, "dropped") {
					drop(&seen, s.Node, o.Address)
				}
			}
		}
		if diff := cmp.Diff(answer(owners), answer(Owners(seen))); diff != "" {
			t.Fatalf("who has seen takeovers has another answer (-before +after):\n%s", diff)
		}
	})
}

// Two nodes die in short sequence: the second may have taken over what the first had,
// and not everybody heard of that before it died.
func TestTakeoversOfANodeThatDiedMeanwhileChangeNoAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genElection(t)
		e := elect(w)
		seen := copySpeakers(w)
		for i, o := range e.owners {
			claims := e.claims[o.Address]
			offered := slices.ContainsFunc(claims, func(c speakerClaim) bool { return c.Offer != "" })
			orphaned := slices.ContainsFunc(claims, speakerClaim.announced) &&
				!slices.ContainsFunc(claims, func(c speakerClaim) bool { return e.groups[i].find(c.by) >= 0 })
			for _, c := range e.speakers {
				if orphaned && !offered && c.barred != "" && rapid.Bool().Draw(t, "heard") {
					take(&seen, c.Name, o.Address)
				}
			}
		}
		if diff := cmp.Diff(answer(e.owners), answer(Owners(seen))); diff != "" {
			t.Fatalf("who heard of the second node's takeovers has another answer (-not +heard):\n%s", diff)
		}
	})
}

func TestEveryAddressThatSomeNodeMayOwnHasOneOfThose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genElection(t)
		c := resolveClasses(w)
		e := newElectorate(w)
		addresses := announced(w, &c)
		for i, o := range Owners(w) {
			eligible := e.eligible(&addresses[i])
			if len(eligible) == 0 {
				if o.Node != "" || o.Refusal == nil {
					t.Fatalf("no node may own %s, but %q does (%+v)", o.Address, o.Node, o.Refusal)
				}
				continue
			}
			if !slices.ContainsFunc(eligible, func(c *candidate) bool { return c.Name == o.Node }) {
				t.Fatalf("%s goes to %q, which may not own it", o.Address, o.Node)
			}
		}
	})
}

func TestTheOrderOfSpeakersAndNodesChangesNoAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genElection(t)
		want := Owners(w)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w.Speakers, w.Nodes, w.Services = slices.Clone(w.Speakers), slices.Clone(w.Nodes), slices.Clone(w.Services)
		r.Shuffle(len(w.Speakers), func(i, j int) { w.Speakers[i], w.Speakers[j] = w.Speakers[j], w.Speakers[i] })
		r.Shuffle(len(w.Nodes), func(i, j int) { w.Nodes[i], w.Nodes[j] = w.Nodes[j], w.Nodes[i] })
		r.Shuffle(len(w.Services), func(i, j int) { w.Services[i], w.Services[j] = w.Services[j], w.Services[i] })
		if diff := cmp.Diff(want, Owners(w), compareValues); diff != "" {
			t.Fatalf("order of input matters:\n%s", diff)
		}
	})
}

// However uneven the survivors' loads are, and whoever dies.
func TestNoTakeoverLiftsANodeAboveItsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, addresses := rapid.IntRange(2, 9).Draw(t, "nodes"), rapid.IntRange(1, 80).Draw(t, "addresses")
		w := speakingWorld(addresses, nodes)
		favourites := rapid.IntRange(1, nodes).Draw(t, "favourites")
		before := map[string]int{}
		for _, s := range w.Services {
			n := w.Nodes[rapid.IntRange(0, favourites-1).Draw(t, "holder")].Name
			take(&w, n, s.Held[0])
			before[n]++
		}
		living := nodes
		for i := range nodes - 1 {
			if rapid.IntRange(0, 2).Draw(t, "dies") == 0 {
				w.Nodes[i].Alive = false
				living--
			}
		}
		after := map[string]int{}
		for _, o := range Owners(w) {
			after[o.Node]++
		}
		limit := (11*addresses + 10*living - 1) / (10 * living)
		for n, load := range after {
			if load > max(before[n], limit) {
				t.Fatalf("%s had %d and has %d of %d addresses on %d nodes, want at most %d", n, before[n], load, addresses, living, limit)
			}
		}
	})
}

// Many addresses are created at once, and the claims on them come one by one, of speakers
// that have not all seen the same Services yet: one who is wrong must not make others so.
func TestClaimsDoNotMoveAddressesThatNobodyHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := features{dead: 20, announced: 60, twice: 10, offered: 10, local: 20, classes: 20, edge: 60, wlan: 60}
		w := makeElection(rapid.IntRange(1, 8).Draw(t, "nodes"), rapid.IntRange(1, 30).Draw(t, "services"), f, drawFrom(t))
		unclaimed := copySpeakers(w)
		for i := range unclaimed.Speakers {
			unclaimed.Speakers[i].Claims = nil
		}
		want := Owners(unclaimed)
		for i, o := range Owners(w) {
			if o.Fresh && o.Node != want[i].Node {
				t.Fatalf("%s goes to %q, and without any claim on others to %q", o.Address, o.Node, want[i].Node)
			}
		}
	})
}
