//go:build lab

package announce

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/link"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

var (
	lab4 = netip.MustParseAddr("10.0.0.10")
	lab6 = netip.MustParseAddr("fd00:1::10")

	wrong = net.HardwareAddr{2, 0, 0, 0, 0xbb, 0xbb} // of an owner that has gone
)

func labWant(addresses ...netip.Addr) Want {
	var w Want
	for _, a := range addresses {
		w.Announcements = append(w.Announcements, lb.Announcement{Address: a})
	}
	return w
}

// announced waits until every address is announced on these interfaces.
func announced(t *testing.T, a *Announcer, interfaces ...string) time.Duration {
	t.Helper()
	return eventually(t, 5*time.Second, fmt.Sprintf("announced on %v, have %v", interfaces, a.Claims()), func() bool {
		for _, c := range a.Claims() {
			if c.State != lb.Announced || fmt.Sprint(c.Interfaces) != fmt.Sprint(interfaces) {
				return false
			}
		}
		return true
	})
}

func verifyNoLeak(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) }) // runs last
}

func TestLabClientResolvesWhatIsOursAndNothingElse(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	a.Apply(labWant(lab4, lab6))
	announced(t, a, "eth0")
	for _, vip := range []netip.Addr{lab4, lab6} {
		client.resolves(vip, node.mac("eth0"))
		client.unresolved(vip.Next())
	}
	a.Apply(Want{})
	for _, vip := range []netip.Addr{lab4, lab6} {
		client.unresolved(vip)
	}
}

// metallb#2920: an entry that is not confirmed again is given up by the router,
// every half hour. The kernel's probes are unicast.
func TestLabNeighborIsConfirmedByUnicast(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	a.Apply(labWant(lab4, lab6))
	announced(t, a, "eth0")
	// Without repeated announcements in between: only answers confirm.
	time.Sleep(600 * time.Millisecond)
	for _, vip := range []netip.Addr{lab4, lab6} {
		client.resolves(vip, node.mac("eth0"))
		client.setNeighbor(vip, netlink.NUD_PROBE, node.mac("eth0"))
		took := eventually(t, 2*time.Second, "confirmed by an answer to a unicast probe", func() bool {
			state, _ := client.neighbor(vip)
			return state == netlink.NUD_REACHABLE
		})
		t.Logf("%s: PROBE to REACHABLE in %s", vip, took)
	}
}

// What Linux does not send itself is sent by hand.
func TestLabUnusualQuestionsAreAnswered(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	a.Apply(labWant(lab4, lab6))
	announced(t, a, "eth0")
	nodeMAC, clientMAC := ether.MAC(node.mac("eth0")), ether.MAC(client.mac("eth0"))
	me4, me6 := netip.MustParseAddr("10.0.255.1"), netip.MustParseAddr("fd00:1::ffff:1")
	group := ndp.SolicitedNode(lab6)

	bare := ndp.Message{
		Destination: ether.Multicast(group), Source: clientMAC, From: me6, To: group, Type: ndp.Solicitation, Target: lab6,
	}
	unicast := bare
	unicast.Destination, unicast.To = nodeMAC, lab6
	wire6 := client.tap(protocolNDP)
	for name, question := range map[string]ndp.Message{
		"solicitation without link address": bare,
		"unicast without link address":      unicast,
		"probe":                             ndp.Probe(clientMAC, lab6),
	} {
		want := question.Answer(nodeMAC)
		wire6.ask(t, name, question.Append(nil), want.Append(nil))
	}
	ask := arp.Packet{
		Destination: nodeMAC, Source: clientMAC, Operation: arp.Request, SenderMAC: clientMAC, SenderIP: me4, TargetIP: lab4,
	}
	wire4 := client.tap(protocolARP)
	for name, question := range map[string]arp.Packet{"unicast": ask, "probe": arp.Probe(clientMAC, lab4)} {
		wire4.ask(t, name, question.Append(nil), question.Answer(nodeMAC).Append(nil))
	}
}

// tap is a socket of a client that remembers what came when.
type tap struct {
	socket
	mu     sync.Mutex
	frames map[string]time.Time // first time
}

