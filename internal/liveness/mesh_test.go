package liveness

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ensemble is a segment on the loopback interface: 127.0.9.1 and on.
type ensemble struct {
	testing.TB
	meshes []*Mesh
	stop   []func()
}

func play(t testing.TB, n int, port uint16) *ensemble {
	e := &ensemble{TB: t}
	var peers []Peer
	for i := range n {
		peers = append(peers, Peer{Node: fmt.Sprint("node-", i), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 9, byte(i + 1)})}})
	}
	for i := range n {
		m := New(Options{
			Node: peers[i].Node, Boot: uint64(i + 1), Cluster: "test", Port: port, Bind: peers[i].Addresses[0],
			Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		})
		if err := m.SetKeys(Keyring{oldKey}); err != nil {
			t.Fatal(err)
		}
		m.SetPeers(peers)
		e.meshes = append(e.meshes, m)
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() {
			if err := m.Run(ctx, nil); err != nil {
				t.Error(err)
			}
		})
		e.stop = append(e.stop, func() { cancel(); done.Wait() })
	}
	t.Cleanup(func() {
		for _, stop := range e.stop {
			stop()
		}
	})
	return e
}

// count reads a counter of m, the one with the label where that is not empty.
func count(t testing.TB, m *Mesh, name, label string) float64 {
	t.Helper()
	families, err := m.options.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			if f.GetName() == name && (label == "" || one.GetLabel()[0].GetValue() == label) {
				return one.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no counter %s %s", name, label)
	return 0
}

// until waits for Changed of the first mesh until a condition holds.
func (e *ensemble) until(what string, done func() bool) {
	e.Helper()
	limit := time.After(10 * time.Second)
	for !done() {
		select {
		case <-limit:
			e.Fatalf("%s: not within 10 s: %+v", what, e.meshes[0].View())
		case <-e.meshes[0].Changed():
		case <-time.After(5 * ms):
		}
	}
}

func (e *ensemble) all(s State) func() bool {
	return func() bool {
		for _, m := range e.meshes {
			for _, n := range m.View() {
				if n.State != s {
					return false
				}
			}
		}
		return true
	}
}

func TestMeshFindsLosesAndBidsFarewell(t *testing.T) {
	e := play(t, 3, 17474)
	a := e.meshes[0]
	e.until("all alive", e.all(Alive))
	for _, n := range a.View() {
		if !a.Alive(n.Node, false) || !n.HearsUs || n.Heard.IsZero() || n.Key != keyIDOf(oldKey) {
			t.Errorf("%+v", n)
		}
	}
	if !a.Quorate() || !a.Alive("node-0", false) || !a.Alive("unknown", true) || a.Alive("unknown", false) {
		t.Error("alone among the living")
	}

	start := time.Now()
	e.meshes[1].Leave(t.Context())
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the goodbye took %s", took)
	}
	e.until("goodbye", func() bool { return !a.Alive("node-1", true) })
	if e.meshes[1].Alive("node-1", true) {
		t.Error("who left believes that it counts")
	}
	e.stop[1]()

	e.stop[2]() // without a word
	stopped := time.Now()
	e.until("death", func() bool { return !a.Alive("node-2", true) })
	t.Logf("dead after %s, of two", time.Since(stopped).Round(ms))
	if !a.Quorate() {
		t.Error("the last of two has no quorum")
	}
	if n := count(t, a, "fairlead_liveness_verdicts_total", string(Dead)); n != 1 {
		t.Errorf("%v deaths counted", n)
	}
}

func TestKeyIsChangedWithoutAGap(t *testing.T) {
	e := play(t, 3, 17475)
	e.until("all alive", e.all(Alive))
	for _, step := range []Keyring{{oldKey, newKey}, {newKey, oldKey}, {newKey}} {
		for _, m := range e.meshes { // one after the other, as a Secret arrives
			if err := m.SetKeys(step); err != nil {
				t.Fatal(err)
			}
			time.Sleep(60 * ms)
		}
		time.Sleep(120 * ms)
	}
	for i, m := range e.meshes {
		for _, n := range m.View() {
			if n.Key != keyIDOf(newKey) || n.State != Alive {
				t.Errorf("node-%d: %+v", i, n)
			}
		}
		for _, d := range []Drop{DropKey, DropMAC} {
			if n := count(t, m, "fairlead_heartbeats_dropped_total", string(d)); n != 0 {
				t.Errorf("node-%d dropped %v as %s", i, n, d)
			}
		}
		if n := count(t, m, "fairlead_liveness_verdicts_total", string(Dead)); n != 0 {
			t.Errorf("node-%d found %v dead", i, n)
		}
	}
}

