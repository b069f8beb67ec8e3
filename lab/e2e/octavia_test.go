//go:build openstack

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab/openstack"
)

// One cluster for many stories: each begins and ends with an empty project.
func TestOctavia(t *testing.T) {
	p := newProject(t, 3)
	for _, story := range []struct {
		name string
		tell func(*project)
	}{
		{"a Service gets a load balancer, an address and rules", (*project).testLife},
		{"members follow the nodes", (*project).testNodes},
		{"source ranges", (*project).testSourceRanges},
		{"Services share a load balancer", (*project).testSharing},
		{"an internal load balancer has no floating IP", (*project).testInternal},
		{"a floating IP of the user's own stays the user's", (*project).testGivenFloatingIP},
		{"a load balancer deleted by hand comes back with its address", (*project).testDeletedByHand},
		{"a load balancer in ERROR is repaired with its address", (*project).testError},
		{"the provider ovn", (*project).testOVN},
		{"killed while it creates and deletes", (*project).testKilled},
		{"wrong credentials are corrected without a restart", (*project).testCredentials},
		{"the API server is gone for a while", (*project).testAPIServerGone},
	} {
		t.Run(story.name, func(t *testing.T) {
			own := p.on(t)
			t.Cleanup(own.sweep)
			began := time.Now()
			story.tell(own)
			t.Logf("took %s", time.Since(began).Round(100*time.Millisecond))
			own.clean()
		})
	}
}

func (p *project) testLife() {
	t := p.t
	began := time.Now()
	p.service("web", ports(80, 443))
	addr := p.address("web")
	t.Logf("address after %s", time.Since(began).Round(10*time.Millisecond))
	if prefix := p.cloud.External.IPv4().CIDR; !prefix.Contains(addr) {
		t.Errorf("the address %s is not of the floating subnet %s", addr, prefix)
	}
	l := p.settled("web", all(p.sends("web", p.alive()...), floats(addr), p.opened("web")))
	uid := p.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
	if !slices.Contains(l.Tags, "kube_cluster_id_"+uid) {
		t.Errorf("its tags %q do not name the cluster %s", l.Tags, uid)
	}
	s := p.get("web")
	if !ready(s) || *s.Status.LoadBalancer.Ingress[0].IPMode != corev1.LoadBalancerIPModeVIP {
		t.Errorf("status %+v, want it Ready with ipMode VIP", s.Status)
	}
	for key, want := range map[string]string{kube.AnnotationLoadBalancerID: l.ID, kube.AnnotationLoadBalancerAddress: addr.String()} {
		if got := s.Annotations[key]; got != want {
			t.Errorf("annotation %s is %q, want %q", key, got, want)
		}
	}

	// A restart reads, and changes nothing.
	p.kill()
	p.tally.Take()
	p.control()
	p.quiet(2 * time.Second)

	p.edit("web", ports(80, 8443, 9090))
	again := p.settled("web", all(p.sends("web", p.alive()...), floats(addr), p.opened("web")))
	if again.ID != l.ID || p.address("web") != addr {
		t.Errorf("a change of ports made load balancer %s with %s, want %s with %s", again.ID, p.address("web"), l.ID, addr)
	}
	began = time.Now()
	p.remove("web")
	t.Logf("gone after %s", time.Since(began).Round(10*time.Millisecond))
}

