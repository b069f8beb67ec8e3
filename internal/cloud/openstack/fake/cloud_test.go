package fake_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
)

type world struct {
	*fake.Cloud
	lb, network *gophercloud.ServiceClient
}

// enter connects as the demo user, without a socket.
func enter(t *testing.T, o fake.Options) world {
	t.Helper()
	w := world{Cloud: fake.New(o)}
	k := w.Credentials()
	p, err := openstack.NewClient(k.AuthURL)
	if err != nil {
		t.Fatal(err)
	}
	p.HTTPClient.Transport = w.Transport()
	if err := openstack.Authenticate(t.Context(), p, gophercloud.AuthOptions{
		IdentityEndpoint: k.AuthURL, Username: k.User, Password: k.Password, TenantName: k.Project, DomainName: k.Domain, AllowReauth: true,
	}); err != nil {
		t.Fatal(err)
	}
	if w.lb, err = openstack.NewLoadBalancerV2(p, gophercloud.EndpointOpts{Region: k.Region}); err != nil {
		t.Fatal(err)
	}
	if w.network, err = openstack.NewNetworkV2(p, gophercloud.EndpointOpts{Region: k.Region}); err != nil {
		t.Fatal(err)
	}
	w.ResetCalls()
	return w
}

func (w world) create(ctx context.Context) (*loadbalancers.LoadBalancer, error) {
	return loadbalancers.Create(ctx, w.lb, loadbalancers.CreateOpts{
		Name: "web", VipSubnetID: w.IDs().SubnetV4, Listeners: []listeners.CreateOpts{{
			Protocol: "TCP", ProtocolPort: 80, DefaultPool: &pools.CreateOpts{
				Name: "web", Protocol: "TCP", LBMethod: "ROUND_ROBIN", Members: []pools.CreateMemberOpts{{Address: "10.0.0.11", ProtocolPort: 30080}}}}},
	}).Extract()
}

func (w world) mustCreate(t *testing.T) *loadbalancers.LoadBalancer {
	t.Helper()
	lb, err := w.create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lb
}

func (w world) status() string { return w.LoadBalancer("web").ProvisioningStatus }

func TestWorkTakesTheProvidersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enter(t, fake.Options{Times: map[string]fake.Times{"amphora": {Create: time.Minute, Delete: 5 * time.Second}}})
		lb := w.mustCreate(t)
		time.Sleep(59 * time.Second)
		if got := w.status(); got != "PENDING_CREATE" {
			t.Errorf("after 59 s it is %s", got)
		}
		time.Sleep(time.Second)
		built := w.LoadBalancer("web")
		if built.ProvisioningStatus != "ACTIVE" || built.OperatingStatus != "ONLINE" || built.Pools[0].Members[0].OperatingStatus != "NO_MONITOR" {
			t.Errorf("after 60 s it is %+v", built)
		}
		got, err := loadbalancers.Get(t.Context(), w.lb, lb.ID).Extract()
		if err != nil || got.UpdatedAt.Sub(got.CreatedAt) != time.Minute {
			t.Errorf("created %v, updated %v, %v", got.CreatedAt, got.UpdatedAt, err)
		}
		if err := loadbalancers.Delete(t.Context(), w.lb, lb.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr(); err != nil {
			t.Fatal(err)
		}
		if got := w.status(); got != "PENDING_DELETE" || len(w.Ports()) != 1 {
			t.Errorf("while it is deleted it is %s, ports %v", got, w.Ports())
		}
		time.Sleep(5 * time.Second)
		if len(w.LoadBalancers()) != 0 || len(w.Ports()) != 0 {
			t.Errorf("left are %v and %v", w.LoadBalancers(), w.Ports())
		}
	})
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		result              fake.Result
		balancer, listening string
	}{
		{fake.Done, "ACTIVE", "ACTIVE"},
		{fake.Failed, "ERROR", "PENDING_CREATE"},
		{fake.Stuck, "PENDING_CREATE", "PENDING_CREATE"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := enter(t, fake.Options{})
			w.FailNext("create", c.result)
			w.mustCreate(t)
			time.Sleep(time.Hour)
			if got := w.LoadBalancer("web"); got.ProvisioningStatus != c.balancer || got.Listeners[0].ProvisioningStatus != c.listening {
				t.Errorf("result %v of a creation: load balancer %s, listener %s", c.result, got.ProvisioningStatus, got.Listeners[0].ProvisioningStatus)
			}
		})
	}
}

