package neutron

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

// scene is a cluster of some nodes with a Security that has looked.
type scene struct {
	*testing.T
	cloud    *fake.Cloud
	security *Security
	nodes    []lb.Node
	ports    map[string]Port
	names    []string
}

func newScene(t *testing.T, nodes int, names ...string) *scene {
	t.Helper()
	c, client := demo(t, fake.Options{})
	s := &scene{T: t, cloud: c, security: NewSecurity(client), names: append([]string{ClusterGroupName("uid")}, names...)}
	s.security.Project = c.Credentials().ProjectID
	s.nodes = addNodes(c, nodes)
	s.findPorts()
	if !s.security.Stale() {
		t.Error("not stale before the first look")
	}
	s.look()
	c.ResetCalls()
	return s
}

func (s *scene) findPorts() {
	s.Helper()
	var err error
	if s.ports, err = NodePorts(s.Context(), s.security.client, s.nodes); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) look() {
	s.Helper()
	if err := s.security.Look(s.Context(), s.names...); err != nil {
		s.Fatal(err)
	}
	if s.security.Stale() {
		s.Error("stale after a look")
	}
}

// run takes steps once, as an engine would, and gives those that failed.
func (s *scene) run(want ...GroupWant) error {
	s.Helper()
	var failed error
	for _, step := range s.security.Steps(want, s.ports) {
		if failed != nil && (Careful(step) || s.security.Stale()) {
			continue
		}
		failed = errors.Join(failed, s.security.Do(s.Context(), step))
	}
	return failed
}

// settle runs until nothing is left to do, and checks that what is remembered is true.
func (s *scene) settle(want ...GroupWant) {
	s.Helper()
	for range 5 {
		if s.security.Stale() {
			s.look()
		}
		if err := s.run(want...); err != nil {
			s.Fatal(err)
		}
		if !s.security.Stale() && len(s.security.Steps(want, s.ports)) == 0 {
			before := s.security.Groups()
			s.look()
			if diff := cmp.Diff(s.security.Groups(), before, cmp.Comparer(Rule.equal), cmpopts.EquateEmpty(), cmp.FilterPath(func(p cmp.Path) bool {
				return p.Last().String() == ".Revision"
			}, cmp.Ignore())); diff != "" {
				s.Errorf("remembered groups (-cloud +memory):\n%s", diff)
			}
			if steps := s.security.Steps(want, s.ports); len(steps) > 0 {
				s.Errorf("after another look: %v", printed(steps))
			}
			return
		}
	}
	s.Fatalf("not settled: %v", printed(s.security.Steps(want, s.ports)))
}

func (r Rule) equal(o Rule) bool { return r == o }

// has are the groups of a node's port, by name.
func (s *scene) has(node string) []string {
	names := make(map[string]string)
	for _, g := range s.cloud.SecurityGroups() {
		names[g.ID] = g.Name
	}
	var out []string
	for _, p := range s.cloud.Ports() {
		if p.Name == node {
			for _, id := range p.SecurityGroups {
				out = append(out, names[id]) // the default group is not in the list
			}
		}
	}
	slices.Sort(out)
	return out
}

func clusterWant(ports ...uint16) GroupWant {
	w := GroupWant{Name: ClusterGroupName("uid"), Description: ClusterGroupDescription("c1"), Tags: []string{"kube_cluster_id_uid"}}
	for _, p := range ports {
		w.Rules = append(w.Rules, rule("", "tcp", p, "10.0.0.0/24"))
		w.Rules[len(w.Rules)-1].Description = RuleDescription
	}
	return w
}

