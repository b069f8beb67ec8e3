package conformance

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/providers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

// create asks for a load balancer, and takes it away after the test whatever state it
// is in by then.
func (s *suite) create(t *testing.T, opts loadbalancers.CreateOpts) (*loadbalancers.LoadBalancer, error) {
	t.Helper()
	opts.Name = s.name(opts.Name)
	if opts.VipSubnetID == "" && opts.VipPortID == "" && opts.VipNetworkID == "" {
		opts.VipSubnetID = s.SubnetV4
	}
	lb, err := loadbalancers.Create(t.Context(), s.lb, opts).Extract()
	if err == nil {
		cleanup(t, func(ctx context.Context) { s.destroy(ctx, t, lb.ID) })
	}
	return lb, err
}

func (s *suite) mustCreate(t *testing.T, opts loadbalancers.CreateOpts) *loadbalancers.LoadBalancer {
	t.Helper()
	lb, err := s.create(t, opts)
	succeeded(t, "create a load balancer", err)
	return lb
}

// destroy deletes until it is gone: a deletion may end in ERROR and has to be repeated.
func (s *suite) destroy(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	s.wait(t, "deletion of load balancer "+id, func() (bool, string) {
		lb, err := loadbalancers.Get(ctx, s.lb, id).Extract()
		if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			return true, "gone"
		}
		if err != nil {
			return false, err.Error()
		}
		if lb.ProvisioningStatus == "ACTIVE" || lb.ProvisioningStatus == "ERROR" {
			_ = loadbalancers.Delete(ctx, s.lb, id, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr() // the next look tells
		}
		return false, lb.ProvisioningStatus
	})
}

// settled waits until nothing is pending, and asserts the status that it ended in.
func (s *suite) settled(t *testing.T, id, want string) *loadbalancers.LoadBalancer {
	t.Helper()
	var lb *loadbalancers.LoadBalancer
	s.wait(t, "load balancer "+id, func() (bool, string) {
		var err error
		if lb, err = loadbalancers.Get(t.Context(), s.lb, id).Extract(); err != nil {
			t.Fatalf("get load balancer %s: %v", id, err)
		}
		return lb.ProvisioningStatus == "ACTIVE" || lb.ProvisioningStatus == "ERROR", lb.ProvisioningStatus
	})
	if lb.ProvisioningStatus != want {
		t.Fatalf("load balancer %s is %s, want %s", id, lb.ProvisioningStatus, want)
	}
	return lb
}

func (s *suite) listBalancers(t *testing.T, opts loadbalancers.ListOpts) []loadbalancers.LoadBalancer {
	t.Helper()
	page := must(loadbalancers.List(s.lb, opts).AllPages(t.Context()))(t, "list load balancers")
	return must(loadbalancers.ExtractLoadBalancers(page))(t, "load balancers")
}

func (s *suite) discovery(t *testing.T) {
	page := must(apiversions.List(s.lb).AllPages(t.Context()))(t, "versions")
	versions := must(apiversions.ExtractAPIVersions(page))(t, "versions")
	if len(versions) == 0 || versions[len(versions)-1].Status != "CURRENT" || versions[0].ID != "v2.0" {
		t.Errorf("versions %v", versions)
	}
	page = must(providers.List(s.lb, nil).AllPages(t.Context()))(t, "providers")
	names := map[string]bool{}
	for _, provider := range must(providers.ExtractProviders(page))(t, "providers") {
		names[provider.Name] = true
	}
	if !names["amphora"] || names["ovn"] != s.OVN {
		t.Errorf("providers %v", names)
	}
	must(flavors.List(s.lb, nil).AllPages(t.Context()))(t, "flavors")
	if status, answer := raw(t, s.lb, http.MethodGet, s.lb.ServiceURL("lbaas", "availabilityzones"), nil); status != http.StatusOK {
		t.Errorf("availability zones: %d %v", status, answer)
	}
	refused(t, "an unknown load balancer", loadbalancers.Get(t.Context(), s.lb, unknownID).Err, http.StatusNotFound)
	refused(t, "an unknown listener", listeners.Get(t.Context(), s.lb, unknownID).Err, http.StatusNotFound)
	refused(t, "an unknown pool", pools.Get(t.Context(), s.lb, unknownID).Err, http.StatusNotFound)
	refused(t, "members of an unknown pool", pools.GetMember(t.Context(), s.lb, unknownID, unknownID).Err, http.StatusNotFound)
}

