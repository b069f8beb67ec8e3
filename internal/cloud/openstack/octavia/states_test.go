package octavia

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

// built is a stage with a Service that has its load balancer.
func built(t *testing.T, o fake.Options, conf string, f func(s *stage)) {
	t.Helper()
	onStage(t, o, conf, func(s *stage) {
		s.service("web", "80/TCP", "443/TCP")
		s.start()
		s.until("address", s.quiet)
		s.calm(15 * time.Second)
		f(s)
	})
}

const ovnConf = "[LoadBalancer]\nlb-provider = ovn\nlb-method = SOURCE_IP_PORT\n"

func TestWhatIsBuiltWithAnErrorIsBuiltAgain(t *testing.T) {
	onStage(t, slow, plainConf, func(s *stage) {
		fails := 3
		s.cloud.Outcomes(func(c fake.Change) fake.Outcome {
			if c.Kind == "create" && c.Object == "loadbalancer" && fails > 0 {
				fails--
				return fake.Outcome{Result: fake.Failed}
			}
			return fake.Outcome{}
		})
		s.service("web", "80/TCP")
		s.start()
		s.until("address", s.quiet)
		s.calm(15 * time.Second)
		if fails > 0 || len(s.cloud.LoadBalancers()) != 1 || len(s.cloud.FloatingIPs()) != 1 {
			t.Errorf("%d failures to go; %s", fails, s)
		}
		s.gone("web")
		s.clean()
	})
}

func TestWhatIsNeverBuiltIsTriedLessAndLessOften(t *testing.T) {
	onStage(t, slow, plainConf, func(s *stage) {
		creates := 0
		s.cloud.Outcomes(func(c fake.Change) fake.Outcome {
			if c.Kind == "create" && c.Object == "loadbalancer" {
				creates++
				return fake.Outcome{Result: fake.Failed}
			}
			return fake.Outcome{}
		})
		s.service("web", "80/TCP")
		s.start()
		s.play(time.Hour)
		if creates < 5 || creates > 30 {
			t.Errorf("built %d times within an hour", creates)
		}
		if len(s.cloud.LoadBalancers()) > 1 || len(s.cloud.FloatingIPs()) > 1 {
			t.Errorf("leaks: %s", s)
		}
		s.gone("web")
		s.clean()
	})
}

func TestErrorLaterIsRepairedWithTheSameAddress(t *testing.T) {
	for name, c := range map[string]struct {
		conf  string
		fails bool // the failover does not help
	}{"failover helps": {plainConf, false}, "failover does not help": {plainConf, true}, "ovn has none": {ovnConf, false}} {
		t.Run(name, func(t *testing.T) {
			built(t, slow, c.conf, func(s *stage) {
				s.user = s.cloud.Credentials().Admin
				s.restart()
				before, address := s.only(), s.address("web")
				failovers := 0
				s.cloud.Outcomes(func(ch fake.Change) fake.Outcome {
					if ch.Kind == "failover" {
						failovers++
						if c.fails {
							return fake.Outcome{Result: fake.FailedWhole}
						}
					}
					return fake.Outcome{}
				})
				s.cloud.SetStatus(before.ID, "ERROR", "ERROR")
				s.until("trouble", func() bool { return s.trouble["web"] != nil && s.trouble["web"].Reason == lb.LoadBalancerError })
				s.until("repaired", func() bool { return s.quiet() && s.only().ProvisioningStatus == "ACTIVE" })
				s.calm(15 * time.Second)
				after := s.only()
				if after.VIPAddress != before.VIPAddress || s.address("web") != address || len(s.shown["web"]) != 1 {
					t.Errorf("VIP %s, was %s; shown: %v", after.VIPAddress, before.VIPAddress, s.shown["web"])
				}
				wantSame := c.conf == plainConf && !c.fails
				if same := after.ID == before.ID; same != wantSame || c.conf == plainConf && failovers != 1 {
					t.Errorf("the same load balancer: %t, want %t, after %d failovers", same, wantSame, failovers)
				}
				if len(s.cloud.FloatingIPs()) != 1 || s.cloud.FloatingIPs()[0].PortID != after.VIPPortID {
					t.Errorf("floating IPs: %+v", s.cloud.FloatingIPs())
				}
				s.gone("web")
				s.clean()
			})
		})
	}
}