func TestAFailedChangeOfAListenerLeavesTheLoadBalancerActive(t *testing.T) {
	w := enter(t, fake.Options{})
	w.mustCreate(t)
	listener := w.LoadBalancer("web").Listeners[0]
	for result, want := range map[fake.Result]string{fake.Failed: "ACTIVE", fake.FailedWhole: "ERROR"} {
		w.FailNext("update", result)
		name := "x"
		if _, err := listeners.Update(t.Context(), w.lb, listener.ID, listeners.UpdateOpts{Name: &name}).Extract(); err != nil {
			t.Fatal(err)
		}
		if got := w.LoadBalancer("web"); got.ProvisioningStatus != want || got.Listeners[0].ProvisioningStatus != "ERROR" {
			t.Errorf("result %v: load balancer %s, listener %s", result, got.ProvisioningStatus, got.Listeners[0].ProvisioningStatus)
		}
		w.SetStatus(w.LoadBalancer("web").ID, "ACTIVE", "")
	}
}

func TestFaultsBeforeAndAfterTheEffect(t *testing.T) {
	const route = "POST /v2/lbaas/loadbalancers"
	for name, c := range map[string]struct {
		fault fake.Fault
		made  int // load balancers
		code  int // of the answer, 0 for none
	}{
		"none":            {fake.Fault{}, 1, http.StatusCreated},
		"conflict":        {fake.Reply(http.StatusConflict), 0, http.StatusConflict},
		"broken":          {fake.Reply(http.StatusServiceUnavailable), 0, http.StatusServiceUnavailable},
		"lost before":     {fake.Fault{Lost: fake.LostBefore}, 0, 0},
		"lost after":      {fake.Fault{Lost: fake.LostAfter}, 1, 0},
		"slower than ctx": {fake.Fault{Delay: time.Hour}, 1, 0},
		"half an answer":  {fake.Fault{Malformed: true}, 1, http.StatusCreated},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := enter(t, fake.Options{})
				before, after := 0, 0
				w.Intercept(func(call fake.Call) fake.Fault {
					if call.Route() != route {
						return fake.Fault{}
					}
					c.fault.Before, c.fault.After = func() { before = 1 + len(w.LoadBalancers()) }, func() { after = 1 + len(w.LoadBalancers()) }
					return c.fault
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := w.create(ctx)
				if (err == nil) != (name == "none") {
					t.Errorf("error %v", err)
				}
				if got := len(w.LoadBalancers()); got != c.made {
					t.Errorf("%d load balancers, want %d", got, c.made)
				}
				if before != 1 || after != 0 && after != 1+c.made || c.made == 1 && after == 0 {
					t.Errorf("hooks saw %d and %d load balancers", before-1, after-1)
				}
				calls := w.Calls()
				if len(calls) != 1 || calls[0].Status != c.code || calls[0].Route() != route || !calls[0].Mutating {
					t.Errorf("journal %+v", calls)
				}
			})
		})
	}
}

func TestRateLimiterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enter(t, fake.Options{})
		w.Intercept(func(call fake.Call) fake.Fault {
			if len(w.Calls()) == 0 {
				return fake.TooMany(7 * time.Second)
			}
			return fake.Fault{}
		})
		_, err := w.create(t.Context())
		var refusal gophercloud.ErrUnexpectedResponseCode
		if !errors.As(err, &refusal) || refusal.Actual != http.StatusTooManyRequests || refusal.ResponseHeader.Get("Retry-After") != "7" {
			t.Errorf("first answer %v", err)
		}
		w.mustCreate(t)
	})
}

func TestListsLagBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enter(t, fake.Options{})
		w.SetListLag(10 * time.Second)
		lb := w.mustCreate(t)
		listed := func() int {
			page, err := loadbalancers.List(w.lb, loadbalancers.ListOpts{Name: "web"}).AllPages(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found, err := loadbalancers.ExtractLoadBalancers(page)
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		if n := listed(); n != 0 {
			t.Errorf("listed %d at once", n)
		}
		if _, err := loadbalancers.Get(t.Context(), w.lb, lb.ID).Extract(); err != nil {
			t.Errorf("by id it is there at once: %v", err)
		}
		time.Sleep(10 * time.Second)
		if n := listed(); n != 1 {
			t.Errorf("listed %d after the lag", n)
		}
	})
}

func TestTokensEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enter(t, fake.Options{TokenLife: time.Minute})
		get := func(want int) {
			t.Helper()
			w.ResetCalls()
			if _, err := loadbalancers.List(w.lb, nil).AllPages(t.Context()); err != nil {
				t.Error(err)
			}
			if n := w.CountCalls()["POST /v3/auth/tokens"]; n != want {
				t.Errorf("%d new tokens, want %d", n, want)
			}
		}
		get(0)
		time.Sleep(time.Minute)
		get(1)
		get(0)
		w.RevokeTokens()
		get(1)
		w.SetPassword("other")
		get(0)
		w.RevokeTokens()
		if _, err := loadbalancers.List(w.lb, nil).AllPages(t.Context()); err == nil {
			t.Error("a changed password opens the cloud")
		}
	})
}

