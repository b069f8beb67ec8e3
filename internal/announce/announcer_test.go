package announce

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/link"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

var (
	us      = ether.MAC{0x52, 0x54, 0, 0, 0, 0x01}
	us2     = ether.MAC{0x52, 0x54, 0, 0, 0, 0x02}
	peer    = ether.MAC{0x52, 0x54, 0, 0, 0, 0xaa}
	foreign = ether.MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}
	client  = ether.MAC{0x52, 0x54, 0, 0, 0, 0xcc}

	vip4, vip6     = netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	asker4, asker6 = netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8::77")

	eth0 = link.Interface{Index: 2, Name: "eth0", MAC: us, ARP: true, NDP: true}
	eth1 = link.Interface{Index: 3, Name: "eth1", MAC: us2, ARP: true, NDP: true}
)

// network is a kernel that a test plays.
type network struct {
	news chan link.Snapshot

	mu     sync.Mutex
	wires  map[wireKey]*wire    // the socket that is open
	opened map[wireKey]int      // how often
	refuse map[wireKey]error    // why none can be opened
	groups map[int][]netip.Addr // joined, by interface
}

type wireKey struct {
	protocol protocol
	name     string
}

// wire is a socket; frames keeps what was sent.
type wire struct {
	in     chan []byte
	broken chan error
	closed chan struct{}

	mu     sync.Mutex
	frames [][]byte
	stuck  chan struct{} // a Write waits until it is closed
	err    error         // of the next Write
}

func (w *wire) Read(b []byte) (int, error) {
	select {
	case f := <-w.in:
		return copy(b, f), nil
	case err := <-w.broken:
		return 0, err
	case <-w.closed:
		return 0, net.ErrClosed
	}
}

func (w *wire) Write(b []byte) error {
	w.mu.Lock()
	stuck, err := w.stuck, w.err
	w.err = nil
	if err == nil && stuck == nil {
		w.frames = append(w.frames, slices.Clone(b))
	}
	w.mu.Unlock()
	if stuck == nil {
		return err
	}
	select {
	case <-stuck:
		return nil
	case <-w.closed:
		return net.ErrClosed
	}
}

func (w *wire) Close() { close(w.closed) }

// sent returns and forgets what was sent.
func (w *wire) sent() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.frames
	w.frames = nil
	return f
}

func (n *network) open(key stationKey) (socket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := wireKey{key.protocol, key.name}
	n.opened[k]++
	if err := n.refuse[k]; err != nil {
		return nil, err
	}
	n.wires[k] = &wire{in: make(chan []byte), broken: make(chan error), closed: make(chan struct{})}
	return n.wires[k], nil
}

func (n *network) wire(p protocol, name string) *wire {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wires[wireKey{p, name}]
}

func (n *network) watch(ctx context.Context, _ []string, _ *slog.Logger, changed func(link.Snapshot)) error {
	for {
		select {
		case s := <-n.news:
			changed(s)
		case <-ctx.Done():
			return nil
		}
	}
}

// joined is a membership that the network remembers.
type joined struct {
	n     *network
	index int
}

func (j joined) Set(groups []netip.Addr) error {
	j.n.mu.Lock()
	defer j.n.mu.Unlock()
	j.n.groups[j.index] = groups
	return nil
}

func (j joined) Close() { _ = j.Set(nil) }

func (n *network) groupsOf(index int) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.groups[index]
}

// play runs an announcer on a network inside a bubble, where time passes only when
// everybody waits.
func play(t *testing.T, script func(t *testing.T, a *Announcer, n *network, registry *prometheus.Registry)) {
	t.Helper()
	playWith(t, Options{}, script)
}

func playWith(t *testing.T, o Options, script func(t *testing.T, a *Announcer, n *network, registry *prometheus.Registry)) {
	t.Helper()
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		n := &network{
			news: make(chan link.Snapshot), wires: map[wireKey]*wire{}, opened: map[wireKey]int{},
			refuse: map[wireKey]error{}, groups: map[int][]netip.Addr{},
		}
		registry := prometheus.NewRegistry()
		o.Log, o.Metrics = slog.New(slog.DiscardHandler), registry
		a := New(o)
		a.rim = rim{watch: n.watch, open: n.open, member: func(index int) membership { return joined{n, index} }}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		script(t, a, n, registry)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, c := range a.Claims() {
			if c.State != lb.NoInterface {
				t.Errorf("after Run: %v", c)
			}
		}
		for k, w := range n.wires {
			select {
			case <-w.closed:
			default:
				t.Errorf("socket %v was left open", k)
			}
		}
		if len(a.Interfaces()) != 0 {
			t.Errorf("after Run: interfaces %v", a.Interfaces())
		}
	})
}

