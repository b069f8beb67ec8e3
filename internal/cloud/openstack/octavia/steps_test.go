package octavia

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
)

const (
	shopWeb  = "kube_service_kubernetes_shop_web"
	shopDNS  = "kube_service_kubernetes_shop_dns"
	ourTag   = clusterTagPrefix + "c1"
	webTag   = serviceTagPrefix + "u1"
	otherTag = clusterTagPrefix + "c2"
)

// echo answers every call with what was sent, and an id: enough for the effects of steps.
type echo struct{ n int }

func (e *echo) RoundTrip(r *http.Request) (*http.Response, error) {
	body := make(map[string]map[string]any)
	if r.Body != nil && r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return nil, err
		}
	}
	e.n++
	for _, object := range body {
		object["id"] = fmt.Sprintf("new-%d", e.n)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

// walked takes steps one after another, as the driver does, each on what the last one
// left, until there is none. It shows each and what holds then.
func walked(t *testing.T, w *want, have *LoadBalancer, holds func(step, *LoadBalancer)) (texts []string, end *LoadBalancer) {
	t.Helper()
	provider := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: &echo{}}}
	c := &gophercloud.ServiceClient{ProviderClient: provider, Endpoint: "http://octavia.invalid/v2.0/", ResourceBase: "http://octavia.invalid/v2.0/"}
	for range 50 {
		todo := steps(w, &unit{have: have})
		if len(todo) == 0 {
			return texts, have
		}
		effect, err := todo[0].do(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, strings.TrimPrefix(fmt.Sprintf("%T", todo[0]), "octavia."))
		if _, is := todo[0].(deleteLoadBalancer); is {
			return texts, nil
		}
		have = have.clone()
		effect(have)
		have.Status = Active
		for i := range have.Listeners {
			have.Listeners[i].Status = Active
		}
		for i := range have.Pools {
			have.Pools[i].Status = Active
		}
		if holds != nil {
			holds(todo[0], have)
		}
	}
	t.Fatalf("no end: %q", texts)
	return nil, nil
}

func nodeMembers(last ...byte) []Member {
	var out []Member
	for _, n := range last {
		out = append(out, Member{Name: fmt.Sprintf("node-%d", n), Address: netip.AddrFrom4([4]byte{10, 0, 0, n}), Port: 30080, Weight: 1})
	}
	return out
}

// webFrontend is a wanted port 80 of shop/web with three members.
func webFrontend(listener, pool string) frontend {
	return frontend{
		Listener: Listener{Name: "listener_0_" + shopWeb, Tags: []string{shopWeb, ourTag}, Protocol: listener, Port: 80, ConnectionLimit: -1},
		Pool:     Pool{Name: "pool_0_" + shopWeb, Protocol: pool, Method: "ROUND_ROBIN", Members: nodeMembers(1, 2, 3)},
		owner:    []string{shopWeb},
	}
}

func wantOf(f ...frontend) *want {
	return &want{
		loadBalancer: LoadBalancer{Name: shopWeb, Tags: []string{shopWeb, webTag, ourTag}},
		frontends:    f, ours: []string{shopWeb}, signs: []string{webTag}, cluster: ourTag, made: true, cascade: true,
	}
}

// builtAs is the load balancer that a want leads to.
func builtAs(w *want) *LoadBalancer {
	l := w.loadBalancer
	l.ID, l.Status, l.Known = "lb", Active, true
	for i := range w.frontends {
		f := w.frontends[i]
		f.Pool.ID, f.Listener.ID, f.Listener.Pool = fmt.Sprintf("pool-%d", i), fmt.Sprintf("listener-%d", i), fmt.Sprintf("pool-%d", i)
		f.Pool.Members = slices.Clone(f.Pool.Members)
		for j := range f.Pool.Members {
			f.Pool.Members[j].ID = fmt.Sprintf("member-%d-%d", i, j)
		}
		if f.Pool.Monitor != nil {
			m := *f.Pool.Monitor
			m.ID = fmt.Sprintf("monitor-%d", i)
			f.Pool.Monitor = &m
		}
		l.Listeners, l.Pools = append(l.Listeners, f.Listener), append(l.Pools, f.Pool)
	}
	return &l
}

