package octavia

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

func TestServicesThatShareStayTogetherWhereTheirLoadBalancerIsLost(t *testing.T) {
	for _, name := range []string{"a-dns", "dns", "zone"} { // before and after web
		for how, lose := range map[string]func(s *stage, id string){
			"ERROR":   func(s *stage, id string) { s.cloud.SetStatus(id, "ERROR", "ERROR") },
			"deleted": func(s *stage, id string) { s.cloud.Remove(id) },
		} {
			for _, internal := range []string{"false", "true"} {
				t.Run(name+"/"+how+"/internal "+internal, func(t *testing.T) {
					onStage(t, brisk(), plainConf, func(s *stage) {
						web := s.service("web", "80/TCP")
						annotate("internal", internal)(s, web)
						s.start()
						s.until("built", s.quiet)
						s.change(func() {
							annotate("internal", internal, "load-balancer-id", web.Annotations[annotation+"load-balancer-id"])(s, s.service(name, "53/UDP"))
						})
						s.until("shared", func() bool { return s.quiet() && len(s.only().Listeners) == 2 })
						s.calm(10 * time.Second)
						lost := s.only().ID
						lose(s, lost)
						s.until("built again", func() bool {
							all := s.cloud.LoadBalancers()
							return s.quiet() && len(all) > 0 && all[0].ID != lost && all[0].ProvisioningStatus == "ACTIVE"
						})
						s.calm(10 * time.Second)
						if l := s.only(); len(l.Listeners) != 2 || len(s.shown["web"]) != 1 || len(s.shown[name]) != 1 {
							t.Errorf("shown: %v; %s", s.shown, s)
						}
						s.restart()
						s.gone("web", name)
						s.clean()
					})
				})
			}
		}
	}
}

func TestALoadBalancerInErrorGoesWholeWhereItIsTakenApartOtherwise(t *testing.T) {
	onStage(t, brisk(), "[LoadBalancer]\ncascade-delete = false\n", func(s *stage) {
		s.service("web", "80/TCP", "443/TCP")
		s.start()
		s.until("built", s.quiet)
		s.cloud.Outcomes(func(c fake.Change) fake.Outcome {
			if c.Object == "listener" {
				return fake.Outcome{Result: fake.FailedWhole}
			}
			return fake.Outcome{}
		})
		s.gone("web")
		s.clean()
	})
}

// Somebody else took the address inside the cloud while the load balancer was away; what
// clients see is the floating IP.
func TestAnAddressThatIsTakenIsNotWaitedForBehindAFloatingIP(t *testing.T) {
	onStage(t, brisk(), plainConf, func(s *stage) {
		s.service("web", "80/TCP")
		s.start()
		s.until("built", s.quiet)
		l, address := s.only(), s.address("web")
		s.cloud.Remove(l.ID)
		s.cloud.AddNode("stranger", l.VIPAddress)
		s.until("built again", func() bool {
			return len(s.cloud.LoadBalancers()) == 1 && s.quiet() && s.only().ProvisioningStatus == "ACTIVE"
		})
		if s.address("web") != address || len(s.shown["web"]) != 1 || s.only().VIPAddress == l.VIPAddress {
			t.Errorf("shows %v at %s, showed %s", s.shown["web"], s.only().VIPAddress, address)
		}
	})
}

func TestListsThatAreBehindDoNotDoubleThePoolsOfASerialProvider(t *testing.T) {
	onStage(t, brisk(), "[LoadBalancer]\nprovider-requires-serial-api-calls = true\n", func(s *stage) {
		s.cloud.SetListLag(25 * time.Second)
		s.service("web", "80/TCP")
		s.start()
		s.until("built", s.quiet)
		s.calm(30 * time.Second)
		if len(s.only().Pools) != 1 {
			t.Errorf("%d pools; %s", len(s.only().Pools), s)
		}
		s.gone("web")
		s.clean()
	})
}