func (n *network) links(i ...link.Interface) {
	n.news <- link.Snapshot{Interfaces: i}
	synctest.Wait()
}

func want(addresses ...netip.Addr) Want {
	w := Want{Peers: []net.HardwareAddr{peer.Hardware(), {1, 2, 3}}}
	for _, a := range addresses {
		w.Announcements = append(w.Announcements, lb.Announcement{Address: a})
	}
	return w
}

func question4(a netip.Addr) []byte {
	return arp.Packet{
		Destination: ether.Broadcast, Source: client, Operation: arp.Request,
		SenderMAC: client, SenderIP: asker4, TargetIP: a,
	}.Append(nil)
}

func question6(a netip.Addr) []byte {
	group := ndp.SolicitedNode(a)
	return ndp.Message{
		Destination: ether.Multicast(group), Source: client, From: asker6, To: group,
		Type: ndp.Solicitation, Target: a, LinkAddress: client,
	}.Append(nil)
}

// hears gives a frame to the announcer and returns what it sends at once.
func (w *wire) hears(frame []byte) [][]byte {
	w.sent()
	w.in <- frame
	synctest.Wait()
	return w.sent()
}

func TestTakesOverAnswersAndReleases(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, registry *prometheus.Registry) {
		a.Apply(want(vip4, vip6))
		if got := a.Claims(); len(got) != 2 || got[0].State != lb.NoInterface {
			t.Errorf("before there is an interface: %v", got)
		}
		n.links(eth0)
		arps, ndps := n.wire(protocolARP, "eth0"), n.wire(protocolNDP, "eth0")
		announced4 := [][]byte{arp.Announcement(us, vip4).Append(nil), arp.GratuitousReply(us, vip4).Append(nil)}
		announced6 := [][]byte{ndp.Announcement(us, vip6).Append(nil)}
		if diff := cmp.Diff(announced4, arps.sent()); diff != "" {
			t.Errorf("ARP at once (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(announced6, ndps.sent()); diff != "" {
			t.Errorf("NDP at once (-want +got):\n%s", diff)
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if got := arps.sent(); len(got) != 2 {
			t.Errorf("%d ARP frames after 20 ms", len(got))
		}
		group := []netip.Addr{ndp.SolicitedNode(vip6)}
		if diff := cmp.Diff(group, n.groupsOf(eth0.Index), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}

		asked, _ := arp.Parse(question4(vip4))
		if diff := cmp.Diff([][]byte{asked.Answer(us).Append(nil)}, arps.hears(question4(vip4))); diff != "" {
			t.Errorf("ARP answer (-want +got):\n%s", diff)
		}
		asked6, _ := ndp.Parse(question6(vip6))
		if diff := cmp.Diff([][]byte{asked6.Answer(us).Append(nil)}, ndps.hears(question6(vip6))); diff != "" {
			t.Errorf("NDP answer (-want +got):\n%s", diff)
		}
		if got := arps.hears(question4(asker4)); len(got) != 0 {
			t.Errorf("answered for an address of others: %x", got)
		}
		if got := arps.hears([]byte{1, 2, 3}); len(got) != 0 {
			t.Errorf("answered to rubbish: %x", got)
		}

		a.Apply(Want{})
		synctest.Wait()
		if got := arps.hears(question4(vip4)); len(got) != 0 {
			t.Errorf("answered after release: %x", got)
		}
		time.Sleep(time.Hour)
		if got := slices.Concat(arps.sent(), ndps.sent()); len(got) != 0 {
			t.Errorf("sent after release: %x", got)
		}
		if got := n.groupsOf(eth0.Index); len(got) != 0 {
			t.Errorf("groups after release: %v", got)
		}
		for name, want := range map[string]float64{
			"fairlead_arp_requests_total": 1, "fairlead_arp_replies_total": 1,
			"fairlead_ndp_solicitations_total": 1, "fairlead_ndp_advertisements_total": 1,
		} {
			if got := counter(t, registry, name, "iface", "eth0"); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		for family, want := range map[string]float64{"IPv4": 2, "IPv6": 2} {
			if got := counter(t, registry, "fairlead_gratuitous_total", "family", family); got != want {
				t.Errorf("gratuitous %s: %v, want %v", family, got, want)
			}
		}
		for reason, want := range map[string]float64{"arp_short": 1, "not_ours": 2} {
			if got := counter(t, registry, "fairlead_announce_drops_total", "reason", reason); got != want {
				t.Errorf("drops %s: %v, want %v", reason, got, want)
			}
		}
	})
}

func counter(t *testing.T, r *prometheus.Registry, name, label, value string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && (label == "" || m.Label[0].GetName() == label && m.Label[0].GetValue() == value) {
				return m.Counter.GetValue()
			}
		}
	}
	t.Errorf("no counter %s{%s=%q}", name, label, value)
	return 0
}

