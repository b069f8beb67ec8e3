package plan

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/lb"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// genCloudWorld draws worlds in which some Services are a cloud's, or were, or should
// be, and in which drivers said something of some of them.
func genCloudWorld(t *rapid.T) lb.World {
	w := genWorld(t)
	w.Classes = []lb.Class{l2Class("lan", 1), cloudClass("public", 2), cloudClass("other", 3)}
	w.Classes = w.Classes[rapid.IntRange(0, 2).Draw(t, "classes from"):]
	for i := range w.Classes {
		w.Classes[i].Default = rapid.IntRange(0, 2).Draw(t, "default") == 0
		if rapid.IntRange(0, 9).Draw(t, "class problem") == 0 {
			w.Classes[i].Problem = lb.Refuse(lb.BadOption, "y", "x")
		}
	}
	for i := range w.Services {
		s := &w.Services[i]
		s.Class = rapid.SampledFrom([]string{"", "", "fairlead.dev/lan", "fairlead.dev/public", "fairlead.dev/other", "fairlead.dev/none", "example.com/x"}).Draw(t, "class")
		s.CloudClass = rapid.SampledFrom([]string{"", "", "", "public", "other", "lan", "none"}).Draw(t, "note")
		s.Finalized = rapid.Bool().Draw(t, "finalized")
		s.Deleting = rapid.IntRange(0, 5).Draw(t, "deleting") == 0
		if s.CloudClass != "" {
			s.Marked = true
		}
		if !s.LoadBalancer {
			s.Held = nil // the API server sees to it
		}
		if rapid.IntRange(0, 5).Draw(t, "hostname") == 0 {
			s.Held, s.Hostname = nil, "lb.example.com"
		}
		if rapid.IntRange(0, 5).Draw(t, "problem") == 0 {
			s.Request.Problem = lb.Refuse(lb.BadRequest, "y", "x")
		}
		if rapid.Bool().Draw(t, "occm") {
			s.Annotations = map[string]string{annotationID: "lb"}
		}
		if rapid.Bool().Draw(t, "looked at") {
			w.Built = append(w.Built, genBuilt(t, s))
		}
	}
	return w
}

func genBuilt(t *rapid.T, s *lb.Service) lb.Built {
	b := lb.Built{Service: s.Key, UID: rapid.SampledFrom([]string{s.UID, s.UID, s.UID, "before"}).Draw(t, "uid"), ID: "lb"}
	switch rapid.IntRange(0, 4).Draw(t, "report") {
	case 0:
		b.ID, b.Gone = "", true
	case 1:
		b.Trouble = lb.Refuse(lb.Building, "wait", "x")
	case 2:
		b.Addresses, b.Hostname, b.Trouble = s.Held, s.Hostname, lb.Refuse(lb.CloudUnreachable, "wait", "x")
	default:
		b.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, byte(rapid.IntRange(1, 9).Draw(t, "built"))})}
	}
	return b
}

func reportOn(w *lb.World, s *lb.Service) *lb.Built {
	i := slices.IndexFunc(w.Built, func(b lb.Built) bool { return b.Service == s.Key && b.UID == s.UID })
	if i < 0 {
		return nil
	}
	return &w.Built[i]
}

// Nothing that may be in a cloud is forgotten: a Service with a note is released only
// after its driver said that nothing is left, and otherwise keeps note and finalizer.
func TestNoServiceIsReleasedBeforeItsLoadBalancerIsGone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genCloudWorld(t)
		d := Plan(w)
		for i := range w.Services {
			s := &w.Services[i]
			if s.CloudClass == "" {
				continue
			}
			report := reportOn(&w, s)
			if slices.Contains(d.Released, s.Key) && (report == nil || !report.Gone) {
				t.Fatalf("%+v is released; the report on it is %+v", s, report)
			}
			if slices.ContainsFunc(d.Refusals, func(r lb.Refusal) bool { return r.Service == s.Key }) {
				t.Fatalf("%+v is refused, which takes finalizer and note off", s)
			}
			for _, b := range d.Balancers {
				if b.Service == s.Key && (b.Built == nil || b.Class != s.CloudClass) {
					t.Fatalf("%+v becomes %+v without having been released", s, b)
				}
			}
		}
	})
}

