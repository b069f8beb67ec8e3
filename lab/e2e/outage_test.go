//go:build lab

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab"
)

// manifest of the rights that the option needs.
const deadNodeRights = "../../deploy/dead-node-endpoints.yaml"

// permitDeadNodes gives those rights to the user that the lab's controllers are.
func (c *cluster) permitDeadNodes() {
	c.t.Helper()
	c.kubectl("apply", "-f", deadNodeRights)
	c.kubectl("create", "clusterrolebinding", "e2e-dead-nodes", "--clusterrole=fairlead-controller-dead-nodes", "--user="+controllerUser)
}

// hearing writes what the speaker of a node says, where no speaker runs.
func (c *cluster) hearing(node, boot string, missing ...string) {
	c.t.Helper()
	s := &v1alpha1.Speaker{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if err := client.IgnoreAlreadyExists(c.api.Create(c.t.Context(), s)); err != nil {
		c.t.Fatal(err)
	}
	if err := c.api.Get(c.t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
		c.t.Fatal(err)
	}
	before := s.DeepCopy()
	s.Status.Hearing = &v1alpha1.Hearing{Boot: boot, Quorate: true, Counted: int32(len(c.Nodes()) - 1 - len(missing))}
	for _, m := range missing {
		s.Status.Hearing.Missing = append(s.Status.Hearing.Missing, v1alpha1.Missing{Node: m, State: "Dead", Since: metav1.NowMicro(), Why: "no heartbeat"})
	}
	if err := c.api.Status().Patch(c.t.Context(), s, client.MergeFrom(before)); err != nil {
		c.t.Fatal(err)
	}
}

// readiness is what a pod's condition Ready says: its status, and why not.
func (c *cluster) readiness(pod string) string {
	var p corev1.Pod
	if err := c.api.Get(c.t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: pod}, &p); err != nil {
		return err.Error()
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue {
			return string(cond.Status) // the stand-in for the kubelet leaves an old reason there
		}
		if cond.Type == corev1.PodReady {
			return strings.TrimSpace(string(cond.Status) + " " + cond.Reason)
		}
	}
	return "no condition"
}

func (c *cluster) wantReadiness(limit time.Duration, want map[string]string) {
	c.t.Helper()
	c.eventually(limit, fmt.Sprintf("readiness is %v", want), func() error {
		for pod, w := range want {
			if got := c.readiness(pod); got != w {
				return fmt.Errorf("pod %s says %q", pod, got)
			}
		}
		return nil
	})
}