func TestSecurityGroupFromNothing(t *testing.T) {
	s := newScene(t, 3)
	if err := s.run(clusterWant(30080, 30443)); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, s.cloud, "POST /security-groups", "PUT /{resource}/{id}/tags", "POST /security-group-rules", "PUT /ports/{id}", "PUT /ports/{id}", "PUT /ports/{id}")
	s.settle(clusterWant(30080, 30443))
	wantCalls(t, s.cloud, "GET /security-groups", "GET /ports")
	groups := s.cloud.SecurityGroups()
	if len(groups) != 1 || groups[0].Description != "Security Group for fairlead/all Service LoadBalancer in cluster c1" || len(groups[0].Rules) != 4 {
		t.Errorf("groups %+v", groups)
	}
	if diff := cmp.Diff([]string{"", ClusterGroupName("uid")}, s.has("node-01")); diff != "" {
		t.Errorf("groups of a port (-want +got):\n%s", diff)
	}

	// One more Service: one call. One more node: one more.
	s.run(clusterWant(30080, 30443, 30500))
	wantCalls(t, s.cloud, "POST /security-group-rules")
	s.nodes = append(s.nodes, lb.Node{Name: "late", Addresses: nil})
	_, s.nodes[3].ServerID = s.cloud.AddNode("late", addr("10.0.0.77"))
	s.nodes[3].Addresses = append(s.nodes[3].Addresses, addr("10.0.0.77"))
	s.findPorts()
	s.run(clusterWant(30080, 30443, 30500))
	wantCalls(t, s.cloud, "GET /ports", "PUT /ports/{id}")

	// A Service and a node less.
	s.nodes = s.nodes[1:]
	s.findPorts()
	calls(s.cloud)
	s.settle(clusterWant(30443, 30500))
	wantCalls(t, s.cloud, "DELETE /security-group-rules/{id}", "PUT /ports/{id}", "GET /security-groups", "GET /ports")
	if diff := cmp.Diff([]string{""}, s.has("node-00")); diff != "" {
		t.Errorf("groups of a node that left (-want +got):\n%s", diff)
	}

	// Nothing any more.
	s.settle()
	if groups := s.cloud.SecurityGroups(); len(groups) > 0 {
		t.Errorf("left over: %+v", groups)
	}
}

func TestAfterARestartANodeThatLeftIsFound(t *testing.T) {
	s := newScene(t, 2)
	s.settle(clusterWant(30080))
	s.security = NewSecurity(s.security.client)
	s.look()
	s.nodes = s.nodes[1:]
	s.findPorts()
	s.settle(clusterWant(30080))
	if diff := cmp.Diff([]string{""}, s.has("node-00")); diff != "" {
		t.Errorf("groups of a node that left (-want +got):\n%s", diff)
	}
}

func TestGroupsOfOthersSurviveARace(t *testing.T) {
	s := newScene(t, 2)
	port := s.ports["node-00"].ID
	if err := NewSecurity(s.security.client).Do(t.Context(), CreateGroup{Name: "by-hand"}); err != nil {
		t.Fatal(err)
	}
	other := s.cloud.SecurityGroups()[0].ID
	// Somebody changes the port after we read it, once and again.
	for _, times := range []int{1, 2} {
		s.cloud.SetPortGroups(port)
		s.findPorts()
		s.look()
		left := times
		s.cloud.Intercept(func(call fake.Call) fake.Fault {
			if call.Method == http.MethodPut && strings.Contains(call.Target, port) && left > 0 {
				left--
				return fake.Fault{Before: func() { s.cloud.SetPortGroups(port, other) }}
			}
			return fake.Fault{}
		})
		err := s.run(clusterWant(30080))
		if (err != nil) != (times == 2) || Uncertain(err) {
			t.Errorf("%d conflicts: %v", times, err)
		}
		s.settle(clusterWant(30080))
		if diff := cmp.Diff([]string{"by-hand", ClusterGroupName("uid")}, s.has("node-00")); diff != "" {
			t.Errorf("%d conflicts: groups (-want +got):\n%s", times, diff)
		}
	}
}

func TestDriftIsRepaired(t *testing.T) {
	s := newScene(t, 2)
	want := clusterWant(30080, 30443)
	s.settle(want)
	s.cloud.SetPortGroups(s.ports["node-01"].ID)
	s.cloud.Remove(s.security.Groups()[0].Rules[0].ID)
	calls(s.cloud)
	s.look()
	s.settle(want)
	if diff := cmp.Diff([]string{ClusterGroupName("uid")}, s.has("node-01")); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	// The whole group, and nobody told us.
	s.cloud.SetPortGroups(s.ports["node-00"].ID)
	s.cloud.SetPortGroups(s.ports["node-01"].ID)
	s.cloud.Remove(s.security.Groups()[0].ID)
	if err := s.run(clusterWant(30080, 30443, 30500)); err == nil || !s.security.Stale() {
		t.Errorf("error %v, stale %v", err, s.security.Stale())
	}
	s.settle(clusterWant(30080, 30443, 30500))
	if groups := s.cloud.SecurityGroups(); len(groups) != 1 || len(groups[0].Rules) != 5 {
		t.Errorf("groups %+v", groups)
	}
}