func (h *host) tap(p protocol) *tap {
	h.Helper()
	t := &tap{frames: map[string]time.Time{}}
	h.check(h.inside(func() (err error) {
		t.socket, err = openSocket(stationKey{protocol: p, index: h.link("eth0").Attrs().Index, name: "eth0"}, 0)
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 2048); ; {
			n, err := t.Read(b)
			if err != nil {
				return
			}
			t.mu.Lock()
			if _, ok := t.frames[string(b[:n])]; !ok {
				t.frames[string(b[:n])] = time.Now()
			}
			t.mu.Unlock()
		}
	}()
	h.Cleanup(func() { t.Close(); <-done })
	return t
}

// at is when a frame came first; zero if it did not.
func (p *tap) at(frame []byte) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frames[string(frame)]
}

func (p *tap) ask(t *testing.T, name string, question, answer []byte) {
	t.Helper()
	p.mu.Lock()
	clear(p.frames)
	p.mu.Unlock()
	if err := p.Write(question); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, name+" is answered", func() bool { return !p.at(answer).IsZero() })
}

func TestLabAddressOfAnotherHostIsAConflictUntilItIsFree(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	theirs := []*netlink.Addr{client.configure(lab4.String() + "/16"), client.configure(lab6.String() + "/64")}
	a := node.announcer(Options{Timing: Timing{Reprobe: time.Second}})
	eventually(t, 5*time.Second, "the interface is usable", func() bool { return len(a.Interfaces()) == 1 })
	w := labWant(lab4, lab6, lab4.Next(), lab6.Next())
	for i := range w.Announcements {
		w.Announcements[i].Fresh = true
	}
	a.Apply(w)
	time.Sleep(600 * time.Millisecond)
	detail := fmt.Sprintf("%s answers for it on eth0", client.mac("eth0"))
	for _, c := range a.Claims() {
		switch {
		case c.Address == lab4 || c.Address == lab6:
			if c.State != lb.Conflict || c.Detail != detail {
				t.Errorf("%s is %s %q", c.Address, c.State, c.Detail)
			}
		case c.State != lb.Announced:
			t.Errorf("%s is free, but %s %q", c.Address, c.State, c.Detail)
		}
	}
	for _, address := range theirs {
		client.check(client.netlink.AddrDel(client.link("eth0"), address))
	}
	took := announced(t, a, "eth0")
	t.Logf("announced %s after the other host gave them up (attempts every 1 s)", took)
	client.resolves(lab4, node.mac("eth0"))
	client.resolves(lab6, node.mac("eth0"))
}

// The other way round: a host that is about to take our address learns that it is taken.
func TestLabOurAddressIsDefended(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	a.Apply(labWant(lab4, lab6))
	announced(t, a, "eth0")
	client.set("net/ipv6/conf/eth0/accept_dad", "1")
	client.set("net/ipv6/conf/eth0/dad_transmits", "1")
	address, _ := netlink.ParseAddr(lab6.String() + "/64")
	client.check(client.netlink.AddrAdd(client.link("eth0"), address))
	eventually(t, 5*time.Second, "the client's kernel marks the duplicate", func() bool {
		all, err := client.netlink.AddrList(client.link("eth0"), netlink.FAMILY_V6)
		client.check(err)
		for _, has := range all {
			if has.IP.Equal(lab6.AsSlice()) {
				return has.Flags&unix.IFA_F_DADFAILED != 0
			}
		}
		return false
	})
	for _, c := range a.Claims() {
		if c.State != lb.Announced {
			t.Errorf("%s is %s", c.Address, c.State)
		}
	}
	// A host that does not ask is told of.
	client.check(client.netlink.AddrAdd(client.link("eth0"), must(netlink.ParseAddr(lab4.String()+"/16"))))
	wire := client.tap(protocolARP)
	mac := ether.MAC(client.mac("eth0"))
	client.check(wire.Write(arp.Announcement(mac, lab4).Append(nil)))
	detail := fmt.Sprintf("%s also answers for it on eth0", mac)
	eventually(t, 2*time.Second, detail, func() bool {
		c := a.Claims()[0]
		return c.State == lb.Announced && c.Detail == detail
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLabTakeOverReplacesStaleEntries(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	eventually(t, 5*time.Second, "the interface is usable", func() bool { return len(a.Interfaces()) == 1 })
	for name, state := range map[string]int{"STALE": netlink.NUD_STALE, "REACHABLE": netlink.NUD_REACHABLE} {
		for _, vip := range []netip.Addr{lab4, lab6} {
			a.Apply(Want{})
			client.setNeighbor(vip, state, wrong)
			a.Apply(labWant(vip))
			took := eventually(t, time.Second, "the entry has our MAC", func() bool {
				_, mac := client.neighbor(vip)
				return mac.String() == node.mac("eth0").String()
			})
			t.Logf("%s %s entry replaced after %s", name, vip, took)
		}
	}
}

func TestLabBridgeIsUsedAndItsPortIsNot(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	a.Apply(labWant(lab4, lab6))
	announced(t, a, "eth0")

	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x42}
	node.check(node.netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: mac}}))
	node.check(node.netlink.LinkSetMaster(node.link("eth0"), node.link("br0")))
	node.check(node.netlink.LinkSetUp(node.link("br0")))
	announced(t, a, "br0")
	for _, vip := range []netip.Addr{lab4, lab6} {
		client.resolves(vip, mac)
	}
	if got := a.Interfaces(); len(got) != 1 || got[0].Name != "br0" || got[0].MAC.String() != mac.String() {
		t.Errorf("interfaces %v", got)
	}

	node.check(node.netlink.LinkSetNoMaster(node.link("eth0")))
	node.check(node.netlink.LinkSetDown(node.link("br0")))
	announced(t, a, "eth0")
	for _, vip := range []netip.Addr{lab4, lab6} {
		eventually(t, 2*time.Second, "the client follows back to the port", func() bool {
			_, has := client.neighbor(vip)
			return has.String() == node.mac("eth0").String()
		})
	}
}

