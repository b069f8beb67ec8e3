package octavia

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

// estate is a stage with a cluster that was taken away with all its Services still
// there: one of every kind, and a user's own load balancer that one of them is on.
func estate(t *testing.T, f func(s *stage, theirs string)) {
	t.Helper()
	onStage(t, brisk(), securedConf, func(s *stage) {
		theirs := s.usersOwn()
		s.service("web", "80/TCP", "443/TCP")
		s.service("kept", "80/TCP").Annotations["loadbalancer.openstack.org/keep-floatingip"] = "true"
		s.service("guest", "8080/TCP").Annotations["loadbalancer.openstack.org/load-balancer-id"] = theirs
		s.start()
		s.until("addresses", s.quiet)
		s.calm(15 * time.Second)
		s.stop()
		f(s, theirs)
	})
}

func purge(s *stage, name string) ([]string, error) {
	ctx := s.t.Context()
	e, err := Find(ctx, s.clients(ctx), s.cluster.UID, name)
	if err != nil {
		return nil, err
	}
	var told []string
	err = e.Remove(ctx, s.clients(ctx), func(text string) { told = append(told, text) })
	return told, err
}

// purged tells what is wrong after a purge.
func purged(s *stage, theirs string) string {
	all := s.cloud.LoadBalancers()
	if len(all) != 1 || all[0].ID != theirs || len(all[0].Listeners) != 1 || len(all[0].Pools) != 1 || fmt.Sprint(all[0].Tags) != "[team-a]" {
		return fmt.Sprintf("load balancers: %+v", all)
	}
	floats := s.cloud.FloatingIPs()
	kept := slices.ContainsFunc(floats, func(f fake.FloatingIP) bool { return strings.HasSuffix(f.Description, "(kept)") })
	user := slices.ContainsFunc(floats, func(f fake.FloatingIP) bool { return f.Description == "our front door" && f.PortID == all[0].VIPPortID })
	if len(floats) != 2 || !kept || !user {
		return fmt.Sprintf("floating IPs: %+v", floats)
	}
	if groups := s.cloud.SecurityGroups(); len(groups) > 0 {
		return fmt.Sprintf("security groups: %+v", groups)
	}
	return ""
}

func TestPurgeTakesEverythingOfAClusterAndNothingElse(t *testing.T) {
	estate(t, func(s *stage, theirs string) {
		c := s.clients(s.t.Context())
		s.cloud.ResetCalls()
		e, err := Find(s.t.Context(), c, s.cluster.UID, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, changes := s.own(); len(changes) > 0 {
			t.Errorf("looking changes: %v", changes)
		}
		if len(e.LoadBalancers) != 2 || len(e.Visited) != 1 || len(e.FloatingIPs) != 1 || len(e.Kept) != 1 || len(e.Groups) != 1 || len(e.ByName) != 0 {
			t.Errorf("found %+v", e)
		}
		listed := e.Steps()
		told, err := purge(s, "")
		if err != nil {
			t.Error(err)
		}
		if wrong := purged(s, theirs); wrong != "" {
			t.Error(wrong)
		}
		for _, step := range listed {
			if !slices.Contains(told, step) && !strings.HasPrefix(step, "take security group") {
				t.Errorf("listed, and never told: %s; told:\n%s", step, strings.Join(told, "\n"))
			}
		}
		s.cloud.ResetCalls()
		if again, err := Find(s.t.Context(), c, s.cluster.UID, s.cluster.Name); err != nil || !again.Empty() {
			t.Errorf("found again: %v, %v", again.Steps(), err)
		}
	})
}

func TestPurgeLeavesAnotherClusterOfTheSameNameAlone(t *testing.T) {
	estate(t, func(s *stage, theirs string) {
		other := newCluster(s.t, s.cloud, securedConf, 2)
		other.service("web", "80/TCP", "443/TCP")
		other.start()
		other.until("address", other.quiet)
		other.stop()
		before := other.pictureOf()
		if _, err := purge(s, s.cluster.Name); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, other.pictureOf()); diff != "" {
			t.Errorf("the other cluster's changed (-before +after):\n%s", diff)
		}
	})
}

// pictureOf is what a project has with the UID of the cluster on it.
func (s *stage) pictureOf() []string {
	return slices.DeleteFunc(s.picture(), func(line string) bool { return !strings.Contains(line, s.cluster.UID) })
}

