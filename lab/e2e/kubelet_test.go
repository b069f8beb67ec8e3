//go:build lab

package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/demo"
)

// image builds Fairlead's image once, and returns its archive.
var image = sync.OnceValues(func() (string, error) {
	dir := filepath.Dir(program)
	build := exec.Command("go", "run", "./deploy/image", "-o", dir, "-arch", runtime.GOARCH)
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the image: %w\n%s", err, out)
	}
	return filepath.Join(dir, "fairlead-"+runtime.GOARCH+".tar"), nil
})

// What make demo shows is a test: every chapter checks what it shows.
func TestTheDemo(t *testing.T) {
	archive, err := image()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	result, err := demo.Run(t.Context(), demo.Options{
		Name: "e2e-demo", Image: archive, Manifest: filepath.Join("..", "..", "deploy", "install.yaml"), Program: program, Out: &out,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(result.Addresses) != 2 || !result.Addresses[0].Is4() || !result.Addresses[1].Is6() {
		t.Errorf("the Service got %v, want one address a family", result.Addresses)
	}
	// Nobody can know of a death at once, and Kubernetes does not within 40 s.
	if result.After == result.Before || result.Outage < 50*time.Millisecond || result.Outage > 3*time.Second {
		t.Errorf("from %s to %s with an outage of %s", result.Before, result.After, result.Outage)
	}
	if names, err := lab.Names(); err != nil || slices.Contains(names, "e2e-demo") {
		t.Errorf("labs that still run: %v, %v", names, err)
	}
}

// installed is a cluster of real nodes in which Fairlead runs from its image and
// manifests, and a Service with a pod on every node answers.
func installed(t *testing.T) (c *cluster, vip netip.Addr) {
	archive, err := image()
	if err != nil {
		t.Fatal(err)
	}
	c = newBareCluster(t, lab.Options{Kubelets: true, Images: []string{archive}})
	manifest, err := exec.Command("cat", filepath.Join("..", "..", "deploy", "install.yaml")).Output()
	if err != nil {
		t.Fatal(err)
	}
	c.mustApply(string(manifest))
	c.rolledOut()
	c.pool("lan", "172.31.0.200-172.31.0.250", "fd31::1:0/112")
	c.backends("web")
	c.service("web")
	vip = c.addresses("web", 1)[0]
	c.answers(c.Client(), vip)
	return c, vip
}

func (c *cluster) rolledOut() {
	c.t.Helper()
	for _, role := range []string{"deployment/fairlead-controller", "daemonset/fairlead-speaker"} {
		c.kubectl("-n", "fairlead-system", "rollout", "status", role, "--timeout=180s")
	}
}

func TestARollingUpgradeLosesNoConnection(t *testing.T) {
	c, vip := installed(t)
	near, far := c.probe(c.Client(), vip), c.probe(c.Remote(), vip)
	c.kubectl("-n", "fairlead-system", "rollout", "restart", "daemonset/fairlead-speaker", "deployment/fairlead-controller")
	c.rolledOut()
	c.steady(time.Second)
	for where, probing := range map[string]*lab.Probing{"the segment": near, "behind the router": far} {
		if out := probing.Stop(); out.Failures > 0 || out.Total < 100 {
			t.Errorf("from %s: %s", where, out)
		}
	}
}

func TestADrainLosesNoConnection(t *testing.T) {
	c, vip := installed(t)
	owner := c.owner(vip)
	probing := c.probe(c.Client(), vip)
	// Draining evicts no DaemonSet pod; what moves the address is the label that
	// goes with it in practice.
	c.kubectl("label", "node", owner.Name(), "node.kubernetes.io/exclude-from-external-load-balancers=")
	c.kubectl("drain", owner.Name(), "--ignore-daemonsets", "--force", "--timeout=60s", "--grace-period=1")
	c.eventually(10*time.Second, "another node announces", func() error {
		if node, err := c.announcer(vip); err != nil || node == owner.Name() {
			return fmt.Errorf("%s, %v", node, err)
		}
		return nil
	})
	c.steady(time.Second)
	// The drained node's pod takes its own connections with it: an echo server has no
	// grace. New owner or not, at most that instant may fail.
	if out := probing.Stop(); out.Longest() > 500*time.Millisecond {
		t.Errorf("the drain cost more than the pod's own end: %s", out)
	}
}

// The node stays Ready when only its speaker breaks; Kubernetes tells by the pod.
func TestASpeakerPodThatCannotStartLosesItsAddresses(t *testing.T) {
	c, vip := installed(t)
	owner := c.owner(vip)
	c.kubectl("-n", "fairlead-system", "patch", "daemonset", "fairlead-speaker", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/updateStrategy","value":{"type":"OnDelete"}},
		  {"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--no-such-flag"}]`)
	pod := strings.TrimSpace(c.kubectl("-n", "fairlead-system", "get", "pods", "-o", "name",
		"--field-selector", "spec.nodeName="+owner.Name(), "-l", c.speakerLabels()))
	c.kubectl("-n", "fairlead-system", "delete", pod, "--force", "--grace-period=0")
	began := time.Now()
	c.eventually(10*time.Second, "another node announces", func() error {
		got := c.macs(vip)
		if len(got) != 1 || got[0] == c.macOf(owner) {
			return fmt.Errorf("%s answer; the owner was %s", got, c.macOf(owner))
		}
		return nil
	})
	t.Logf("another node announces %s after the pod was deleted", time.Since(began).Round(time.Millisecond))
	c.answers(c.Client(), vip)
}

func (c *cluster) speakerLabels() string {
	out := c.kubectl("-n", "fairlead-system", "get", "daemonset", "fairlead-speaker", "-o", `go-template={{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}`)
	return strings.TrimSuffix(strings.TrimSpace(out), ",")
}

// What a Speaker says can be written by that node's speaker only: a node that is
// broken into must not speak for others.
func TestASpeakerWritesForItsOwnNodeOnly(t *testing.T) {
	c, _ := installed(t)
	owner := c.kubectl("-n", "fairlead-system", "get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}", "-l", c.speakerLabels())
	for _, n := range c.Nodes() {
		cfg := rest.CopyConfig(c.RESTConfig())
		cfg.Impersonate = rest.ImpersonationConfig{
			UserName: "system:serviceaccount:fairlead-system:fairlead-speaker",
			Groups:   []string{"system:serviceaccounts", "system:authenticated"},
			Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {owner}},
		}
		as, err := client.New(cfg, client.Options{Scheme: kube.NewScheme()})
		if err != nil {
			t.Fatal(err)
		}
		speaker := &v1alpha1.Speaker{ObjectMeta: metav1.ObjectMeta{Name: n.Name()}}
		patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"version":"x"}}`))
		err = as.Status().Patch(t.Context(), speaker, patch, &client.SubResourcePatchOptions{PatchOptions: client.PatchOptions{DryRun: []string{metav1.DryRunAll}}})
		if own := n.Name() == owner; own != (err == nil) {
			t.Errorf("the speaker of %s writes for %s: %v", owner, n.Name(), err)
		}
	}
}