func TestLabCarrierAndMACChangesAreAnnounced(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	a.Apply(labWant(lab4, lab6))
	announced(t, a, "eth0")
	time.Sleep(600 * time.Millisecond) // the burst is over but for its 2 s and 10 s

	follows := func(what string, mac net.HardwareAddr) {
		t.Helper()
		for _, vip := range []netip.Addr{lab4, lab6} {
			took := eventually(t, 1300*time.Millisecond, fmt.Sprintf("%s: the client has %s for %s", what, mac, vip), func() bool {
				_, has := client.neighbor(vip)
				return has.String() == mac.String()
			})
			t.Logf("%s: %s after %s", what, vip, took)
		}
	}
	spoil := func() {
		client.setNeighbor(lab4, netlink.NUD_STALE, wrong)
		client.setNeighbor(lab6, netlink.NUD_STALE, wrong)
	}

	s.check(s.netlink.LinkSetDown(s.link(node.port)))
	took := eventually(t, 2*time.Second, "loss of carrier is noticed", func() bool { return len(a.Interfaces()) == 0 })
	t.Logf("loss of carrier noticed after %s", took)
	for _, c := range a.Claims() {
		if c.State != lb.NoInterface {
			t.Errorf("%s is %s without carrier", c.Address, c.State)
		}
	}
	spoil()
	s.check(s.netlink.LinkSetUp(s.link(node.port)))
	follows("carrier is back", node.mac("eth0"))

	time.Sleep(600 * time.Millisecond)
	spoil()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x43}
	node.check(node.netlink.LinkSetHardwareAddr(node.link("eth0"), mac))
	follows("new MAC", mac)
	client.resolves(lab4, mac)
	client.resolves(lab6, mac)
}

func TestLabInterfaceThatAppearsLaterIsUsed(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	before := node.groups("eth0")
	w := labWant(lab4, lab6, netip.MustParseAddr("fd00:2::10")) // shares the group of lab6
	for i := range w.Announcements {
		w.Announcements[i].Interfaces = []string{"lan*"}
	}
	a.Apply(w)
	eventually(t, 5*time.Second, "the interface is usable", func() bool { return len(a.Interfaces()) == 1 })
	for _, c := range a.Claims() {
		if c.State != lb.NoInterface || c.Detail != "no usable interface that matches lan*" {
			t.Errorf("%s is %s %q", c.Address, c.State, c.Detail)
		}
	}
	client.unresolved(lab4)

	node.plug("lan0", "to-node-2")
	announced(t, a, "lan0")
	client.resolves(lab4, node.mac("lan0"))
	client.resolves(lab6, node.mac("lan0"))
	own := node.groups("eth0")
	eventually(t, 2*time.Second, "the group is joined", func() bool { return node.groups("lan0") == own+1 })
	if own != before {
		t.Errorf("%d groups on eth0, before %d", own, before)
	}
	a.Apply(Want{Announcements: w.Announcements[:2]})
	time.Sleep(50 * time.Millisecond)
	if got := node.groups("lan0"); got != own+1 {
		t.Errorf("%d groups while one of two addresses needs it, want %d", got, own+1)
	}
	a.Apply(Want{})
	eventually(t, 2*time.Second, "the group is left", func() bool { return node.groups("lan0") == own })

	node.check(node.netlink.LinkDel(node.link("lan0")))
	eventually(t, 2*time.Second, "the interface is gone", func() bool { return len(a.Interfaces()) == 1 })
}