func TestNothingIsToDoForWhatIsAsWanted(t *testing.T) {
	f := webFrontend("TCP", "TCP")
	f.Pool.Monitor = &Monitor{Type: "TCP", Delay: 5}
	w := wantOf(f)
	if todo := steps(w, &unit{have: builtAs(w)}); len(todo) > 0 {
		t.Errorf("%v", todo)
	}
}

func TestAListenerAlwaysLeadsToMembersWhileItsPoolIsReplaced(t *testing.T) {
	for _, serial := range []bool{false, true} {
		t.Run(fmt.Sprintf("serial %t", serial), func(t *testing.T) {
			have := builtAs(wantOf(webFrontend("TCP", "TCP")))
			f := webFrontend("TCP", "PROXY")
			f.Pool.Monitor = &Monitor{Type: "TCP", Delay: 5}
			w := wantOf(f)
			w.serial = serial
			texts, end := walked(t, w, have, func(s step, l *LoadBalancer) {
				x := l.listener("TCP", 80)
				if x == nil {
					t.Fatalf("no listener after %s", s)
				}
				if p := l.pool(x.Pool); p == nil || len(p.Members) < 3 {
					t.Errorf("after %s the listener leads to %+v", s, p)
				}
			})
			add := []string{"setMembers"}
			if serial {
				add = []string{"createMember", "createMember", "createMember"}
			}
			order := slices.Concat([]string{"createPool"}, add, []string{"createMonitor", "updateListener", "deletePool"})
			if diff := cmp.Diff(order, texts); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			if len(end.Pools) != 1 || end.Pools[0].Protocol != "PROXY" || end.Listeners[0].ID != "listener-0" {
				t.Errorf("%+v", end)
			}
		})
	}
}

// A port that was a TCP listener and shall be an HTTP one cannot have both at once: the
// pool is ready before the old listener goes.
func TestAListenerOfAnotherProtocolWaitsForItsPool(t *testing.T) {
	have := builtAs(wantOf(webFrontend("TCP", "TCP")))
	w := wantOf(webFrontend("HTTP", "HTTP"))
	texts, end := walked(t, w, have, func(s step, l *LoadBalancer) {
		if x := l.listener("TCP", 80); x == nil {
			if _, is := s.(deleteListener); !is || len(l.Pools) != 2 || len(l.Pools[1].Members) != 3 {
				t.Errorf("no listener after %s, and %d pools", s, len(l.Pools))
			}
		}
	})
	if diff := cmp.Diff([]string{"createPool", "setMembers", "deleteListener", "createListener", "deletePool"}, texts); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if len(end.Listeners) != 1 || end.Listeners[0].Protocol != "HTTP" || len(end.Pools) != 1 {
		t.Errorf("%+v", end)
	}
}

