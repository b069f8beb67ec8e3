//go:build openstack

package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/openstack"
)

func (p *project) testKilled() {
	names := []string{"kill-a", "kill-b", "kill-c"}
	// The first are within the first calls, the later ones while the cloud builds.
	moments := []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond, time.Second, 2 * time.Second}
	killOften := func() {
		for _, d := range moments {
			time.Sleep(d)
			p.kill()
			p.control()
		}
	}
	for _, name := range names {
		p.service(name, ports(80, 443))
	}
	killOften()
	shown := make(map[string]string)
	for _, name := range names {
		addr := p.address(name)
		shown[name] = addr.String()
		p.settled(name, all(p.sends(name, p.alive()...), floats(addr)))
	}
	c := p.contents()
	if len(c.LoadBalancers) != len(names) || len(c.FloatingIPs) != len(names) {
		p.t.Errorf("%d load balancers and %d floating IPs for %d Services:\n%s", len(c.LoadBalancers), len(c.FloatingIPs), len(names), c)
	}
	for name, addr := range shown {
		if got := p.address(name).String(); got != addr {
			p.t.Errorf("%s shows %s now, and had %s", name, got, addr)
		}
	}
	p.kubectl(append([]string{"delete", "service", "--wait=false"}, names...)...)
	killOften()
	p.gone(names...)
}

func (p *project) testCredentials() {
	t := p.t
	right := p.cloud.CloudConf()
	secret := p.cloud.AppCredential.Secret
	const mistaken = "mistaken-secret-of-the-test"
	wrong := bytes.ReplaceAll(right, []byte(secret), []byte(mistaken))

	p.service("before")
	addr := p.address("before")

	// While a configuration is no good, the one before it goes on.
	p.configure(wrong)
	p.eventually(patience, "the class says that it is denied", func() error {
		if got := p.condition("loadbalancerclass", "public", "Accepted"); !strings.HasPrefix(got, "False "+string(lb.CloudDenied)) {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})
	if got := p.address("before"); got != addr {
		t.Errorf("a wrong secret changed the address from %s to %s", addr, got)
	}

	// After a restart there is none before it.
	p.kill()
	p.control()
	p.service("after")
	p.eventually(patience, "the Service says why it has no address", func() error {
		if got := p.state("after"); got != string(lb.CloudDenied) {
			return fmt.Errorf("it shows %q (%s)", got, p.message("after"))
		}
		return nil
	})
	if got := p.state("before"); !strings.Contains(got, addr.String()) {
		t.Errorf("with wrong credentials a Service with an address shows %q", got)
	}
	p.eventually(patience, "an Event says so", func() error {
		if out := p.kubectl("get", "events", "-A", "-o", "jsonpath={range .items[*]}{.reason} {.involvedObject.name}{.regarding.name}{'\\n'}{end}"); !strings.Contains(out, string(lb.CloudDenied)) {
			return fmt.Errorf("there are %s", out)
		}
		return nil
	})
	p.configure(right)
	p.address("after")
	p.eventually(patience, "the class is accepted again", func() error {
		if got := p.condition("loadbalancerclass", "public", "Accepted"); !strings.HasPrefix(got, "True") {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})

	log, err := os.ReadFile(p.Host("fabric").LogFile("controller"))
	if err != nil {
		t.Fatal(err)
	}
	said := string(log) + p.kubectl("get", "events,services,loadbalancerclasses", "-A", "-o", "yaml")
	if found := secretsIn(said, secret, mistaken); len(found) > 0 {
		t.Errorf("a secret is in the controller's log, or in an object that anybody may read: %q", found)
	}
	p.remove("before", "after")
}

func (p *project) testAPIServerGone() {
	p.service("web")
	addr := p.address("web")
	l := p.settled("web", nil)
	p.tally.Take()
	if err := p.StopAPIServer(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if err := p.StartAPIServer(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	if wrote := p.wrote(); len(wrote) > 0 {
		p.t.Errorf("changed while the API server was away: %q", wrote)
	}
	p.edit("web", ports(80, 443))
	again := p.settled("web", all(p.sends("web", p.alive()...), floats(addr)))
	if again.ID != l.ID {
		p.t.Errorf("the load balancer is %s, want %s", again.ID, l.ID)
	}
	p.remove("web")
}

// Two clusters of one name, whose Services have the same names, in one project.
func TestTwoClustersOfOneNameInOneProject(t *testing.T) {
	p := newProject(t, 1)
	q := p.second()
	for _, c := range []*project{p, q} {
		c.service("web", ports(80))
	}
	addrs := []string{p.address("web").String(), q.address("web").String()}
	if addrs[0] == addrs[1] {
		t.Errorf("both clusters show %s", addrs[0])
	}
	c := p.contents()
	if len(c.LoadBalancers) != 2 || len(c.FloatingIPs) != 2 {
		t.Errorf("%d load balancers and %d floating IPs for 2 clusters:\n%s", len(c.LoadBalancers), len(c.FloatingIPs), c)
	}
	p.remove("web")
	p.settled("web", func(l openstack.LoadBalancer, c openstack.Contents) error {
		if got := q.get("web").Annotations[kube.AnnotationLoadBalancerID]; got != l.ID {
			return fmt.Errorf("load balancer %s is left, want that of the second cluster, %s", l.ID, got)
		}
		return nil
	})
	if got := q.address("web").String(); got != addrs[1] {
		t.Errorf("the second cluster shows %s, and had %s", got, addrs[1])
	}
	q.remove("web")
	p.clean()
}

// second is another cluster in the same project, with a node of its own.
func (p *project) second() *project {
	t := p.t
	t.Helper()
	q := *p
	q.cluster = anotherCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	for _, at := range p.tally.Addresses() {
		if err := q.Host("fabric").Publish(at, at); err != nil {
			t.Fatal(err)
		}
	}
	// n1 has the address of the first cluster's n1: it stays out, and another that
	// nobody runs stands in.
	q.kubectl("label", "node", "n1", corev1.LabelNodeExcludeBalancers+"=")
	q.pretendNode("other-n1", "172.31.0.31")
	q.install()
	q.configure(q.cloud.CloudConf())
	q.class("public", "default: true, provider: Octavia, octavia: {configSecret: cloud-config, securityGroups: Managed}")
	q.control()
	return &q
}

// pretendNode makes a Node that looks alive for as long as nobody expects a heartbeat.
func (p *project) pretendNode(name, address string) {
	p.t.Helper()
	server := p.addNamedPort(name, netip.MustParseAddr(address))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: "openstack:///" + server}}
	if err := p.api.Create(p.t.Context(), node); err != nil {
		p.t.Fatal(err)
	}
	before := node.DeepCopy()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue,
		LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
	if err := p.api.Status().Patch(p.t.Context(), node, client.StrategicMergeFrom(before)); err != nil {
		p.t.Fatal(err)
	}
}
