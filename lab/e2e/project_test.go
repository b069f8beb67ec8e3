//go:build openstack

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/openstack"
)

// patience is for what the cloud does. It takes 2 to 5 s on an idle machine, and these
// machines are not idle.
const patience = 2 * time.Minute

// project is a light cluster whose nodes are ports of an OpenStack project, and whose
// controller reaches the cloud by way of a tally.
type project struct {
	*cluster
	cloud  *openstack.Cloud
	tally  *openstack.Tally
	name   string             // --cluster-name
	before openstack.Contents // what was in the project before
}

// alone lets one cluster at a time use the project: all labs have the same addresses,
// and an address is of one port only.
var alone sync.Mutex

// realCloud is the one of FAIRLEAD_OPENSTACK_DIR. Without one the tests fail: they are
// asked for by a build tag.
var realCloud = sync.OnceValues(func() (*openstack.Cloud, error) {
	if dir := os.Getenv("FAIRLEAD_OPENSTACK_DIR"); dir != "" {
		return openstack.Attach(dir)
	}
	return nil, errors.New("FAIRLEAD_OPENSTACK_DIR names no cloud: make test-openstack starts one, or make openstack-up")
})

// newProject is a cluster of n nodes with a controller that serves a default class.
func newProject(t *testing.T, n int) *project {
	t.Helper()
	cloud, err := realCloud()
	if err != nil {
		t.Fatal(err)
	}
	tally, err := openstack.NewTally()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tally.Close(); err != nil {
			t.Error(err)
		}
	})
	c := newBareCluster(t, lab.Options{Nodes: n, NoKubeProxy: true, NodeMonitorGrace: time.Minute})
	alone.Lock()
	t.Cleanup(alone.Unlock)
	p := &project{cluster: c, tally: tally, name: "e2e"}
	p.before, err = cloud.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.cloud, err = cloud.AddRegion(t.Context(), "e2e-"+c.Name(), tally.Endpoints()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.RemoveRegion(context.Background(), p.cloud.Region); err != nil {
			t.Error(err)
		}
	})
	for _, at := range tally.Addresses() {
		if err := c.Host("fabric").Publish(at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range c.Nodes() {
		p.addPort(node)
	}
	c.install()
	p.configure(p.cloud.CloudConf())
	p.class("public", "default: true, provider: Octavia, octavia: {configSecret: cloud-config, securityGroups: Managed}")
	p.control()
	return p
}

// on is the same project for a subtest.
func (p *project) on(t *testing.T) *project {
	own, c := *p, *p.cluster
	c.t = t
	own.cluster = &c
	return &own
}

// addPort makes the port that a node has in the cloud, and tells the node which server
// it is, as a cloud provider's kubelet would.
func (p *project) addPort(node *lab.Host) {
	p.t.Helper()
	server := p.addNamedPort(node.Name(), node.IP4(), node.IP6())
	p.kubectl("patch", "node", node.Name(), "-p", fmt.Sprintf(`{"spec":{"providerID":"openstack:///%s"}}`, server))
}

// addNamedPort makes the port of a node in the cloud and returns its server.
func (p *project) addNamedPort(node string, addrs ...netip.Addr) string {
	p.t.Helper()
	// A run that was killed has left its own, with the same addresses.
	if err := p.cloud.RemoveNode(p.t.Context(), node); err != nil {
		p.t.Fatal(err)
	}
	_, server, err := p.cloud.AddNode(p.t.Context(), node, addrs...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := p.cloud.RemoveNode(context.Background(), node); err != nil {
			p.t.Error(err)
		}
	})
	return server
}

