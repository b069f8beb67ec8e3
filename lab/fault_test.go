//go:build lab

package lab_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

// faultLab is a lab of two light nodes that notices silence within seconds,
// with a pod on n1 behind a node port.
func faultLab(t *testing.T) (l *lab.Lab, port uint16) {
	t.Helper()
	l = up(t, lab.Options{Nodes: 2, NodeMonitorGrace: 2 * time.Second})
	runPod(t, l, "n1", "web", 8080)
	port = expose(t, l, "web", 8080)
	answers(t, l.Client(), addr(l.Node(1).IP4(), port))
	answers(t, l.Client(), addr(l.Node(1).IP6(), port))
	return l, port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// silent says whether nothing at all answers addr from a host.
func silent(from *lab.Host, addr string, http bool) (bool, lab.Outcome) {
	probing := lab.Probe{From: from, Addr: addr, HTTP: http}.Start()
	time.Sleep(300 * time.Millisecond) // how long to probe
	o := probing.Stop()
	return o.Failures == o.Total, o
}

func TestCrashAndRecover(t *testing.T) {
	l, port := faultLab(t)
	n1 := l.Node(1)
	_, err := n1.Output(t.Context(), "sh", "-c", "echo kept >/var/lib/mark; echo lost >/run/mark; sync")
	must(t, err)
	probing := lab.Probe{From: l.Client(), Addr: addr(n1.IP4(), port), HTTP: true}.Start()
	must(t, n1.Crash(t.Context()))
	// Was the port of n1 the one with the lowest address?
	if mac, err := l.Host("fabric").Output(t.Context(), "cat", "/sys/class/net/lan/address"); mac != "02:fa:ac:1f:00:01\n" {
		t.Errorf("the API server's machine has the address %q now, %v", mac, err)
	}
	if n1.Up() {
		t.Error("the machine says it is up")
	}
	if _, err := n1.Output(t.Context(), "true"); err == nil {
		t.Error("a command ran on a crashed machine")
	}
	must(t, l.WaitNodesNotReady(t.Context(), "n1"))
	must(t, l.WaitNodesReady(t.Context(), "n2"))
	must(t, n1.Recover(t.Context()))
	must(t, l.WaitNodesReady(t.Context(), "n1"))
	answers(t, l.Client(), addr(n1.IP4(), port))
	answers(t, l.Client(), addr(n1.IP6(), port))
	answers(t, l.Client(), addr(l.Node(2).IP4(), port))
	o := probing.Stop()
	t.Log(o)
	if o.Longest() < time.Second || strings.Contains(o.LastError.Error(), "reset") {
		t.Errorf("a power cut is silent and lasts until Recover, but: %s", o)
	}
	out, err := n1.Output(t.Context(), "sh", "-c", "cat /var/lib/mark; ls /run/mark")
	if out != "kept\n" || err == nil {
		t.Errorf("after the crash the disk has %q and /run/mark: %v", out, err)
	}
}

func TestFreezeOneProgram(t *testing.T) {
	l, port := faultLab(t)
	must(t, l.Node(1).Freeze(t.Context(), "kubelet"))
	must(t, l.WaitNodesNotReady(t.Context(), "n1"))
	// The Service has lost its endpoint by now; the pod itself goes on.
	ip, err := l.Kubectl(t.Context(), "get", "pod", "web", "-o", "jsonpath={.status.podIP}")
	must(t, err)
	if got := answers(t, l.Node(2), net.JoinHostPort(ip, "8080")); got != "web" {
		t.Errorf("%q answered", got)
	}
	must(t, l.Node(1).Thaw(t.Context(), "kubelet"))
	must(t, l.WaitNodesReady(t.Context(), "n1"))
	answers(t, l.Client(), addr(l.Node(1).IP4(), port))
}

func TestFreezeMachineLeavesItsKernel(t *testing.T) {
	l, port := faultLab(t)
	target := addr(l.Node(1).IP4(), port)
	must(t, l.Node(1).Freeze(t.Context()))
	if ok, o := silent(l.Client(), target, true); !ok {
		t.Errorf("a frozen machine answers HTTP: %s", o)
	}
	if ok, o := silent(l.Client(), target, false); ok {
		t.Errorf("the kernel of a frozen machine does not accept connections: %s", o)
	}
	must(t, l.WaitNodesNotReady(t.Context(), "n1"))
	must(t, l.Node(1).Thaw(t.Context()))
	must(t, l.WaitNodesReady(t.Context(), "n1"))
	answers(t, l.Client(), target)
}

func TestLinkAndCable(t *testing.T) {
	l, port := faultLab(t)
	n1 := l.Node(1)
	carrier := func() string {
		out, _ := n1.Output(t.Context(), "cat", "/sys/class/net/eth0/carrier") // unreadable while the link is down
		return strings.TrimSpace(out)
	}
	cases := []struct {
		name     string
		down, up func() error
		carrier  string
	}{
		{"link", func() error { return n1.LinkDown(t.Context()) }, func() error { return n1.LinkUp(t.Context()) }, ""},
		{"cable", func() error { return n1.CableOut(t.Context()) }, func() error { return n1.CableIn(t.Context()) }, "1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			must(t, c.down())
			if got := carrier(); got != c.carrier {
				t.Errorf("carrier is %q, want %q", got, c.carrier)
			}
			if ok, o := silent(l.Client(), addr(n1.IP4(), port), false); !ok {
				t.Errorf("n1 is still reached: %s", o)
			}
			must(t, l.WaitNodesNotReady(t.Context(), "n1"))
			must(t, c.up())
			must(t, l.WaitNodesReady(t.Context(), "n1"))
			for _, from := range []*lab.Host{l.Client(), l.Remote()} {
				answers(t, from, addr(n1.IP4(), port))
				answers(t, from, addr(n1.IP6(), port))
			}
		})
	}
}