// serving are the nodes with a ready endpoint of a Service.
func (c *cluster) serving(service string) []string {
	c.t.Helper()
	var list discoveryv1.EndpointSliceList
	if err := c.api.List(c.t.Context(), &list, client.InNamespace(metav1.NamespaceDefault), client.MatchingLabels{discoveryv1.LabelServiceName: service}); err != nil {
		c.t.Fatal(err)
	}
	var nodes []string
	for _, s := range list.Items {
		for _, e := range s.Endpoints {
			if *e.Conditions.Ready {
				nodes = append(nodes, *e.NodeName)
			}
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

func (c *cluster) wantServing(service string, want ...string) {
	c.t.Helper()
	c.eventually(2*time.Second, fmt.Sprintf("%s is served on %v", service, want), func() error {
		if got := c.serving(service); !slices.Equal(got, want) {
			return fmt.Errorf("it is on %v", got)
		}
		return nil
	})
}

// wantEvent waits for an Event on a node.
func (c *cluster) wantEvent(node, reason string) {
	c.t.Helper()
	c.eventually(5*time.Second, "an Event "+reason+" on node "+node, func() error {
		if out := c.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}", "--field-selector=involvedObject.kind=Node,involvedObject.name="+node); !slices.Contains(strings.Fields(out), reason) {
			return fmt.Errorf("there are %s", out)
		}
		return nil
	})
}

// The speakers are written by hand here, so that only the controller is under test; a
// frozen kubelet stands for a dead machine that comes back as it was.
func TestEndpointsOfADeadNodeAreWithdrawnAndRestored(t *testing.T) {
	const gone = "False " + kube.ReasonNodeGone
	c := newCluster(t, lab.Options{})
	c.permitDeadNodes()
	c.pool("lan", "172.31.0.200-172.31.0.250")
	c.backends("web")
	c.backend("single", c.Node(2))
	c.service("web")
	c.service("single")
	for _, n := range c.Nodes() {
		c.hearing(n.Name(), "boot-"+n.Name())
	}
	c.controller("first", "--dead-node-endpoints", "--leader-elect=false")
	c.addresses("web", 1)
	c.addresses("single", 1)
	c.wantServing("web", "n1", "n2", "n3")

	if err := c.Node(2).Freeze(t.Context(), "kubelet"); err != nil {
		t.Fatal(err)
	}
	dead := func() {
		c.hearing("n1", "boot-n1", "n2")
		c.wantReadiness(time.Second, map[string]string{"web-n2": "True"}) // one of three is no majority
		c.hearing("n3", "boot-n3", "n2")
	}
	dead()
	c.wantReadiness(2*time.Second, map[string]string{"web-n2": gone, "single-n2": "True", "web-n1": "True"})
	c.wantServing("web", "n1", "n3")
	c.wantServing("single", "n2")
	c.wantEvent("n2", "EndpointsWithdrawn")
	c.wantEvent("n2", "LastEndpoint")

	// The next leader knows from the pods what the first one did.
	c.stop(c.Host("fabric"), "first", syscall.SIGKILL)
	c.controller("second", "--dead-node-endpoints", "--leader-elect=false")
	c.backend("single", c.Node(1)) // so that it was not the last
	c.wantReadiness(10*time.Second, map[string]string{"single-n2": gone})
	c.hearing("n1", "boot-n1")
	c.hearing("n3", "boot-n3")
	c.wantReadiness(2*time.Second, map[string]string{"web-n2": "True", "single-n2": "True"})
	c.wantServing("web", "n1", "n2", "n3")
	c.wantEvent("n2", "EndpointsRestored")

	// Another process of the speaker: perhaps the machine was down.
	dead()
	c.wantReadiness(2*time.Second, map[string]string{"web-n2": gone, "single-n2": gone})
	c.hearing("n2", "another")
	c.hearing("n1", "boot-n1")
	c.hearing("n3", "boot-n3")
	time.Sleep(time.Second)
	c.wantReadiness(0, map[string]string{"web-n2": gone, "single-n2": gone})
	if err := c.Node(2).Thaw(t.Context(), "kubelet"); err != nil {
		t.Fatal(err)
	}
	c.wantReadiness(30*time.Second, map[string]string{"web-n2": "True", "single-n2": "True"})
}

// What a speaker says of a node whose kubelet answers changes nothing, and a living
// kubelet undoes what anybody writes of its pods.
func TestAKubeletThatAnswersKeepsItsPods(t *testing.T) {
	archive, err := image()
	if err != nil {
		t.Fatal(err)
	}
	c := newBareCluster(t, lab.Options{Kubelets: true, Images: []string{archive}})
	manifest, err := os.ReadFile("../../deploy/install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.mustApply(string(manifest))
	c.kubectl("-n", "fairlead-system", "delete", "daemonset", "fairlead-speaker") // its part is played by the test
	c.switchOnDeadNodes()
	c.pool("lan", "172.31.0.200-172.31.0.250")
	c.backends("web")
	c.service("web")
	c.addresses("web", 1)
	for _, n := range c.Nodes() {
		c.hearing(n.Name(), "boot-"+n.Name())
	}
	c.wantServing("web", "n1", "n2", "n3")
	victim := c.Node(2)
	others := slices.DeleteFunc(c.Nodes(), func(n *lab.Host) bool { return n.Name() == victim.Name() })
	for _, n := range others {
		c.hearing(n.Name(), "boot-"+n.Name(), victim.Name())
	}
	c.wantEvent(victim.Name(), "KubeletAnswers")
	c.wantReadiness(0, map[string]string{"web-" + victim.Name(): "True"})

	started := time.Now()
	c.kubectl("patch", "pod", "web-"+victim.Name(), "--subresource=status", "-p",
		`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"`+kube.ReasonNodeGone+`"}]}}`)
	c.wantReadiness(20*time.Second, map[string]string{"web-" + victim.Name(): "True"})
	t.Logf("the kubelet made its pod ready again after %s", time.Since(started).Round(10*time.Millisecond))

	c.onlyReadinessIsWritten("web-" + victim.Name())
}

// onlyReadinessIsWritten tries, as the controller, what it has no business to do.
func (c *cluster) onlyReadinessIsWritten(pod string) {
	c.t.Helper()
	cfg := rest.CopyConfig(c.RESTConfig())
	cfg.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:fairlead-system:fairlead-controller", Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	as, err := client.New(cfg, client.Options{Scheme: kube.NewScheme()})
	if err != nil {
		c.t.Fatal(err)
	}
	const ours = `"reason":"` + kube.ReasonNodeGone + `"`
	for _, try := range []struct {
		patch   string
		allowed bool
	}{
		{`{"status":{"conditions":[{"type":"Ready","status":"False",` + ours + `}]}}`, true},
		{`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"Other"}]}}`, false},
		{`{"status":{"conditions":[{"type":"ContainersReady","status":"False"},{"type":"Ready","status":"False",` + ours + `}]}}`, false},
		{`{"status":{"podIP":"10.9.9.9","podIPs":[{"ip":"10.9.9.9"}],"conditions":[{"type":"Ready","status":"False",` + ours + `}]}}`, false},
		{`{"metadata":{"labels":{"run":"other"}},"status":{"conditions":[{"type":"Ready","status":"False",` + ours + `}]}}`, false},
		{`{"status":{"phase":"Failed","conditions":[{"type":"Ready","status":"False",` + ours + `}]}}`, false},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: pod}}
		err := as.Status().Patch(c.t.Context(), p, client.RawPatch(types.StrategicMergePatchType, []byte(try.patch)),
			&client.SubResourcePatchOptions{PatchOptions: client.PatchOptions{DryRun: []string{metav1.DryRunAll}}})
		if (err == nil) != try.allowed {
			c.t.Errorf("the controller writes %s: %v", try.patch, err)
		}
	}
}

