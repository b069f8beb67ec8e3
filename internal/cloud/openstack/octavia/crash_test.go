package octavia

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

// chapter is one change that a cluster goes through, and what must hold afterwards.
type chapter struct {
	name   string
	change func(s *stage)
	holds  func(s *stage) string // what is wrong, or nothing
}

// story has every kind of change: create, update of ports, members and options, a
// second Service on the same load balancer, another floating IP, delete.
var story = []chapter{
	{"create", func(s *stage) { s.service("web", "80/TCP", "443/TCP") }, func(s *stage) string { return s.expect(1, 1, 2, 3) }},
	{"a port more, another less", func(s *stage) {
		web := s.services["web"]
		web.Ports = []lb.Port{{Protocol: "TCP", Number: 80}, {Protocol: "UDP", Number: 53}, {Protocol: "TCP", Number: 8080}}
		web.NodePorts = []uint16{30000, 30002, 30003}
	}, func(s *stage) string { return s.expect(1, 1, 3, 3) }},
	{"a node more", func(s *stage) { s.addNode("node-4") }, func(s *stage) string { return s.expect(1, 1, 3, 4) }},
	{"affinity and limits", func(s *stage) {
		s.services["web"].Affinity = time.Hour
		s.services["web"].Annotations["loadbalancer.openstack.org/connection-limit"] = "100"
		s.services["web"].SourceRanges = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}, func(s *stage) string { return s.expect(1, 1, 3, 4) }},
	{"share", func(s *stage) {
		s.service("dns", "5353/UDP").Annotations["loadbalancer.openstack.org/load-balancer-id"] = s.services["web"].Annotations["loadbalancer.openstack.org/load-balancer-id"]
	}, func(s *stage) string { return s.expect(1, 1, 4, 4) }},
	{"unshare", func(s *stage) { s.leaving["dns"] = true }, func(s *stage) string { return s.expect(1, 1, 3, 4) }},
	{"another floating IP", func(s *stage) {
		s.services["web"].Request.Addresses = []netip.Addr{s.given}
	}, func(s *stage) string {
		if held := s.services["web"].Held; len(held) != 1 || held[0] != s.given {
			return fmt.Sprintf("the Service shows %v", held)
		}
		return s.expect(1, 1, 3, 4)
	}},
	{"delete", func(s *stage) { s.leaving["web"] = true }, func(s *stage) string {
		if len(s.services) > 0 {
			return "the Service is still there"
		}
		// The one that was given is its owner's.
		left := slices.DeleteFunc(s.leftovers(), func(l string) bool { return l == "floating IP "+s.given.String() })
		if len(left) > 0 || len(s.cloud.FloatingIPs()) != 1 {
			return fmt.Sprintf("left behind: %v of %v", left, s.cloud.FloatingIPs())
		}
		return ""
	}},
}

// expect compares the cloud with what should be there: load balancers, floating IPs
// that lead somewhere, listeners, and members of every pool.
func (s *stage) expect(balancers, floating, listeners, members int) string {
	if !s.quiet() {
		return "a Service has no address, or trouble"
	}
	lbs := s.cloud.LoadBalancers()
	if len(lbs) != balancers {
		return fmt.Sprintf("%d load balancers, want %d", len(lbs), balancers)
	}
	attached := 0
	for _, f := range s.cloud.FloatingIPs() {
		if f.PortID != "" {
			attached++
		} else if f.Address != s.given {
			return fmt.Sprintf("floating IP %s leads nowhere", f.Address)
		}
	}
	if attached != floating {
		return fmt.Sprintf("%d floating IPs, want %d", attached, floating)
	}
	l := lbs[0]
	if l.ProvisioningStatus != "ACTIVE" || len(l.Listeners) != listeners || len(l.Pools) != listeners {
		return fmt.Sprintf("%s with %d listeners and %d pools, want %d", l.ProvisioningStatus, len(l.Listeners), len(l.Pools), listeners)
	}
	for _, p := range l.Pools {
		if len(p.Members) != members {
			return fmt.Sprintf("pool %s has %d members, want %d", p.Name, len(p.Members), members)
		}
	}
	return ""
}