func TestMetricsAreWellFormed(t *testing.T) {
	registry := prometheus.NewRegistry()
	New(Options{Metrics: registry})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) != 0 {
		t.Error(problems, err)
	}
}

func TestFreshAddressIsProbedOnTheWire(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, registry *prometheus.Registry) {
		n.links(eth0)
		w := want(vip4, vip6)
		w.Announcements[0].Fresh, w.Announcements[1].Fresh = true, true
		a.Apply(w)
		time.Sleep(250 * time.Millisecond)
		arps, ndps := n.wire(protocolARP, "eth0"), n.wire(protocolNDP, "eth0")
		probe4, probe6 := arp.Probe(us, vip4).Append(nil), ndp.Probe(us, vip6).Append(nil)
		if diff := cmp.Diff([][]byte{probe4, probe4, probe4}, arps.sent()); diff != "" {
			t.Errorf("ARP probes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([][]byte{probe6, probe6, probe6}, ndps.sent()); diff != "" {
			t.Errorf("NDP probes (-want +got):\n%s", diff)
		}
		drain(a.Changed())
		arps.hears(arp.Announcement(foreign, vip4).Append(nil))
		select {
		case <-a.Changed():
		default:
			t.Error("the conflict was not signalled")
		}
		time.Sleep(time.Second)
		got := a.Claims()
		if got[0].State != lb.Conflict || got[0].Detail != "52:54:00:12:34:56 answers for it on eth0" {
			t.Errorf("IPv4: %v", got[0])
		}
		if got[1].State != lb.Announced {
			t.Errorf("IPv6: %v", got[1])
		}
		if n := counter(t, registry, "fairlead_address_conflicts_total", "", ""); n != 1 {
			t.Errorf("conflicts counted: %v", n)
		}
		time.Sleep(11 * time.Second)
		if got := a.Claims()[0]; got.State != lb.Announced {
			t.Errorf("free again: %v", got)
		}
	})
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

func TestDefenceDoesNotWaitForTheNextAnnouncement(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, _ *prometheus.Registry) {
		n.links(eth0)
		a.Apply(want(vip4))
		time.Sleep(11 * time.Second)
		got := n.wire(protocolARP, "eth0").hears(arp.Announcement(foreign, vip4).Append(nil))
		if diff := cmp.Diff([][]byte{arp.Announcement(us, vip4).Append(nil)}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestTakeOverByAPeerIsSignalled(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, _ *prometheus.Registry) {
		n.links(eth0)
		a.Apply(want(vip4))
		time.Sleep(time.Second)
		drain(a.Changed())
		leaving := time.Now()
		n.wire(protocolARP, "eth0").hears(arp.Announcement(peer, vip4).Append(nil))
		<-a.Changed()
		if at := a.TakenOver(vip4); at.Before(leaving) {
			t.Errorf("taken over at %s, leaving since %s", at, leaving)
		}
		if at := a.TakenOver(vip6); !at.IsZero() {
			t.Errorf("an address that is not ours was taken over at %s", at)
		}
	})
}

