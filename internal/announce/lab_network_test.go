//go:build lab

package announce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/link"
)

// segment is a bridge in a network namespace of its own, with hosts on its ports:
// real kernels, no real network.
type segment struct {
	*testing.T
	space
	bridge netlink.Link
}

// host is a machine on the segment, on its interface eth0.
type host struct {
	*testing.T
	space
	name string
	port string // on the bridge
	seg  *segment
}

// space is a network namespace: an open file and a netlink socket inside.
type space struct {
	fd      int
	netlink *netlink.Handle
}

func newSpace(t *testing.T) space {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	s := space{fd: -1}
	onOwnThread(t, func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		if s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		s.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	t.Cleanup(func() {
		s.netlink.Close()
		unix.Close(s.fd)
	})
	return s
}

// onOwnThread runs f on a thread that ends with it, so that its namespace may change.
func onOwnThread(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// inside runs f with the calling thread in the namespace.
func (s space) inside(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// rim is the kernel as seen from the namespace.
func (s space) rim() rim {
	return rim{
		watch: func(ctx context.Context, exclude []string, log *slog.Logger, changed func(link.Snapshot)) error {
			return s.inside(func() error { return link.Watch(ctx, exclude, log, changed) })
		},
		open: func(key stationKey) (sock socket, err error) {
			err = s.inside(func() error { sock, err = openSocket(key, 0); return err })
			return sock, err
		},
		member: func(index int) membership { return membershipInside{s, newMembership(index)} },
	}
}

type membershipInside struct {
	space
	membership
}

func (m membershipInside) Set(groups []netip.Addr) error {
	return m.inside(func() error { return m.membership.Set(groups) })
}

func newSegment(t *testing.T) *segment {
	t.Helper()
	s := &segment{T: t, space: newSpace(t)}
	s.set("net/ipv6/conf/default/accept_dad", "0")
	s.check(s.netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "sw0"}}))
	s.bridge = s.link("sw0")
	s.check(s.netlink.LinkSetUp(s.bridge))
	return s
}

func (s *segment) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// command runs a program inside and returns what it prints.
func (s *segment) command(name string, arguments ...string) string {
	s.Helper()
	var out []byte
	err := s.inside(func() (err error) {
		out, err = exec.Command(name, arguments...).CombinedOutput()
		return err
	})
	if err != nil {
		s.Fatalf("%s %v: %v\n%s", name, arguments, err, out)
	}
	return string(out)
}

func (s *segment) link(name string) netlink.Link {
	s.Helper()
	l, err := s.netlink.LinkByName(name)
	s.check(err)
	return l
}

func (h *host) link(name string) netlink.Link {
	h.Helper()
	l, err := h.netlink.LinkByName(name)
	h.check(err)
	return l
}

func (h *host) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s: %v", h.name, err)
	}
}

// attach makes a host whose eth0 is on the segment.
func (s *segment) attach(name string) *host {
	s.Helper()
	h := &host{T: s.T, space: newSpace(s.T), name: name, port: "to-" + name, seg: s}
	h.set("net/ipv6/conf/default/accept_dad", "0") // link-local addresses are usable at once
	h.plug("eth0", h.port)
	return h
}

// plug gives the host an interface with a port on the segment.
func (h *host) plug(name, port string) {
	h.Helper()
	s := h.seg
	s.check(s.netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port}, PeerName: "peer"}))
	s.check(s.netlink.LinkSetMaster(s.link(port), s.bridge))
	s.check(s.netlink.LinkSetUp(s.link(port)))
	s.check(s.netlink.LinkSetNsFd(s.link("peer"), h.fd))
	h.check(h.netlink.LinkSetName(h.link("peer"), name))
	h.set("net/ipv4/neigh/"+name+"/retrans_time_ms", "100") // giving up takes 300 ms, not 3 s
	h.set("net/ipv6/neigh/"+name+"/retrans_time_ms", "100")
	h.check(h.netlink.LinkSetUp(h.link(name)))
}

func (h *host) set(sysctl, value string) {
	h.Helper()
	h.check(h.setSysctl(sysctl, value))
}

func (s *segment) set(sysctl, value string) {
	s.Helper()
	s.check(s.setSysctl(sysctl, value))
}