// tell plays the story, with a process that may be killed under way.
func (s *stage) tell() {
	t := s.t
	t.Helper()
	s.given = s.give()
	s.start()
	for _, c := range story {
		before := s.address("web")
		s.change(func() { c.change(s) })
		s.until(c.name, func() bool {
			if c.holds(s) != "" {
				return false
			}
			s.play(2500 * time.Millisecond) // it may have been on its way to something else
			return c.holds(s) == ""
		})
		if now := s.address("web"); before != "" && now != before && c.name != "another floating IP" && c.name != "delete" {
			t.Errorf("%q changed the address from %s to %s", c.name, before, now)
		}
	}
	if shown := s.shown["web"]; len(shown) != 2 {
		t.Errorf("clients saw %v, want one address and then the one that was asked for", shown)
	}
}

func (s *stage) address(name string) string {
	if svc := s.services[name]; svc != nil && len(svc.Held) > 0 {
		return svc.Held[0].String()
	}
	return ""
}

func brisk() fake.Options {
	return fake.Options{Times: map[string]fake.Times{"amphora": {Create: 3 * time.Second, Update: 300 * time.Millisecond, Delete: time.Second, Failover: time.Second}}}
}

// calls counts the calls of the whole story, so that each can be hit.
func calls(t *testing.T, conf string) (n int) {
	onStage(t, brisk(), conf, func(s *stage) {
		s.tell()
		n = len(s.cloud.Calls())
	})
	return n
}

var stories = map[string]string{
	"plain":           "[LoadBalancer]\n",
	"security groups": "[LoadBalancer]\nmanage-security-groups = true\ncreate-monitor = true\n",
}

// thorough tells whether every fault is tried at every call. It is done with
// FAIRLEAD_TEST_THOROUGH=1; otherwise each call gets some of them, a different choice
// at each, so that every call and every fault is met.
func thorough() bool { return os.Getenv("FAIRLEAD_TEST_THOROUGH") != "" }

func TestAKillBeforeOrAfterAnyCallIsSurvived(t *testing.T) {
	for name, conf := range stories {
		total := calls(t, conf)
		if total < 50 {
			t.Fatalf("the story makes %d calls only", total)
		}
		hits, tried := 0, 0
		for n := 1; n <= total; n++ {
			for _, after := range []bool{false, true} {
				if testing.Short() && (n%4 != 0 || after != (n%8 == 0)) {
					continue
				}
				tried++
				t.Run(fmt.Sprintf("%s/call %d/after %v", name, n, after), func(t *testing.T) {
					onStage(t, brisk(), conf, func(s *stage) {
						s.cloud.Intercept(func(c fake.Call) fake.Fault {
							switch {
							case c.Number != n || !s.running.Load():
								return fake.Fault{}
							case after:
								return fake.Fault{After: s.crash, Lost: fake.LostAfter}
							default:
								return fake.Fault{Before: s.crash, Lost: fake.LostBefore}
							}
						})
						s.tell()
						hits += s.crashes
					})
				})
			}
		}
		if hits < tried*9/10 {
			t.Errorf("%s: %d processes were killed in %d stories: the test misses its mark", name, hits, tried)
		}
	}
}

func TestAnyFaultOfAnyCallIsSurvived(t *testing.T) {
	faults := []struct {
		name  string
		fault fake.Fault
	}{
		{"409", fake.Reply(http.StatusConflict)},
		{"done, no answer", fake.Fault{Lost: fake.LostAfter}},
		{"429", fake.TooMany(2 * time.Second)},
		{"500", fake.Reply(http.StatusInternalServerError)},
		{"malformed", fake.Fault{Malformed: true}},
		{"503", fake.Reply(http.StatusServiceUnavailable)},
		{"not done", fake.Fault{Lost: fake.LostBefore}},
		{"answer after 30s", fake.Fault{Delay: 30 * time.Second}},
	}
	conf := stories["security groups"]
	total := calls(t, conf)
	for n := 1; n <= total; n++ {
		for i, f := range faults {
			const some = 4
			if !thorough() && (n+i)%some != 0 || testing.Short() && (n+i)%len(faults) != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/call %d", f.name, n), func(t *testing.T) {
				onStage(t, brisk(), conf, func(s *stage) {
					s.cloud.Intercept(func(c fake.Call) fake.Fault {
						if c.Number != n || !s.running.Load() {
							return fake.Fault{}
						}
						return f.fault
					})
					s.tell()
				})
			})
		}
	}
}