// switchOnDeadNodes does what the guide says.
func (c *cluster) switchOnDeadNodes() {
	c.t.Helper()
	c.kubectl("apply", "-f", deadNodeRights)
	c.kubectl("-n", "fairlead-system", "patch", "deployment", "fairlead-controller", "--type=json", "-p",
		`[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--dead-node-endpoints"}]`)
	c.kubectl("-n", "fairlead-system", "rollout", "status", "deployment/fairlead-controller", "--timeout=180s")
}

// leader is the node on which the controller that leads runs.
func (c *cluster) leader() (pod, node string) {
	c.t.Helper()
	c.eventually(30*time.Second, "a controller leads", func() error {
		holder := c.kubectl("-n", "fairlead-system", "get", "lease", "fairlead-controller", "-o", "jsonpath={.spec.holderIdentity}")
		pod, _, _ = strings.Cut(holder, "_")
		out, err := c.Kubectl(c.t.Context(), "-n", "fairlead-system", "get", "pod", pod, "-o", "jsonpath={.spec.nodeName} {.metadata.deletionTimestamp}")
		if err != nil {
			return err
		}
		var stops string
		if node, stops, _ = strings.Cut(out, " "); stops != "" {
			return fmt.Errorf("%s leads, and stops", pod)
		}
		return nil
	})
	return pod, node
}

// leaderElsewhere makes a controller lead that is not on a node.
func (c *cluster) leaderElsewhere(node string) {
	c.t.Helper()
	for range 10 {
		pod, on := c.leader()
		if on != node {
			return
		}
		c.kubectl("-n", "fairlead-system", "delete", "pod", pod)
		c.rolledOut()
	}
	c.t.Fatalf("the leader is always on %s", node)
}