func TestPageLimitOfTheService(t *testing.T) {
	w := enter(t, fake.Options{PageLimit: 2})
	for range 5 {
		if _, err := floatingips.Create(t.Context(), w.network, floatingips.CreateOpts{FloatingNetworkID: w.IDs().External}).Extract(); err != nil {
			t.Fatal(err)
		}
	}
	w.ResetCalls()
	page, err := floatingips.List(w.network, floatingips.ListOpts{}).AllPages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := floatingips.ExtractFloatingIPs(page)
	if err != nil || len(found) != 5 {
		t.Errorf("found %d, %v", len(found), err)
	}
	if n := len(w.Calls()); n != 3 {
		t.Errorf("%d pages", n)
	}
}

func TestOldOctaviaKnowsLess(t *testing.T) {
	w := enter(t, fake.Options{OctaviaVersion: "v2.11"})
	for what, opts := range map[string]loadbalancers.CreateOpts{
		"allowed_cidrs":   {VipSubnetID: w.IDs().SubnetV4, Listeners: []listeners.CreateOpts{{Protocol: "TCP", ProtocolPort: 80, AllowedCIDRs: []string{"10.0.0.0/8"}}}},
		"additional_vips": {VipSubnetID: w.IDs().SubnetV4, AdditionalVips: []loadbalancers.AdditionalVip{{SubnetID: w.IDs().SubnetV6}}},
	} {
		_, err := loadbalancers.Create(t.Context(), w.lb, opts).Extract()
		if !gophercloud.ResponseCodeIs(err, http.StatusBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.mustCreate(t)
}

func TestPoolOfAddressesAndQuotaEnd(t *testing.T) {
	w := enter(t, fake.Options{})
	create := func() error {
		_, err := floatingips.Create(t.Context(), w.network, floatingips.CreateOpts{FloatingNetworkID: w.IDs().External, SubnetID: w.IDs().ExternalTwo}).Extract()
		return err
	}
	w.SetQuota("floatingip", 1)
	if err := create(); err != nil {
		t.Fatal(err)
	}
	if err := create(); !gophercloud.ResponseCodeIs(err, http.StatusConflict) || !strings.Contains(err.Error(), "OverQuota") {
		t.Errorf("beyond the quota: %v", err)
	}
	w.SetQuota("floatingip", -1)
	var err error
	for n := 1; err == nil && n < 200; n++ {
		err = create()
	}
	if !gophercloud.ResponseCodeIs(err, http.StatusConflict) || !strings.Contains(err.Error(), "IpAddressGenerationFailure") {
		t.Errorf("beyond the pool: %v", err)
	}
	if n := len(w.FloatingIPs()); n != 100 {
		t.Errorf("%d floating IPs from a pool of 100", n)
	}
}

func TestTampering(t *testing.T) {
	w := enter(t, fake.Options{})
	w.AddNode("n1", netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("fd00:10::11"))
	w.mustCreate(t)
	lb := w.LoadBalancer("web")
	w.EditListener(lb.Listeners[0].ID, func(l *fake.Listener) { l.ConnectionLimit, l.AllowedCIDRs = 3, []string{"10.0.0.0/8"} })
	w.EditPool(lb.Pools[0].ID, func(p *fake.Pool) { p.Algorithm = "SOURCE_IP" })
	w.EditMember(lb.Pools[0].Members[0].ID, func(m *fake.Member) { m.Weight = 0 })
	w.EditLoadBalancer(lb.ID, func(b *fake.LoadBalancer) { b.Name = "other" })
	got := w.LoadBalancer("other")
	if l := got.Listeners[0]; l.ConnectionLimit != 3 || !slices.Equal(l.AllowedCIDRs, []string{"10.0.0.0/8"}) || l.DefaultPoolID != lb.Pools[0].ID {
		t.Errorf("listener %+v", l)
	}
	if p := got.Pools[0]; p.Algorithm != "SOURCE_IP" || p.Members[0].Weight != 0 {
		t.Errorf("pool %+v", p)
	}
	w.Remove(lb.Pools[0].Members[0].ID)
	w.Remove(lb.Listeners[0].ID)
	if got := w.LoadBalancer("other"); len(got.Listeners) != 0 || len(got.Pools[0].Members) != 0 {
		t.Errorf("left %+v", got)
	}
	w.Remove(lb.ID)
	if len(w.LoadBalancers()) != 0 || len(w.Ports()) != 1 {
		t.Errorf("left %v and %v", w.LoadBalancers(), w.Ports())
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown id is accepted")
		}
	}()
	w.Remove(lb.ID)
}