// configure writes the Secret.
func (p *project) configure(cloudConf []byte) {
	p.t.Helper()
	p.mustApply(fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {namespace: fairlead-system, name: cloud-config}\nstringData: {cloud.conf: %q}\n", cloudConf))
}

func (p *project) class(name, spec string) {
	p.t.Helper()
	p.mustApply(fmt.Sprintf("apiVersion: fairlead.dev/v1alpha1\nkind: LoadBalancerClass\nmetadata: {name: %s}\nspec: {%s}\n", name, spec))
}

// control starts the controller.
func (p *project) control() {
	p.t.Helper()
	p.controller("controller", "--leader-elect=false", "--cluster-name="+p.name)
}

// kill ends the controller in the middle of whatever it does.
func (p *project) kill() {
	p.t.Helper()
	p.stop(p.Host("fabric"), "controller", syscall.SIGKILL)
}

// contents are what there is in the project now and was not before.
func (p *project) contents() openstack.Contents {
	p.t.Helper()
	c, err := p.cloud.Contents(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return c.Without(p.before)
}

// address waits until a Service shows one, which clients reach.
func (p *project) address(name string) netip.Addr {
	p.t.Helper()
	var out netip.Addr
	p.eventually(patience, "Service "+name+" has an address and is Ready", func() error {
		s := p.get(name)
		if len(s.Status.LoadBalancer.Ingress) != 1 || p.state(name) != s.Status.LoadBalancer.Ingress[0].IP {
			return fmt.Errorf("it shows %q (%s)", p.state(name), p.message(name))
		}
		var err error
		out, err = netip.ParseAddr(s.Status.LoadBalancer.Ingress[0].IP)
		return err
	})
	return out
}

// balancerName is what OCCM calls the load balancer of a Service.
func (p *project) balancerName(service string) string {
	return "kube_service_" + p.name + "_default_" + service
}

// balancer is the only load balancer of a Service.
func (p *project) balancer(c openstack.Contents, service string) (openstack.LoadBalancer, error) {
	var found []openstack.LoadBalancer
	for _, l := range c.LoadBalancers {
		if l.Name == p.balancerName(service) {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return openstack.LoadBalancer{}, fmt.Errorf("%d load balancers are called %s, want 1:\n%s", len(found), p.balancerName(service), c)
	}
	return found[0], nil
}

// settled waits until the load balancer of a Service is ACTIVE and as check wants it.
func (p *project) settled(service string, check func(openstack.LoadBalancer, openstack.Contents) error) openstack.LoadBalancer {
	p.t.Helper()
	var out openstack.LoadBalancer
	p.eventually(patience, "the load balancer of "+service+" is as it should be", func() error {
		c := p.contents()
		l, err := p.balancer(c, service)
		if err != nil {
			return err
		}
		if l.Status != "ACTIVE" {
			return fmt.Errorf("it is %s (%s)", l.Status, p.message(service))
		}
		out = l
		if check == nil {
			return nil
		}
		if err := check(l, c); err != nil {
			return fmt.Errorf("%w (%s):\n%s", err, p.message(service), c)
		}
		return nil
	})
	return out
}

// sends checks that every listener sends to the Service's node ports on these nodes,
// and that there is a listener for every port.
func (p *project) sends(service string, nodes ...*lab.Host) func(openstack.LoadBalancer, openstack.Contents) error {
	var addrs []netip.Addr
	for _, n := range nodes {
		addrs = append(addrs, n.IP4())
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return func(l openstack.LoadBalancer, _ openstack.Contents) error {
		var want, got []string
		for _, port := range p.get(service).Spec.Ports {
			for _, a := range addrs {
				want = append(want, fmt.Sprintf("%s/%d -> %s", port.Protocol, port.Port, netip.AddrPortFrom(a, uint16(port.NodePort))))
			}
		}
		for _, x := range l.Tree {
			for _, pool := range x.Pools {
				for _, m := range pool.Members {
					got = append(got, fmt.Sprintf("%s/%d -> %s", x.Protocol, x.Port, netip.AddrPortFrom(m.Address, uint16(m.Port))))
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			return fmt.Errorf("it sends %q, want %q", got, want)
		}
		return nil
	}
}

// alive are the nodes that were not crashed.
func (p *project) alive() []*lab.Host {
	return slices.DeleteFunc(p.Nodes(), func(n *lab.Host) bool { return !n.Up() })
}

// remove deletes Services and waits until they are gone.
func (p *project) remove(services ...string) {
	p.t.Helper()
	p.kubectl(append([]string{"delete", "service", "--wait=false"}, services...)...)
	p.gone(services...)
}

func (p *project) gone(services ...string) {
	p.t.Helper()
	for _, name := range services {
		p.eventually(patience, "Service "+name+" is gone", func() error {
			var s corev1.Service
			err := p.api.Get(p.t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, &s)
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err == nil {
				err = fmt.Errorf("it is there: finalizers %v, %s", s.Finalizers, readyMessage(&s))
			}
			return err
		})
	}
}

// clean checks that the project has nothing but what it had before, at once: a Service
// is gone after its last object, not before.
func (p *project) clean() {
	p.t.Helper()
	if got := p.contents(); !got.Empty() {
		p.t.Errorf("left in the project:\n%s", got)
	}
}

// sweep takes away what a story left when it failed, so that the next begins with an
// empty project.
func (p *project) sweep() {
	if !p.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var list corev1.ServiceList
	if err := p.api.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		p.t.Log(err)
		return
	}
	for _, s := range list.Items {
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
			p.t.Logf("swept Service %s: %s", s.Name, readyMessage(&s))
			_, _ = p.Kubectl(ctx, "delete", "service", s.Name, "--timeout=60s")
		}
	}
}

// condition is one of an object of ours, as "status reason: message".
func (p *project) condition(kind, name, condition string) string {
	p.t.Helper()
	return p.kubectl("get", kind, name, "-o",
		fmt.Sprintf(`jsonpath={range .status.conditions[?(@.type=="%s")]}{.status} {.reason}: {.message}{end}`, condition))
}

// wrote lists what the controller changed in the cloud since the last look.
func (p *project) wrote() []string {
	var out []string
	for _, call := range p.tally.Take() {
		if call.Write() {
			out = append(out, fmt.Sprintf("%s: %d", call, call.Status))
		}
	}
	return out
}

// quiet waits until the controller has read everything at its start, and changed
// nothing since the last look.
func (p *project) quiet(calm time.Duration) {
	p.t.Helper()
	var reads int
	p.eventually(patience, "the controller looks at the cloud", func() error {
		for _, call := range p.tally.Take() {
			if call.Write() {
				p.t.Errorf("%s: %d, although nothing changed", call, call.Status)
			}
			if call.Poll() {
				reads++
			}
		}
		if reads == 0 {
			return errors.New("it has not")
		}
		return nil
	})
	time.Sleep(calm)
	if wrote := p.wrote(); len(wrote) > 0 {
		p.t.Errorf("changed although nothing changed: %q", wrote)
	}
}

// byHand does something in the project that the controller does not know of.
func (p *project) byHand(method, url string, in, out any) {
	p.t.Helper()
	if err := p.cloud.Call(p.t.Context(), p.cloud.Lab, method, url, in, out); err != nil {
		p.t.Fatal(err)
	}
}

// reserve makes a floating IP that is the user's own.
func (p *project) reserve() (id string, addr netip.Addr) {
	p.t.Helper()
	var reply struct {
		FloatingIP openstack.FloatingIP
	}
	p.byHand(http.MethodPost, openstack.Direct().Network+"/v2.0/floatingips",
		map[string]any{"floatingip": map[string]any{"floating_network_id": p.cloud.External.ID, "subnet_id": p.cloud.External.Subnet("public-b").ID}}, &reply)
	id = reply.FloatingIP.ID
	p.t.Cleanup(func() { // where the test did not come to it
		if p.t.Failed() {
			p.release(id)
		}
	})
	return id, reply.FloatingIP.Address
}

// release deletes a floating IP of the user's own.
func (p *project) release(id string) {
	err := p.cloud.Call(context.Background(), p.cloud.Lab, http.MethodDelete, openstack.Direct().Network+"/v2.0/floatingips/"+id, nil, nil)
	if err != nil {
		p.t.Errorf("the floating IP of the user's own: %v", err)
	}
}

// floats checks that one floating IP, and no other, leads to a load balancer.
func floats(addr netip.Addr) func(openstack.LoadBalancer, openstack.Contents) error {
	return func(l openstack.LoadBalancer, c openstack.Contents) error {
		var got []string
		for _, f := range c.FloatingIPs {
			if f.Port == l.VIPPort {
				got = append(got, f.Address.String())
			}
		}
		if len(got) != 1 || got[0] != addr.String() {
			return fmt.Errorf("floating IPs %v lead to it, want %s", got, addr)
		}
		return nil
	}
}

// all checks several things.
func all(checks ...func(openstack.LoadBalancer, openstack.Contents) error) func(openstack.LoadBalancer, openstack.Contents) error {
	return func(l openstack.LoadBalancer, c openstack.Contents) error {
		for _, check := range checks {
			if err := check(l, c); err != nil {
				return err
			}
		}
		return nil
	}
}

// ready is whether the condition of a Service is True.
func ready(s *corev1.Service) bool {
	return slices.ContainsFunc(s.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == kube.ConditionReady && c.Status == metav1.ConditionTrue
	})
}

func readyMessage(s *corev1.Service) string {
	for _, c := range s.Status.Conditions {
		if c.Type == kube.ConditionReady {
			return c.Message
		}
	}
	return ""
}

func classed(name string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.LoadBalancerClass = new("fairlead.dev/" + name) }
}

// ports gives a Service TCP ports.
func ports(numbers ...int32) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec.Ports = nil
		for _, n := range numbers {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", n), Port: n, Protocol: corev1.ProtocolTCP})
		}
	}
}

// secretsIn are those of the values that a text shows.
func secretsIn(text string, values ...string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return !strings.Contains(text, v) })
}
