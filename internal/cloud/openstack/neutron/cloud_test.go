package neutron

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

// open makes a cloud, and a client of its user demo or another one.
func open(t *testing.T, c *fake.Cloud, user string) *gophercloud.ServiceClient {
	t.Helper()
	k := c.Credentials()
	project := k.Project
	if user == k.Admin {
		project = k.AdminProject
	}
	provider, err := openstack.NewClient(k.AuthURL)
	if err != nil {
		t.Fatal(err)
	}
	provider.HTTPClient = http.Client{Transport: c.Transport()}
	err = openstack.Authenticate(t.Context(), provider, gophercloud.AuthOptions{
		IdentityEndpoint: k.AuthURL, Username: user, Password: k.Password, TenantName: project, DomainName: k.Domain, AllowReauth: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := openstack.NewNetworkV2(provider, gophercloud.EndpointOpts{Region: k.Region})
	if err != nil {
		t.Fatal(err)
	}
	c.ResetCalls()
	return client
}

func demo(t *testing.T, o fake.Options) (*fake.Cloud, *gophercloud.ServiceClient) {
	t.Helper()
	c := fake.New(o)
	return c, open(t, c, c.Credentials().User)
}

// calls are those to Neutron since the last time, without what only says how.
func calls(c *fake.Cloud) []string {
	var out []string
	for _, call := range c.Calls() {
		out = append(out, strings.Replace(call.Route(), "/v2.0", "", 1))
	}
	c.ResetCalls()
	return out
}

func wantCalls(t *testing.T, c *fake.Cloud, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, calls(c)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// addNodes makes nodes with IPv4 addresses from 10.0.0.10 on.
func addNodes(c *fake.Cloud, n int) []lb.Node {
	var out []lb.Node
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})
		name := fmt.Sprintf("node-%02d", i)
		_, server := c.AddNode(name, a)
		out = append(out, lb.Node{Name: name, ServerID: server, Addresses: []netip.Addr{a}})
	}
	return out
}

func TestNodePortsTakeOneCallForManyNodes(t *testing.T) {
	c, client := demo(t, fake.Options{PageLimit: 20})
	nodes := addNodes(c, 50)
	found, err := NodePorts(t.Context(), client, nodes)
	if err != nil {
		t.Fatal(err)
	}
	wantCalls(t, c, "GET /ports", "GET /ports", "GET /ports") // pages of 20
	if len(found) != 50 {
		t.Fatalf("%d ports, want 50", len(found))
	}
	for _, n := range nodes {
		p := found[n.Name]
		want := Port{
			ID: p.ID, Name: n.Name, NetworkID: c.IDs().Network, FixedIPs: []FixedIP{{n.Addresses[0], c.IDs().SubnetV4}}, Groups: p.Groups, Revision: p.Revision,
			PortSecurity: true, Device: n.ServerID, DeviceOwner: "compute:nova", Node: n.Name,
		}
		if diff := cmp.Diff(want, p, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" || len(p.Groups) != 1 || p.ID == "" {
			t.Fatalf("port (-want +got):\n%s", diff)
		}
	}
}

func TestNodePortsWithoutServers(t *testing.T) {
	c, client := demo(t, fake.Options{})
	nodes := addNodes(c, 4)
	nodes[1].ServerID = ""
	nodes[2].ServerID = "of another cloud"
	nodes[3].ServerID, nodes[3].Addresses = "", []netip.Addr{addr("10.0.0.99")}
	found, err := NodePorts(t.Context(), client, nodes)
	if err != nil {
		t.Fatal(err)
	}
	wantCalls(t, c, "GET /ports", "GET /ports")
	var names []string
	for _, n := range nodes {
		if p, ok := found[n.Name]; ok {
			names = append(names, n.Name+" "+p.Name)
		}
	}
	if diff := cmp.Diff([]string{"node-00 node-00", "node-01 node-01", "node-02 node-02"}, names); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if found, err := NodePorts(t.Context(), client, nil); err != nil || len(found) > 0 {
		t.Errorf("no nodes: %v, %v", found, err)
	}
}