func TestEveryServiceOfACloudIsInOneListOrLeftAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genCloudWorld(t)
		d, c := Plan(w), resolveClasses(w)
		told := CloudServices(w)
		for i := range w.Services {
			s := &w.Services[i]
			u := c.custodyOf(s)
			if u == nil {
				continue
			}
			at := slices.IndexFunc(d.Balancers, func(b lb.Balancer) bool { return b.Service == s.Key })
			refused := slices.ContainsFunc(d.Refusals, func(r lb.Refusal) bool { return r.Service == s.Key })
			released := slices.Contains(d.Released, s.Key)
			n := 0
			for _, in := range []bool{at >= 0, refused, released} {
				if in {
					n++
				}
			}
			if n > 1 || n == 0 && (reportOn(&w, s) == nil && u.wanted && (!s.Finalized || s.CloudClass == "")) {
				t.Fatalf("%+v is in %d lists", s, n)
			}
			isTold := slices.ContainsFunc(told, func(t CloudService) bool { return t.Service.Key == s.Key })
			if isTold == (refused || u.class == nil) {
				t.Fatalf("%+v: told to the driver %v, refused %v, class %v", s, isTold, refused, u.class)
			}
			if at < 0 {
				continue
			}
			b := &d.Balancers[at]
			if b.Built == nil || len(b.Grants) > 0 || !b.Provider.Cloud() {
				t.Fatalf("%+v of a cloud becomes %+v", s, b)
			}
			if !s.LoadBalancer && (len(b.Addresses()) > 0 || b.Built.Hostname != "") {
				t.Fatalf("%+v shows %+v, which the API server refuses", s, b.Built)
			}
			if s.Deleting && !s.Finalized && u.class != nil {
				t.Fatalf("%+v is given a finalizer, which the API server refuses", s)
			}
			if b.Shortfall != nil && (b.Shortfall.Message() == "" || b.Shortfall.Remedy == "" || b.Shortfall.Service != s.Key) {
				t.Fatalf("%+v falls short with %+v", s, b.Shortfall)
			}
		}
	})
}

// What a cloud serves is as if it were not there, to those who get their addresses
// from pools, and to the nodes.
func TestACloudChangesNothingForPoolsAndNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genCloudWorld(t)
		c := resolveClasses(w)
		without := w
		without.Built = nil
		without.Services = slices.DeleteFunc(slices.Clone(w.Services), func(s lb.Service) bool { return c.custodyOf(&s) != nil })
		with, alone := Plan(w), Plan(without)
		with.Balancers = slices.DeleteFunc(with.Balancers, func(b lb.Balancer) bool { return b.Built != nil })
		kept := func(k lb.Key) bool {
			return slices.ContainsFunc(without.Services, func(s lb.Service) bool { return s.Key == k })
		}
		with.Refusals = slices.DeleteFunc(with.Refusals, func(r lb.Refusal) bool { return !kept(r.Service) })
		with.Released = slices.DeleteFunc(with.Released, func(k lb.Key) bool { return !kept(k) })
		if diff := cmp.Diff(alone, with, compareValues); diff != "" {
			t.Fatalf("(-without +with the cloud's Services):\n%s", diff)
		}
		if diff := cmp.Diff(Owners(without), Owners(w), compareValues); diff != "" {
			t.Fatalf("owners (-without +with the cloud's Services):\n%s", diff)
		}
	})
}

func TestPlanningACloudTwiceChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genCloudWorld(t)
		w = apply(w, Plan(w))
		w = apply(w, Plan(w))
		before := Plan(w)
		after := Plan(apply(w, before))
		for i := range w.Services {
			key := w.Services[i].Key
			in := func(d lb.Desired) (out []netip.Addr, found bool) {
				for _, b := range d.Balancers {
					if b.Service == key && b.Built != nil {
						return b.Addresses(), true
					}
				}
				return nil, false
			}
			x, was := in(before)
			y, is := in(after)
			if was && is && !slices.Equal(x, y) {
				t.Fatalf("%s showed %v in a settled world, now %v", key, x, y)
			}
		}
	})
}

func TestInputOrderChangesNothingInACloud(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genCloudWorld(t)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shuffled := w
		shuffled.Services, shuffled.Classes, shuffled.Built = slices.Clone(w.Services), slices.Clone(w.Classes), slices.Clone(w.Built)
		r.Shuffle(len(w.Services), func(i, j int) {
			shuffled.Services[i], shuffled.Services[j] = shuffled.Services[j], shuffled.Services[i]
		})
		r.Shuffle(len(w.Classes), func(i, j int) {
			shuffled.Classes[i], shuffled.Classes[j] = shuffled.Classes[j], shuffled.Classes[i]
		})
		r.Shuffle(len(w.Built), func(i, j int) { shuffled.Built[i], shuffled.Built[j] = shuffled.Built[j], shuffled.Built[i] })
		if diff := cmp.Diff(Plan(w), Plan(shuffled), compareValues); diff != "" {
			t.Fatalf("order of input matters to the plan:\n%s", diff)
		}
		if diff := cmp.Diff(CloudServices(w), CloudServices(shuffled), compareValues); diff != "" {
			t.Fatalf("order of input matters to the drivers:\n%s", diff)
		}
	})
}
