package doctor

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
)

// neutronOf answers with the bodies, by path; the rest is not there.
func neutronOf(t *testing.T, bodies map[string]string) *observer {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, there := bodies[r.URL.Path+"?"+r.URL.Query().Get("marker")]
		if !there {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write([]byte(body)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	client := &gophercloud.ServiceClient{ProviderClient: &gophercloud.ProviderClient{}, Endpoint: server.URL + "/", ResourceBase: server.URL + "/v2.0/"}
	return &observer{Cloud: &access.Cloud{Network: client, LoadBalancer: client, ProjectID: "p"}}
}

func TestRoutersAreReadWithTheirInterfacesPageByPage(t *testing.T) {
	o := neutronOf(t, map[string]string{
		"/v2.0/routers?":   `{"routers": [{"id": "r1", "external_gateway_info": {"network_id": "public"}}], "routers_links": [{"rel": "next", "href": "http://behind.a.proxy/v2.0/routers?marker=r1"}]}`,
		"/v2.0/routers?r1": `{"routers": [{"id": "r2", "external_gateway_info": null}]}`,
		"/v2.0/ports?":     `{"ports": [{"device_id": "r2", "fixed_ips": [{"subnet_id": "s2"}]}, {"device_id": "r1", "fixed_ips": [{"subnet_id": "s1"}, {"subnet_id": "s3"}]}]}`,
	})
	got, err := o.routers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Router{{ID: "r1", External: "public", Subnets: []string{"s1", "s3"}}, {ID: "r2", Subnets: []string{"s2"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routers (-want +got):\n%s", diff)
	}
}

func TestQuotasAreReadFromCloudsOfAnyAge(t *testing.T) {
	for _, c := range []struct {
		name   string
		bodies map[string]string
		want   map[string]Quota
	}{
		{"with what is used", map[string]string{"/v2.0/quotas/p/details.json?": `{"quota": {"floatingip": {"limit": 50, "used": 3, "reserved": 1}}}`}, map[string]Quota{"floatingip": {50, 4}}},
		{"without", map[string]string{"/v2.0/quotas/p?": `{"quota": {"floatingip": 50}}`}, map[string]Quota{"floatingip": {50, -1}}},
	} {
		got, err := neutronOf(t, c.bodies).networkQuota(t.Context())
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
	o := neutronOf(t, map[string]string{
		"/v2.0/lbaas/quotas/p?":      `{"quota": {"loadbalancer": 5, "listener": null, "pool": -1, "member": 50, "healthmonitor": 7}}`,
		"/v2.0/lbaas/loadbalancers?": `{"loadbalancers": [{"id": "a"}, {"id": "b"}]}`,
		"/v2.0/lbaas/listeners?":     `{"listeners": []}`,
		"/v2.0/lbaas/pools?":         `{"pools": [{"members": [{"id": "m"}, {"id": "n"}], "healthmonitor_id": "h"}, {"members": [], "healthmonitor_id": null}]}`,
	})
	got, err := o.balancerQuota(t.Context())
	want := map[string]Quota{"load_balancer": {5, 2}, "listener": {-1, 0}, "pool": {-1, 2}, "member": {50, 2}, "health_monitor": {7, 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Octavia: %v (-want +got):\n%s", err, diff)
	}
}