// fullOptions are three listeners and their pools.
func fullOptions(mark string) loadbalancers.CreateOpts {
	weight := 0
	return loadbalancers.CreateOpts{
		Name: "full", Description: "of the suite", Tags: []string{mark, "two"},
		Listeners: []listeners.CreateOpts{
			{Name: "http", Protocol: "TCP", ProtocolPort: 80, AllowedCIDRs: []string{"192.0.2.0/24"}, DefaultPool: &pools.CreateOpts{
				Name: "http", Protocol: "TCP", LBMethod: "ROUND_ROBIN", Tags: []string{"pt"},
				Members: []pools.CreateMemberOpts{
					{Address: "10.250.0.1", ProtocolPort: 30080, Name: "node-1"}, {Address: "10.250.0.2", ProtocolPort: 30080, Weight: &weight},
				},
				Monitor: monitor("TCP"),
			}},
			{Name: "again", Protocol: "TCP", ProtocolPort: 81, Tags: []string{"lt"}, DefaultPool: &pools.CreateOpts{Name: "shared", Protocol: "TCP", LBMethod: "SOURCE_IP"}},
			{Name: "dns", Protocol: "UDP", ProtocolPort: 80, DefaultPool: &pools.CreateOpts{
				Name: "dns", Protocol: "UDP", LBMethod: "ROUND_ROBIN", Persistence: &pools.SessionPersistence{Type: "SOURCE_IP"}}},
		},
	}
}

