package octavia

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// request is a Service that asks for something, and its view of a cloud that has
// everything.
func request(o lb.CloudOptions, ports ...lb.Port) (*view, *unit, *half) {
	r := &Request{Service: lb.Service{Key: lb.Key{Namespace: "shop", Name: "web"}, UID: "u1", Finalized: true, Families: []lb.Family{lb.IPv4}, Ports: ports}, Options: o, Wanted: true}
	for i := range ports {
		r.Service.NodePorts = append(r.Service.NodePorts, 30000+uint16(i))
	}
	in := &Input{Cluster: Cluster{UID: "c1", Name: "kubernetes"}, Requests: []Request{*r},
		Nodes: []lb.Node{{Name: "node-1", Alive: true, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.11")}}}}
	v := newView(in, &Scene{Features: Features{Minor: 26}})
	u := v.units()[0]
	return v, u, u.halves[0]
}

func TestTLSEndsAtTheLoadBalancer(t *testing.T) {
	const container = "https://keys.example.org/v1/containers/7"
	v, u, h := request(lb.CloudOptions{TLSContainer: container, Provider: "amphora", ConnectionLimit: -1}, lb.Port{Protocol: "TCP", Number: 443}, lb.Port{Protocol: "UDP", Number: 443})
	tcp, udp := v.frontend(u, h, 0), v.frontend(u, h, 1)
	if tcp.Listener.Protocol != "TERMINATED_HTTPS" || tcp.Pool.Protocol != "HTTP" || udp.Listener.Protocol != "UDP" || udp.Listener.TLSContainer != "" {
		t.Fatalf("TCP: %+v, UDP: %+v", tcp.Listener, udp.Listener)
	}
	body := createBody(&LoadBalancer{Listeners: []Listener{tcp.Listener}, Pools: []Pool{tcp.Pool}})
	l := body["listeners"].([]map[string]any)[0]
	if l["protocol"] != "TERMINATED_HTTPS" || l["default_tls_container_ref"] != container || l["default_pool"].(map[string]any)["protocol"] != "HTTP" {
		t.Errorf("%v", l)
	}
	// Octavia inserts the header into what it decrypted; with PROXY protocol it is the pool
	// that speaks it.
	h.Options.XForwardedFor, h.Options.ProxyProtocol = true, lb.ProxyV2
	if f := v.frontend(u, h, 0); !f.Listener.ForwardedFor || f.Listener.Protocol != "TERMINATED_HTTPS" || f.Pool.Protocol != string(lb.ProxyV2) {
		t.Errorf("%+v", f)
	}
	// Another certificate is a change of the listener.
	other := tcp.Listener
	other.TLSContainer = container + "7"
	if change := listenerChanges(&tcp.Listener, &other); len(change) != 1 || change["default_tls_container_ref"] != other.TLSContainer || sameListener(&tcp.Listener, &other) {
		t.Errorf("%v", change)
	}
}

// question is a clause, perhaps put to a cloud that is unlike the others.
type question struct {
	clause
	forgets bool // see fake.Options.ForgetsChildren
}

// asked are clauses about what is chosen once, at the making of a load balancer, and
// what is shown. They need ids of the cloud that a table cannot know.
var asked = []question{
	{clause: clause{name: "flavor", given: func(s *stage, web *lb.Service) { annotate("flavor-id", s.cloud.IDs().FlavorHA)(s, web) },
		holds: func(s *stage, l fake.LoadBalancer) bool { return l.FlavorID == s.cloud.IDs().FlavorHA },
		then: []turn{{"another, which cannot be had later", func(s *stage, web *lb.Service) { annotate("flavor-id", s.cloud.IDs().FlavorSingle)(s, web) },
			func(s *stage, l fake.LoadBalancer) bool { return l.FlavorID == s.cloud.IDs().FlavorHA }}}}},
	{clause: clause{name: "availability zone", given: annotate("availability-zone", "az1"), holds: func(_ *stage, l fake.LoadBalancer) bool { return l.AvailabilityZone == "az1" }}},
	{clause: clause{name: "subnet", given: func(s *stage, web *lb.Service) { annotate("subnet-id", s.cloud.IDs().SubnetV4)(s, web) },
		holds: func(s *stage, l fake.LoadBalancer) bool { return l.VIPSubnetID == s.cloud.IDs().SubnetV4 }}},
	{clause: clause{name: "member subnet", given: func(s *stage, web *lb.Service) { annotate("member-subnet-id", s.cloud.IDs().SubnetV4)(s, web) },
		holds: func(s *stage, l fake.LoadBalancer) bool {
			return l.Pools[0].Members[0].SubnetID == s.cloud.IDs().SubnetV4
		}}},
	{clause: clause{name: "floating subnet by id", given: func(s *stage, web *lb.Service) { annotate("floating-subnet-id", s.cloud.IDs().ExternalTwo)(s, web) }, holds: shows("198.51.100.10")}},
	{clause: clause{name: "floating subnet by its whole name", given: annotate("floating-subnet", "public-two"), holds: shows("198.51.100.10")}},
	{clause: clause{name: "floating subnet by no name of that pattern", given: annotate("floating-subnet", "!*-pool"), holds: shows("198.51.100.10")}},
	{clause: clause{name: "floating subnet by a tag", given: func(s *stage, web *lb.Service) {
		s.label()
		annotate("floating-subnet-tags", "fast,faster")(s, web)
	}, holds: shows("198.51.100.10")}},
	{clause: clause{name: "floating subnet by a tag that it lacks", given: func(s *stage, web *lb.Service) {
		s.label()
		annotate("floating-subnet-tags", "!fast")(s, web)
	}, holds: shows("203.0.113.10")}},
	{clause: clause{name: "floating subnet of the class", conf: "[LoadBalancer]\n[LoadBalancerClass \"gold\"]\nfloating-subnet = public-two\n", given: annotate("class", "gold"), holds: shows("198.51.100.10")}},
	{clause: clause{name: "hostname", given: annotate("hostname", "shop.example.org"), holds: named("shop.example.org"),
		then: []turn{{"another", annotate("hostname", "www.example.org"), named("www.example.org")}, {"none", func(_ *stage, web *lb.Service) { delete(web.Annotations, annotation+"hostname") }, named("")}}}},
	{clause: clause{name: "a name for PROXY protocol", conf: "[LoadBalancer]\nenable-ingress-hostname = true\n", given: annotate("proxy-protocol", "v2"), holds: named("203.0.113.10.nip.io"),
		then: []turn{{"plain", annotate("proxy-protocol", "false"), named("")}, {"again", annotate("proxy-protocol", "v1"), named("203.0.113.10.nip.io")}}}},
	{clause: clause{name: "another suffix", conf: "[LoadBalancer]\nenable-ingress-hostname = true\ningress-hostname-suffix = sslip.io\n", given: annotate("proxy-protocol", "v2", "internal", "true"), holds: named("10.0.0.100.sslip.io")}},
	{clause: clause{name: "no name has colons", conf: "[LoadBalancer]\nenable-ingress-hostname = true\n", given: func(s *stage, web *lb.Service) {
		web.Families = []lb.Family{lb.IPv6}
		annotate("proxy-protocol", "v2")(s, web)
	}, holds: func(s *stage, l fake.LoadBalancer) bool { return named("")(s, l) && shows("fd00:10::100")(s, l) }}},
	{clause: clause{name: "ipMode", holds: proxies(false), then: []turn{{"PROXY", annotate("proxy-protocol", "v1"), proxies(true)}, {"plain", annotate("proxy-protocol", "false"), proxies(false)}}}},
	{clause: clause{name: "an old Octavia that forgets children", holds: on("node-1", "node-2", "node-3"), then: []turn{
		{"a node more", func(s *stage, _ *lb.Service) { s.addNode("node-4") }, on("node-1", "node-2", "node-3", "node-4")},
		{"two less", func(s *stage, _ *lb.Service) { s.nodes = s.nodes[2:] }, on("node-3", "node-4")}}}, forgets: true},
	{clause: clause{name: "an old Octavia that forgets children, after a restart", conf: "[LoadBalancer]\ncreate-monitor = true\n", holds: on("node-1", "node-2", "node-3"), then: []turn{
		{"a node more", func(s *stage, _ *lb.Service) {
			s.restart()
			s.addNode("node-4")
		}, on("node-1", "node-2", "node-3", "node-4")},
		{"a slower monitor", annotate("health-monitor-delay", "30", "health-monitor-timeout", "20"), func(_ *stage, l fake.LoadBalancer) bool { return l.Pools[0].Monitor.Delay == 30 }}}}, forgets: true},
	{clause: clause{name: "an old Octavia that forgets children, and affinity", given: func(_ *stage, web *lb.Service) { web.Affinity = time.Hour }, holds: on("node-1", "node-2", "node-3"), then: []turn{
		{"PROXY", annotate("proxy-protocol", "v1"), routes("80/TCP>PROXY")}, {"another port", func(_ *stage, web *lb.Service) { web.Ports = []lb.Port{{Protocol: "TCP", Number: 81}} }, routes("81/TCP>PROXY")}}}, forgets: true},
}

// label lets the subnets of the external network have tags, as their owner can give them:
// the second is fast.
func (s *stage) label() {
	ids := s.cloud.IDs()
	subnet := func(id, network, name, cidr, tag string) string {
		return fmt.Sprintf(`{"id": %q, "network_id": %q, "name": %q, "cidr": %q, "ip_version": 4, "tags": [%q]}`, id, network, name, cidr, tag)
	}
	body := `{"subnets": [` + subnet(ids.SubnetV4, ids.Network, "private-v4", "10.0.0.0/24", "inner") + "," +
		subnet(ids.ExternalPool, ids.External, "public-pool", "203.0.113.0/24", "cheap") + "," + subnet(ids.ExternalTwo, ids.External, "public-two", "198.51.100.0/24", "fast") + `]}`
	s.cloud.Intercept(func(c fake.Call) fake.Fault {
		if c.Method == http.MethodGet && c.Path == "/v2.0/subnets" {
			return fake.Fault{Status: http.StatusOK, Body: body}
		}
		return fake.Fault{}
	})
}

func named(name string) func(*stage, fake.LoadBalancer) bool {
	return func(s *stage, _ fake.LoadBalancer) bool { return s.services["web"].Hostname == name }
}

func proxies(is bool) func(*stage, fake.LoadBalancer) bool {
	return func(s *stage, _ fake.LoadBalancer) bool {
		return slices.ContainsFunc(s.driver.Built(), func(b lb.Built) bool { return b.Service.Name == "web" && b.Proxy == is })
	}
}

func TestWhatAServiceMayAskOfItsLoadBalancer(t *testing.T) {
	for _, c := range asked {
		t.Run(c.name, func(t *testing.T) {
			o, conf := brisk(), plainConf
			o.ForgetsChildren = c.forgets
			if c.conf != "" {
				conf = c.conf
			}
			onStage(t, o, conf, func(s *stage) {
				web := s.service("web", "80/TCP")
				if c.given != nil {
					c.given(s, web)
				}
				s.start()
				s.until("built", func() bool { return s.quiet() && c.holds(s, s.only()) })
				id, address := s.only().ID, s.address("web")
				for _, turn := range c.then {
					s.change(func() { turn.change(s, web) })
					s.until(turn.name, func() bool { return s.quiet() && turn.holds(s, s.only()) })
				}
				s.calm(10 * time.Second)
				s.cloud.ResetCalls()
				s.restart()
				s.play(2 * time.Minute)
				if _, changes := s.own(); len(changes) > 0 || s.only().ID != id || s.address("web") != address {
					t.Errorf("a second start changes: %v; %s", changes, s)
				}
				s.gone("web")
				s.clean()
			})
		})
	}
}

func TestAPortOfTheUsersIsTheVIPAndStays(t *testing.T) {
	onStage(t, brisk(), plainConf, func(s *stage) {
		var made struct {
			Port struct {
				ID string `json:"id"`
			} `json:"port"`
		}
		body := map[string]any{"port": map[string]any{"network_id": s.cloud.IDs().Network, "name": "front",
			"fixed_ips": []map[string]any{{"subnet_id": s.cloud.IDs().SubnetV4, "ip_address": "10.0.0.77"}}}}
		if err := send(s.t.Context(), s.clients(s.t.Context()).Network, http.MethodPost, []string{"ports"}, body, &made); err != nil {
			t.Fatal(err)
		}
		annotate("port-id", made.Port.ID)(s, s.service("web", "80/TCP"))
		s.start()
		s.until("built", s.quiet)
		if l := s.only(); l.VIPPortID != made.Port.ID || l.VIPAddress.String() != "10.0.0.77" || s.address("web") != "203.0.113.10" {
			t.Errorf("VIP %s at port %s; %s", l.VIPAddress, l.VIPPortID, s)
		}
		s.gone("web")
		s.clean()
		if !slices.ContainsFunc(s.cloud.Ports(), func(p fake.Port) bool { return p.ID == made.Port.ID }) {
			t.Error("the user's port is gone")
		}
	})
}

// What cannot be had is told with the name of the option, and nothing is left of it.
func TestWhatTheCloudDoesNotHaveIsRefused(t *testing.T) {
	for _, c := range []struct{ option, value string }{
		{"flavor-id", "no-such-flavor"}, {"availability-zone", "the-moon"}, {"floating-subnet", "no-such-*"}, {"floating-subnet-tags", "fast"},
		{"floating-subnet-id", "00000000-0000-4000-8000-000000000000"}, {"floating-network-id", "00000000-0000-4000-8000-000000000000"},
		{"port-id", "00000000-0000-4000-8000-000000000000"}, {"load-balancer-id", "00000000-0000-4000-8000-000000000000"},
	} {
		t.Run(c.option, func(t *testing.T) {
			onStage(t, brisk(), plainConf, func(s *stage) {
				annotate(c.option, c.value)(s, s.service("web", "80/TCP"))
				s.start()
				s.play(3 * time.Minute)
				if r := s.trouble["web"]; r == nil || r.Reason == lb.Building || r.Remedy == "" || s.address("web") != "" {
					t.Errorf("trouble: %+v; %s", r, s)
				}
				s.gone("web")
				s.clean()
			})
		})
	}
}

func TestTheNameOfAnAddress(t *testing.T) {
	for _, c := range []struct{ option, address, name string }{
		{"", "203.0.113.10", ""}, {"shop.example.org", "203.0.113.10", "shop.example.org"}, {".nip.io", "203.0.113.10", "203.0.113.10.nip.io"},
		{".nip.io", "fd00:10::100", ""}, {"shop.example.org", "fd00:10::100", "shop.example.org"},
	} {
		b := lb.Built{Addresses: []netip.Addr{netip.MustParseAddr(c.address)}, Hostname: c.option}
		settle(&b, &lb.Service{})
		if b.Hostname != c.name || b.Hostname != occm.Hostname(&lb.CloudOptions{Hostname: c.option}, b.Addresses[0]) {
			t.Errorf("%q at %s is shown as %q, want %q", c.option, c.address, b.Hostname, c.name)
		}
	}
	// There is no name for an address that is not there.
	b := lb.Built{Hostname: ".nip.io"}
	if settle(&b, &lb.Service{}); b.Hostname != "" {
		t.Errorf("%q", b.Hostname)
	}
}