func TestDropShareDropsThatShare(t *testing.T) {
	l, port := faultLab(t)
	share := func(from *lab.Host) float64 {
		// The kernel repeats a lost SYN after 1 s, so every lost one is a failed attempt.
		probing := lab.Probe{From: from, Addr: addr(l.Node(1).IP4(), port), Every: 3 * time.Millisecond}.Start()
		time.Sleep(5 * time.Second) // how long to probe
		o := probing.Stop()
		t.Logf("%s: %s", from.Name(), o)
		return float64(o.Failures) / float64(o.Total)
	}
	for _, dir := range []lab.Dir{lab.Out, lab.In} {
		must(t, l.Client().DropShare(t.Context(), 0.3, dir))
		if got := share(l.Client()); got < 0.24 || got > 0.36 {
			t.Errorf("with 0.3 lost %s, a share of %.3f of new connections failed", dir, got)
		}
		must(t, l.Client().DropShare(t.Context(), 0, dir))
	}
	must(t, l.Client().DropShare(t.Context(), 0.3, lab.Both))
	if got := share(l.Remote()); got != 0 {
		t.Errorf("loss at the client fails %.3f of the remote's connections", got)
	}
}

func TestCutFromAPILeavesTheRest(t *testing.T) {
	l, port := faultLab(t)
	must(t, l.Node(1).CutFromAPI(t.Context()))
	must(t, l.WaitNodesNotReady(t.Context(), "n1"))
	must(t, l.WaitNodesReady(t.Context(), "n2"))
	// Straight to the pod, since the Service rightly lost its endpoint.
	if _, err := l.Node(2).Dial(t.Context(), "tcp", "10.245.1.2:8080"); err != nil {
		t.Errorf("n2 cannot reach n1's pod: %v", err)
	}
	must(t, l.Node(1).JoinAPI(t.Context()))
	must(t, l.WaitNodesReady(t.Context(), "n1"))
	answers(t, l.Client(), addr(l.Node(1).IP4(), port))
}

func TestAPIServerStopsAndStarts(t *testing.T) {
	l, port := faultLab(t)
	must(t, l.StopAPIServer(t.Context()))
	if _, err := l.Kubectl(t.Context(), "--request-timeout=1s", "get", "nodes"); err == nil {
		t.Error("the API server still answers")
	}
	answers(t, l.Client(), addr(l.Node(1).IP4(), port))
	must(t, l.StartAPIServer(t.Context()))
	must(t, l.WaitNodesReady(t.Context(), "n1", "n2"))
}