func TestByAddressIsSureOrSilent(t *testing.T) {
	node := lb.Node{Name: "a", Addresses: []netip.Addr{addr("10.0.0.1")}}
	port := func(id, network, owner string) Port {
		return Port{ID: id, NetworkID: network, DeviceOwner: owner, FixedIPs: []FixedIP{{Address: addr("10.0.0.1")}}}
	}
	tests := []struct {
		name  string
		ports []Port
		want  string
	}{
		{"one", []Port{port("1", "n", "compute:nova")}, "1"},
		{"a router is no node", []Port{port("1", "n", "network:router_interface")}, ""},
		{"where the other nodes are", []Port{port("1", "m", ""), port("2", "n", "")}, "2"},
		{"nobody knows", []Port{port("1", "m", ""), port("2", "o", "")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if p, _ := byAddress(&node, tt.ports, []string{"n"}); p.ID != tt.want {
				t.Errorf("port %q, want %q", p.ID, tt.want)
			}
		})
	}
}

func TestNetworks(t *testing.T) {
	c, client := demo(t, fake.Options{})
	ids := c.IDs()
	networks, err := ExternalNetworks(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	subnets, err := SubnetsOf(t.Context(), client, []string{ids.External, ids.Network})
	if err != nil {
		t.Fatal(err)
	}
	wantCalls(t, c, "GET /networks", "GET /subnets")
	if len(networks) != 1 || networks[0].ID != ids.External || len(networks[0].Subnets) != 2 {
		t.Errorf("networks %+v", networks)
	}
	if len(subnets) != 4 {
		t.Errorf("subnets %+v", subnets)
	}
	network, chosen, refusal := ChooseFloating(networks, subnets, &lb.CloudOptions{FloatingSubnet: lb.SubnetChoice{Name: "*-two"}})
	if network != ids.External || refusal != nil || !cmp.Equal(chosen, []string{ids.ExternalTwo}) {
		t.Errorf("chosen %s %v, %v", network, chosen, refusal)
	}
	if one, err := SubnetsByID(t.Context(), client, []string{ids.SubnetV6}); err != nil || len(one) != 1 || one[0].CIDR.String() != "fd00:10::/64" {
		t.Errorf("subnet %+v, %v", one, err)
	}
}

func TestAnAnswerWithoutTheListIsAnError(t *testing.T) {
	c, client := demo(t, fake.Options{})
	c.Intercept(func(fake.Call) fake.Fault { return fake.Fault{Status: http.StatusOK, Body: `{"message": "try later"}`} })
	if ports, err := PortsByID(t.Context(), client, []string{"x"}); err == nil || !strings.Contains(err.Error(), "the answer has no ports") {
		t.Errorf("ports %v, %v", ports, err)
	}
}

func TestUncertain(t *testing.T) {
	c, client := demo(t, fake.Options{})
	for status, want := range map[int]bool{400: false, 403: false, 404: false, 409: false, 412: false, 429: false, 500: true, 502: true, 504: true} {
		c.Intercept(func(fake.Call) fake.Fault { return fake.Reply(status) })
		_, err := ApplyFloating(t.Context(), client, CreateFloating{Network: c.IDs().External}, nil)
		if err == nil || Uncertain(err) != want {
			t.Errorf("%d: uncertain %v (%v)", status, Uncertain(err), err)
		}
	}
	for _, fault := range []fake.Fault{{Lost: fake.LostBefore}, {Lost: fake.LostAfter}, {Malformed: true}} {
		c.Intercept(func(fake.Call) fake.Fault { return fault })
		if _, err := ApplyFloating(t.Context(), client, CreateFloating{Network: c.IDs().External}, nil); !Uncertain(err) {
			t.Errorf("%+v: certain (%v)", fault, err)
		}
	}
	if Uncertain(nil) {
		t.Error("success is uncertain")
	}
}
