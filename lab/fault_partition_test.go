//go:build lab

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab"
)

// reaches says whether one machine's kernel answers another's at an address: it
// refuses a connection to a port where nobody listens.
func reaches(t *testing.T, from *lab.Host, to netip.Addr, patience time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		_, err := from.Dial(ctx, "tcp", addr(to, 1))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return true
		}
		time.Sleep(10 * time.Millisecond) // a kernel that asked in vain for a MAC refuses at once, until it asks again
	}
	return false
}

// wantReach compares who reaches whom, by both families, with the pairs that should not.
func wantReach(t *testing.T, hosts []*lab.Host, apart func(a, b string) bool) {
	t.Helper()
	for _, from := range hosts {
		for _, to := range hosts {
			if from.Name() >= to.Name() {
				continue
			}
			want, patience := true, 5*time.Second
			if apart(from.Name(), to.Name()) {
				want, patience = false, 200*time.Millisecond
			}
			for _, ip := range []netip.Addr{to.IP4(), to.IP6()} {
				if got := reaches(t, from, ip, patience); got != want {
					t.Errorf("%s reaches %s at %s: %t, want %t", from.Name(), to.Name(), ip, got, want)
				}
			}
		}
	}
}

func TestPartitionSplitsTheSegmentAndHealJoinsIt(t *testing.T) {
	l := up(t, lab.Options{Nodes: 3, NodeMonitorGrace: 2 * time.Second})
	hosts := []*lab.Host{l.Node(1), l.Node(2), l.Node(3), l.Client(), l.Host("fabric")}
	must(t, l.Partition(t.Context(), []*lab.Host{l.Node(1), l.Client()}, []*lab.Host{l.Node(2), l.Node(3), l.Host("fabric")}))
	left := map[string]bool{"n1": true, "client": true}
	wantReach(t, hosts, func(a, b string) bool { return left[a] != left[b] })
	for _, n := range l.Nodes() {
		if !reaches(t, n, l.Router().IP4(), 5*time.Second) || !reaches(t, l.Remote(), n.IP6(), 5*time.Second) {
			t.Errorf("the router is in no group, and yet cut from %s", n.Name())
		}
	}
	must(t, l.WaitNodesNotReady(t.Context(), "n1"))
	must(t, l.Partition(t.Context(), []*lab.Host{l.Node(2)}, []*lab.Host{l.Node(3)}))
	wantReach(t, hosts, func(a, b string) bool { return a == "n2" && b == "n3" })
	must(t, l.Heal(t.Context()))
	wantReach(t, hosts, func(string, string) bool { return false })
	must(t, l.WaitNodesReady(t.Context(), "n1", "n2", "n3"))
}

func TestCutToLosesFramesOneWayOnly(t *testing.T) {
	l := up(t, lab.Options{Nodes: 2, NoKubeProxy: true})
	n1, n2 := l.Node(1), l.Node(2)
	must(t, n1.DropShare(t.Context(), 0, lab.Both)) // a fault of another kind, to be left alone
	must(t, n1.CutTo(t.Context(), n2, l.Host("fabric")))
	for _, c := range []struct {
		from, to *lab.Host
		want     bool
	}{{n1, n2, false}, {n2, n1, true}, {n1, l.Host("fabric"), false}, {l.Host("fabric"), n1, true}, {n1, l.Client(), true}} {
		// Neither side can resolve the other while answers are lost, so each knows the MAC.
		know(t, c.from, c.to)
		if got := heard(t, c.from, c.to); got != c.want {
			t.Errorf("%s hears %s: %t, want %t", c.to.Name(), c.from.Name(), got, c.want)
		}
	}
	must(t, l.Heal(t.Context()))
	if !heard(t, n1, n2) {
		t.Error("n2 does not hear n1 after the repair")
	}
}