func TestInterfacesAreThoseWithAWorkingSocket(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, _ *prometheus.Registry) {
		n.mu.Lock()
		n.refuse[wireKey{protocolARP, "eth1"}] = unix.EPERM
		n.refuse[wireKey{protocolNDP, "eth1"}] = unix.EPERM
		n.mu.Unlock()
		a.Apply(want(vip4))
		n.links(eth0, eth1)
		if diff := cmp.Diff([]lb.Interface{{Name: "eth0", MAC: us.Hardware()}}, a.Interfaces()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(20 * time.Second)
		n.mu.Lock()
		tries := n.opened[wireKey{protocolARP, "eth1"}]
		n.mu.Unlock()
		if tries < 5 || tries > 12 {
			t.Errorf("tried %d times in 20 s", tries)
		}
		drain(a.Changed())
		n.mu.Lock()
		clear(n.refuse)
		n.mu.Unlock()
		time.Sleep(6 * time.Second)
		<-a.Changed()
		if got := a.Interfaces(); len(got) != 2 {
			t.Errorf("interfaces %v", got)
		}
		if got := a.Claims()[0].Interfaces; len(got) != 2 {
			t.Errorf("announced on %v", got)
		}
	})
}

func TestBrokenSocketIsOpenedAnewAndTheAddressAnnouncedThere(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, _ *prometheus.Registry) {
		a.Apply(want(vip4))
		n.links(eth0, eth1)
		time.Sleep(11 * time.Second)
		old, other := n.wire(protocolARP, "eth0"), n.wire(protocolARP, "eth1")
		old.sent()
		other.sent()
		old.broken <- unix.ENETDOWN
		synctest.Wait()
		if diff := cmp.Diff([]string{"eth1"}, a.Claims()[0].Interfaces); diff != "" {
			t.Errorf("while the socket is broken (-want +got):\n%s", diff)
		}
		if got := other.hears(question4(vip4)); len(got) != 1 {
			t.Errorf("the other interface answers %x", got)
		}
		time.Sleep(firstReopen)
		synctest.Wait()
		anew := n.wire(protocolARP, "eth0")
		if anew == old || len(anew.sent()) != 2 {
			t.Error("not announced on the new socket")
		}
		if got := other.sent(); len(got) != 0 {
			t.Errorf("the other interface announced too: %x", got)
		}

		anew.mu.Lock()
		anew.err = unix.ENXIO // the answer cannot be sent
		anew.mu.Unlock()
		anew.hears(question4(vip4))
		time.Sleep(time.Second)
		if n.wire(protocolARP, "eth0") == anew {
			t.Error("a socket that cannot send was kept")
		}
	})
}

func TestFullInterfaceQueueIsNoReasonToReopen(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, registry *prometheus.Registry) {
		a.Apply(want(vip4))
		n.links(eth0)
		w := n.wire(protocolARP, "eth0")
		w.mu.Lock()
		w.err = unix.ENOBUFS
		w.mu.Unlock()
		w.hears(question4(vip4))
		if got := w.hears(question4(vip4)); len(got) != 1 {
			t.Errorf("afterwards: %x", got)
		}
		if got := counter(t, registry, "fairlead_announce_drops_total", "reason", "send_congested"); got != 1 {
			t.Errorf("counted %v", got)
		}
	})
}

func TestStuckInterfaceDoesNotStopOthers(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, registry *prometheus.Registry) {
		n.links(eth0, eth1)
		stuck := n.wire(protocolARP, "eth0")
		stuck.mu.Lock()
		stuck.stuck = make(chan struct{})
		stuck.mu.Unlock()
		a.Apply(want(vip4))
		synctest.Wait()
		other := n.wire(protocolARP, "eth1")
		if got := other.sent(); len(got) != 2 {
			t.Errorf("announced on the other: %x", got)
		}
		time.Sleep(outBatches * 2 * time.Minute) // the queue overflows, the loop goes on
		if got := other.hears(question4(vip4)); len(got) != 1 {
			t.Errorf("answered on the other: %x", got)
		}
		if got := counter(t, registry, "fairlead_announce_drops_total", "reason", "send_queue_full"); got == 0 {
			t.Error("nothing was counted as lost")
		}
	})
}

