package plan

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/lb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var compareValues = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}

func TestPlanningTwiceChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		once := Plan(w)
		// An accepted edit is remembered only when the last Service has let go, and a
		// released pool disappears: both need a second look before all is at rest.
		settled := apply(apply(w, once), Plan(apply(w, once)))
		before, after := Plan(apply(w, once)), Plan(settled)
		if diff := cmp.Diff(before.Balancers, after.Balancers, compareValues, cmpopts.IgnoreFields(lb.Balancer{}, "Shortfall")); diff != "" {
			t.Fatalf("balancers move without a cause (-first +second):\n%s", diff)
		}
	})
}

func TestNothingHeldMovesWithoutCause(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		w = apply(w, Plan(w))
		w = apply(w, Plan(w))
		d := Plan(w)
		for _, s := range w.Services {
			if len(s.Held) == 0 || !s.LoadBalancer {
				continue
			}
			i := slices.IndexFunc(d.Balancers, func(b lb.Balancer) bool { return b.Service == s.Key })
			if i < 0 {
				if s.Marked {
					t.Fatalf("%s held %v in a settled world and lost it", s.Key, s.Held)
				}
				continue
			}
			for _, a := range s.Held {
				if !slices.Contains(d.Balancers[i].Addresses(), a) {
					t.Fatalf("%s held %s in a settled world, now %v", s.Key, a, d.Balancers[i].Addresses())
				}
			}
		}
	})
}

func TestInputOrderChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shuffled := w
		shuffled.Services = slices.Clone(w.Services)
		shuffled.Pools = slices.Clone(w.Pools)
		r.Shuffle(len(w.Services), func(i, j int) {
			shuffled.Services[i], shuffled.Services[j] = shuffled.Services[j], shuffled.Services[i]
		})
		r.Shuffle(len(w.Pools), func(i, j int) { shuffled.Pools[i], shuffled.Pools[j] = shuffled.Pools[j], shuffled.Pools[i] })
		a, b := Plan(w), Plan(shuffled)
		slices.SortFunc(a.Released, lb.Key.Compare)
		slices.SortFunc(b.Released, lb.Key.Compare)
		if diff := cmp.Diff(a, b, compareValues); diff != "" {
			t.Fatalf("order of input matters:\n%s", diff)
		}
	})
}

func TestNoAddressTwiceUnlessSharedByRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		services := map[lb.Key]*lb.Service{}
		for i := range w.Services {
			services[w.Services[i].Key] = &w.Services[i]
		}
		holders := map[netip.Addr][]lb.Key{}
		for _, b := range Plan(w).Balancers {
			for _, g := range b.Grants {
				for _, other := range holders[g.Address] {
					if why := whyNotShare(services[other], services[b.Service]); why != "" {
						t.Fatalf("%s is given to %s and %s, and %s", g.Address, other, b.Service, why)
					}
				}
				holders[g.Address] = append(holders[g.Address], b.Service)
			}
		}
	})
}

func TestEveryServiceIsEitherBalancerOrRefusal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		d := Plan(w)
		c := resolveClasses(w)
		for i := range w.Services {
			s := &w.Services[i]
			n := 0
			for _, b := range d.Balancers {
				if b.Service == s.Key {
					n++
					checkGrants(t, s, b)
				}
			}
			for _, r := range d.Refusals {
				if r.Service == s.Key {
					n++
					if r.Message() == "" || r.Remedy == "" {
						t.Fatalf("%s is refused without a remedy: %+v", s.Key, r)
					}
				}
			}
			class, refusal := c.of(s)
			ours := s.LoadBalancer && !s.Deleting && (class != nil || refusal != nil)
			if want := map[bool]int{true: 1, false: 0}[ours]; n != want {
				t.Fatalf("%s is in %d lists, want %d", s.Key, n, want)
			}
		}
	})
}

func checkGrants(t *rapid.T, s *lb.Service, b lb.Balancer) {
	seen := map[lb.Family]bool{}
	for _, a := range b.Addresses() {
		f := lb.FamilyOf(a)
		if seen[f] || !slices.Contains(s.Families, f) {
			t.Fatalf("%s with families %v got %v", s.Key, s.Families, b.Addresses())
		}
		seen[f] = true
	}
}

func TestLosingANodeMovesOnlyItsAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := speakingWorld(rapid.IntRange(1, 60).Draw(t, "addresses"), rapid.IntRange(2, 9).Draw(t, "nodes"))
		before := Owners(w)
		w = claim(w, before)
		lost := rapid.IntRange(0, len(w.Nodes)-1).Draw(t, "lost")
		w.Nodes[lost].Alive = false
		after := Owners(w)
		for i := range before {
			if before[i].Node != w.Nodes[lost].Name && after[i].Node != before[i].Node {
				t.Fatalf("%s moved from %s to %s although %s was lost", before[i].Address, before[i].Node, after[i].Node, w.Nodes[lost].Name)
			}
			if after[i].Node == w.Nodes[lost].Name || after[i].Node == "" {
				t.Fatalf("%s is left with %q", after[i].Address, after[i].Node)
			}
		}
		w = claim(w, after)
		w.Nodes[lost].Alive = true
		if diff := cmp.Diff(after, Owners(w), compareValues, cmpopts.IgnoreFields(Ownership{}, "Fresh", "Predecessors", "Cause", "From")); diff != "" {
			t.Fatalf("a returning node moved addresses:\n%s", diff)
		}
	})
}