// A switch that snoops MLD forwards a group only to ports that joined it, once it
// knows that somebody asks for reports.
func TestLabSolicitationsPassASwitchThatSnoops(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	s.command("ip", "link", "set", "sw0", "type", "bridge", "mcast_snooping", "1", "mcast_query_response_interval", "50",
		"mcast_startup_query_interval", "20")
	s.command("ip", "link", "set", "sw0", "type", "bridge", "mcast_querier", "1")
	node, client := s.attach("node"), s.newClient("client", 1)
	time.Sleep(time.Second) // twice the response interval: the switch is querier now

	// The control: without the group nothing arrives.
	joinsNothing := node.rim()
	joinsNothing.member = func(int) membership { return joined{&network{groups: map[int][]netip.Addr{}}, 0} }
	deaf := node.announcerOn(Options{}, joinsNothing)
	deaf.Apply(labWant(lab6))
	announced(t, deaf, "eth0")
	time.Sleep(600 * time.Millisecond) // announcements would fill the entry: none comes until 2 s
	client.unresolved(lab6)
	deaf.Apply(Want{})

	a := node.announcer(Options{})
	a.Apply(labWant(lab6))
	announced(t, a, "eth0")
	eventually(t, 5*time.Second, "the switch has learnt the group on our port", func() bool {
		return strings.Contains(s.command("bridge", "mdb", "show"), ndp.SolicitedNode(lab6).String())
	})
	client.resolves(lab6, node.mac("eth0"))
}

func TestLabThousandAddressesAtOnce(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	node, client := s.attach("node"), s.newClient("client", 1)
	a := node.announcer(Options{})
	eventually(t, 5*time.Second, "the interface is usable", func() bool { return len(a.Interfaces()) == 1 })
	// The kernel keeps 1,024 entries a family for all namespaces together.
	const each = 500
	var all []netip.Addr
	for i := range each {
		v4, v6 := [4]byte{10, 0}, netip.MustParseAddr("fd00:1::a:0").As16()
		binary.BigEndian.PutUint16(v4[2:], uint16(i+256))
		binary.BigEndian.PutUint16(v6[14:], uint16(i))
		all = append(all, netip.AddrFrom4(v4), netip.AddrFrom16(v6))
	}
	for _, vip := range all {
		client.setNeighbor(vip, netlink.NUD_STALE, wrong)
	}
	wire4, wire6 := client.tap(protocolARP), client.tap(protocolNDP)
	mac := ether.MAC(node.mac("eth0"))

	start := time.Now()
	a.Apply(labWant(all...))
	applied := time.Since(start)
	eventually(t, 3*time.Second, "the client has our MAC for all", func() bool {
		n := 0
		for _, v4 := range []bool{true, false} {
			for _, entry := range client.neighbors(v4) {
				if entry.HardwareAddr.String() == mac.String() {
					n++
				}
			}
		}
		return n >= len(all)
	})
	updated := time.Since(start)
	var last time.Duration
	for _, vip := range all {
		wire, say := wire4, arpAnnouncementFrame
		if vip.Is6() {
			wire, say = wire6, ndpAnnouncementFrame
		}
		frame := say(nil, mac, vip)
		eventually(t, time.Second, fmt.Sprintf("%s is heard of", vip), func() bool { return !wire.at(frame).IsZero() })
		last = max(last, wire.at(frame).Sub(start))
	}
	t.Logf("Apply %s; first packets of %d addresses within %s; the client's cache right after at most %s", applied, len(all), last, updated)
	if last > 300*time.Millisecond {
		t.Errorf("the last first packet came after %s", last)
	}
	own := 1
	eventually(t, 5*time.Second, "groups are joined", func() bool { return node.groups("eth0") == each+own })
	a.Apply(Want{})
	eventually(t, 5*time.Second, "groups are left", func() bool { return node.groups("eth0") == own })
}

