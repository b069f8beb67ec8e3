//go:build lab || openstack

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/deploy"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab"
)

// program is the fairlead under test, built once.
var program string

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "fairlead-e2e-")
	if err == nil {
		program = filepath.Join(dir, "fairlead")
		build := exec.Command("go", "build", "-o", program, "fairlead.dev/fairlead/cmd/fairlead")
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("build fairlead: %w\n%s", err, out)
		}
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// cluster is a light lab in which Fairlead's objects are known.
type cluster struct {
	*lab.Lab
	t   *testing.T
	api client.WithWatch

	speakerArgs []string // that speakers are started with
}

// Users of the roles: who bears the name of a ServiceAccount has the rights that the
// manifests bind to it.
const (
	controllerUser = "system:serviceaccount:" + deploy.DefaultNamespace + ":" + deploy.Controller
	speakerUser    = "system:serviceaccount:" + deploy.DefaultNamespace + ":" + deploy.Speaker
)

func newCluster(t *testing.T, o lab.Options) *cluster {
	t.Helper()
	c := newBareCluster(t, o)
	c.install()
	return c
}

// newBareCluster knows nothing of Fairlead yet. Each has a lab of its own, so that
// tests may run beside each other.
func newBareCluster(t *testing.T, o lab.Options) *cluster {
	t.Helper()
	t.Parallel()
	return anotherCluster(t, o)
}