func TestFailoverThatIsForbiddenIsNotWaitedFor(t *testing.T) {
	built(t, slow, plainConf, func(s *stage) {
		// Members of a project may not fail over: Octavia's default policy.
		address, id := s.address("web"), s.only().ID
		s.cloud.SetStatus(id, "ERROR", "ERROR")
		s.until("repaired", func() bool {
			all := s.cloud.LoadBalancers()
			return s.quiet() && len(all) == 1 && all[0].ID != id && all[0].ProvisioningStatus == "ACTIVE"
		})
		if s.address("web") != address {
			t.Errorf("shows %s, showed %s", s.address("web"), address)
		}
	})
}

func TestAStuckLoadBalancerIsToldAndNeverDoubled(t *testing.T) {
	onStage(t, slow, plainConf, func(s *stage) {
		s.cloud.FailNext("create", fake.Stuck)
		s.service("web", "80/TCP")
		s.start()
		s.play(20 * time.Minute)
		if r := s.trouble["web"]; r == nil || r.Reason != lb.LoadBalancerStuck {
			t.Errorf("trouble: %+v", r)
		}
		s.restart()
		s.play(2 * time.Hour)
		l := s.only()
		s.cloud.SetStatus(l.ID, "ACTIVE", "ONLINE")
		for _, x := range l.Listeners {
			s.cloud.SetStatus(x.ID, "ACTIVE", "ONLINE")
		}
		for _, p := range l.Pools {
			s.cloud.SetStatus(p.ID, "ACTIVE", "ONLINE")
		}
		s.until("recovered", s.quiet)
		if s.only().ID != l.ID {
			t.Error("it was built again")
		}
	})
}

func TestAListenerInErrorIsTriedAgain(t *testing.T) {
	built(t, slow, plainConf, func(s *stage) {
		var fails atomic.Int32
		fails.Store(4)
		s.cloud.Outcomes(func(c fake.Change) fake.Outcome {
			if c.Object == "listener" && fails.Load() > 0 {
				fails.Add(-1)
				return fake.Outcome{Result: fake.Failed}
			}
			return fake.Outcome{}
		})
		s.cloud.ResetCalls()
		s.change(func() { s.services["web"].Ports[0].Number = 8080 })
		s.until("repaired", func() bool { return fails.Load() == 0 && s.quiet() })
		if _, changes := s.own(); len(changes) > 12 {
			t.Errorf("%d changes:\n%s", len(changes), strings.Join(changes, "\n"))
		}
	})
}

