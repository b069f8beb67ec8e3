package announce

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

// barrier is a gate that a test opens and shuts.
type barrier struct {
	isOpen atomic.Bool
	times  atomic.Uint64
}

func (b *barrier) Open() bool     { return b.isOpen.Load() }
func (b *barrier) Opened() uint64 { return b.times.Load() }

func (b *barrier) open() {
	b.times.Add(1)
	b.isOpen.Store(true)
}

func (b *barrier) shut() { b.isOpen.Store(false) }

// lapse is a gate that was shut while nobody of this process looked.
func (b *barrier) lapse() { b.times.Add(1) }

// playGated is play with a gate, which is shut at first, and eth0.
func playGated(t *testing.T, script func(t *testing.T, a *Announcer, n *network, b *barrier, r *prometheus.Registry)) {
	t.Helper()
	b := &barrier{}
	playWith(t, Options{Gate: b}, func(t *testing.T, a *Announcer, n *network, r *prometheus.Registry) {
		n.links(eth0)
		script(t, a, n, b, r)
	})
}

func announcement4(a netip.Addr) [][]byte {
	return [][]byte{arp.Announcement(us, a).Append(nil), arp.GratuitousReply(us, a).Append(nil)}
}

func announcement6(a netip.Addr) [][]byte { return [][]byte{ndp.Announcement(us, a).Append(nil)} }

func TestShutGateLetsNothingOutAndAnnouncesWhatWasDueWhenItOpens(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, r *prometheus.Registry) {
		arps, ndps := n.wire(protocolARP, "eth0"), n.wire(protocolNDP, "eth0")
		a.Apply(want(vip4, vip6))
		time.Sleep(time.Minute)
		if got := append(arps.hears(question4(vip4)), ndps.hears(question6(vip6))...); len(got) != 0 {
			t.Errorf("answered while shut: %x", got)
		}
		if got := append(arps.sent(), ndps.sent()...); len(got) != 0 {
			t.Errorf("sent while shut: %x", got)
		}
		if got := counter(t, r, "fairlead_announce_drops_total", "reason", "gate_shut"); got != 2 {
			t.Errorf("%v answers counted as held back, want 2", got)
		}
		for _, name := range []string{"fairlead_arp_replies_total", "fairlead_ndp_advertisements_total"} {
			if got := counter(t, r, name, "iface", "eth0"); got != 0 {
				t.Errorf("%s counts %v answers that were not sent", name, got)
			}
		}

		b.open()
		time.Sleep(reopenPoll)
		synctest.Wait()
		if diff := cmp.Diff(announcement4(vip4), arps.sent()); diff != "" {
			t.Errorf("ARP when it opened (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(announcement6(vip6), ndps.sent()); diff != "" {
			t.Errorf("NDP when it opened (-want +got):\n%s", diff)
		}
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		if got := len(arps.sent()); got != 6 {
			t.Errorf("%d frames in the next 600 ms, want the 6 of a burst", got)
		}
		if got := arps.hears(question4(vip4)); len(got) != 1 {
			t.Errorf("answers of an open gate: %x", got)
		}
	})
}

func TestWhatIsNotWantedAnyMoreIsNotAnnouncedWhenTheGateOpens(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, _ *prometheus.Registry) {
		a.Apply(want(vip4))
		time.Sleep(time.Second)
		a.Apply(Want{})
		b.open()
		time.Sleep(5 * time.Minute)
		if got := n.wire(protocolARP, "eth0").sent(); len(got) != 0 {
			t.Errorf("sent %x", got)
		}
	})
}

func TestWhoAskedInVainIsToldWhenTheGateOpens(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, _ *prometheus.Registry) {
		b.open()
		a.Apply(want(vip4, vip6))
		time.Sleep(11 * time.Second) // the bursts are over
		arps, ndps := n.wire(protocolARP, "eth0"), n.wire(protocolNDP, "eth0")
		b.shut()
		arps.hears(question4(vip4))
		ndps.sent()
		time.Sleep(100 * time.Millisecond)
		b.open()
		time.Sleep(reopenPoll)
		synctest.Wait()
		if diff := cmp.Diff(announcement4(vip4), arps.sent()); diff != "" {
			t.Errorf("the address that was asked for (-want +got):\n%s", diff)
		}
		if got := ndps.sent(); len(got) != 0 {
			t.Errorf("the address that nobody asked for: %x", got)
		}
	})
}

// A process that was stopped between deciding and writing.
func TestWhatWasDecidedBeforeTheGateOpenedDoesNotLeave(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, r *prometheus.Registry) {
		b.open()
		a.Apply(want(vip4))
		time.Sleep(11 * time.Second)
		arps := n.wire(protocolARP, "eth0")
		arps.sent()

		s := newStation(a, stationKey{protocolARP, eth0.Index, eth0.Name, eth0.MAC}, func() {})
		before := a.pass()
		answer, about := s.answer(question4(vip4), nil)
		b.lapse()
		if left, err := s.write(arps, answer, before); left || err != nil {
			t.Errorf("a stale answer left: %v %v", left, err)
		}
		if left, err := s.write(arps, answer, a.pass()); !left || err != nil {
			t.Errorf("a new answer did not leave: %v %v", left, err)
		}
		if about != vip4 {
			t.Errorf("the answer is about %s", about)
		}
		if got := counter(t, r, "fairlead_announce_drops_total", "reason", "gate_shut"); got != 1 {
			t.Errorf("counted %v", got)
		}
	})
}