// opened checks that every node lets in every node port of a Service, and no other.
func (p *project) opened(service string) func(openstack.LoadBalancer, openstack.Contents) error {
	return func(_ openstack.LoadBalancer, c openstack.Contents) error {
		var want, got []string
		for _, port := range p.get(service).Spec.Ports {
			for _, n := range p.alive() {
				want = append(want, fmt.Sprintf("%s %d", n.Name(), port.NodePort))
			}
		}
		for _, g := range c.SecurityGroups {
			for _, r := range g.Rules {
				for _, n := range g.Nodes {
					if r.From == nil || r.To == nil || *r.From != *r.To {
						return fmt.Errorf("the rule %q is wider than a port", r)
					}
					got = append(got, fmt.Sprintf("%s %d", n, *r.From))
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(want, got) {
			return fmt.Errorf("nodes let in %q, want %q", got, want)
		}
		return nil
	}
}

// soon is how long after a change of the nodes the cloud must be told.
const soon = 2 * time.Second

func (p *project) testNodes() {
	p.service("web")
	addr := p.address("web")
	all3 := p.alive()
	p.settled("web", p.sends("web", all3...))

	p.told("a node is excluded", func() { p.exclude("n2", true) })
	p.settled("web", p.sends("web", all3[0], all3[2]))
	p.told("it is not excluded any more", func() { p.exclude("n2", false) })
	p.settled("web", p.sends("web", all3...))

	fourth, err := p.AddNode(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	p.addPort(fourth)
	p.settled("web", all(p.sends("web", p.alive()...), p.opened("web")))
	if err := fourth.Crash(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.told("a node is deleted", func() {
		if err := p.api.Delete(p.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fourth.Name()}}); err != nil {
			p.t.Fatal(err)
		}
	})
	p.settled("web", all(p.sends("web", all3...), floats(addr)))
	p.remove("web")
}

// exclude takes a node out of all load balancers, or lets it in again. It asks the API
// server itself: kubectl takes a second to start where others are at work.
func (p *project) exclude(node string, out bool) {
	p.t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	value := map[bool]string{true: `""`, false: "null"}[out]
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, corev1.LabelNodeExcludeBalancers, value)
	if err := p.api.Patch(p.t.Context(), n, client.RawPatch(types.StrategicMergePatchType, patch)); err != nil {
		p.t.Fatal(err)
	}
}

// told checks that the cloud gets new members soon after a change.
func (p *project) told(what string, change func()) {
	p.t.Helper()
	p.tally.Take()
	began := time.Now()
	change()
	var first time.Time
	p.eventually(patience, what+": the cloud is told", func() error {
		for _, call := range p.tally.Take() {
			// Octavia 11 may want a change of the pool before one of its members.
			if call.Write() && strings.Contains(call.URL.Path, "/pools/") && first.IsZero() {
				first = call.Began
			}
		}
		if first.IsZero() {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	took := first.Sub(began)
	p.t.Logf("%s: the cloud is told after %s", what, took.Round(time.Millisecond))
	if took > soon {
		p.t.Errorf("%s: the cloud is told after %s, want it within %s", what, took, soon)
	}
}

func (p *project) testSourceRanges() {
	allowed := func(want ...string) func(openstack.LoadBalancer, openstack.Contents) error {
		return func(l openstack.LoadBalancer, _ openstack.Contents) error {
			got := slices.Sorted(slices.Values(l.Tree[0].AllowedCIDRs))
			if !slices.Equal(got, want) {
				return fmt.Errorf("clients of %q are let in, want %q", got, want)
			}
			return nil
		}
	}
	p.service("web", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24", "10.0.0.0/8"} })
	addr := p.address("web")
	l := p.settled("web", allowed("10.0.0.0/8", "192.0.2.0/24"))
	p.edit("web", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24"} })
	p.settled("web", allowed("198.51.100.0/24"))
	p.edit("web", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = nil })
	again := p.settled("web", func(l openstack.LoadBalancer, _ openstack.Contents) error {
		if got := l.Tree[0].AllowedCIDRs; len(got) > 0 && !slices.Contains(got, "0.0.0.0/0") {
			return fmt.Errorf("clients of %q are let in, want all", got)
		}
		return nil
	})
	if again.ID != l.ID || p.address("web") != addr {
		p.t.Errorf("the load balancer is %s with %s, want %s with %s", again.ID, p.address("web"), l.ID, addr)
	}
	p.remove("web")
}

func (p *project) testSharing() {
	p.service("owner", ports(80))
	addr := p.address("owner")
	l := p.settled("owner", nil)
	for i, name := range []string{"guest", "third"} { // OCCM has a limit of two
		p.service(name, ports(int32(8001+i)), annotated(kube.AnnotationLoadBalancerID, l.ID))
		if got := p.address(name); got != addr {
			p.t.Errorf("%s has %s, want %s as the owner", name, got, addr)
		}
	}
	listeners := func(want ...int) func(openstack.LoadBalancer, openstack.Contents) error {
		return func(l openstack.LoadBalancer, _ openstack.Contents) error {
			var got []int
			for _, x := range l.Tree {
				got = append(got, x.Port)
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("it listens on %v, want %v", got, want)
			}
			return nil
		}
	}
	p.settled("owner", all(listeners(80, 8001, 8002), floats(addr)))
	p.remove("guest")
	p.settled("owner", all(listeners(80, 8002), floats(addr)))
	// The one that it was made for goes, and the other keeps it.
	p.remove("owner")
	var got openstack.LoadBalancer
	p.eventually(patience, "the third has the load balancer for itself", func() error {
		for _, got = range p.contents().LoadBalancers {
			if got.ID == l.ID && got.Status == "ACTIVE" {
				return listeners(8002)(got, openstack.Contents{})
			}
		}
		return fmt.Errorf("load balancer %s is gone or busy", l.ID)
	})
	if got := p.address("third"); got != addr {
		p.t.Errorf("the third has %s now, want %s", got, addr)
	}
	p.remove("third")
}

func (p *project) testInternal() {
	p.service("db", annotated("service.beta.kubernetes.io/openstack-internal-load-balancer", "true"))
	addr := p.address("db")
	l := p.settled("db", nil)
	if addr != l.VIP || len(p.contents().FloatingIPs) > 0 {
		p.t.Errorf("it shows %s, want its VIP %s and no floating IP:\n%s", addr, l.VIP, p.contents())
	}
	// Later it is for everybody, and then not again.
	p.edit("db", func(s *corev1.Service) {
		delete(s.Annotations, "service.beta.kubernetes.io/openstack-internal-load-balancer")
	})
	p.eventually(patience, "it shows a floating IP", func() error {
		if got := p.address("db"); got == addr || !p.cloud.External.IPv4().CIDR.Contains(got) {
			return fmt.Errorf("it shows %s", got)
		}
		return nil
	})
	p.remove("db")
}

func (p *project) testGivenFloatingIP() {
	id, addr := p.reserve()
	p.service("web", func(s *corev1.Service) { s.Spec.LoadBalancerIP = addr.String() })
	if got := p.address("web"); got != addr {
		p.t.Errorf("it shows %s, want the floating IP %s of spec.loadBalancerIP", got, addr)
	}
	l := p.settled("web", floats(addr))

	// Another one later.
	other, second := p.reserve()
	p.edit("web", func(s *corev1.Service) { s.Spec.LoadBalancerIP = second.String() })
	p.eventually(patience, "it shows the second", func() error {
		if got := p.address("web"); got != second {
			return fmt.Errorf("it shows %s, want %s", got, second)
		}
		return nil
	})
	if again := p.settled("web", floats(second)); again.ID != l.ID {
		p.t.Errorf("another address made another load balancer: %s, want %s", again.ID, l.ID)
	}
	p.remove("web")
	var reply struct {
		FloatingIP openstack.FloatingIP
	}
	p.byHand(http.MethodGet, openstack.Direct().Network+"/v2.0/floatingips/"+id, nil, &reply)
	if reply.FloatingIP.Port != "" {
		p.t.Errorf("the user's floating IP still leads to port %s", reply.FloatingIP.Port)
	}
	if got := len(p.contents().FloatingIPs); got != 2 {
		p.t.Errorf("%d floating IPs are there, want the user's 2", got)
	}
	p.release(id)
	p.release(other)
}

func (p *project) testDeletedByHand() {
	p.service("web")
	addr := p.address("web")
	l := p.settled("web", nil)
	p.byHand(http.MethodDelete, openstack.Direct().LoadBalancer+"/v2/lbaas/loadbalancers/"+l.ID+"?cascade=true", nil, nil)
	again := p.settled("web", all(p.sends("web", p.alive()...), floats(addr), func(now openstack.LoadBalancer, _ openstack.Contents) error {
		if now.ID == l.ID {
			return fmt.Errorf("it is still the old one")
		}
		return nil
	}))
	if got := p.address("web"); got != addr {
		p.t.Errorf("load balancer %s shows %s, want %s as the one before", again.ID, got, addr)
	}
	p.remove("web")
}

func (p *project) testError() {
	p.service("web")
	addr := p.address("web")
	l := p.settled("web", nil)
	if err := p.cloud.Inject(p.t.Context(), openstack.LoadBalancers, l.ID, "ERROR", ""); err != nil {
		p.t.Fatal(err)
	}
	began := time.Now()
	p.settled("web", all(p.sends("web", p.alive()...), floats(addr)))
	p.t.Logf("repaired after %s", time.Since(began).Round(100*time.Millisecond))
	if got := p.address("web"); got != addr {
		p.t.Errorf("repaired, it shows %s, want %s", got, addr)
	}
	p.remove("web")
}

func (p *project) testOVN() {
	if p.cloud.Options.NoOVN {
		p.t.Fatal("the cloud has no provider ovn")
	}
	p.class("fast", "provider: Octavia, octavia: {configSecret: cloud-config, loadBalancerProvider: ovn, method: SOURCE_IP_PORT, securityGroups: Managed}")
	p.t.Cleanup(func() { _, _ = p.Kubectl(context.Background(), "delete", "loadbalancerclass", "fast") })
	began := time.Now()
	p.service("web", ports(80, 443), classed("fast"))
	p.service("other", ports(80)) // of provider amphora, beside it
	addr := p.address("web")
	p.t.Logf("address after %s", time.Since(began).Round(10*time.Millisecond))
	l := p.settled("web", all(p.sends("web", p.alive()...), floats(addr)))
	if l.Provider != "ovn" {
		p.t.Errorf("it has provider %s", l.Provider)
	}
	p.edit("web", ports(80, 8080))
	p.settled("web", all(p.sends("web", p.alive()...), floats(addr)))
	p.exclude("n1", true)
	p.settled("web", p.sends("web", p.alive()[1:]...))
	p.exclude("n1", false)
	p.settled("web", p.sends("web", p.alive()...))
	if got := p.address("other"); got == addr {
		p.t.Errorf("both Services show %s", got)
	}
	p.remove("web", "other")
}