func TestWhatSomebodyDidByHandIsRepaired(t *testing.T) {
	deeds := map[string]func(s *stage, l fake.LoadBalancer){
		"load balancer deleted":    func(s *stage, l fake.LoadBalancer) { s.cloud.Remove(l.ID) },
		"floating IP detached":     func(s *stage, l fake.LoadBalancer) { s.cloud.Detach(s.cloud.FloatingIPs()[0].ID) },
		"listener deleted":         func(s *stage, l fake.LoadBalancer) { s.cloud.Remove(l.Listeners[0].ID) },
		"pool deleted":             func(s *stage, l fake.LoadBalancer) { s.cloud.Remove(l.Pools[1].ID) },
		"member deleted":           func(s *stage, l fake.LoadBalancer) { s.cloud.Remove(l.Pools[0].Members[1].ID) },
		"monitor deleted":          func(s *stage, l fake.LoadBalancer) { s.cloud.Remove(l.Pools[0].Monitor.ID) },
		"rule deleted":             func(s *stage, l fake.LoadBalancer) { s.cloud.Remove(rule(s)) },
		"security group deleted":   func(s *stage, l fake.LoadBalancer) { s.cloud.Remove(s.cloud.SecurityGroups()[0].ID) },
		"security group taken off": func(s *stage, l fake.LoadBalancer) { s.cloud.SetPortGroups(s.cloud.Ports()[0].ID) },
		"member of weight 0": func(s *stage, l fake.LoadBalancer) {
			s.cloud.EditMember(l.Pools[0].Members[0].ID, func(m *fake.Member) { m.Weight = 0 })
		},
		"listener off": func(s *stage, l fake.LoadBalancer) {
			s.cloud.EditListener(l.Listeners[0].ID, func(x *fake.Listener) { x.AdminStateUp = false })
		},
		"listener limited": func(s *stage, l fake.LoadBalancer) {
			s.cloud.EditListener(l.Listeners[0].ID, func(x *fake.Listener) { x.ConnectionLimit = 7 })
		},
		"pool with another algorithm": func(s *stage, l fake.LoadBalancer) {
			s.cloud.EditPool(l.Pools[0].ID, func(p *fake.Pool) { p.Algorithm = "SOURCE_IP" })
		},
		"tags lost": func(s *stage, l fake.LoadBalancer) {
			s.cloud.EditLoadBalancer(l.ID, func(x *fake.LoadBalancer) { x.Tags = nil })
		},
	}
	for name, deed := range deeds {
		t.Run(name, func(t *testing.T) {
			built(t, slow, "[LoadBalancer]\nmanage-security-groups = true\ncreate-monitor = true\n", func(s *stage) {
				address, before := s.address("web"), s.picture()
				s.play(30 * time.Second)
				deed(s, s.only())
				s.patience = 90 * time.Minute // what does not show in updated_at is found by a deep audit
				s.until("repaired", func() bool { return cmp.Diff(before, s.picture()) == "" })
				s.play(15 * time.Minute)
				if diff := cmp.Diff(before, s.picture()); diff != "" || !s.quiet() {
					t.Errorf("not as it was (-before +after):\n%s\n%s", diff, s)
				}
				if s.address("web") != address || len(s.shown["web"]) != 1 {
					t.Errorf("shows %v, showed %s", s.shown["web"], address)
				}
				s.gone("web")
				s.clean()
			})
		})
	}
}

func rule(s *stage) string {
	for _, r := range s.cloud.SecurityGroups()[0].Rules {
		if r.Direction == "ingress" {
			return r.ID
		}
	}
	return ""
}

