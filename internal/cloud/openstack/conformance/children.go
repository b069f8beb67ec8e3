package conformance

import (
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
)

func monitor(kind string) monitors.CreateOpts {
	return monitors.CreateOpts{Type: kind, Delay: 5, Timeout: 3, MaxRetries: 2}
}

func (s *suite) members(t *testing.T, poolID string) map[string]pools.Member {
	t.Helper()
	page := must(pools.ListMembers(s.lb, poolID, pools.ListMembersOpts{}).AllPages(t.Context()))(t, "list members")
	byAddress := map[string]pools.Member{}
	for _, m := range must(pools.ExtractMembers(page))(t, "members") {
		byAddress[m.Address] = m
	}
	return byAddress
}

// batch writes the members of a pool.
func (s *suite) batch(t *testing.T, poolID, query string, members ...map[string]any) int {
	t.Helper()
	if members == nil {
		members = []map[string]any{}
	}
	status, answer := raw(t, s.lb, http.MethodPut, s.lb.ServiceURL("lbaas", "pools", poolID, "members")+query, map[string]any{"members": members})
	if status != http.StatusAccepted {
		t.Logf("batch: %d %v", status, answer)
	}
	return status
}

func at(address string, more ...any) map[string]any {
	m := map[string]any{"address": address, "protocol_port": 30080}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

// stepByStep changes a load balancer piece by piece, and looks at the locks.
func (s *suite) stepByStep(t *testing.T) {
	lb := s.mustCreate(t, loadbalancers.CreateOpts{Name: "steps"})
	fresh := s.settled(t, lb.ID, "ACTIVE")
	opts := listeners.CreateOpts{LoadbalancerID: lb.ID, Protocol: "TCP", ProtocolPort: 80, Name: "one"}
	listener := must(listeners.Create(t.Context(), s.lb, opts).Extract())(t, "create a listener")
	if listener.ProvisioningStatus != "PENDING_CREATE" {
		t.Errorf("a new listener is %s", listener.ProvisioningStatus)
	}
	_, err := pools.Create(t.Context(), s.lb, pools.CreateOpts{LoadbalancerID: lb.ID, Protocol: "TCP", LBMethod: "ROUND_ROBIN"}).Extract()
	if err != nil {
		refused(t, "a pool while the listener is made", err, http.StatusConflict, "Load Balancer "+lb.ID+" is immutable and cannot be updated.")
	}
	changed := s.settled(t, lb.ID, "ACTIVE")
	t.Run("every change of a child is one of the load balancer", func(t *testing.T) {
		if !changed.UpdatedAt.After(fresh.CreatedAt.Add(-time.Second)) || changed.UpdatedAt.Before(fresh.UpdatedAt) {
			t.Errorf("created %v, updated %v and then %v", fresh.CreatedAt, fresh.UpdatedAt, changed.UpdatedAt)
		}
	})
	if err == nil { // the cloud was faster
		for _, p := range changed.Pools {
			succeeded(t, "delete a pool", pools.Delete(t.Context(), s.lb, p.ID).ExtractErr())
			s.settled(t, lb.ID, "ACTIVE")
		}
	}
	pool := must(pools.Create(t.Context(), s.lb, pools.CreateOpts{ListenerID: listener.ID, Protocol: "TCP", LBMethod: "ROUND_ROBIN", Name: "one"}).Extract())(t, "create a pool")
	s.settled(t, lb.ID, "ACTIVE")
	t.Run("listener and pool know each other", func(t *testing.T) {
		l := must(listeners.Get(t.Context(), s.lb, listener.ID).Extract())(t, "listener")
		p := must(pools.Get(t.Context(), s.lb, pool.ID).Extract())(t, "pool")
		if l.DefaultPoolID != pool.ID || len(p.Listeners) != 1 || p.Listeners[0].ID != listener.ID || len(p.Loadbalancers) != 1 {
			t.Errorf("listener %+v, pool %+v", l, p)
		}
		_, err := pools.Create(t.Context(), s.lb, pools.CreateOpts{ListenerID: listener.ID, Protocol: "TCP", LBMethod: "ROUND_ROBIN"}).Extract()
		refused(t, "a second default pool", err, http.StatusConflict, "already has a default pool")
	})
	t.Run("batches of members", func(t *testing.T) { s.batches(t, lb.ID, pool.ID) })
	t.Run("single members", func(t *testing.T) { s.singleMembers(t, lb.ID, pool.ID) })
	t.Run("health monitors", func(t *testing.T) { s.monitors(t, lb.ID, pool.ID) })
	t.Run("updates", func(t *testing.T) { s.updates(t, lb.ID, listener.ID, pool.ID) })
	t.Run("pages of listeners", func(t *testing.T) { s.listenerPages(t, lb.ID, listener.ID) })
	t.Run("deletion of children", func(t *testing.T) {
		succeeded(t, "delete the pool", pools.Delete(t.Context(), s.lb, pool.ID).ExtractErr())
		s.settled(t, lb.ID, "ACTIVE")
		refused(t, "the pool", pools.Get(t.Context(), s.lb, pool.ID).Err, http.StatusNotFound)
		if l := must(listeners.Get(t.Context(), s.lb, listener.ID).Extract())(t, "listener"); l.DefaultPoolID != "" || l.ProvisioningStatus != "ACTIVE" {
			t.Errorf("the listener is %+v", l)
		}
		succeeded(t, "delete the listener", listeners.Delete(t.Context(), s.lb, listener.ID).ExtractErr())
		s.settled(t, lb.ID, "ACTIVE")
		refused(t, "the listener", listeners.Get(t.Context(), s.lb, listener.ID).Err, http.StatusNotFound)
	})
}

func (s *suite) batches(t *testing.T, lbID, poolID string) {
	if status := s.batch(t, poolID, ""); status != http.StatusAccepted {
		t.Errorf("an empty batch to an empty pool: %d", status)
	}
	if lb := must(loadbalancers.Get(t.Context(), s.lb, lbID).Extract())(t, "get"); lb.ProvisioningStatus != "ACTIVE" {
		t.Errorf("an empty batch to an empty pool locks: %s", lb.ProvisioningStatus)
	}
	write := func(what, query string, members ...map[string]any) map[string]pools.Member {
		t.Helper()
		if status := s.batch(t, poolID, query, members...); status != http.StatusAccepted {
			t.Fatalf("%s: %d", what, status)
		}
		s.settled(t, lbID, "ACTIVE")
		return s.members(t, poolID)
	}
	first := write("two members", "", at("10.250.0.1", "name", "a", "tags", []string{"x"}), at("10.250.0.2"))
	if len(first) != 2 || first["10.250.0.1"].Name != "a" {
		t.Fatalf("members %+v", first)
	}
	again := write("the same", "", at("10.250.0.1", "name", "a"), at("10.250.0.2"))
	if len(again) != 2 || again["10.250.0.1"].ID != first["10.250.0.1"].ID || again["10.250.0.1"].Name != "a" {
		t.Errorf("members %+v, before %+v", again, first)
	}
	moved := write("one replaced", "", at("10.250.0.1", "weight", 7), at("10.250.0.3"))
	if len(moved) != 2 || moved["10.250.0.1"].ID != first["10.250.0.1"].ID || moved["10.250.0.1"].Weight != 7 || moved["10.250.0.3"].ID == "" {
		t.Errorf("members %+v", moved)
	}
	if moved["10.250.0.1"].Name != "a" {
		t.Errorf("a batch that names no name left %q", moved["10.250.0.1"].Name)
	}
	if added := write("one added", "?additive_only=true", at("10.250.0.4")); len(added) != 3 || added["10.250.0.1"].Weight != 7 {
		t.Errorf("members %+v", added)
	}
	if plain := write("without a weight", "", at("10.250.0.1")); len(plain) != 1 || plain["10.250.0.1"].Weight != 1 {
		t.Errorf("members %+v", plain)
	}
	if status := s.batch(t, poolID, "", at("10.250.0.9"), at("10.250.0.9")); status != http.StatusConflict {
		t.Errorf("a new member twice: %d", status)
	}
	s.settled(t, lbID, "ACTIVE")
	if status := s.batch(t, poolID, "", at("10.250.0.9", "subnet_id", unknownID)); status != http.StatusBadRequest {
		t.Errorf("a new member in an unknown subnet: %d", status)
	}
	s.settled(t, lbID, "ACTIVE")
	if none := write("nothing", ""); len(none) != 0 {
		t.Errorf("members %+v", none)
	}
}

func (s *suite) singleMembers(t *testing.T, lbID, poolID string) {
	m := must(pools.CreateMember(t.Context(), s.lb, poolID, pools.CreateMemberOpts{Address: "10.250.0.20", ProtocolPort: 1, SubnetID: s.SubnetV4}).Extract())(t, "create")
	s.settled(t, lbID, "ACTIVE")
	_, err := pools.CreateMember(t.Context(), s.lb, poolID, pools.CreateMemberOpts{Address: "10.250.0.20", ProtocolPort: 1}).Extract()
	refused(t, "the same again", err, http.StatusConflict, "already using ip")
	s.settled(t, lbID, "ACTIVE")
	weight := 3
	must(pools.UpdateMember(t.Context(), s.lb, poolID, m.ID, pools.UpdateMemberOpts{Weight: &weight}).Extract())(t, "update")
	s.settled(t, lbID, "ACTIVE")
	got := must(pools.GetMember(t.Context(), s.lb, poolID, m.ID).Extract())(t, "get")
	if got.Weight != 3 || got.SubnetID != s.SubnetV4 || got.OperatingStatus != "NO_MONITOR" || got.ProvisioningStatus != "ACTIVE" {
		t.Errorf("got %+v", got)
	}
	url := s.lb.ServiceURL("lbaas", "pools", poolID, "members", m.ID)
	if status, answer := raw(t, s.lb, http.MethodPut, url, map[string]any{"member": map[string]any{"address": "10.250.0.21"}}); status != http.StatusBadRequest {
		t.Errorf("a new address: %d %v", status, answer)
	}
	succeeded(t, "delete", pools.DeleteMember(t.Context(), s.lb, poolID, m.ID).ExtractErr())
	s.settled(t, lbID, "ACTIVE")
	refused(t, "the member", pools.GetMember(t.Context(), s.lb, poolID, m.ID).Err, http.StatusNotFound)
}

func (s *suite) monitors(t *testing.T, lbID, poolID string) {
	create := func(opts monitors.CreateOpts) (*monitors.Monitor, error) {
		opts.PoolID = poolID
		return monitors.Create(t.Context(), s.lb, opts).Extract()
	}
	_, err := create(monitor("UDP-CONNECT"))
	refused(t, "a UDP monitor on a TCP pool", err, http.StatusBadRequest)
	bad := monitor("TCP")
	bad.URLPath = "/healthz"
	_, err = create(bad)
	refused(t, "a path on a TCP monitor", err, http.StatusBadRequest)
	s.settled(t, lbID, "ACTIVE")
	made := must(create(monitors.CreateOpts{Type: "HTTP", Delay: 5, Timeout: 3, MaxRetries: 2, URLPath: "/healthz"}))(t, "create")
	s.settled(t, lbID, "ACTIVE")
	if made.HTTPMethod != "GET" || made.ExpectedCodes != "200" || made.MaxRetriesDown != 3 {
		t.Errorf("defaults: %+v", made)
	}
	_, err = create(monitor("TCP"))
	refused(t, "a second one", err, http.StatusConflict, "already has a health monitor")
	s.settled(t, lbID, "ACTIVE")
	must(monitors.Update(t.Context(), s.lb, made.ID, monitors.UpdateOpts{Delay: 9}).Extract())(t, "update")
	s.settled(t, lbID, "ACTIVE")
	if got := must(monitors.Get(t.Context(), s.lb, made.ID).Extract())(t, "get"); got.Delay != 9 || got.URLPath != "/healthz" || got.ProvisioningStatus != "ACTIVE" {
		t.Errorf("got %+v", got)
	}
	url := s.lb.ServiceURL("lbaas", "healthmonitors", made.ID)
	if status, answer := raw(t, s.lb, http.MethodPut, url, map[string]any{"healthmonitor": map[string]any{"type": "TCP"}}); status != http.StatusBadRequest {
		t.Errorf("a new type: %d %v", status, answer)
	}
	page := must(monitors.List(s.lb, monitors.ListOpts{PoolID: poolID}).AllPages(t.Context()))(t, "list")
	if found := must(monitors.ExtractMonitors(page))(t, "monitors"); len(found) != 1 {
		t.Errorf("found %v", found)
	}
	succeeded(t, "delete", monitors.Delete(t.Context(), s.lb, made.ID).ExtractErr())
	s.settled(t, lbID, "ACTIVE")
	refused(t, "the monitor", monitors.Get(t.Context(), s.lb, made.ID).Err, http.StatusNotFound)
}

func (s *suite) updates(t *testing.T, lbID, listenerID, poolID string) {
	put := func(what string, want int, kind, id string, attributes map[string]any) {
		t.Helper()
		plural := map[string]string{"loadbalancer": "loadbalancers", "listener": "listeners", "pool": "pools"}[kind]
		status, answer := raw(t, s.lb, http.MethodPut, s.lb.ServiceURL("lbaas", plural, id), map[string]any{kind: attributes})
		if status != want {
			t.Errorf("%s: %d, want %d: %v", what, status, want, answer)
		}
		s.settled(t, lbID, "ACTIVE")
	}
	put("name, description and tags", http.StatusOK, "loadbalancer", lbID, map[string]any{"name": s.name("renamed"), "description": "new", "tags": []string{"n"}})
	if lb := must(loadbalancers.Get(t.Context(), s.lb, lbID).Extract())(t, "get"); lb.Name != s.name("renamed") || lb.Description != "new" || len(lb.Tags) != 1 {
		t.Errorf("got %+v", lb)
	}
	put("the VIP", http.StatusBadRequest, "loadbalancer", lbID, map[string]any{"vip_address": "10.250.0.1"})
	put("allowed CIDRs", http.StatusOK, "listener", listenerID, map[string]any{
		"allowed_cidrs": []string{"192.0.2.7/24"}, "timeout_client_data": 1000, "connection_limit": 5, "tags": []string{"t"}})
	l := must(listeners.Get(t.Context(), s.lb, listenerID).Extract())(t, "get")
	if len(l.AllowedCIDRs) != 1 || l.AllowedCIDRs[0] != "192.0.2.0/24" || l.TimeoutClientData != 1000 || l.ConnLimit != 5 {
		t.Errorf("got %+v", l)
	}
	put("back to defaults", http.StatusOK, "listener", listenerID, map[string]any{"allowed_cidrs": nil, "timeout_client_data": nil, "connection_limit": nil})
	l = must(listeners.Get(t.Context(), s.lb, listenerID).Extract())(t, "get")
	if len(l.AllowedCIDRs) != 0 || l.TimeoutClientData != 50000 || l.ConnLimit != -1 {
		t.Errorf("got %+v", l)
	}
	put("CIDRs of the other family", http.StatusBadRequest, "listener", listenerID, map[string]any{"allowed_cidrs": []string{"2001:db8::/32"}})
	put("the port", http.StatusBadRequest, "listener", listenerID, map[string]any{"protocol_port": 81})
	put("an unknown pool", http.StatusNotFound, "listener", listenerID, map[string]any{"default_pool_id": unknownID})
	put("algorithm and persistence", http.StatusOK, "pool", poolID, map[string]any{"lb_algorithm": "SOURCE_IP", "session_persistence": map[string]any{"type": "SOURCE_IP"}})
	p := must(pools.Get(t.Context(), s.lb, poolID).Extract())(t, "get")
	if p.LBMethod != "SOURCE_IP" || p.Persistence.Type != "SOURCE_IP" {
		t.Errorf("got %+v", p)
	}
	put("no persistence", http.StatusOK, "pool", poolID, map[string]any{"session_persistence": nil})
	if p := must(pools.Get(t.Context(), s.lb, poolID).Extract())(t, "get"); p.Persistence.Type != "" {
		t.Errorf("got %+v", p)
	}
	put("the protocol of a pool", http.StatusBadRequest, "pool", poolID, map[string]any{"protocol": "UDP"})
}

// listenerPages follows pages. Their links carry no filters, so others' listeners may
// be among them: that all of ours are there is what can be relied upon.
func (s *suite) listenerPages(t *testing.T, lbID, firstID string) {
	want := map[string]bool{firstID: true}
	for _, port := range []int{90, 91} {
		l := must(listeners.Create(t.Context(), s.lb, listeners.CreateOpts{LoadbalancerID: lbID, Protocol: "TCP", ProtocolPort: port}).Extract())(t, "create")
		want[l.ID] = true
		s.settled(t, lbID, "ACTIVE")
	}
	page := must(listeners.List(s.lb, listeners.ListOpts{LoadbalancerID: lbID, Limit: 1}).AllPages(t.Context()))(t, "list")
	for _, l := range must(listeners.ExtractListeners(page))(t, "listeners") {
		delete(want, l.ID)
	}
	if len(want) > 0 {
		t.Errorf("pages of one are without %v", want)
	}
	_, err := listeners.List(s.lb, listeners.ListOpts{Marker: unknownID}).AllPages(t.Context())
	refused(t, "an unknown marker", err, http.StatusBadRequest)
	page = must(listeners.List(s.lb, listeners.ListOpts{LoadbalancerID: lbID}).AllPages(t.Context()))(t, "list")
	for _, l := range must(listeners.ExtractListeners(page))(t, "listeners") {
		if l.ID != firstID {
			succeeded(t, "delete", listeners.Delete(t.Context(), s.lb, l.ID).ExtractErr())
			s.settled(t, lbID, "ACTIVE")
		}
	}
}