// The DaemonSet gives the speaker these two capabilities and no other.
func TestLabNetRawAndNetAdminAreEnough(t *testing.T) {
	s := newSegment(t)
	node := s.attach("node")
	index := node.link("eth0").Attrs().Index
	withOnly := func(capabilities uint32, f func() error) error {
		return node.inside(func() error { // its thread ends, and the loss with it
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			data := [2]unix.CapUserData{{Effective: capabilities, Permitted: capabilities}}
			if err := unix.Capset(&header, &data[0]); err != nil {
				return fmt.Errorf("drop capabilities: %w", err)
			}
			return f()
		})
	}
	openAll := func() error {
		for _, p := range []protocol{protocolARP, protocolNDP} {
			sock, err := openSocket(stationKey{protocol: p, index: index}, 0)
			if err != nil {
				return err
			}
			sock.Close()
		}
		m := newMembership(index)
		defer m.Close()
		if err := m.Set([]netip.Addr{ndp.SolicitedNode(lab6)}); err != nil {
			return err
		}
		ctx, stop := context.WithCancel(context.Background())
		return link.Watch(ctx, nil, slog.New(slog.DiscardHandler), func(s link.Snapshot) {
			if len(s.Interfaces) != 1 {
				t.Errorf("sees %v", s)
			}
			stop()
		})
	}
	node.check(withOnly(1<<unix.CAP_NET_RAW|1<<unix.CAP_NET_ADMIN, openAll))
	if err := withOnly(0, openAll); err == nil {
		t.Error("the control: works without any capability")
	}
}

// net.core.optmem_max bounds the groups of one socket.
func TestLabMoreGroupsThanOneSocketHolds(t *testing.T) {
	s := newSegment(t)
	node := s.attach("node")
	index := node.link("eth0").Attrs().Index
	m := newMembership(index).(*socketMembership)
	var groups []netip.Addr
	for i := range 6000 {
		groups = append(groups, ndp.SolicitedNode(netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)})))
	}
	start := time.Now()
	node.check(node.inside(func() error { return m.Set(groups) }))
	if got := node.groups("eth0"); got < len(groups) {
		t.Errorf("joined %d of %d", got, len(groups))
	}
	t.Logf("%d groups on %d sockets in %s", len(groups), len(m.sockets), time.Since(start))
	if len(m.sockets) < 2 {
		t.Errorf("they fit on one socket: the test shows nothing")
	}
	node.check(node.inside(func() error { return m.Set(groups[:10]) }))
	if got := node.groups("eth0"); got != 10+1 {
		t.Errorf("%d groups are left, want 11", got)
	}
	m.Close()
	eventually(t, time.Second, "all are left", func() bool { return node.groups("eth0") == 1 })
}

// The leaver answers until it hears the successor; no question is left unanswered.
func TestLabHandOver(t *testing.T) {
	verifyNoLeak(t)
	s := newSegment(t)
	first, second, client := s.attach("first"), s.attach("second"), s.newClient("client", 1)
	registry := prometheus.NewRegistry()
	leaver, successor := first.announcer(Options{Metrics: registry}), second.announcer(Options{})
	peers := []net.HardwareAddr{first.mac("eth0"), second.mac("eth0")}
	w := labWant(lab4, lab6)
	w.Peers = peers
	leaver.Apply(w)
	announced(t, leaver, "eth0")
	eventually(t, 5*time.Second, "the successor is ready", func() bool { return len(successor.Interfaces()) == 1 })
	client.resolves(lab4, first.mac("eth0"))
	client.resolves(lab6, first.mac("eth0"))

	handing := labWant(lab4, lab6)
	handing.Peers = peers
	for i := range handing.Announcements {
		handing.Announcements[i].HandingOver = true
	}
	leaver.Apply(handing)
	start := time.Now()
	successor.Apply(w)
	for _, vip := range []netip.Addr{lab4, lab6} {
		eventually(t, time.Second, "the leaver hears the successor", func() bool { return leaver.TakenOver(vip).After(start) })
	}
	t.Logf("successor heard after %s", max(leaver.TakenOver(lab4).Sub(start), leaver.TakenOver(lab6).Sub(start)))
	// A leaver that is slow to let go takes no client back by the announcements that
	// follow its own take-over.
	for end := start.Add(3 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, vip := range []netip.Addr{lab4, lab6} {
			if _, mac := client.neighbor(vip); mac.String() != second.mac("eth0").String() {
				t.Fatalf("%s after the hand-over of %s the client has %s, which is not the successor's", time.Since(start), vip, mac)
			}
		}
	}
	leaver.Apply(Want{Peers: peers})
	for _, vip := range []netip.Addr{lab4, lab6} {
		eventually(t, time.Second, "the client has the successor's MAC", func() bool {
			_, mac := client.neighbor(vip)
			return mac.String() == second.mac("eth0").String()
		})
		client.resolves(vip, second.mac("eth0"))
	}
	for _, c := range successor.Claims() {
		if c.State != lb.Announced || c.Detail != "" {
			t.Errorf("%v", c)
		}
	}
}