// picture is what a project has, without what differs from one making to the next.
func (s *stage) picture() []string {
	var out []string
	for _, l := range s.cloud.LoadBalancers() {
		tags := slices.Sorted(slices.Values(l.Tags))
		out = append(out, fmt.Sprint("lb ", l.Name, l.ProvisioningStatus, tags, l.VIPAddress, l.AdditionalVIPs))
		pools := make(map[string]string)
		for _, p := range l.Pools {
			pools[p.ID] = p.Name
			text := fmt.Sprint("pool ", p.Name, p.ProvisioningStatus, p.AdminStateUp, p.Protocol, p.Algorithm, p.Persistence)
			for _, m := range p.Members {
				out = append(out, fmt.Sprint("member ", p.Name, m.Name, m.AdminStateUp, m.Address, m.Port, m.Weight, m.MonitorPort))
			}
			if m := p.Monitor; m != nil {
				text += fmt.Sprint(m.Name, m.Type, m.Delay, m.Timeout, m.MaxRetries, m.MaxRetriesDown, m.URLPath)
			}
			out = append(out, text)
		}
		for _, x := range l.Listeners {
			out = append(out, fmt.Sprint("listener ", x.Name, x.ProvisioningStatus, x.AdminStateUp, slices.Sorted(slices.Values(x.Tags)), x.Protocol, x.Port, x.ConnectionLimit,
				pools[x.DefaultPoolID], x.AllowedCIDRs, x.InsertHeaders, x.TimeoutClientData))
		}
	}
	for _, f := range s.cloud.FloatingIPs() {
		out = append(out, fmt.Sprint("floating ", f.Address, f.Description, f.Fixed))
	}
	groups := make(map[string]string)
	for _, g := range s.cloud.SecurityGroups() {
		groups[g.ID] = g.Name
		for _, r := range g.Rules {
			if r.Direction == "ingress" {
				out = append(out, fmt.Sprint("rule ", g.Name, r.Protocol, r.PortMin, r.PortMax, r.RemotePrefix))
			}
		}
	}
	for _, p := range s.cloud.Ports() {
		for _, g := range p.SecurityGroups {
			if p.DeviceOwner == "compute:nova" && groups[g] != "" {
				out = append(out, fmt.Sprint("port ", p.Name, groups[g]))
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestAFloatingIPThatIsDeletedIsReplaced(t *testing.T) {
	built(t, slow, plainConf, func(s *stage) {
		s.cloud.Remove(s.cloud.FloatingIPs()[0].ID)
		s.until("another", func() bool {
			return len(s.cloud.FloatingIPs()) == 1 && s.address("web") == s.cloud.FloatingIPs()[0].Address.String()
		})
	})
}

func TestTheSurplusOfLostAnswersGoes(t *testing.T) {
	onStage(t, slow, plainConf, func(s *stage) {
		// Lists are behind for longer than a lost answer is waited for.
		s.cloud.SetListLag(25 * time.Second)
		lost := 2
		s.cloud.Intercept(func(c fake.Call) fake.Fault {
			if c.Method == http.MethodPost && strings.HasSuffix(c.Path, "/loadbalancers") && lost > 0 {
				lost--
				return fake.Fault{Lost: fake.LostAfter}
			}
			return fake.Fault{}
		})
		s.service("web", "80/TCP")
		s.start()
		s.until("address", s.quiet)
		s.calm(time.Minute)
		if s.only(); lost > 0 || len(s.cloud.FloatingIPs()) != 1 || len(s.shown["web"]) != 1 {
			t.Errorf("%s", s)
		}
		s.gone("web")
		s.clean()
	})
}

func TestListsThatAreBehindDoNotDoubleAnything(t *testing.T) {
	for _, conf := range []string{plainConf, securedConf} {
		onStage(t, slow, conf, func(s *stage) {
			s.cloud.SetListLag(40 * time.Second)
			s.service("web", "80/TCP")
			s.start()
			s.until("address", s.quiet)
			s.play(5 * time.Minute)
			creates := s.cloud.CountCalls()["POST /v2/lbaas/loadbalancers"]
			if s.only(); creates != 1 || len(s.cloud.FloatingIPs()) != 1 {
				t.Errorf("%d creates; %s", creates, s)
			}
			s.gone("web")
			s.clean()
		})
	}
}

func TestAQuotaThatIsUsedUpIsToldAndWaitedFor(t *testing.T) {
	for _, path := range []string{"/loadbalancers", "/floatingips", "/security-groups", "/security-group-rules"} {
		onStage(t, slow, securedConf, func(s *stage) {

			s.cloud.Intercept(func(c fake.Call) fake.Fault {
				if c.Method == http.MethodPost && strings.HasSuffix(c.Path, path) {
					if strings.Contains(c.Path, "lbaas") {
						return fake.Fault{Status: 403, Body: `{"faultcode": "Client", "faultstring": "Quota has been met for resources: Load Balancer"}`}
					}
					return fake.Fault{Status: 409, Body: `{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['x']."}}`}
				}
				return fake.Fault{}
			})
			s.service("web", "80/TCP")
			s.start()
			s.play(2 * time.Minute)
			if r := s.trouble["web"]; r == nil || r.Reason != lb.CloudQuota {
				t.Errorf("%s: %+v", path, r)
			}
			s.cloud.Intercept(nil)
			s.until("built", s.quiet)
		})
	}
}

func TestTokensThatExpireAreNoTrouble(t *testing.T) {
	o := slow
	o.TokenLife = time.Minute
	built(t, o, securedConf, func(s *stage) {
		s.play(10 * time.Minute)
		s.change(func() { s.addNode("node-4") })
		s.until("members", func() bool { return len(s.only().Pools[0].Members) == 4 })
		if !s.quiet() {
			t.Errorf("%s", s)
		}
	})
}

func TestDeniedIsToldUntilItIsAllowed(t *testing.T) {
	onStage(t, slow, securedConf, func(s *stage) {
		denied := lb.Refuse(lb.CloudDenied, "correct the Secret", "the cloud refuses: wrong password")
		s.service("web", "80/TCP")
		s.start()
		s.driver.Connect(nil, denied)
		s.play(time.Minute)
		if r := s.trouble["web"]; r == nil || r.Reason != lb.CloudDenied {
			t.Errorf("trouble: %+v", r)
		}
		s.driver.Connect(s.clients(s.t.Context()), nil)
		s.until("built", s.quiet)
		address := s.address("web")

		// A role is taken away: 403 to everything.

		s.cloud.Intercept(func(c fake.Call) fake.Fault {
			if strings.Contains(c.Path, "lbaas") {
				return fake.Reply(http.StatusForbidden)
			}
			return fake.Fault{}
		})
		s.change(func() { s.addNode("node-4") })
		s.play(time.Hour)
		if r := s.trouble["web"]; r == nil || r.Reason != lb.CloudDenied || s.address("web") != address {
			t.Errorf("trouble: %+v", r)
		}
		s.cloud.Intercept(nil)
		s.driver.Connect(s.clients(s.t.Context()), nil)
		began := time.Now()
		s.until("members", func() bool { return s.quiet() && len(s.only().Pools[0].Members) == 4 })
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("new credentials helped after %s", took)
		}
	})
}

func TestAnAPIWithoutTagsIsRefused(t *testing.T) {
	o := slow
	o.OctaviaVersion = "v2.4"
	onStage(t, o, plainConf, func(s *stage) {
		s.service("web", "80/TCP")
		s.start()
		s.play(time.Minute)
		if r := s.trouble["web"]; r == nil || r.Reason != lb.Unsupported || len(s.cloud.LoadBalancers()) > 0 {
			t.Errorf("trouble: %+v", r)
		}
	})
}

func TestListsOfManyPages(t *testing.T) {
	o := brisk()
	o.PageLimit = 2
	onStage(t, o, securedConf, func(s *stage) {
		for i := range 7 {
			s.service(fmt.Sprintf("web-%d", i), tcpPorts...)
		}
		s.start()
		s.until("addresses", s.quiet)
		s.restart()
		s.play(2 * time.Hour)
		if n := len(s.cloud.LoadBalancers()); n != 7 || !s.quiet() {
			t.Errorf("%d load balancers; %s", n, s)
		}
	})
}

func TestALoadBalancerOfAUserIsVisitedOnly(t *testing.T) {
	onStage(t, slow, plainConf, func(s *stage) {
		theirs := s.usersOwn()
		before := s.only()
		floats := s.cloud.FloatingIPs()
		s.service("web", "80/TCP").Annotations["loadbalancer.openstack.org/load-balancer-id"] = theirs
		s.service("taken", "22/TCP").Annotations["loadbalancer.openstack.org/load-balancer-id"] = theirs
		s.start()
		s.until("address", func() bool { return s.address("web") != "" && s.trouble["taken"] != nil })
		s.calm(30 * time.Second)
		if r := s.trouble["taken"]; r == nil || r.Reason != lb.PortTaken {
			t.Errorf("port of the user's own listener: %+v", r)
		}
		if n := len(s.only().Listeners); n != 2 {
			t.Errorf("%d listeners", n)
		}
		s.cloud.SetStatus(theirs, "ERROR", "ERROR")
		s.play(5 * time.Minute)
		if s.only().ID != theirs {
			t.Fatal("it was built again")
		}
		s.cloud.SetStatus(theirs, "ACTIVE", "ONLINE")
		s.play(time.Minute)
		s.gone("web", "taken")
		time.Sleep(5 * time.Second)
		if diff := cmp.Diff(before, s.only(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("not as before (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(floats, s.cloud.FloatingIPs(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("floating IPs not as before (-before +after):\n%s", diff)
		}
	})
}

// usersOwn makes a load balancer as a user would, with a listener, a pool and a
// floating IP.
func (s *stage) usersOwn() string {
	s.t.Helper()
	c := s.clients(s.t.Context())
	var made struct {
		LoadBalancer struct {
			ID   string `json:"id"`
			Port string `json:"vip_port_id"`
		} `json:"loadbalancer"`
	}
	body := map[string]any{"loadbalancer": map[string]any{"name": "front", "vip_subnet_id": s.cloud.IDs().SubnetV4, "tags": []string{"team-a"},
		"listeners": []map[string]any{{"name": "ssh", "protocol": "TCP", "protocol_port": 22, "default_pool": map[string]any{"name": "bastions", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}}}}
	if err := send(s.t.Context(), c.LoadBalancer, http.MethodPost, []string{"lbaas", "loadbalancers"}, body, &made); err != nil {
		s.t.Fatal(err)
	}
	fip := map[string]any{"floatingip": map[string]any{"floating_network_id": s.cloud.IDs().External, "port_id": made.LoadBalancer.Port, "description": "our front door"}}
	if err := send(s.t.Context(), c.Network, http.MethodPost, []string{"floatingips"}, fip, nil); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Minute)
	return made.LoadBalancer.ID
}

func TestWhatHasNoServiceAnyMoreIsCleared(t *testing.T) {
	built(t, slow, securedConf, func(s *stage) {
		s.service("other", "80/TCP")
		s.change(func() {})
		s.until("address", s.quiet)
		other := s.services["other"].UID
		s.living = []string{other, s.services["web"].UID}
		slices.Sort(s.living)
		s.stop()
		delete(s.services, "web") // its finalizer was taken off by hand
		s.start()
		s.play(time.Hour)
		if n := len(s.cloud.LoadBalancers()); n != 2 {
			t.Fatalf("%d load balancers: one whose Service lives was cleared away", n)
		}
		s.change(func() { s.living = []string{other} })
		s.play(9 * time.Minute)
		if n := len(s.cloud.LoadBalancers()); n != 2 {
			t.Fatal("cleared away at the first look")
		}
		s.patience = 30 * time.Minute // two audits, and what is under way
		s.until("cleared", func() bool { return len(s.cloud.LoadBalancers()) == 1 && len(s.cloud.FloatingIPs()) == 1 })
		if s.only().Name != "kube_service_kubernetes_shop_other" || !s.quiet() {
			t.Errorf("%s", s)
		}
	})
}

func TestAPoolThatGoesWhileItIsReadIsNoLostLoadBalancer(t *testing.T) {
	built(t, slow, plainConf, func(s *stage) {
		gone := 3
		s.cloud.Intercept(func(c fake.Call) fake.Fault {
			if c.Method == http.MethodGet && strings.HasSuffix(c.Path, "/members") && gone > 0 {
				gone--
				return fake.Reply(http.StatusNotFound)
			}
			return fake.Fault{}
		})
		s.cloud.ResetCalls()
		s.restart()
		s.play(time.Minute)
		if n := s.cloud.CountCalls()["POST /v2/lbaas/loadbalancers"]; n > 0 || gone > 0 || !s.quiet() {
			t.Errorf("%d creates; %s", n, s)
		}
	})
}

func TestAnAddressThatSomebodyElseHasByNowGivesWay(t *testing.T) {
	built(t, slow, "[LoadBalancer]\ninternal-lb = true\n", func(s *stage) {
		before := s.address("web")
		s.cloud.Remove(s.cloud.LoadBalancers()[0].ID)
		s.cloud.AddNode("thief", netip.MustParseAddr(before))
		s.until("another address", func() bool { return s.quiet() && s.address("web") != before })
	})
}