// logOutage shows what the roles said, should the test fail.
func (c *cluster) logOutage() {
	c.t.Cleanup(func() {
		if !c.t.Failed() {
			return
		}
		ask := func(args ...string) string {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			out, _ := c.Kubectl(ctx, args...)
			return out
		}
		c.t.Log("speakers:\n" + ask("get", "speakers", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.hearing}{"\n"}{end}`))
		c.t.Log("nodes:\n" + ask("get", "nodes"))
		c.t.Log("Events of nodes:\n" + ask("get", "events", "--field-selector=involvedObject.kind=Node"))
		for _, pod := range strings.Fields(ask("-n", "fairlead-system", "get", "pods", "-o", "name", "-l", "app.kubernetes.io/component=controller")) {
			c.t.Log(pod + ":\n" + ask("-n", "fairlead-system", "logs", "--tail=20", pod))
		}
	})
}

// inARow is when the first of n answers in a row was asked for after a crash, or the
// first at all for 1.
func inARow(attempts []lab.Attempt, crash time.Time, n int) (time.Duration, bool) {
	row := 0
	for i, a := range attempts {
		switch {
		case a.Start.Before(crash):
		case a.Err != nil:
			row = 0
		default:
			if row++; row == n {
				return attempts[i-n+1].Start.Sub(crash), true
			}
		}
	}
	return 0, false
}

// allHear waits until every speaker hears all the others.
func (c *cluster) allHear() {
	c.t.Helper()
	c.eventually(30*time.Second, "every node hears the others", func() error {
		var list v1alpha1.SpeakerList
		if err := c.api.List(c.t.Context(), &list); err != nil {
			return err
		}
		for _, s := range list.Items {
			if h := s.Status.Hearing; h == nil || !h.Quorate || int(h.Counted) != len(c.Nodes())-1 {
				return fmt.Errorf("speaker %s says %+v", s.Name, h)
			}
		}
		return nil
	})
}

// A power cut with real kubelets: with pods on every node, an address that answers
// again still loses a share of its connections, until the dead node's pods are out of
// service.
func TestTwentyAnswersInARowAfterACrash(t *testing.T) {
	c, vip := installed(t)
	c.switchOnDeadNodes()
	c.logOutage()
	c.allHear()
	owner := c.owner(vip)
	c.leaderElsewhere(owner.Name())
	pod := "web-" + owner.Name()
	probing := lab.Probe{From: c.Client(), Addr: vip.String() + ":80", HTTP: true, Timeout: patient}.Start()
	time.Sleep(time.Second)
	crash := time.Now()
	if err := owner.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.wantReadiness(10*time.Second, map[string]string{pod: "False " + kube.ReasonNodeGone})
	time.Sleep(2 * time.Second)
	out := probing.Stop()
	first, _ := inARow(out.Attempts, crash, 1)
	twenty, found := inARow(out.Attempts, crash, 20)
	last := crash
	for _, a := range out.Attempts {
		if a.Err != nil {
			last = a.Start
		}
	}
	t.Logf("first answer after %s, twenty in a row after %s, last failure after %s", first.Round(time.Millisecond), twenty.Round(time.Millisecond), last.Sub(crash).Round(time.Millisecond))
	if !found || twenty > 2*time.Second || last.Sub(crash) > 2*time.Second {
		t.Errorf("twenty answers in a row came after %s (%v): %s", twenty, found, out)
	}
	// The machine boots: its kubelet, and not the controller, says when its pods serve.
	if err := owner.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.wantReadiness(2*time.Minute, map[string]string{pod: "True"})
}

// A cable that is out for a while: the node was never down, and its pods are back
// before its kubelet finds its way to the API server.
func TestANodeThatWasCutOffGetsItsPodsBack(t *testing.T) {
	c, vip := installed(t)
	c.switchOnDeadNodes()
	c.logOutage()
	c.allHear()
	owner := c.owner(vip)
	c.leaderElsewhere(owner.Name())
	pod := "web-" + owner.Name()
	if err := owner.CableOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.wantReadiness(10*time.Second, map[string]string{pod: "False " + kube.ReasonNodeGone})
	time.Sleep(5 * time.Second)
	back := time.Now()
	if err := owner.CableIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.wantReadiness(10*time.Second, map[string]string{pod: "True"})
	t.Logf("its pod serves again %s after the cable was in", time.Since(back).Round(time.Millisecond))
	c.wantEvent(owner.Name(), "EndpointsRestored")
	c.allHear()
}