func TestStepsOfOneChange(t *testing.T) {
	monitored := func(m Monitor) *want {
		f := webFrontend("TCP", "TCP")
		f.Pool.Monitor = &m
		return wantOf(f)
	}
	plain := func() *want { return wantOf(webFrontend("TCP", "TCP")) }
	with := func(w *want, f func(*want)) *want {
		f(w)
		return w
	}
	members := func(serial bool, last ...byte) *want {
		f := webFrontend("TCP", "TCP")
		f.Pool.Members = nodeMembers(last...)
		w := wantOf(f)
		w.serial = serial
		return w
	}
	shared := func(w *want) *want {
		w.ours, w.signs = append(w.ours, shopDNS), append(w.signs, serviceTagPrefix+"u2")
		w.loadBalancer.Tags = append(w.loadBalancer.Tags, shopDNS, serviceTagPrefix+"u2")
		f := webFrontend("UDP", "UDP")
		f.Listener.Port, f.Listener.Name, f.Listener.Tags, f.Pool.Name, f.owner = 53, "listener_0_"+shopDNS, []string{shopDNS, ourTag}, "pool_0_"+shopDNS, []string{shopDNS}
		w.frontends = append(w.frontends, f)
		return w
	}
	for _, c := range []struct {
		name  string
		have  *LoadBalancer
		alter func(*LoadBalancer)
		want  *want
		steps []string
	}{
		{"a first load balancer is made by one call", nil, nil, plain(), []string{"createLoadBalancer"}},
		{"a monitor of another type is another monitor", builtAs(monitored(Monitor{Type: "TCP", Delay: 5})), nil, monitored(Monitor{Type: "HTTP", Delay: 5, Path: "/healthz"}), []string{"deleteMonitor", "createMonitor"}},
		{"a slower monitor is changed", builtAs(monitored(Monitor{Type: "TCP", Delay: 5})), nil, monitored(Monitor{Type: "TCP", Delay: 9}), []string{"updateMonitor"}},
		{"a monitor that is not wanted goes", builtAs(monitored(Monitor{Type: "TCP", Delay: 5})), nil, plain(), []string{"deleteMonitor"}},
		{"members change by one call", builtAs(members(false, 1, 2)), nil, members(false, 2, 3), []string{"setMembers"}},
		{"serial members: new ones first", builtAs(members(true, 1, 2)), nil, members(true, 2, 3), []string{"createMember", "deleteMember"}},
		{"serial members: changed ones before old ones", builtAs(members(true, 1, 2)), func(l *LoadBalancer) { l.Pools[0].Members[1].Weight = 7 }, members(true, 2, 3), []string{"createMember", "updateMember", "deleteMember"}},
		{"another Service's tags come first", builtAs(plain()), nil, shared(plain()), []string{"updateLoadBalancer", "createPool", "setMembers", "createListener"}},
		{"a Service that left: its tags go last", builtAs(shared(plain())), nil, with(plain(), func(w *want) { w.ours = append(w.ours, shopDNS); w.signs = append(w.signs, serviceTagPrefix+"u2") }), []string{"deleteListener", "deletePool", "updateLoadBalancer"}},
		{"the last Service takes the load balancer with it", builtAs(plain()), nil, with(plain(), func(w *want) { w.frontends, w.remove = nil, true }), []string{"deleteLoadBalancer"}},
		{"without cascade from the top down", builtAs(shared(plain())), nil, with(shared(plain()), func(w *want) { w.frontends, w.remove, w.cascade = nil, true, false }),
			[]string{"deleteListener", "deleteListener", "deletePool", "deletePool", "deleteLoadBalancer"}},
		{"another cluster's tag keeps the load balancer", builtAs(plain()), func(l *LoadBalancer) { l.Tags = append(l.Tags, otherTag) },
			with(plain(), func(w *want) { w.frontends, w.remove, w.loadBalancer.Tags = nil, true, []string{otherTag} }), []string{"deleteListener", "deletePool", "updateLoadBalancer"}},
		{"a neighbour's Service keeps the load balancer", builtAs(plain()), func(l *LoadBalancer) { l.Tags = append(l.Tags, "kube_service_kubernetes_shop_other") },
			with(plain(), func(w *want) {
				w.frontends, w.remove, w.loadBalancer.Tags = nil, true, []string{"kube_service_kubernetes_shop_other"}
			}), []string{"deleteListener", "deletePool", "updateLoadBalancer"}},
		{"a user's load balancer stays", builtAs(plain()), func(l *LoadBalancer) { l.Name = "front" },
			with(plain(), func(w *want) { w.frontends, w.remove, w.made, w.loadBalancer.Tags = nil, true, false, nil }), []string{"deleteListener", "deletePool", "updateLoadBalancer"}},
		{"a user's listener stays", builtAs(shared(plain())), func(l *LoadBalancer) {
			l.Listeners[1].Name, l.Listeners[1].Tags, l.Pools[1].Name = "ssh", []string{"team-a"}, "bastions"
		}, with(plain(), func(w *want) { w.loadBalancer.Tags = shared(plain()).loadBalancer.Tags }), nil},
		{"a pool that never got its listener is used", builtAs(plain()), func(l *LoadBalancer) { l.Listeners = nil }, plain(), []string{"createListener"}},
		{"a pool that nobody uses goes", builtAs(plain()), func(l *LoadBalancer) {
			l.Pools = append(l.Pools, Pool{ID: "spare", Name: "pool_0_" + shopWeb, Protocol: "TCP"})
		}, plain(), []string{"deletePool"}},
		{"a listener in ERROR is written again", builtAs(plain()), func(l *LoadBalancer) { l.Listeners[0].Status = Error }, plain(), []string{"updateListener"}},
		{"a forgotten pool is changed before its members", builtAs(members(false, 1)), func(l *LoadBalancer) { l.Pools[0].Status = PendingCreate }, members(false, 1, 2), []string{"updatePool", "setMembers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.alter != nil {
				c.alter(c.have)
			}
			if c.have == nil {
				if todo := steps(c.want, &unit{}); len(todo) != 1 || !strings.HasPrefix(todo[0].String(), "create load balancer") {
					t.Errorf("%v", todo)
				}
				return
			}
			texts, _ := walked(t, c.want, c.have, nil)
			if diff := cmp.Diff(c.steps, texts); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestASerialLoadBalancerIsBuiltFromTheBottomUp(t *testing.T) {
	f := webFrontend("TCP", "TCP")
	f.Pool.Monitor = &Monitor{Type: "TCP", Delay: 5}
	w := wantOf(f)
	w.serial = true
	todo := steps(w, &unit{})
	if made := todo[0].(createLoadBalancer).LoadBalancer; len(todo) != 1 || len(made.Listeners)+len(made.Pools) > 0 {
		t.Fatalf("made with %d listeners and %d pools", len(made.Listeners), len(made.Pools))
	}
	have := &LoadBalancer{ID: "lb", Name: shopWeb, Tags: w.loadBalancer.Tags, Status: Active, Known: true}
	texts, _ := walked(t, w, have, nil)
	if diff := cmp.Diff([]string{"createPool", "createMember", "createMember", "createMember", "createMonitor", "createListener"}, texts); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// Only what was made for a Service, and is nobody else's, is deleted as a surplus.
func TestASurplusLoadBalancerGoesOnlyIfItIsOurs(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(*LoadBalancer)
		goes  bool
	}{
		{"ours", func(*LoadBalancer) {}, true},
		{"at work", func(l *LoadBalancer) { l.Status = PendingUpdate }, false},
		{"in ERROR", func(l *LoadBalancer) { l.Status = Error }, true},
		{"a user's", func(l *LoadBalancer) { l.Name = "front" }, false},
		{"another cluster's too", func(l *LoadBalancer) { l.Tags = append(l.Tags, otherTag) }, false},
		{"another Service's too", func(l *LoadBalancer) { l.Tags = append(l.Tags, serviceTagPrefix+"u9") }, false},
		{"another Service's second half", func(l *LoadBalancer) { l.Tags = append(l.Tags, secondTagPrefix+"u9") }, false},
		{"a user's tag beside", func(l *LoadBalancer) { l.Tags = append(l.Tags, "team-a") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := wantOf(webFrontend("TCP", "TCP"))
			extra := builtAs(w)
			extra.ID = "extra"
			c.alter(extra)
			todo := steps(w, &unit{have: builtAs(w), surplus: []*LoadBalancer{extra}})
			if goes := len(todo) == 1 && todo[0].(deleteLoadBalancer).ID == "extra"; goes != c.goes || len(todo) > 1 {
				t.Errorf("goes: %t, want %t: %v", goes, c.goes, todo)
			}
		})
	}
}

// A listener that is not ours blocks its port, whatever its protocol; nothing touches it.
func TestAUsersListenerInTheWayIsNeverDeleted(t *testing.T) {
	for name, tags := range map[string][]string{"tagged by its user": {"team-a"}, "another cluster's": {shopWeb, otherTag}} {
		t.Run(name, func(t *testing.T) {
			w := wantOf() // refused: see view.refused
			w.made = false
			have := builtAs(wantOf(webFrontend("HTTP", "HTTP")))
			have.Listeners[0].Tags, have.Listeners[0].Name, have.Pools[0].Name = tags, "theirs", "theirs"
			if todo := steps(w, &unit{have: have}); len(todo) > 0 {
				t.Errorf("%v", todo)
			}
			if w.mine(tags, "theirs") || w.unsigned(&have.Listeners[0]) {
				t.Error("it is taken for ours")
			}
		})
	}
}