func TestARuleThatExistsDoesNotKeepOutTheOthers(t *testing.T) {
	s := newScene(t, 1)
	s.settle(clusterWant(30080))
	group := s.security.Groups()[0]
	again := NewSecurity(s.security.client)
	again.groups = []Group{group}
	if err := again.Do(t.Context(), AddRules{group.ref(), clusterWant(30443).Rules}); err != nil {
		t.Fatal(err)
	}
	calls(s.cloud)
	if err := s.run(clusterWant(30080, 30443, 30500)); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, s.cloud, "POST /security-group-rules", "POST /security-group-rules", "POST /security-group-rules")
	if !s.security.Stale() {
		t.Error("the rule's id is not known, and nobody wants to know")
	}
	s.settle(clusterWant(30080, 30443, 30500))
}

func TestQuotaOfRulesDoesNotKeepWhatFreesIt(t *testing.T) {
	s := newScene(t, 1)
	s.settle(clusterWant(30001, 30002))
	s.cloud.SetQuota("security_group_rule", len(s.security.Groups()[0].Rules)+2+4) // the default group has 4, each one 2 of its own
	err := s.run(clusterWant(30003, 30004))
	if Kind(err) != "OverQuota" {
		t.Fatalf("error %v", err)
	}
	s.settle(clusterWant(30003, 30004))
}

func TestANodeThatCannotBeChangedDoesNotKeepTheNextClosed(t *testing.T) {
	s := newScene(t, 3)
	if err := s.security.Do(t.Context(), CreateGroup{Name: ClusterGroupName("uid")}); err != nil {
		t.Fatal(err)
	}
	bad := s.ports["node-00"].ID
	s.cloud.Intercept(func(call fake.Call) fake.Fault {
		if call.Method == http.MethodPut && strings.Contains(call.Target, bad) {
			return fake.Reply(http.StatusForbidden)
		}
		return fake.Fault{}
	})
	if err := s.run(clusterWant(30080)); err == nil || s.security.Stale() {
		t.Errorf("error %v, stale %v", err, s.security.Stale())
	}
	if diff := cmp.Diff([]string{"", ClusterGroupName("uid")}, s.has("node-02")); diff != "" {
		t.Errorf("groups of another node (-want +got):\n%s", diff)
	}
}

func TestPortsAndRulesThatAreGone(t *testing.T) {
	s := newScene(t, 2)
	s.settle(clusterWant(30080, 30443))
	s.cloud.Remove(s.ports["node-00"].ID)
	s.cloud.Remove(s.security.Groups()[0].Rules[0].ID)
	s.security.ports = map[string]Port{} // as if nothing had been read since
	if err := s.run(clusterWant(30443)); err != nil {
		t.Fatal(err)
	}
	if !s.security.Lost() {
		t.Error("node-00's port is not missed")
	}
	if steps := s.security.Steps([]GroupWant{clusterWant(30443)}, s.ports); len(steps) > 0 {
		t.Errorf("steps %v", printed(steps))
	}
	s.nodes = s.nodes[1:]
	s.findPorts()
	s.security.Steps(nil, s.ports)
	if s.security.Lost() {
		t.Error("still missed")
	}
	s.settle(clusterWant(30443))
}

