package octavia

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

const securedConf = "[LoadBalancer]\nmanage-security-groups = true\n"

var tcpPorts = []string{"80/TCP", "443/TCP", "8080/TCP", "8443/TCP", "9090/TCP"}

func TestANewServiceCostsTwoChangesAndThreeReads(t *testing.T) {
	for _, c := range []struct {
		name           string
		conf           string
		ports          int
		changes, reads int
	}{
		{"1 port", plainConf, 1, 2, 3},
		{"5 ports", plainConf, 5, 2, 3},
		{"1 port, security group", securedConf, 1, 3, 3},
		{"5 ports, security group", securedConf, 5, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, slow, c.conf, func(s *stage) {
				s.service("first", "7/TCP")
				s.start()
				s.until("first", s.quiet)
				s.calm(30 * time.Second)
				s.cloud.ResetCalls()
				s.change(func() { s.service("web", tcpPorts[:c.ports]...) })
				s.until("address", s.quiet)
				s.play(time.Minute)
				reads, changes := s.own()
				t.Logf("%d changes, %d reads: %q", len(changes), len(reads), reads)
				if len(changes) > c.changes {
					t.Errorf("%d changes, want %d at most:\n%s", len(changes), c.changes, strings.Join(changes, "\n"))
				}
				if len(reads) > c.reads {
					t.Errorf("%d reads, want %d at most:\n%s", len(reads), c.reads, strings.Join(reads, "\n"))
				}
			})
		})
	}
}

func TestWhereNothingChangesThereIsNothingButPolls(t *testing.T) {
	onStage(t, slow, securedConf, func(s *stage) {
		for i := range 5 {
			s.service(fmt.Sprintf("web-%d", i), "80/TCP")
		}
		s.start()
		s.until("addresses", s.quiet)
		s.calm(time.Minute)
		s.cloud.ResetCalls()
		s.play(time.Hour)
		reads, changes := s.own()
		polls := len(s.cloud.Calls()) - len(reads) - len(changes)
		t.Logf("an hour: %d polls, %d other reads", polls, len(reads))
		// 6 audits of 9 reads; and each load balancer is read with all below it once.
		if len(changes) > 0 || polls > 370 || len(reads) > 6*9+5*5 {
			t.Errorf("%d changes, %d polls, %d reads:\n%s", len(changes), polls, len(reads), strings.Join(append(changes, reads...), "\n"))
		}
	})
}

func TestASecondStartChangesNothing(t *testing.T) {
	for _, conf := range []string{plainConf, securedConf} {
		onStage(t, slow, conf, func(s *stage) {
			s.service("web", tcpPorts...)
			s.service("dns", "53/UDP").Annotations["loadbalancer.openstack.org/enable-health-monitor"] = "true"
			s.start()
			s.until("addresses", s.quiet)
			s.calm(30 * time.Second)
			before := s.cloud.LoadBalancers()
			s.cloud.ResetCalls()
			s.restart()
			s.play(2 * time.Hour)
			if _, changes := s.own(); len(changes) > 0 {
				t.Errorf("a second start changes:\n%s", strings.Join(changes, "\n"))
			}
			if len(s.cloud.LoadBalancers()) != len(before) || !s.quiet() {
				t.Errorf("not as before: %s", s)
			}
		})
	}
}

func TestANodeCostsOneCallForEachPort(t *testing.T) {
	const services, ports = 4, 3
	for _, conf := range []string{plainConf, securedConf} {
		onStage(t, slow, conf, func(s *stage) {
			for i := range services {
				s.service(fmt.Sprintf("web-%d", i), tcpPorts[:ports]...)
			}
			s.start()
			s.until("addresses", s.quiet)
			s.calm(30 * time.Second)
			s.cloud.ResetCalls()
			began := time.Now()
			s.change(func() { s.addNode("node-4") })
			s.until("members", func() bool {
				for _, l := range s.cloud.LoadBalancers() {
					for _, p := range l.Pools {
						if len(p.Members) != 4 || p.ProvisioningStatus != "ACTIVE" {
							return false
						}
					}
				}
				return true
			})
			took := time.Since(began)
			s.play(time.Minute)
			reads, changes := s.own()
			most := services * ports
			if conf == securedConf {
				most++ // the port's groups
			}
			if len(changes) > most || len(reads) > 1 {
				t.Errorf("%d changes, want %d; %d reads, want 1:\n%s", len(changes), most, len(reads), strings.Join(append(reads, changes...), "\n"))
			}
			// Three updates of a second each, one after another, side by side for four load
			// balancers; each is noticed within a second.
			if took > 8*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestTwoHundredServicesAreBuiltSideBySide(t *testing.T) {
	o := slow
	o.Roomy = true
	onStage(t, o, plainConf, func(s *stage) {
		s.service("first", "7/TCP")
		s.start()
		s.until("first", s.quiet)
		s.calm(30 * time.Second)
		began := time.Now()
		s.change(func() {
			for i := range 200 {
				s.service(fmt.Sprintf("web-%03d", i), "80/TCP")
			}
		})
		s.until("addresses", s.quiet)
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("200 Services took %s, where one takes 10 s to build", took)
		}
	})
}

func TestDeletingCostsTwoChangesAndOneRead(t *testing.T) {
	for _, c := range []struct {
		conf           string
		changes, reads int
	}{{plainConf, 2, 2}, {securedConf, 3, 1}} {
		onStage(t, slow, c.conf, func(s *stage) {
			s.service("first", "7/TCP")
			s.service("web", tcpPorts[:1]...)
			s.start()
			s.until("addresses", s.quiet)
			s.calm(30 * time.Second)
			s.cloud.ResetCalls()
			s.gone("web")
			reads, changes := s.own()
			if len(changes) > c.changes || len(reads) > c.reads {
				t.Errorf("%d changes, want %d; %d reads, want %d:\n%s", len(changes), c.changes, len(reads), c.reads, strings.Join(append(reads, changes...), "\n"))
			}
		})
	}
}

func TestNothingWaitsInATightLoop(t *testing.T) {
	// A call that takes long, one that fails for long, and a load balancer that is stuck:
	// what is waited for there has no time.
	onStage(t, slow, plainConf, func(s *stage) {
		s.cloud.Intercept(func(c fake.Call) fake.Fault {
			if strings.Contains(c.Path, "floatingips") && c.Number < 40 {
				return fake.Fault{Delay: 15 * time.Second}
			}
			return fake.Fault{}
		})
		s.cloud.FailNext("create", fake.Stuck)
		s.service("web", "80/TCP")
		s.start()
		s.play(time.Hour)
		if n := len(s.cloud.Calls()); n > 1500 {
			t.Errorf("%d calls within an hour", n)
		}
		if looks := s.driver.looks.Load(); looks > 5000 {
			t.Errorf("looked at everything %d times within an hour", looks)
		}
	})
}
