package octavia

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

const annotation = "loadbalancer.openstack.org/"

var both = []lb.Family{lb.IPv4, lb.IPv6}

// clause is something that a Service may ask for, and what must then be there.
type clause struct {
	name  string
	conf  string
	given func(s *stage, web *lb.Service)
	holds func(s *stage, l fake.LoadBalancer) bool
	then  []turn
}

// turn is a later change.
type turn struct {
	name   string
	change func(s *stage, web *lb.Service)
	holds  func(s *stage, l fake.LoadBalancer) bool
}

func annotate(pairs ...string) func(*stage, *lb.Service) {
	return func(_ *stage, web *lb.Service) {
		for i := 0; i < len(pairs); i += 2 {
			name := annotation + pairs[i]
			if pairs[i] == "internal" {
				name = "service.beta.kubernetes.io/openstack-internal-load-balancer"
			}
			web.Annotations[name] = pairs[i+1]
		}
	}
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func members(l fake.LoadBalancer) (out []string) {
	for _, m := range l.Pools[0].Members {
		out = append(out, m.Name)
	}
	slices.Sort(out)
	return out
}

func on(nodes ...string) func(*stage, fake.LoadBalancer) bool {
	return func(_ *stage, l fake.LoadBalancer) bool { return slices.Equal(members(l), nodes) }
}

func pools(l fake.LoadBalancer) string {
	var out []string
	for _, x := range l.Listeners {
		for _, p := range l.Pools {
			if p.ID == x.DefaultPoolID {
				out = append(out, fmt.Sprintf("%d/%s>%s", x.Port, x.Protocol, p.Protocol))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func routes(text string) func(*stage, fake.LoadBalancer) bool {
	return func(_ *stage, l fake.LoadBalancer) bool { return pools(l) == text && len(l.Pools) == len(l.Listeners) }
}

var clauses = []clause{
	{name: "all protocols at one port", given: func(s *stage, web *lb.Service) {
		web.Ports = []lb.Port{{Protocol: "TCP", Number: 53}, {Protocol: "UDP", Number: 53}, {Protocol: "SCTP", Number: 53}}
		web.NodePorts = []uint16{30001, 30002, 30003}
	}, holds: routes("53/SCTP>SCTP 53/TCP>TCP 53/UDP>UDP")},
	{name: "source ranges, taken back", given: func(s *stage, web *lb.Service) { web.SourceRanges = []netip.Prefix{prefix("192.0.2.7/24")} },
		holds: func(s *stage, l fake.LoadBalancer) bool {
			return slices.Equal(l.Listeners[0].AllowedCIDRs, []string{"192.0.2.0/24"})
		},
		then: []turn{{"taken back", func(s *stage, web *lb.Service) { web.SourceRanges = nil }, func(s *stage, l fake.LoadBalancer) bool { return len(l.Listeners[0].AllowedCIDRs) == 0 }}}},
	{name: "source ranges on ovn", conf: ovnConf + "manage-security-groups = true\n", given: func(s *stage, web *lb.Service) { web.SourceRanges = []netip.Prefix{prefix("192.0.2.0/24")} },
		holds: func(s *stage, l fake.LoadBalancer) bool {
			return slices.Equal(remotes(s), []string{"10.0.0.0/24", "192.0.2.0/24"})
		},
		then: []turn{{"taken back", func(s *stage, web *lb.Service) { web.SourceRanges = nil }, func(s *stage, l fake.LoadBalancer) bool { return slices.Equal(remotes(s), []string{"0.0.0.0/0"}) }}}},
	{name: "affinity later", holds: func(s *stage, l fake.LoadBalancer) bool { return l.Pools[0].Persistence == nil },
		then: []turn{{"on", func(s *stage, web *lb.Service) { web.Affinity = time.Hour }, func(s *stage, l fake.LoadBalancer) bool { return l.Pools[0].Persistence["type"] == "SOURCE_IP" }},
			{"off", func(s *stage, web *lb.Service) { web.Affinity = 0 }, func(s *stage, l fake.LoadBalancer) bool { return l.Pools[0].Persistence == nil }}}},
	{name: "Local", given: func(s *stage, web *lb.Service) { web.Local, web.HealthCheckNodePort = true, 32000 }, holds: func(s *stage, l fake.LoadBalancer) bool {
		m := l.Pools[0].Monitor
		return m != nil && m.Type == "HTTP" && m.URLPath == "/healthz" && l.Pools[0].Members[0].MonitorPort == 32000 && len(l.Pools[0].Members) == 3
	}, then: []turn{{"Cluster", func(s *stage, web *lb.Service) { web.Local, web.HealthCheckNodePort = false, 0 }, func(s *stage, l fake.LoadBalancer) bool {
		return l.Pools[0].Monitor == nil && l.Pools[0].Members[0].MonitorPort == 0
	}}}},
	{name: "Local on ovn", conf: ovnConf, given: func(s *stage, web *lb.Service) {
		web.Local, web.HealthCheckNodePort, s.endpoints["web"] = true, 32000, []string{"node-2"}
	}, holds: on("node-2"), then: []turn{{"pods move", func(s *stage, web *lb.Service) { s.endpoints["web"] = []string{"node-1", "node-3"} }, on("node-1", "node-3")}}},
	{name: "node selector", given: func(s *stage, web *lb.Service) {
		s.nodes[1].Labels = map[string]string{"edge": "yes"}
		web.Annotations[annotation+"node-selector"] = "edge=yes"
	}, holds: on("node-2")},
	{name: "nodes come and go", holds: on("node-1", "node-2", "node-3"), then: []turn{
		{"not ready", func(s *stage, _ *lb.Service) { s.nodes[0].Alive = false }, on("node-2", "node-3")},
		{"excluded", func(s *stage, _ *lb.Service) { s.nodes[1].Excluded = true }, on("node-3")},
		{"none is ready", func(s *stage, _ *lb.Service) { s.nodes[2].Alive = false }, on("node-1", "node-3")},
		{"out of service", func(s *stage, _ *lb.Service) { s.nodes[0].OutOfService = true }, on("node-3")},
		{"well again", func(s *stage, _ *lb.Service) {
			for i := range s.nodes {
				s.nodes[i].Alive, s.nodes[i].Excluded, s.nodes[i].OutOfService = true, false, false
			}
		}, on("node-1", "node-2", "node-3")},
		{"removed", func(s *stage, _ *lb.Service) { s.nodes = s.nodes[:2] }, on("node-1", "node-2")}}},
	{name: "internal and back", given: annotate("internal", "true"), holds: shows("10.0.0.100"), then: []turn{
		{"external", annotate("internal", "false"), shows("203.0.113.10")}, {"internal", annotate("internal", "true"), func(s *stage, l fake.LoadBalancer) bool {
			return shows("10.0.0.100")(s, l) && len(s.cloud.FloatingIPs()) == 0
		}}}},
	{name: "IPv6", given: func(s *stage, web *lb.Service) { web.Families = []lb.Family{lb.IPv6} }, holds: func(s *stage, l fake.LoadBalancer) bool {
		return s.address("web") == "fd00:10::100" && len(s.cloud.FloatingIPs()) == 0 && l.Pools[0].Members[0].Address.Is6()
	}},
	{name: "dual stack by another VIP", given: func(s *stage, web *lb.Service) { web.Families = both }, holds: func(s *stage, l fake.LoadBalancer) bool {
		return len(l.AdditionalVIPs) == 1 && shows("203.0.113.10", "fd00:10::100")(s, l)
	}},
	{name: "PROXY protocol", given: func(s *stage, web *lb.Service) {
		web.Ports = []lb.Port{{Protocol: "TCP", Number: 443}, {Protocol: "UDP", Number: 443}}
		web.NodePorts = []uint16{30001, 30002}
	}, holds: routes("443/TCP>TCP 443/UDP>UDP"), then: []turn{
		{"v1", annotate("proxy-protocol", "true"), routes("443/TCP>PROXY 443/UDP>UDP")}, {"v2", annotate("proxy-protocol", "v2"), routes("443/TCP>PROXYV2 443/UDP>UDP")},
		{"none", annotate("proxy-protocol", "false"), routes("443/TCP>TCP 443/UDP>UDP")}}},
	{name: "X-Forwarded-For", given: annotate("x-forwarded-for", "true"), holds: func(s *stage, l fake.LoadBalancer) bool {
		return routes("80/HTTP>HTTP")(s, l) && l.Listeners[0].InsertHeaders["X-Forwarded-For"] == "true"
	}, then: []turn{{"off", annotate("x-forwarded-for", "false"), routes("80/TCP>TCP")}}},
	{name: "timeouts and limits", given: annotate("timeout-client-data", "1000", "connection-limit", "7", "lb-method", "LEAST_CONNECTIONS"), holds: func(s *stage, l fake.LoadBalancer) bool {
		return l.Listeners[0].TimeoutClientData == 1000 && l.Listeners[0].ConnectionLimit == 7
	}, then: []turn{{"changed", annotate("timeout-client-data", "2000", "connection-limit", "-1"), func(s *stage, l fake.LoadBalancer) bool {
		return l.Listeners[0].TimeoutClientData == 2000 && l.Listeners[0].ConnectionLimit == -1
	}}}},
	{name: "monitor by annotation", given: annotate("enable-health-monitor", "true"), holds: func(s *stage, l fake.LoadBalancer) bool {
		return l.Pools[0].Monitor != nil && l.Pools[0].Monitor.Type == "TCP"
	}, then: []turn{{"slower", annotate("health-monitor-delay", "30", "health-monitor-timeout", "20"), func(s *stage, l fake.LoadBalancer) bool { return l.Pools[0].Monitor.Delay == 30 }},
		{"off", annotate("enable-health-monitor", "false"), func(s *stage, l fake.LoadBalancer) bool { return l.Pools[0].Monitor == nil }}}},
	{name: "floating subnet by name", given: annotate("floating-subnet", "public-t*"), holds: shows("198.51.100.10")},
	{name: "floating subnet by regexp", given: annotate("floating-subnet", "~.*-two"), holds: shows("198.51.100.10")},
	{name: "serial", conf: "[LoadBalancer]\nprovider-requires-serial-api-calls = true\n", holds: on("node-1", "node-2", "node-3"), then: []turn{
		{"node", func(s *stage, _ *lb.Service) { s.addNode("node-4") }, on("node-1", "node-2", "node-3", "node-4")},
		{"gone", func(s *stage, _ *lb.Service) { s.nodes = s.nodes[1:] }, on("node-2", "node-3", "node-4")}}},
	{name: "no cascade", conf: "[LoadBalancer]\ncascade-delete = false\n", holds: on("node-1", "node-2", "node-3")},
	{name: "the provider of the configuration changes", holds: on("node-1", "node-2", "node-3"), then: []turn{{"ovn", func(s *stage, _ *lb.Service) {
		s.class.LoadBalancerProvider = "ovn"
		s.addNode("node-4")
	}, on("node-1", "node-2", "node-3", "node-4")}}},
}

func shows(addresses ...string) func(*stage, fake.LoadBalancer) bool {
	return func(s *stage, _ fake.LoadBalancer) bool {
		return fmt.Sprint(s.services["web"].Held) == fmt.Sprint(addresses)
	}
}

// remotes are where the nodes' groups let TCP in from.
func remotes(s *stage) []string {
	var out []string
	for _, g := range s.cloud.SecurityGroups() {
		for _, r := range g.Rules {
			if r.Direction == "ingress" && r.PortMin != 0 {
				out = append(out, r.RemotePrefix)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestTheServiceContract(t *testing.T) {
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			conf := c.conf
			if conf == "" {
				conf = plainConf
			}
			onStage(t, brisk(), conf, func(s *stage) {
				web := s.service("web", "80/TCP")
				if c.given != nil {
					c.given(s, web)
				}
				s.start()
				s.until("built", func() bool { return s.quiet() && c.holds(s, s.only()) })
				id := s.only().ID
				for _, turn := range c.then {
					s.change(func() { turn.change(s, web) })
					s.until(turn.name, func() bool { return s.quiet() && turn.holds(s, s.only()) })
				}
				s.calm(10 * time.Second)
				s.cloud.ResetCalls()
				s.restart()
				s.play(2 * time.Minute)
				if _, changes := s.own(); len(changes) > 0 || s.only().ID != id {
					t.Errorf("a second start changes:\n%s", strings.Join(changes, "\n"))
				}
				s.gone("web")
				s.clean()
			})
		})
	}
}

func TestDualStackByTwoLoadBalancers(t *testing.T) {
	for name, c := range map[string]struct {
		conf    string
		version string
		ranges  []netip.Prefix
	}{"ovn": {conf: ovnConf}, "an old API": {conf: plainConf, version: "v2.25"}, "source ranges": {conf: plainConf, ranges: []netip.Prefix{prefix("192.0.2.0/24"), prefix("2001:db8::/32")}}} {
		t.Run(name, func(t *testing.T) {
			o := brisk()
			o.OctaviaVersion = c.version
			onStage(t, o, c.conf, func(s *stage) {
				web := s.service("web", "80/TCP")
				web.Families, web.SourceRanges = both, c.ranges
				s.start()
				s.until("built", func() bool { return s.quiet() && len(web.Held) == 2 })
				s.calm(10 * time.Second)
				if n := len(s.cloud.LoadBalancers()); n != 2 || !shows("203.0.113.10", "fd00:10::100")(s, fake.LoadBalancer{}) {
					t.Fatalf("%d load balancers; %s", n, s)
				}
				// The first one is lost: the floating IP waits for the next.
				s.cloud.Remove(s.cloud.LoadBalancer("kube_service_kubernetes_shop_web").ID)
				s.until("again", func() bool { return s.quiet() && len(s.cloud.LoadBalancers()) == 2 })
				s.calm(10 * time.Second)
				if len(s.shown["web"]) > 2 || len(s.cloud.FloatingIPs()) != 1 || !shows("203.0.113.10", "fd00:10::100")(s, fake.LoadBalancer{}) {
					t.Errorf("shown: %v", s.shown["web"])
				}
				s.restart()
				s.change(func() { web.Families = web.Families[:1] })
				s.until("one family", func() bool { return s.quiet() && len(s.cloud.LoadBalancers()) == 1 && len(web.Held) == 1 })
				if s.address("web") != "203.0.113.10" {
					t.Errorf("shows %v", web.Held)
				}
				s.gone("web")
				s.clean()
			})
		})
	}
}

func TestServicesShareByIDAndByAddress(t *testing.T) {
	for _, by := range []string{"id", "address", "address, internal"} {
		t.Run(by, func(t *testing.T) {
			onStage(t, brisk(), plainConf, func(s *stage) {
				share := func(name, port string) {
					svc := s.service(name, port)
					if strings.Contains(by, "internal") {
						annotate("internal", "true")(s, svc)
					}
					if web := s.services["web"]; name != "web" && by == "id" {
						annotate("load-balancer-id", web.Annotations[annotation+"load-balancer-id"])(s, svc)
					} else if by != "id" {
						svc.Request.SharingKey, svc.Request.Addresses = "key", web.Held
					}
				}
				share("web", "80/TCP")
				s.start()
				s.until("built", s.quiet)
				s.change(func() {
					for i := range 5 {
						share(fmt.Sprintf("more-%d", i), fmt.Sprintf("%d/TCP", 8000+i))
					}
				})
				s.until("shared", func() bool { return s.quiet() && len(s.only().Listeners) == 6 })
				s.play(10 * time.Second)
				s.change(func() { share("younger", "8000/TCP") })
				s.until("refused", func() bool { return s.trouble["younger"] != nil && s.trouble["younger"].Reason == lb.PortTaken })
				for name := range s.services {
					if name != "younger" && (s.trouble[name] != nil || s.address(name) != s.address("web")) {
						t.Errorf("%s shows %s, %v", name, s.address(name), s.trouble[name])
					}
				}
				address := s.address("web")
				s.gone("web", "more-0")
				s.until("the younger's turn", func() bool { return s.quiet() && len(s.only().Listeners) == 5 })
				s.calm(10 * time.Second)
				s.cloud.ResetCalls()
				s.restart()
				s.play(time.Minute)
				if _, changes := s.own(); len(changes) > 0 || !s.quiet() {
					t.Errorf("a second start changes: %s\n%s", strings.Join(changes, "\n"), s)
				}
				for name := range s.services {
					if s.address(name) != address {
						t.Errorf("%s shows %s, showed %s", name, s.address(name), address)
					}
				}
				s.gone("younger", "more-1", "more-2", "more-3", "more-4")
				s.clean()
			})
		})
	}
}

func TestAKeptFloatingIPIsKeptAndFoundAgain(t *testing.T) {
	onStage(t, brisk(), plainConf, func(s *stage) {
		annotate("keep-floatingip", "true")(s, s.service("web", "80/TCP"))
		s.start()
		s.until("built", s.quiet)
		address := s.address("web")
		s.gone("web")
		if len(s.cloud.FloatingIPs()) != 1 || len(s.cloud.LoadBalancers()) != 0 {
			t.Fatalf("%s", s)
		}
		s.change(func() { s.service("web", "80/TCP") })
		s.until("built", s.quiet)
		if s.address("web") != address {
			t.Errorf("shows %s, and %s was kept", s.address("web"), address)
		}
	})
}

func TestPortsWithoutNodePortsAreRefused(t *testing.T) {
	onStage(t, brisk(), plainConf, func(s *stage) {
		s.service("web", "80/TCP").NodePorts = []uint16{0}
		s.start()
		s.play(time.Minute)
		if r := s.trouble["web"]; r == nil || r.Reason != lb.NoNodes || len(s.cloud.LoadBalancers()) > 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestAnAddressIsShownAtOnceWhereThatIsAskedFor(t *testing.T) {
	onStage(t, slow, plainConf, func(s *stage) {
		s.class.PublishAtOnce = true
		web := s.service("web", "80/TCP")
		s.start()
		began := time.Now()
		s.until("shown", func() bool { return len(web.Held) == 1 })
		if took := time.Since(began); took > time.Second {
			t.Errorf("shown after %s", took)
		}
	})
}