// anotherCluster is newBareCluster for a test that has a cluster already.
func anotherCluster(t *testing.T, o lab.Options) *cluster {
	t.Helper()
	var progress bytes.Buffer
	o.Progress = &progress
	l, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	api, err := client.NewWithWatch(l.RESTConfig(), client.Options{Scheme: kube.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{Lab: l, t: t, api: api}
}

// install applies the manifests' CRDs and rights. Pods of the Deployment and the
// DaemonSet run on kubelets only; here the roles are processes.
func (c *cluster) install() {
	c.t.Helper()
	objects, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	var manifest bytes.Buffer
	kept := slices.DeleteFunc(objects, func(o client.Object) bool {
		kind := o.GetObjectKind().GroupVersionKind().Kind
		return kind == "Deployment" || kind == "DaemonSet" || kind == "PodDisruptionBudget" || strings.HasPrefix(kind, "ValidatingAdmissionPolicy")
	})
	if err := deploy.Write(&manifest, kept); err != nil {
		c.t.Fatal(err)
	}
	cmd := c.KubectlCommand(c.t.Context(), "apply", "-f", "-")
	cmd.Stdin = &manifest
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("install: %v\n%s", err, out)
	}
	c.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.Kubectl(c.t.Context(), args...)
	if err != nil {
		c.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply creates or changes what the YAML says, and returns what kubectl said.
func (c *cluster) apply(yaml string) (string, error) {
	cmd := c.KubectlCommand(c.t.Context(), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(yaml)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) mustApply(yaml string) {
	c.t.Helper()
	if out, err := c.apply(yaml); err != nil {
		c.t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// controller starts a controller on the control plane's machine.
func (c *cluster) controller(name string, args ...string) {
	c.t.Helper()
	c.role(c.Host("fabric"), name, controllerUser, append([]string{"controller", "--address=0"}, args...)...)
}

// speaker starts the speaker of a node.
func (c *cluster) speaker(node *lab.Host) {
	c.t.Helper()
	c.role(node, "speaker", speakerUser, append([]string{"speaker", "--node-name=" + node.Name(), "--address=0"}, c.speakerArgs...)...)
}

func (c *cluster) role(on *lab.Host, name, user string, args ...string) {
	c.t.Helper()
	kubeconfig, err := on.Kubeconfig(user)
	if err != nil {
		c.t.Fatal(err)
	}
	c.start(on, name, kubeconfig, args...)
}

// start starts fairlead with a kubeconfig that is a file on the machine.
func (c *cluster) start(on *lab.Host, name, kubeconfig string, args ...string) {
	c.t.Helper()
	argv := append([]string{program}, args...)
	argv = append(argv, "--kubeconfig="+kubeconfig, "--log-level=debug")
	if err := on.Start(c.t.Context(), name, argv...); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			log, _ := os.ReadFile(on.LogFile(name))
			c.t.Logf("log of %s on %s:\n%s", name, on.Name(), tail(log, 40))
		}
	})
}

func tail(log []byte, lines int) string {
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// speakers starts the speaker of every node and waits until they hear each other. Those
// that are started later get the same arguments.
func (c *cluster) speakers(args ...string) {
	c.t.Helper()
	c.speakerArgs = args
	for _, n := range c.Nodes() {
		c.speaker(n)
	}
	c.meshed()
}

// meshed waits until every node's speaker says that it has its quorum and hears all
// others.
func (c *cluster) meshed() {
	c.t.Helper()
	c.eventually(20*time.Second, "every speaker hears all others", func() error {
		var list v1alpha1.SpeakerList
		if err := c.api.List(c.t.Context(), &list); err != nil {
			return err
		}
		if len(list.Items) != len(c.Nodes()) {
			return fmt.Errorf("%d speakers of %d", len(list.Items), len(c.Nodes()))
		}
		for _, s := range list.Items {
			h := s.Status.Hearing
			switch {
			case len(s.Status.Interfaces) == 0:
				return fmt.Errorf("speaker %s has no interface", s.Name)
			case h == nil || !h.Quorate || int(h.Counted) != len(c.Nodes())-1:
				return fmt.Errorf("speaker %s hears %+v", s.Name, h)
			}
		}
		return nil
	})
}

// stop sends sig to a role and waits until it is gone.
func (c *cluster) stop(on *lab.Host, name string, sig syscall.Signal) {
	c.t.Helper()
	if err := on.Stop(c.t.Context(), name, sig); err != nil {
		c.t.Fatal(err)
	}
}

// eventually waits until check is nil.
func (c *cluster) eventually(limit time.Duration, what string, check func() error) {
	c.t.Helper()
	if err := c.within(limit, check); err != nil {
		c.t.Fatalf("not within %s: %s: %v", limit, what, err)
	}
}

func (c *cluster) within(limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pool creates an AddressPool.
func (c *cluster) pool(name string, addresses ...string) *v1alpha1.AddressPool {
	c.t.Helper()
	p := &v1alpha1.AddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AddressPoolSpec{Addresses: addresses}}
	if err := c.api.Create(c.t.Context(), p); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// newService is a Service of type LoadBalancer for the pods labelled run=name.
func newService(name string, edits ...func(*corev1.Service)) *corev1.Service {
	policy := corev1.IPFamilyPolicySingleStack
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"run": name}, IPFamilyPolicy: &policy,
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	for _, edit := range edits {
		edit(s)
	}
	return s
}

func preferDualStack(s *corev1.Service) {
	policy := corev1.IPFamilyPolicyPreferDualStack
	s.Spec.IPFamilyPolicy = &policy
}

func ofType(kind corev1.ServiceType) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.Type = kind }
}

func annotated(key, value string) func(*corev1.Service) {
	return func(s *corev1.Service) { metav1.SetMetaDataAnnotation(&s.ObjectMeta, key, value) }
}

func (c *cluster) service(name string, edits ...func(*corev1.Service)) *corev1.Service {
	c.t.Helper()
	s := newService(name, edits...)
	if err := c.api.Create(c.t.Context(), s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cluster) get(name string) *corev1.Service {
	c.t.Helper()
	var s corev1.Service
	if err := c.api.Get(c.t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, &s); err != nil {
		c.t.Fatal(err)
	}
	return &s
}

// edit changes a Service as a user would, again when somebody else was faster.
func (c *cluster) edit(name string, f func(*corev1.Service)) {
	c.t.Helper()
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
	c.eventually(5*time.Second, "Service "+name+" is edited", func() error {
		_, err := controllerutil.CreateOrPatch(c.t.Context(), c.api, s, func() error { f(s); return nil })
		return err
	})
}

// state is what a user sees of a Service: its addresses, and the condition's
// reason if that is not the usual one.
func (c *cluster) state(name string) string {
	s := c.get(name)
	var out []string
	for _, i := range s.Status.LoadBalancer.Ingress {
		out = append(out, i.IP)
	}
	for _, cond := range s.Status.Conditions {
		if cond.Type == kube.ConditionReady && cond.Reason != kube.ReasonAssigned {
			out = append(out, cond.Reason)
		}
	}
	return strings.Join(out, " ")
}

func (c *cluster) message(name string) string {
	for _, cond := range c.get(name).Status.Conditions {
		if cond.Type == kube.ConditionReady {
			return cond.Message
		}
	}
	return ""
}

func (c *cluster) wantState(name, want string) {
	c.t.Helper()
	c.eventually(5*time.Second, fmt.Sprintf("Service %s shows %q", name, want), func() error {
		if got := c.state(name); got != want {
			return fmt.Errorf("it shows %q (%s)", got, c.message(name))
		}
		return nil
	})
}

// addresses waits until a Service has n addresses.
func (c *cluster) addresses(name string, n int) []netip.Addr {
	c.t.Helper()
	var out []netip.Addr
	c.eventually(10*time.Second, fmt.Sprintf("Service %s has %d addresses", name, n), func() error {
		out = nil
		for _, i := range c.get(name).Status.LoadBalancer.Ingress {
			addr, err := netip.ParseAddr(i.IP)
			if err != nil {
				return err
			}
			out = append(out, addr)
		}
		if len(out) != n {
			return fmt.Errorf("it has %v (%s)", out, c.message(name))
		}
		return nil
	})
	return out
}

// announcer is the node whose speaker says that it announces addr; it is an error
// if none or more than one does.
func (c *cluster) announcer(addr netip.Addr) (string, error) {
	var list v1alpha1.SpeakerList
	if err := c.api.List(c.t.Context(), &list); err != nil {
		return "", err
	}
	var nodes []string
	for _, s := range list.Items {
		for _, claim := range s.Status.Claims {
			if claim.Address == addr.String() && claim.State == v1alpha1.ClaimAnnounced {
				nodes = append(nodes, s.Name)
			}
		}
	}
	if len(nodes) != 1 {
		return "", fmt.Errorf("%s is announced by %v", addr, nodes)
	}
	return nodes[0], nil
}

// owner waits until one node announces addr.
func (c *cluster) owner(addr netip.Addr) *lab.Host {
	c.t.Helper()
	var node string
	c.eventually(15*time.Second, addr.String()+" is announced by one node", func() (err error) {
		node, err = c.announcer(addr)
		return err
	})
	return c.Host(node)
}

// backends runs a pod for the Service of that name on every node.
func (c *cluster) backends(name string) {
	c.t.Helper()
	for _, n := range c.Nodes() {
		c.backend(name, n)
	}
}

func (c *cluster) backend(name string, on *lab.Host) {
	c.t.Helper()
	if _, err := c.RunPod(c.t.Context(), on.Name(), name+"-"+on.Name(), map[string]string{"run": name}, 8080); err != nil {
		c.t.Fatal(err)
	}
}

// answers waits until an HTTP request from a machine is answered.
func (c *cluster) answers(from *lab.Host, addr netip.Addr) {
	c.t.Helper()
	c.eventually(15*time.Second, fmt.Sprintf("http://%s answers %s", addr, from.Name()), func() error {
		return c.ask(from, addr)
	})
}

func (c *cluster) ask(from *lab.Host, addr netip.Addr) error {
	out := lab.Probe{From: from, Addr: netip.AddrPortFrom(addr, 80).String(), HTTP: true, Every: time.Hour, Timeout: time.Second}.Start().Stop()
	if out.Failures > 0 {
		return out.LastError
	}
	if out.Total == 0 {
		return errors.New("nothing was asked")
	}
	return nil
}

// probe asks 100 times a second until it is stopped.
func (c *cluster) probe(from *lab.Host, addr netip.Addr) *lab.Probing {
	return lab.Probe{From: from, Addr: netip.AddrPortFrom(addr, 80).String(), HTTP: true, Timeout: time.Second}.Start()
}