// The same for announcements, through the queue of an interface that is slow.
func TestAnnouncementsFromBeforeTheGateOpenedAreMadeAnew(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, _ *prometheus.Registry) {
		b.open()
		arps := n.wire(protocolARP, "eth0")
		release := make(chan struct{})
		arps.mu.Lock()
		arps.stuck = release
		arps.mu.Unlock()
		a.Apply(want(vip4))
		time.Sleep(50 * time.Millisecond) // the first frame is in Write, the second announcement waits
		b.lapse()
		arps.mu.Lock()
		arps.stuck = nil
		arps.mu.Unlock()
		close(release)
		synctest.Wait()
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		// Without the pass there would be three: what is left of the first, and the second.
		if diff := cmp.Diff(announcement4(vip4), arps.sent()); diff != "" {
			t.Errorf("after the gate was shut for a moment (-want +got):\n%s", diff)
		}
	})
}

func TestAddressIsAskedForAnewWhenTheGateWasShutMeanwhile(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, _ *prometheus.Registry) {
		b.open()
		w := want(vip4)
		w.Announcements[0].Fresh = true
		a.Apply(w)
		time.Sleep(250 * time.Millisecond) // three probes are out, the answer is waited for
		arps := n.wire(protocolARP, "eth0")
		arps.sent()
		b.shut()
		time.Sleep(time.Hour)
		if got := a.Claims()[0]; got.State != lb.Probing {
			t.Errorf("while shut: %v", got)
		}
		b.open()
		time.Sleep(reopenPoll + 350*time.Millisecond)
		synctest.Wait()
		probe := arp.Probe(us, vip4).Append(nil)
		if diff := cmp.Diff([][]byte{probe, probe, probe}, arps.sent()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(100 * time.Millisecond)
		if got := a.Claims()[0]; got.State != lb.Announced {
			t.Errorf("when nobody answered: %v", got)
		}
	})
}

func TestPeerThatTookOverWhileWeWereShutKeepsTheAddress(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, _ *prometheus.Registry) {
		b.open()
		a.Apply(want(vip4))
		time.Sleep(11 * time.Second)
		arps := n.wire(protocolARP, "eth0")
		b.shut()
		arps.hears(question4(vip4))
		arps.hears(arp.Announcement(peer, vip4).Append(nil))
		if a.TakenOver(vip4).IsZero() {
			t.Error("a peer was not heard while the gate was shut")
		}
		b.open()
		time.Sleep(20 * time.Second) // within Yield
		if got := arps.sent(); len(got) != 0 {
			t.Errorf("the address was taken back from its new owner: %x", got)
		}
	})
}

// The kernel's gate answers a write with ENOBUFS, as a full queue does.
func TestFrameThatTheKernelHeldBackIsNotCongestion(t *testing.T) {
	playGated(t, func(t *testing.T, a *Announcer, n *network, b *barrier, r *prometheus.Registry) {
		b.open()
		a.Apply(want(vip4))
		time.Sleep(11 * time.Second)
		s := newStation(a, stationKey{protocolARP, eth0.Index, eth0.Name, eth0.MAC}, func() {})
		left, err := s.write(heldBack{n.wire(protocolARP, "eth0"), b}, question4(vip4), a.pass())
		if left || err != nil {
			t.Errorf("%v %v", left, err)
		}
		for reason, want := range map[string]float64{"gate_shut": 1, "send_congested": 0} {
			if got := counter(t, r, "fairlead_announce_drops_total", "reason", reason); got != want {
				t.Errorf("%s counts %v, want %v", reason, got, want)
			}
		}
	})
}

// heldBack is a socket on which the gate shuts while a frame is written.
type heldBack struct {
	socket
	gate *barrier
}

func (h heldBack) Write([]byte) error {
	h.gate.shut()
	return unix.ENOBUFS
}

func TestPassCostsNoAllocation(t *testing.T) {
	b := &barrier{}
	b.open()
	a := New(Options{Gate: b})
	s := newStation(a, stationKey{protocolARP, eth0.Index, eth0.Name, eth0.MAC}, func() {})
	var w socket = discard{}
	frame := question4(vip4)
	if n := testing.AllocsPerRun(100, func() {
		if left, err := s.write(w, frame, a.pass()); !left || err != nil {
			t.Error(left, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a frame that passes", n)
	}
}

// discard is a socket that takes everything.
type discard struct{ socket }

func (discard) Write([]byte) error { return nil }