func TestLostAnswersLeadToALook(t *testing.T) {
	for _, loss := range []fake.Loss{fake.LostBefore, fake.LostAfter} {
		for _, route := range []string{
			"POST /v2.0/security-groups", "PUT /v2.0/{resource}/{id}/tags", "POST /v2.0/security-group-rules", "PUT /v2.0/ports/{id}", "DELETE /v2.0/security-group-rules/{id}",
			"DELETE /v2.0/security-groups/{id}",
		} {
			t.Run(fmt.Sprint(route, loss), func(t *testing.T) {
				s := newScene(t, 2)
				once := false
				s.cloud.Intercept(func(call fake.Call) fake.Fault {
					if call.Route() != route || once {
						return fake.Fault{}
					}
					once = true
					return fake.Fault{Lost: loss}
				})
				for _, want := range [][]GroupWant{{clusterWant(30080, 30443)}, {clusterWant(30443)}, nil} {
					if err := s.run(want...); err != nil && !s.security.Stale() {
						t.Errorf("not stale after %v", err)
					}
					s.settle(want...)
				}
				if !once {
					t.Errorf("no call %s", route)
				}
				if groups := s.cloud.SecurityGroups(); len(groups) > 0 {
					t.Errorf("left over: %+v", groups)
				}
			})
		}
	}
}

func TestOCCMsGroupStaysUntilItsServiceGoes(t *testing.T) {
	const occm = "lb-sg-1234-shop-web"
	s := newScene(t, 2, occm)
	// What OCCM left: a group without default rules, on all nodes.
	made := CreateGroup{Name: occm, Description: "Security Group for shop/web Service LoadBalancer in cluster c1"}
	if err := s.security.Do(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	bare := rule("", "tcp", 30080, "10.0.0.0/24")
	if err := s.security.Do(t.Context(), AddRules{GroupRef{Name: occm}, []Rule{bare}}); err != nil {
		t.Fatal(err)
	}
	s.security = NewSecurity(s.security.client)
	s.look()
	if !s.security.Has(occm) || s.security.Has(ClusterGroupName("uid")) {
		t.Fatalf("groups %+v", s.security.Groups())
	}
	web := GroupWant{Name: occm, Adopted: true, Rules: []Rule{rule("", "tcp", 30099, "10.0.0.0/24")}}
	s.settle(web, clusterWant(30443))
	if diff := cmp.Diff([]string{"", occm, ClusterGroupName("uid")}, s.has("node-00")); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	s.settle(clusterWant(30443))
	if diff := cmp.Diff([]string{"", ClusterGroupName("uid")}, s.has("node-00")); diff != "" {
		t.Errorf("groups after the Service went (-want +got):\n%s", diff)
	}
}

func TestManyNamesTakeFewCalls(t *testing.T) {
	s := newScene(t, 1)
	s.settle(clusterWant(30080))
	for i := range 1000 {
		s.names = append(s.names, fmt.Sprintf("lb-sg-%08d-0000-4000-8000-000000000000-namespace-service", i))
	}
	calls(s.cloud)
	s.look()
	wantCalls(t, s.cloud, "GET /security-groups", "GET /security-groups", "GET /ports")
	if len(s.security.Groups()) != 1 {
		t.Errorf("groups %+v", s.security.Groups())
	}
}

func TestAListThatLagsDoesNotMakeASecondGroup(t *testing.T) {
	s := newScene(t, 1)
	s.cloud.SetListLag(1 << 60)
	for range 2 {
		if err := s.run(clusterWant(30080)); err != nil {
			t.Fatal(err)
		}
		s.look()
	}
	if groups := s.cloud.SecurityGroups(); len(groups) != 1 {
		t.Errorf("groups %+v", groups)
	}
}

func TestTwoGroupsOfOneNameBecomeOne(t *testing.T) {
	s := newScene(t, 2)
	s.settle(clusterWant(30080))
	kept := s.cloud.SecurityGroups()[0].ID
	if err := s.security.Do(t.Context(), CreateGroup{Name: ClusterGroupName("uid")}); err != nil {
		t.Fatal(err)
	}
	s.settle(clusterWant(30080))
	if groups := s.cloud.SecurityGroups(); len(groups) != 1 || groups[0].ID != kept {
		t.Errorf("groups %+v, want %s", groups, kept)
	}
}

func TestPortsWithoutSecurityAreToldOf(t *testing.T) {
	ports := map[string]Port{"a": {PortSecurity: true}, "c": {}, "b": {}}
	if diff := cmp.Diff([]string{"b", "c"}, Unguarded(ports)); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}