func TestLinkNewsRestartOnlyWhatTheyConcern(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, _ *prometheus.Registry) {
		without := eth0
		without.NDP = false
		a.Apply(want(vip4, vip6))
		n.links(without)
		time.Sleep(11 * time.Second)
		arps := n.wire(protocolARP, "eth0")
		arps.sent()

		n.links(eth0) // its link-local address is there now
		if n.wire(protocolARP, "eth0") != arps || len(arps.sent()) != 0 {
			t.Error("IPv4 was disturbed by IPv6")
		}
		if got := n.wire(protocolNDP, "eth0").sent(); len(got) != 1 {
			t.Errorf("IPv6 announced: %x", got)
		}

		again := eth0
		again.Epoch++
		n.links(again)
		if n.wire(protocolARP, "eth0") != arps || len(arps.sent()) != 2 {
			t.Error("after a bond's fail-over: want an announcement on the same socket")
		}

		again.MAC = us2
		n.links(again)
		moved := n.wire(protocolARP, "eth0")
		want := [][]byte{arp.Announcement(us2, vip4).Append(nil), arp.GratuitousReply(us2, vip4).Append(nil)}
		if diff := cmp.Diff(want, moved.sent()); diff != "" {
			t.Errorf("after the MAC changed (-want +got):\n%s", diff)
		}
		select {
		case <-arps.closed:
		default:
			t.Error("the old socket is open")
		}

		n.links()
		if got := a.Claims()[0]; got.State != lb.NoInterface {
			t.Errorf("link gone: %v", got)
		}
		n.links(again) // back while the old station may still be ending
		if got := a.Claims()[0]; got.State != lb.Announced {
			t.Errorf("link back: %v", got)
		}
	})
}

func TestStationThatEndsLateDoesNotCloseItsSuccessor(t *testing.T) {
	a := New(Options{Log: slog.New(slog.DiscardHandler)})
	a.setLinks(link.Snapshot{Interfaces: []link.Interface{eth0}})
	key := stationKey{protocolARP, eth0.Index, eth0.Name, eth0.MAC}
	old, successor := newStation(a, key, func() {}), newStation(a, key, func() {})
	a.setOpen(old, true)
	a.setOpen(successor, true)
	a.setOpen(old, false)
	if len(a.Interfaces()) != 1 {
		t.Error("the interface is gone although its socket works")
	}
	a.setOpen(successor, false)
	if len(a.Interfaces()) != 0 {
		t.Error("the interface is there although it has no socket")
	}
}

func TestRunCanBeRepeated(t *testing.T) {
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		n := &network{
			news: make(chan link.Snapshot), wires: map[wireKey]*wire{}, opened: map[wireKey]int{},
			refuse: map[wireKey]error{}, groups: map[int][]netip.Addr{},
		}
		a := New(Options{Log: slog.New(slog.DiscardHandler)})
		a.rim = rim{watch: n.watch, open: n.open, member: func(index int) membership { return joined{n, index} }}
		a.Apply(want(vip4))
		for range 2 {
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- a.Run(ctx) }()
			n.links(eth0)
			if got := a.Claims()[0]; got.State != lb.Announced {
				t.Errorf("running: %v", got)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRunEndsWhenWatchingFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	a := New(Options{Exclude: []string{"[bad"}, Log: slog.New(slog.DiscardHandler)})
	if err := a.Run(t.Context()); err == nil || !errors.Is(err, path.ErrBadPattern) {
		t.Error(err)
	}
}

func TestApplyFromManyGoroutines(t *testing.T) {
	play(t, func(t *testing.T, a *Announcer, n *network, _ *prometheus.Registry) {
		n.links(eth0)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 50 {
					if i%2 == 0 {
						a.Apply(want(vip4, vip6))
					} else {
						a.Apply(want(vip4))
					}
					a.Claims()
					a.Interfaces()
					a.TakenOver(vip4)
				}
			})
		}
		all.Wait()
		if got := n.wire(protocolARP, "eth0").hears(question4(vip4)); len(got) == 0 {
			t.Error("not answered")
		}
	})
}

func TestAnswerAllocatesNothing(t *testing.T) {
	a := New(Options{})
	key := stationKey{protocolARP, eth0.Index, eth0.Name, eth0.MAC}
	a.links = link.Snapshot{Interfaces: []link.Interface{eth0}}
	s := newStation(a, key, func() {})
	a.setOpen(s, true)
	key.protocol = protocolNDP
	s6 := newStation(a, key, func() {})
	a.setOpen(s6, true)
	a.Apply(want(vip4, vip6))
	out := make([]byte, 0, frameLen)
	for _, c := range []struct {
		s     *station
		frame []byte
	}{{s, question4(vip4)}, {s6, question6(vip6)}, {s, question4(asker4)}, {s, []byte{1}}} {
		if n := testing.AllocsPerRun(100, func() { c.s.answer(c.frame, out[:0]) }); n != 0 {
			t.Errorf("%v allocations for %x", n, c.frame)
		}
	}
}
