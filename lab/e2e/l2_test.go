//go:build lab

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/lab"
)

// serving is a cluster in which the Service web is announced and answers.
func serving(t *testing.T, o lab.Options) (c *cluster, vip netip.Addr) {
	c = newCluster(t, o)
	c.controller("controller", "--leader-elect=false")
	c.speakers("--mend-every=0") // what moves, moves for what the test does
	c.pool("lan", "172.31.0.200-172.31.0.250", "fd31::1:0/112")
	c.backends("web")
	c.service("web")
	vip = c.addresses("web", 1)[0]
	c.answers(c.Client(), vip)
	return c, vip
}

// macs asks the segment who has addr and returns every MAC that answers.
func (c *cluster) macs(addr netip.Addr) []string {
	out, _ := c.Client().Output(c.t.Context(), "arping", "-I", "eth0", "-c", "3", "-w", "1", addr.String())
	found := regexp.MustCompile(`(?i)([0-9a-f]{2}:){5}[0-9a-f]{2}`).FindAllString(out, -1)
	for i := range found {
		found[i] = strings.ToLower(found[i])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (c *cluster) macOf(h *lab.Host) string {
	c.t.Helper()
	out, err := h.Output(c.t.Context(), "cat", "/sys/class/net/eth0/address")
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func TestOnlyTheOwnerAnswers(t *testing.T) {
	c, vip := serving(t, lab.Options{})
	if got, want := c.macs(vip), []string{c.macOf(c.owner(vip))}; !slices.Equal(got, want) {
		t.Errorf("%s answers for %s, want its owner %s", got, vip, want)
	}
	if got := c.macs(netip.MustParseAddr("172.31.0.249")); len(got) > 0 {
		t.Errorf("%s answers for an address of the pool that nobody has", got)
	}
}

func TestAPlannedStopLosesNoConnection(t *testing.T) {
	c, vip := serving(t, lab.Options{})
	for round := range 5 {
		owner := c.owner(vip)
		c.steady(500 * time.Millisecond)
		near, far := c.probe(c.Client(), vip), c.probe(c.Remote(), vip)
		c.steady(300 * time.Millisecond)
		c.stop(owner, "speaker", syscall.SIGTERM)
		c.steady(2 * time.Second)
		for where, probing := range map[string]*lab.Probing{"the segment": near, "behind the router": far} {
			if out := probing.Stop(); out.Failures > 0 || out.Total < 100 {
				t.Errorf("round %d, from %s: %s", round, where, out)
			}
		}
		if now := c.owner(vip); now.Name() == owner.Name() {
			t.Errorf("round %d: %s still announces", round, now.Name())
		}
		successor := c.owner(vip)
		c.speaker(owner)
		c.steady(1500 * time.Millisecond)
		if now := c.owner(vip); now.Name() != successor.Name() {
			t.Errorf("round %d: the address moved back from %s to %s", round, successor.Name(), now.Name())
		}
	}
}

// What is open when the address moves is served to its end by the node where it
// began, in both directions and in both families.
func TestAMoveBreaksNoOpenConnection(t *testing.T) {
	c, _ := serving(t, lab.Options{})
	c.edit("web", preferDualStack)
	vips := c.addresses("web", 2)
	const label = "node.kubernetes.io/exclude-from-external-load-balancers"
	for round := range 6 {
		for _, vip := range vips {
			c.answers(c.Client(), vip)
			owner := c.owner(vip)
			open := make([]net.Conn, 0, 20)
			for i := range cap(open) {
				from := []*lab.Host{c.Client(), c.Remote()}[i%2]
				open = append(open, begin(t, from, vip))
			}
			c.kubectl("label", "node", owner.Name(), label+"=")
			c.eventually(5*time.Second, "another node announces", func() error {
				if node, err := c.announcer(vip); err != nil || node == owner.Name() {
					return fmt.Errorf("%s, %v", node, err)
				}
				return nil
			})
			c.kubectl("label", "node", owner.Name(), label+"-")
			for _, conn := range open {
				if err := finish(conn); err != nil {
					t.Errorf("round %d: a connection to %s that was open at %s: %v", round, vip, owner.Name(), err)
				}
			}
		}
	}
}

// begin opens a connection and asks the first half of a question; finish asks the rest.
func begin(t *testing.T, from *lab.Host, vip netip.Addr) net.Conn {
	t.Helper()
	conn, err := from.Dial(t.Context(), "tcp", netip.AddrPortFrom(vip, 80).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// finish sends the rest of a request and reads the answer.
func finish(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "Host: x\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.") {
		err = fmt.Errorf("the answer is %q", answer)
	}
	return err
}

func TestADeadNodeLosesItsAddresses(t *testing.T) {
	c, vip := serving(t, lab.Options{NodeMonitorGrace: 6 * time.Second})
	asking := c.newcomer(c.Client(), vip)
	owner := c.owner(vip)
	others := map[string]string{}
	for i := range 9 {
		name := fmt.Sprintf("other-%d", i)
		c.service(name)
		others[name] = c.owner(c.addresses(name, 1)[0]).Name()
	}
	struck := time.Now()
	if err := owner.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.eventually(takeOverBound, "another node announces", func() error {
		for _, n := range c.Nodes() {
			if n.Name() != owner.Name() && slices.Equal(asking.now(vip), []string{c.macOf(n)}) {
				return nil
			}
		}
		return errors.New("none does")
	})
	t.Logf("another node announces after %s", time.Since(struck).Round(time.Millisecond))
	for name, node := range others {
		if node == owner.Name() {
			continue
		}
		if now := c.owner(c.addresses(name, 1)[0]).Name(); now != node {
			t.Errorf("%s moved from %s to %s although %s died", name, node, now, owner.Name())
		}
	}
	if err := owner.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitNodesReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.speaker(owner)
	c.steady(3 * time.Second)
	if got := c.macs(vip); slices.Contains(got, c.macOf(owner)) || len(got) != 1 {
		t.Errorf("%v answer for %s after %s came back", got, vip, owner.Name())
	}
}

// Whether it is back before the others missed it is chance. One node announces in
// either case.
func TestASpeakerThatIsKilledAndRestartedLeavesOneAnnouncer(t *testing.T) {
	c, vip := serving(t, lab.Options{})
	for range 5 {
		owner := c.owner(vip)
		c.stop(owner, "speaker", syscall.SIGKILL)
		c.speaker(owner)
		c.steady(time.Second)
		c.meshed()
		now := c.owner(vip)
		if got, want := c.macs(vip), []string{c.macOf(now)}; !slices.Equal(got, want) {
			t.Errorf("%s answer after %s was restarted, want %s", got, owner.Name(), want)
		}
	}
}

func TestASpeakerThatIsKilledTakesUpWhatItHad(t *testing.T) {
	c, vip := serving(t, lab.Options{Nodes: 1})
	probing := c.probe(c.Client(), vip)
	owner := c.Node(1)
	c.stop(owner, "speaker", syscall.SIGKILL)
	if got := c.macs(vip); len(got) > 0 {
		t.Errorf("%s answer for %s without a speaker", got, vip)
	}
	c.speaker(owner)
	c.eventually(5*time.Second, "the owner answers again", func() error {
		if got, want := c.macs(vip), []string{c.macOf(owner)}; !slices.Equal(got, want) {
			return fmt.Errorf("%s answer, want %s", got, want)
		}
		return nil
	})
	// It is nobody's address but this node's: no client lost it.
	if out := probing.Stop(); out.Failures > 0 {
		t.Errorf("the restart cost connections: %s", out)
	}
}

func TestWithoutAnAPIServerTheSpeakersGoOn(t *testing.T) {
	c, vip := serving(t, lab.Options{})
	probing := c.probe(c.Client(), vip)
	if err := c.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.steady(5 * time.Second)
	if got := c.macs(vip); len(got) != 1 {
		t.Errorf("%v answer for %s without an API server", got, vip)
	}
	c.steady(3 * time.Second)
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.steady(2 * time.Second)
	if out := probing.Stop(); out.Failures > 0 {
		t.Errorf("while the API server was gone: %s", out)
	}
	c.service("later")
	c.owner(c.addresses("later", 1)[0])
}

func TestAnAddressThatAnotherHostHasIsNotUsed(t *testing.T) {
	c := newCluster(t, lab.Options{})
	for _, addr := range []string{"172.31.0.200/32", "fd31::1:0/128"} {
		if out, err := c.Client().Output(t.Context(), "ip", "addr", "add", addr, "dev", "eth0"); err != nil {
			t.Fatal(err, out)
		}
	}
	c.controller("controller", "--leader-elect=false")
	c.speakers()
	c.pool("lan", "172.31.0.200", "fd31::1:0")
	c.backends("web")
	c.service("web", preferDualStack)
	c.wantState("web", "172.31.0.200 fd31::1:0 AddressConflict")
	if m := c.message("web"); !strings.Contains(m, c.macOf(c.Client())) || !strings.Contains(m, "eth0") {
		t.Errorf("the message does not say who has the address, and where: %s", m)
	}
	c.oneEvent("web", "AddressConflict")
	for _, addr := range []string{"172.31.0.200/32", "fd31::1:0/128"} {
		if out, err := c.Client().Output(t.Context(), "ip", "addr", "del", addr, "dev", "eth0"); err != nil {
			t.Fatal(err, out)
		}
	}
	c.eventually(30*time.Second, "the address is used when it is free", func() error {
		if s := c.state("web"); s != "172.31.0.200 fd31::1:0" {
			return fmt.Errorf("the Service shows %s", s)
		}
		return nil
	})
	for _, addr := range c.addresses("web", 2) {
		c.answers(c.Client(), addr)
	}
}

func TestLocalTrafficFollowsThePods(t *testing.T) {
	c := newCluster(t, lab.Options{})
	c.controller("controller", "--leader-elect=false")
	c.speakers()
	c.pool("lan", "172.31.0.200-172.31.0.250")
	c.service("web", func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal })
	vip := c.addresses("web", 1)[0]
	c.steady(500 * time.Millisecond)
	if node, err := c.announcer(vip); err == nil {
		t.Errorf("%s announces although no pod serves", node)
	}
	for _, n := range []int{2, 3} {
		c.backend("web", c.Node(n))
		c.eventually(5*time.Second, "a node with a pod announces", func() error { return c.announcedBy(vip, c.Node(2)) })
		c.answers(c.Client(), vip)
	}
	c.kubectl("delete", "pod", "web-n2", "--force", "--grace-period=0")
	c.eventually(10*time.Second, "the node with the pod that is left announces", func() error { return c.announcedBy(vip, c.Node(3)) })
	c.answers(c.Client(), vip)
}

func (c *cluster) announcedBy(vip netip.Addr, want *lab.Host) error {
	got, err := c.announcer(vip)
	if err == nil && got != want.Name() {
		return fmt.Errorf("%s announces %s, want %s", got, vip, want.Name())
	}
	return err
}

func TestNodesAreLeftOutByLabelClassAndTaint(t *testing.T) {
	c, vip := serving(t, lab.Options{})
	first := c.owner(vip)
	t.Run("a label excludes a node", func(t *testing.T) {
		probing := c.probe(c.Client(), vip)
		c.kubectl("label", "node", first.Name(), "node.kubernetes.io/exclude-from-external-load-balancers=")
		c.eventually(5*time.Second, "another node announces", func() error {
			if node, err := c.announcer(vip); err != nil || node == first.Name() {
				return fmt.Errorf("%s, %v", node, err)
			}
			return nil
		})
		if out := probing.Stop(); out.Failures > 0 {
			t.Errorf("the move cost connections: %s", out)
		}
		c.kubectl("label", "node", first.Name(), "node.kubernetes.io/exclude-from-external-load-balancers-")
	})
	t.Run("a class selects nodes and interfaces", func(t *testing.T) {
		c.kubectl("label", "node", "n3", "edge=yes")
		c.mustApply(`
apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerClass
metadata: {name: edge}
spec: {default: true, provider: L2, l2: {interfaces: ["eth*"], nodeSelector: {matchLabels: {edge: "yes"}}}}
`)
		c.eventually(5*time.Second, "the selected node announces", func() error { return c.announcedBy(vip, c.Node(3)) })
		c.kubectl("patch", "loadbalancerclass", "edge", "--type=merge", "-p", `{"spec":{"l2":{"interfaces":["wlan*"]}}}`)
		c.eventually(5*time.Second, "no node announces on an interface that is not there", func() error {
			if node, err := c.announcer(vip); err == nil {
				return fmt.Errorf("%s does", node)
			}
			return nil
		})
		c.kubectl("delete", "loadbalancerclass", "edge")
		c.owner(vip)
	})
	t.Run("the out-of-service taint excludes a node", func(t *testing.T) {
		owner := c.owner(vip)
		c.kubectl("taint", "node", owner.Name(), "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
		c.eventually(5*time.Second, "another node announces", func() error {
			if node, err := c.announcer(vip); err != nil || node == owner.Name() {
				return fmt.Errorf("%s, %v", node, err)
			}
			return nil
		})
	})
}

func TestSharersAreAnnouncedFromOneNode(t *testing.T) {
	c := newCluster(t, lab.Options{})
	c.controller("controller", "--leader-elect=false")
	c.speakers()
	c.pool("lan", "172.31.0.200-172.31.0.250")
	c.backends("web")
	c.backends("dns")
	share := annotated("fairlead.dev/sharing-key", "k")
	c.service("web", share)
	vip := c.addresses("web", 1)[0]
	c.service("dns", share, func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 })
	if got := c.addresses("dns", 1)[0]; got != vip {
		t.Errorf("dns has %s, want web's %s", got, vip)
	}
	c.owner(vip)
	for port, pods := range map[uint16]string{80: "web", 81: "dns"} {
		c.eventually(10*time.Second, fmt.Sprintf("port %d is answered by %s", port, pods), func() error {
			out := lab.Probe{From: c.Client(), Addr: netip.AddrPortFrom(vip, port).String(), HTTP: true, Every: time.Hour, Timeout: time.Second}.Start().Stop()
			for name := range out.Answers {
				if strings.HasPrefix(name, pods+"-") {
					return nil
				}
			}
			return fmt.Errorf("%s %v", out, out.LastError)
		})
	}
	c.service("rival", share)
	if got := c.addresses("rival", 1)[0]; got == vip {
		t.Errorf("rival has the same port as web, and its address")
	}
}

func TestNodePortsAreNotNeeded(t *testing.T) {
	c := newCluster(t, lab.Options{})
	c.controller("controller", "--leader-elect=false")
	c.speakers()
	c.pool("lan", "172.31.0.200-172.31.0.250")
	c.backends("web")
	none := false
	c.service("web", func(s *corev1.Service) {
		s.Spec.AllocateLoadBalancerNodePorts = &none
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "udp", Port: 53, Protocol: corev1.ProtocolUDP})
	})
	c.answers(c.Client(), c.addresses("web", 1)[0])
	if p := c.get("web").Spec.Ports[0].NodePort; p != 0 {
		t.Errorf("the Service has node port %d", p)
	}
}

// An owner whose Node object goes away is out, and its Speaker goes with it.
func TestADeletedNodeIsOut(t *testing.T) {
	c, vip := serving(t, lab.Options{})
	owner := c.owner(vip)
	c.stop(owner, "speaker", syscall.SIGKILL)
	if err := owner.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: owner.Name()}}
	if err := c.api.Delete(t.Context(), node); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	c.eventually(10*time.Second, "another node announces", func() error {
		got := c.macs(vip)
		if len(got) != 1 || got[0] == c.macOf(c.Client()) {
			return fmt.Errorf("%s answer", got)
		}
		return nil
	})
	c.kubectl("wait", "speaker/"+owner.Name(), "--for=delete", "--timeout=60s")
}