func TestPurgeByNameMustBeAskedFor(t *testing.T) {
	onStage(t, brisk(), plainConf, func(s *stage) {
		s.inherit(s.service("web", "80/TCP"), inheritance{groups: true})
		c := s.clients(s.t.Context())
		e, err := Find(s.t.Context(), c, s.cluster.UID, "")
		if err != nil || !e.Empty() {
			t.Errorf("without the name: %v, %v", e.Steps(), err)
		}
		other, err := Find(s.t.Context(), c, "", "kube")
		if err != nil || !other.Empty() {
			t.Errorf("a name that begins alike: %v, %v", other.Steps(), err)
		}
		if e, err = Find(s.t.Context(), c, s.cluster.UID, s.cluster.Name); err != nil || len(e.ByName) != 3 {
			t.Errorf("by name: %+v, %v", e, err)
		}
		if err := e.Remove(s.t.Context(), c, func(string) {}); err != nil {
			t.Error(err)
		}
		s.clean()
		if _, err := Find(s.t.Context(), c, "", ""); err == nil {
			t.Error("of no cluster at all")
		}
	})
}

func TestPurgeSurvivesFaultsAndInterruption(t *testing.T) {
	total := 0
	estate(t, func(s *stage, theirs string) {
		s.cloud.ResetCalls()
		if _, err := purge(s, ""); err != nil {
			t.Fatal(err)
		}
		total = len(s.cloud.Calls())
	})
	faults := []fake.Fault{fake.Reply(http.StatusConflict), {Lost: fake.LostAfter}, fake.TooMany(2 * time.Second), fake.Reply(http.StatusInternalServerError), {Malformed: true}, {Lost: fake.LostBefore}}
	for n := 1; n <= total; n++ {
		for kind := range len(faults) + 1 {
			if (n+kind)%2 != 0 && !thorough() {
				continue
			}
			estate(t, func(s *stage, theirs string) {
				ctx, interrupt := context.WithCancel(s.t.Context())
				defer interrupt()
				seen, c := 0, s.clients(s.t.Context())
				s.cloud.Intercept(func(c fake.Call) fake.Fault {
					if strings.Contains(c.Path, "/auth/") {
						return fake.Fault{}
					}
					if seen++; seen != n {
						return fake.Fault{}
					}
					if kind == len(faults) {
						return fake.Fault{After: interrupt, Lost: fake.LostAfter}
					}
					return faults[kind]
				})
				e, err := Find(ctx, c, s.cluster.UID, "")
				if err == nil {
					err = e.Remove(ctx, c, func(string) {})
				}
				if err == nil && kind < len(faults) {
					if wrong := purged(s, theirs); wrong != "" {
						t.Errorf("fault %d at call %d: says that all went well, but: %s", kind, n, wrong)
					}
				}
				s.cloud.Intercept(nil)
				if _, err := purge(s, ""); err != nil {
					t.Errorf("fault %d at call %d, and again: %v", kind, n, err)
				}
				if wrong := purged(s, theirs); wrong != "" {
					t.Errorf("fault %d at call %d: %s", kind, n, wrong)
				}
			})
		}
	}
}

func TestForeseeTellsWhatWillBeDoneAndDoesNothing(t *testing.T) {
	onStage(t, brisk(), securedConf, func(s *stage) {
		s.service("web", "80/TCP")
		s.service("old", "80/TCP")
		s.start()
		s.until("addresses", s.quiet)
		s.calm(15 * time.Second)
		s.stop()
		foresee := func() []Foreseen {
			s.cloud.ResetCalls()
			seen, err := Foresee(s.t.Context(), s.clients(s.t.Context()), s.input())
			if err != nil {
				t.Fatal(err)
			}
			if _, changes := s.own(); len(changes) > 0 {
				t.Errorf("looking changes: %v", changes)
			}
			return seen
		}
		for _, f := range foresee() {
			if len(f.Steps) > 0 || f.Refusal != nil {
				t.Errorf("nothing is to do: %+v", f)
			}
		}
		s.services["web"].Ports[0].Number = 81
		s.leaving["old"] = true
		s.service("new", "443/TCP")
		s.service("bad", "80/TCP").Annotations["loadbalancer.openstack.org/load-balancer-id"] = "11111111-2222-4333-8444-555555555555"
		seen := foresee()
		text := fmt.Sprint(seen)
		t.Log(text)
		for _, want := range []string{"create load balancer kube_service_kubernetes_shop_new", "create floating IP in network", "for port (of the new load balancer)",
			"delete load balancer kube_service_kubernetes_shop_old", "delete floating IP", "create listener listener_0_kube_service_kubernetes_shop_web for port 81/TCP",
			"delete listener listener_0_kube_service_kubernetes_shop_web", "LoadBalancerNotFound", "allow in security group", "stop allowing in security group"} {
			if !strings.Contains(text, want) && !slices.ContainsFunc(seen, func(f Foreseen) bool { return f.Refusal != nil && string(f.Refusal.Reason) == want }) {
				t.Errorf("not foreseen: %s", want)
			}
		}
	})
}