func (s space) setSysctl(name, value string) error {
	return s.inside(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

func (h *host) read(file string) string {
	h.Helper()
	var b []byte
	h.check(h.inside(func() (err error) { b, err = os.ReadFile(file); return err }))
	return string(b)
}

// configure gives eth0 an address, without asking whether it is free.
func (h *host) configure(prefix string) *netlink.Addr {
	h.Helper()
	a, err := netlink.ParseAddr(prefix)
	h.check(err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	h.check(h.netlink.AddrAdd(h.link("eth0"), a))
	return a
}

// newClient is a host with an address of each family.
func (s *segment) newClient(name string, number int) *host {
	s.Helper()
	h := s.attach(name)
	h.configure(fmt.Sprintf("10.0.255.%d/16", number))
	h.configure(fmt.Sprintf("fd00:1::ffff:%x/64", number))
	return h
}

// announcer runs one on the host until the test ends.
func (h *host) announcer(o Options) *Announcer {
	h.Helper()
	return h.announcerOn(o, h.rim())
}

func (h *host) announcerOn(o Options, r rim) *Announcer {
	h.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	a := New(o)
	a.rim = r
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	h.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			h.Error(err)
		}
	})
	return a
}

func (h *host) mac(name string) net.HardwareAddr {
	h.Helper()
	return h.link(name).Attrs().HardwareAddr
}

// knock sends a datagram to an address, which makes the kernel resolve it.
func (h *host) knock(a netip.Addr) {
	h.Helper()
	h.check(h.inside(func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("knock"))
		if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) {
			return nil
		}
		return err
	}))
}

// neighbor is the kernel's entry for an address: state and MAC.
func (h *host) neighbor(a netip.Addr) (state int, mac net.HardwareAddr) {
	h.Helper()
	for _, n := range h.neighbors(a.Is4()) {
		if n.IP.Equal(a.AsSlice()) {
			return n.State, n.HardwareAddr
		}
	}
	return netlink.NUD_NONE, nil
}

func (h *host) neighbors(v4 bool) []netlink.Neigh {
	h.Helper()
	family := netlink.FAMILY_V6
	if v4 {
		family = netlink.FAMILY_V4
	}
	all, err := h.netlink.NeighList(h.link("eth0").Attrs().Index, family)
	h.check(err)
	return all
}

func (h *host) setNeighbor(a netip.Addr, state int, mac net.HardwareAddr) {
	h.Helper()
	h.check(h.netlink.NeighSet(&netlink.Neigh{
		LinkIndex: h.link("eth0").Attrs().Index, IP: a.AsSlice(), State: state, HardwareAddr: mac,
	}))
}

// eventually asks until it is so, and returns how long that took.
func eventually(t *testing.T, within time.Duration, what string, so func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !so() {
		if time.Since(start) > within {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(start)
}

// resolves tells whether knocking leads to a confirmed entry with this MAC, from
// nothing: an old entry would be used for 5 s before it is confirmed.
func (h *host) resolves(a netip.Addr, mac net.HardwareAddr) {
	h.Helper()
	h.setNeighbor(a, netlink.NUD_FAILED, nil)
	h.knock(a)
	eventually(h.T, 3*time.Second, fmt.Sprintf("%s resolves %s to %s", h.name, a, mac), func() bool {
		state, has := h.neighbor(a)
		if state&(netlink.NUD_STALE|netlink.NUD_DELAY) != 0 && has.String() == mac.String() {
			// An announcement filled the entry first: have the kernel confirm it now.
			h.setNeighbor(a, netlink.NUD_PROBE, mac)
		}
		return state == netlink.NUD_REACHABLE && has.String() == mac.String()
	})
}

// unresolved waits until the kernel gives up.
func (h *host) unresolved(a netip.Addr) {
	h.Helper()
	h.setNeighbor(a, netlink.NUD_FAILED, nil)
	h.knock(a)
	if state, _ := h.neighbor(a); state == netlink.NUD_FAILED {
		h.Fatalf("the kernel of %s asked nobody for %s", h.name, a)
	}
	eventually(h.T, 3*time.Second, fmt.Sprintf("%s gives up on %s", h.name, a), func() bool {
		state, _ := h.neighbor(a)
		if state == netlink.NUD_REACHABLE {
			h.Fatalf("somebody answers for %s", a)
		}
		return state == netlink.NUD_FAILED
	})
}

// groups counts the solicited-node groups that an interface is in, the own of its
// link-local address among them.
func (h *host) groups(name string) int {
	h.Helper()
	n := 0
	for line := range strings.Lines(h.read("/proc/thread-self/net/igmp6")) {
		f := strings.Fields(line)
		if len(f) > 2 && f[1] == name && strings.HasPrefix(f[2], "ff0200000000000000000001ff") {
			n++
		}
	}
	return n
}