// fullyPopulated makes everything in one request, as the driver does.
func (s *suite) fullyPopulated(t *testing.T) {
	lb := s.mustCreate(t, fullOptions(s.mark))
	t.Run("the answer is complete while it is built", func(t *testing.T) {
		if lb.ProvisioningStatus != "PENDING_CREATE" || lb.VipPortID == "" || lb.VipAddress == "" || lb.VipNetworkID != s.Network {
			t.Errorf("got %+v", lb)
		}
		if len(lb.Listeners) != 3 || len(lb.Pools) != 3 {
			t.Errorf("%d listeners and %d pools", len(lb.Listeners), len(lb.Pools))
		}
	})
	t.Run("the VIP port is there while it is built", func(t *testing.T) {
		port := must(ports.Get(t.Context(), s.network, lb.VipPortID).Extract())(t, "VIP port")
		if port.Name != "octavia-lb-"+lb.ID || port.DeviceOwner != "Octavia" || port.DeviceID != "lb-"+lb.ID || port.ProjectID != s.project || port.AdminStateUp {
			t.Errorf("got %+v", port)
		}
	})
	t.Run("meanwhile it is immutable", func(t *testing.T) {
		name := "x"
		_, err := loadbalancers.Update(t.Context(), s.lb, lb.ID, loadbalancers.UpdateOpts{Name: &name}).Extract()
		s.pendingRefusal(t, lb.ID, "update", err)
		_, err = listeners.Create(t.Context(), s.lb, listeners.CreateOpts{LoadbalancerID: lb.ID, Protocol: "TCP", ProtocolPort: 99}).Extract()
		s.pendingRefusal(t, lb.ID, "create a listener", err)
		s.pendingRefusal(t, lb.ID, "delete", loadbalancers.Delete(t.Context(), s.lb, lb.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr())
	})
	if t.Failed() {
		return
	}
	built := s.settled(t, lb.ID, "ACTIVE")
	// Octavia 11.0 forgets to report about the children (fake.Options.ForgetsChildren
	// tells the story). Then it does so always.
	listener := must(listeners.Get(t.Context(), s.lb, built.Listeners[0].ID).Extract())(t, "listener")
	s.forgets = listener.ProvisioningStatus == "PENDING_CREATE"
	t.Run("the tree tells all states at once", func(t *testing.T) { s.fullTree(t, lb.ID) })
	t.Run("it is found by tags and name", func(t *testing.T) { s.findBalancer(t, built) })
	t.Run("fields are selected", func(t *testing.T) { s.fields(t, lb.ID) })
	t.Run("the listener has what was asked for", func(t *testing.T) {
		page := must(listeners.List(s.lb, listeners.ListOpts{LoadbalancerID: lb.ID, ProtocolPort: 80, Protocol: "TCP"}).AllPages(t.Context()))(t, "list")
		found := must(listeners.ExtractListeners(page))(t, "listeners")
		if len(found) != 1 || found[0].Name != "http" || len(found[0].AllowedCIDRs) != 1 || found[0].ConnLimit != -1 || found[0].DefaultPoolID == "" {
			t.Fatalf("found %+v", found)
		}
		members := s.members(t, found[0].DefaultPoolID)
		if len(members) != 2 || members["10.250.0.1"].Weight != 1 || members["10.250.0.2"].Weight != 0 || members["10.250.0.1"].Name != "node-1" {
			t.Errorf("members %+v", members)
		}
	})
	if s.forgets {
		t.Run("children that were forgotten are healed by an update", func(t *testing.T) { s.healChildren(t, lb.ID) })
	}
	t.Run("without cascade it is not deleted with children", func(t *testing.T) {
		refused(t, "delete", loadbalancers.Delete(t.Context(), s.lb, lb.ID, nil).ExtractErr(), http.StatusBadRequest, "has children")
	})
	t.Run("with cascade everything goes, the VIP port too", func(t *testing.T) {
		succeeded(t, "delete", loadbalancers.Delete(t.Context(), s.lb, lb.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr())
		s.wait(t, "deletion", func() (bool, string) {
			got, err := loadbalancers.Get(t.Context(), s.lb, lb.ID).Extract()
			if err == nil && got.ProvisioningStatus != "PENDING_DELETE" {
				t.Fatalf("while it is deleted it is %s", got.ProvisioningStatus)
			}
			return gophercloud.ResponseCodeIs(err, http.StatusNotFound), "there"
		})
		refused(t, "the VIP port", ports.Get(t.Context(), s.network, lb.VipPortID).Err, http.StatusNotFound)
		if left := s.listBalancers(t, loadbalancers.ListOpts{Tags: []string{s.mark}}); len(left) != 0 {
			t.Errorf("still listed: %v", left)
		}
		refused(t, "delete again", loadbalancers.Delete(t.Context(), s.lb, lb.ID, nil).ExtractErr(), http.StatusNotFound)
	})
}

// pendingRefusal asserts a 409, unless the cloud has been faster than the test.
func (s *suite) pendingRefusal(t *testing.T, id, what string, err error) {
	t.Helper()
	if err == nil {
		if lb, _ := loadbalancers.Get(t.Context(), s.lb, id).Extract(); lb != nil {
			t.Skipf("%s: the load balancer was ready before it could be asked (it is %s)", what, lb.ProvisioningStatus)
		}
	}
	refused(t, what, err, http.StatusConflict, id)
}

func (s *suite) fields(t *testing.T, id string) {
	url := s.lb.ServiceURL("lbaas", "loadbalancers") + "?tags=" + s.mark + "&fields=id&fields=provisioning_status&fields=updated_at"
	_, answer := raw(t, s.lb, http.MethodGet, url, nil)
	list, _ := answer["loadbalancers"].([]any)
	if len(list) != 1 {
		t.Fatalf("got %v", answer)
	}
	first, _ := list[0].(map[string]any)
	if len(first) != 3 || first["id"] != id || first["provisioning_status"] != "ACTIVE" {
		t.Errorf("got %v", first)
	}
}

func (s *suite) findBalancer(t *testing.T, lb *loadbalancers.LoadBalancer) {
	for what, c := range map[string]struct {
		opts  loadbalancers.ListOpts
		found bool
	}{
		"all tags":           {loadbalancers.ListOpts{Tags: []string{s.mark, "two"}}, true},
		"a tag it lacks":     {loadbalancers.ListOpts{Tags: []string{s.mark, "three"}}, false},
		"any tag":            {loadbalancers.ListOpts{TagsAny: []string{s.mark, "three"}}, true},
		"not the tag":        {loadbalancers.ListOpts{Name: lb.Name, TagsNot: []string{"two"}}, false},
		"not any of the tag": {loadbalancers.ListOpts{Name: lb.Name, TagsNotAny: []string{"two", "three"}}, false},
		"name":               {loadbalancers.ListOpts{Name: lb.Name}, true},
		"name and project":   {loadbalancers.ListOpts{Name: lb.Name, ProjectID: s.project}, true},
		"VIP port":           {loadbalancers.ListOpts{VipPortID: lb.VipPortID}, true},
		"VIP address":        {loadbalancers.ListOpts{VipAddress: lb.VipAddress, Name: lb.Name}, true},
		"status":             {loadbalancers.ListOpts{Name: lb.Name, ProvisioningStatus: "ACTIVE"}, true},
		"another status":     {loadbalancers.ListOpts{Name: lb.Name, ProvisioningStatus: "ERROR"}, false},
		"provider":           {loadbalancers.ListOpts{Name: lb.Name, Provider: lb.Provider}, true},
		"id":                 {loadbalancers.ListOpts{ID: lb.ID}, true},
	} {
		found := s.listBalancers(t, c.opts)
		if ok := len(found) == 1 && found[0].ID == lb.ID; ok != c.found || !c.found && len(found) != 0 {
			t.Errorf("by %s: found %d, want it found: %v", what, len(found), c.found)
		}
	}
	if status, answer := raw(t, s.lb, http.MethodGet, s.lb.ServiceURL("lbaas", "loadbalancers")+"?nonsense=1", nil); status != http.StatusBadRequest {
		t.Errorf("an unknown filter: %d %v", status, answer)
	}
}

func (s *suite) fullTree(t *testing.T, id string) {
	tree := must(loadbalancers.GetStatuses(t.Context(), s.lb, id).Extract())(t, "tree").Loadbalancer
	if tree.ID != id || tree.ProvisioningStatus != "ACTIVE" || len(tree.Listeners) != 3 {
		t.Fatalf("tree %+v", tree)
	}
	for _, l := range tree.Listeners {
		if len(l.Pools) != 1 || l.ProvisioningStatus != l.Pools[0].ProvisioningStatus || l.ProvisioningStatus != "ACTIVE" && !s.forgets {
			t.Errorf("listener %+v", l)
			continue
		}
		if l.Name != "http" {
			continue
		}
		pool := l.Pools[0]
		if len(pool.Members) != 2 || pool.Members[0].ProtocolPort != 30080 || pool.Members[0].Address == "" || pool.Members[0].OperatingStatus == "" {
			t.Errorf("members %+v", pool.Members)
		}
	}
	url := s.lb.ServiceURL("lbaas", "loadbalancers", id, "status")
	_, answer := raw(t, s.lb, http.MethodGet, url, nil)
	statuses, _ := answer["statuses"].(map[string]any)
	lb, _ := statuses["loadbalancer"].(map[string]any)
	all, _ := lb["listeners"].([]any)
	for _, l := range all {
		l, _ := l.(map[string]any)
		if l["name"] != "http" {
			continue
		}
		pools, _ := l["pools"].([]any)
		pool, _ := pools[0].(map[string]any)
		if monitor, _ := pool["health_monitor"].(map[string]any); monitor["type"] != "TCP" || monitor["provisioning_status"] != "ACTIVE" && !s.forgets {
			t.Errorf("health monitor in the tree: %v", pool)
		}
	}
	if stats := must(loadbalancers.GetStats(t.Context(), s.lb, id).Extract())(t, "stats"); stats.BytesIn < 0 {
		t.Errorf("stats %+v", stats)
	}
}

// healChildren: the members of a pool that is PENDING_CREATE cannot be changed, although
// the load balancer is ACTIVE; the pool itself can, and is ACTIVE afterwards.
func (s *suite) healChildren(t *testing.T, lbID string) {
	page := must(pools.List(s.lb, pools.ListOpts{LoadbalancerID: lbID, Name: "http"}).AllPages(t.Context()))(t, "list pools")
	found := must(pools.ExtractPools(page))(t, "pools")
	if len(found) != 1 {
		t.Fatalf("pools %+v", found)
	}
	id := found[0].ID
	if status := s.batch(t, id, "", at("10.250.0.1")); status != http.StatusConflict {
		t.Errorf("members of a pool that is PENDING_CREATE: %d", status)
	}
	name := "http"
	must(pools.Update(t.Context(), s.lb, id, pools.UpdateOpts{Name: &name}).Extract())(t, "update the pool")
	s.settled(t, lbID, "ACTIVE")
	if status := s.batch(t, id, "", at("10.250.0.1")); status != http.StatusAccepted {
		t.Errorf("members of the healed pool: %d", status)
	}
	s.settled(t, lbID, "ACTIVE")
	tree := must(loadbalancers.GetStatuses(t.Context(), s.lb, lbID).Extract())(t, "tree").Loadbalancer
	for _, l := range tree.Listeners {
		if l.ProvisioningStatus != "ACTIVE" {
			t.Errorf("listener %s is %s after a change of a pool", l.Name, l.ProvisioningStatus)
		}
	}
}