// heard says whether a datagram from one machine arrives at another.
func heard(t *testing.T, from, to *lab.Host) bool {
	t.Helper()
	var mailbox net.PacketConn
	must(t, to.Do(func() (err error) {
		mailbox, err = net.ListenPacket("udp", addr(to.IP4(), 0))
		return err
	}))
	defer mailbox.Close()
	conn, err := from.Dial(t.Context(), "udp", mailbox.LocalAddr().String())
	must(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("heard"))
	must(t, err)
	must(t, mailbox.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	_, _, err = mailbox.ReadFrom(make([]byte, 16))
	return err == nil
}

// know makes from resolve to for good.
func know(t *testing.T, from, to *lab.Host) {
	t.Helper()
	mac, err := to.Output(t.Context(), "sh", "-c", "cat /sys/class/net/lan/address 2>/dev/null || cat /sys/class/net/eth0/address")
	must(t, err)
	dev := "eth0"
	if from.Name() == "fabric" {
		dev = "lan"
	}
	_, err = from.Output(t.Context(), "ip", "neigh", "replace", to.IP4().String(), "lladdr", strings.TrimSpace(mac), "dev", dev, "nud", "permanent")
	must(t, err)
}

func TestAHangingMachineIsSilentAndHasCarrier(t *testing.T) {
	l, port := faultLab(t)
	n1 := l.Node(1)
	must(t, n1.Hang(t.Context()))
	for _, http := range []bool{false, true} {
		if ok, o := silent(l.Client(), addr(n1.IP4(), port), http); !ok {
			t.Errorf("a machine that hangs answers (HTTP %t): %s", http, o)
		}
	}
	must(t, n1.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err == nil && link.Attrs().RawFlags&unix.IFF_LOWER_UP == 0 {
			t.Error("its interface has lost its carrier")
		}
		return err
	}))
	must(t, l.WaitNodesNotReady(t.Context(), "n1"))
	must(t, n1.Unhang(t.Context()))
	must(t, l.WaitNodesReady(t.Context(), "n1"))
	for _, from := range []*lab.Host{l.Client(), l.Remote()} {
		answers(t, from, addr(n1.IP4(), port))
	}
}

// The router resolves addresses of the segment for the remote client, and what it
// believes holds for that one alone.
func TestTheRouterHasANeighbourCacheOfItsOwn(t *testing.T) {
	l, port := faultLab(t)
	n1 := l.Node(1)
	target := addr(n1.IP4(), port)
	answers(t, l.Remote(), target)
	believe := func(args ...string) {
		t.Helper()
		_, err := l.Router().Output(t.Context(), "ip", append([]string{"neigh"}, append(args, "dev", "eth0")...)...)
		must(t, err)
	}
	believe("replace", n1.IP4().String(), "lladdr", "02:fa:00:00:00:01", "nud", "reachable")
	if ok, o := silent(l.Remote(), target, false); !ok {
		t.Errorf("the remote client reaches n1 although the router has a wrong MAC: %s", o)
	}
	answers(t, l.Client(), target)
	believe("flush", "to", n1.IP4().String())
	answers(t, l.Remote(), target)
}

func TestHogsTakeAProcessorEachUntilTheyAreStopped(t *testing.T) {
	l := up(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	n1 := l.Node(1)
	must(t, n1.Hog(t.Context(), 1))
	must(t, n1.Hog(t.Context(), 1))
	processes, err := n1.Processes(t.Context())
	must(t, err)
	running := 0
	for _, p := range processes {
		if !strings.HasPrefix(p.Name, "hog-") {
			continue
		}
		running++
		pid, err := n1.PID(t.Context(), p.Name)
		must(t, err)
		deadline := time.Now().Add(20 * time.Second)
		for cpuTicks(t, pid) < 20 && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond) // until it has had 200 ms of a processor
		}
		if got := cpuTicks(t, pid); got < 20 {
			t.Errorf("%s used %d ticks of processor time in 20 s", p.Name, got)
		}
	}
	if running != 2 {
		t.Errorf("%d hogs run, want 2: %v", running, processes)
	}
	must(t, n1.StopHogs(t.Context()))
	processes, err = n1.Processes(t.Context())
	must(t, err)
	for _, p := range processes {
		if strings.HasPrefix(p.Name, "hog-") && p.Running {
			t.Errorf("%s still runs", p.Name)
		}
	}
}

// cpuTicks is the time in user space that a process has used, in hundredths of a second (proc(5)).
func cpuTicks(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	n, err := strconv.Atoi(strings.Fields(rest)[11])
	must(t, err)
	return n
}