func TestKeysThatAreBadChangeNothing(t *testing.T) {
	e := play(t, 2, 17476)
	e.until("all alive", e.all(Alive))
	for _, bad := range []Keyring{nil, {[]byte("short")}} {
		if err := e.meshes[0].SetKeys(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	time.Sleep(500 * ms)
	if !e.all(Alive)() {
		t.Errorf("%+v", e.meshes[1].View())
	}
}

func TestWithoutAKeyNothingIsKnown(t *testing.T) {
	m := New(Options{Node: "alone", Boot: 1})
	m.SetPeers([]Peer{{Node: "other"}})
	if !m.Quorate() || !m.Alive("alone", true) || m.Alive("alone", false) || !m.Alive("other", true) {
		t.Error("knows better than Kubernetes without having heard anything")
	}
	m.Leave(t.Context()) // returns though nothing runs
}

func TestPortInUseSaysWhatToLookFor(t *testing.T) {
	ctx := t.Context()
	at := netip.MustParseAddr("127.0.9.1")
	conn, err := listen(ctx, at, 17477)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = New(Options{Node: "a", Boot: 1, Bind: at, Port: 17477}).Run(ctx, nil)
	if err == nil || !strings.Contains(err.Error(), "another speaker") {
		t.Errorf("%v", err)
	}
}

func TestSendersReachBothFamilies(t *testing.T) {
	ctx := t.Context()
	conn, err := listen(ctx, netip.Addr{}, 17478) // all addresses, as in production
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, to := range []string{"127.0.0.1", "::1"} {
		s, err := dial(ctx, netip.Addr{}, netip.MustParseAddr(to), 17478)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if err := s.send([]byte(to)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		packet := make([]byte, 100)
		n, from, err := conn.ReadFromUDPAddrPort(packet)
		if err != nil || string(packet[:n]) != to || from.Addr().Unmap().String() != to {
			t.Errorf("%s: %q from %s, %v", to, packet[:n], from, err)
		}
	}
}

// heard is a mesh that is not run, with packets of a neighbour that it takes one
// after the other.
func heard(t testing.TB) (m *Mesh, next func() []byte) {
	m = New(Options{Node: "a", Boot: 1, Cluster: "test", Metrics: prometheus.NewRegistry()})
	if err := m.SetKeys(Keyring{newKey}); err != nil {
		t.Fatal(err)
	}
	m.SetPeers([]Peer{{Node: "b"}})
	m.machine.Step(m.now(), nil)
	m.machine.stamp = 1
	h := heartbeat{To: idOf("a"), From: idOf("b"), Boot: 2, EchoBoot: 1, EchoStamp: 1}
	c := newCodec("test", Keyring{newKey})
	packet := make([]byte, 0, packetSize)
	return m, func() []byte {
		h.Stamp++
		packet = c.seal(packet[:0], &h)
		return packet
	}
}

func TestTakingAHeartbeatAllocatesNothing(t *testing.T) {
	m, next := heard(t)
	m.take(next(), m.now())
	if n := testing.AllocsPerRun(1000, func() { m.machine.next = m.now(); m.take(next(), m.now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := count(t, m, "fairlead_heartbeats_received_total", ""); n < 1000 {
		t.Errorf("%v taken", n)
	}
}

// The kernel tells when a packet came by a clock that may be set at any time.
func TestAClockThatIsSetDatesNoHeartbeatOutsideOfTheTimeInWhichItCame(t *testing.T) {
	for age, late := range map[time.Duration]time.Duration{-time.Hour: 0, 0: 0, 10 * ms: 10 * ms, time.Hour: 28 * ms} {
		m, next := heard(t)
		m.began = m.began.Add(-500 * ms)
		since := m.now() - 28*ms
		m.takeAll(&inbox{letters: []letter{{next(), age}}}, since)
		if got := m.now() - m.machine.byID[idOfB].heard; got < late || got > late+20*ms {
			t.Errorf("%s old by the clock: taken as heard %s ago", age, got)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	m, next := heard(b)
	packet := next()
	b.ReportAllocs()
	for b.Loop() {
		m.machine.byID[idOfB].stamp = 0
		m.machine.next = m.machine.next + 50*ms
		m.take(packet, m.now())
	}
}

var idOfB = idOf("b")

func BenchmarkStep(b *testing.B) {
	for _, nodes := range []int{20, 100, 500} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			w := newNetwork(b, 1, 2)
			m := w.nodes[0].machine
			var names []string
			for i := range nodes {
				names = append(names, fmt.Sprint("n", i))
			}
			m.SetPeers(0, names)
			c := newCodec("test", Keyring{newKey})
			var out []send
			var packet []byte
			b.ReportAllocs()
			for b.Loop() {
				now := m.Next()
				for _, p := range m.peers {
					p.heard, p.life, p.state = now, now, Alive
				}
				out = m.Step(now, out[:0])
				for i := range out {
					packet = c.seal(packet[:0], &out[i].beat)
				}
			}
		})
	}
}
