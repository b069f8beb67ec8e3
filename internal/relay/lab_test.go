//go:build lab

package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// contextOf outlives the test by its cleanups.
func contextOf(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

func TestAnOpenConnectionSurvivesAMove(t *testing.T) {
	for _, uplinks := range []string{"veth", "bridge"} {
		t.Run(uplinks, func(t *testing.T) {
			s := newSegmentOf(t, uplinks)
			relays := s.b.relays()
			for name, vip := range vips {
				s.owns(s.a)
				c := s.mustDial(vip)
				c.answeredBy(t, s.a)
				relays.set(s.b.to(s.a))
				s.owns(s.b)
				for range 3 {
					c.answeredBy(t, s.a)
				}
				after := s.mustDial(vip)
				after.answeredBy(t, s.b)
				after.answeredBy(t, s.b)
				c.answeredBy(t, s.a)
				if t.Failed() {
					t.Log(name, s.b.ruleset())
				}
			}
		})
	}
}

// The control: what the relay is for.
func TestWithoutARelayAMoveResets(t *testing.T) {
	for name, vip := range vips {
		t.Run(name, func(t *testing.T) {
			s := newSegment(t)
			s.owns(s.a)
			c := s.mustDial(vip)
			c.answeredBy(t, s.a)
			s.owns(s.b)
			if got, err := c.ask(); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("got %q, %v; want a reset, or the other tests show nothing", got, err)
			}
		})
	}
}

func TestAThousandOpenConnectionsSurvive(t *testing.T) {
	s := newSegment(t)
	s.owns(s.a)
	var all []*open
	for i := range 1000 {
		c := s.mustDial([]netip.Addr{vip4, vip6}[i%2])
		c.answeredBy(t, s.a)
		all = append(all, c)
	}
	s.b.relays().set(s.b.to(s.a))
	s.owns(s.b)
	for _, c := range all {
		c.answeredBy(t, s.a)
	}
}

// Every connection is open at some move: this one asks all the time.
func TestNoRequestFailsWhileAddressesMoveToAndFro(t *testing.T) {
	s := newSegment(t)
	s.owns(s.a)
	ra, rb := s.a.relays(), s.b.relays()
	stop, done := make(chan struct{}), make(chan error, 8)
	for i := range cap(done) {
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := s.short(i + n); err != nil {
					done <- fmt.Errorf("connection %d of client %d: %w", n, i, err)
					return
				}
			}
		}()
	}
	for range 20 {
		rb.set(s.b.to(s.a))
		s.owns(s.b)
		time.Sleep(50 * time.Millisecond)
		ra.set(s.a.to(s.b))
		s.owns(s.a)
		time.Sleep(50 * time.Millisecond)
	}
	close(stop)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// short is a connection with two requests.
func (s *segment) short(n int) error {
	var c net.Conn
	err := s.client.inside(func() (err error) {
		c, err = net.DialTimeout("tcp", netip.AddrPortFrom([]netip.Addr{vip4, vip6}[n%2], 80).String(), 5*time.Second)
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	o := newOpen(c)
	for range 2 {
		if _, err := o.ask(); err != nil {
			return err
		}
	}
	return nil
}

func TestAnAddressMayComeBackWhileConnectionsOfBothAreOpen(t *testing.T) {
	for name, vip := range vips {
		t.Run(name, func(t *testing.T) {
			s := newSegment(t)
			ra, rb := s.a.relays(), s.b.relays()
			s.owns(s.a)
			first := s.mustDial(vip)
			first.answeredBy(t, s.a)
			rb.set(s.b.to(s.a))
			s.owns(s.b)
			second := s.mustDial(vip)
			first.answeredBy(t, s.a)
			second.answeredBy(t, s.b)
			ra.set(s.a.to(s.b)) // and B still relays to A
			s.owns(s.a)
			third := s.mustDial(vip)
			for range 2 {
				first.answeredBy(t, s.a)
				second.answeredBy(t, s.b)
				third.answeredBy(t, s.a)
			}
			rb.set(Want{}) // the caller's next look
			first.answeredBy(t, s.a)
			second.answeredBy(t, s.b)
			third.answeredBy(t, s.a)
		})
	}
}

func TestNodesThatRelayToEachOtherMakeNoLoop(t *testing.T) {
	const strays = 200
	s := newSegment(t)
	s.a.relays().set(s.a.to(s.b))
	s.b.relays().set(s.b.to(s.a))
	s.owns(s.b)
	s.client.strays(vip4, 1) // so that A knows the client's MAC
	time.Sleep(50 * time.Millisecond)
	beforeA, beforeB := s.a.received(), s.b.received()
	s.client.strays(vip4, strays)
	time.Sleep(200 * time.Millisecond)
	a, b := s.a.received()-beforeA, s.b.received()-beforeB
	t.Logf("%d packets of no connection: B received %d frames, A %d", strays, b, a)
	if a < strays || a > strays+50 || b < strays || b > strays+50 {
		t.Errorf("B received %d frames and A %d for %d packets, want each of them once", b, a, strays)
	}
}

func (h *host) received() uint64 { return h.link(h.uplink).Attrs().Statistics.RxPackets }

// strays sends TCP packets that belong to no connection.
func (h *host) strays(to netip.Addr, n int) {
	h.Helper()
	h.check(h.inside(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for i := range n {
			segment := make([]byte, 20)
			copy(segment, []byte{byte(40 + i>>8), byte(i), 0, 80})
			segment[12], segment[13] = 5<<4, tcpACK
			if err := unix.Sendto(fd, segment, 0, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
				return err
			}
		}
		return nil
	}))
}

func TestRemovalRestoresThePlainPath(t *testing.T) {
	s := newSegment(t)
	s.owns(s.a)
	old := s.mustDial(vip4)
	old.answeredBy(t, s.a)
	relays := s.b.relays()
	relays.set(s.b.to(s.a))
	s.owns(s.b)
	held := s.mustDial(vip4)
	held.answeredBy(t, s.b)
	relays.set(Want{})
	if left := s.b.ruleset(); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	held.answeredBy(t, s.b)
	s.mustDial(vip4).answeredBy(t, s.b)
	if got, err := old.ask(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the old connection gets %q, %v, want a reset: nobody relays", got, err)
	}
}

func TestARelayOfOneAddressKeepsWhatItLearnedWhileOthersComeAndGo(t *testing.T) {
	s := newSegment(t)
	s.owns(s.b)
	relays := s.b.relays()
	one := s.b.to(s.a)
	one.Relays = one.Relays[:1]
	relays.set(one)
	c := s.mustDial(vip4)
	c.answeredBy(t, s.b)
	// Conntrack forgets; only the set knows. The server's socket still does.
	s.b.check(s.b.inside(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))
	relays.set(s.b.to(s.a))
	c.answeredBy(t, s.b)
	relays.set(one)
	c.answeredBy(t, s.b)
	before := s.b.ruleset()
	relays.set(one)
	if after := s.b.ruleset(); handles(after) != handles(before) {
		t.Errorf("saying the same again changed the rules:\n%s\n%s", before, after)
	}
	c.answeredBy(t, s.b)
}

// handles are the lines of rules with their numbers, without what packets change.
func handles(ruleset string) string {
	var out []string
	for line := range strings.Lines(ruleset) {
		if i := strings.Index(line, "# handle"); i >= 0 {
			out = append(out, strings.TrimSpace(line[i:]))
		}
	}
	return strings.Join(out, "\n")
}

func TestRulesThatSomebodyFlushedComeBack(t *testing.T) {
	s := newSegment(t)
	s.owns(s.a)
	c := s.mustDial(vip4)
	c.answeredBy(t, s.a)
	relays := s.b.relays()
	relays.set(s.b.to(s.a))
	s.b.run("", "nft", "delete", "table", "netdev", tableName)
	relays.set(s.b.to(s.a))
	s.owns(s.b)
	c.answeredBy(t, s.a)
}

func TestAnInterfaceThatGoesTakesItsRelaysWithIt(t *testing.T) {
	s := newSegment(t)
	relays := s.b.relays()
	s.b.run("", "ip", "link", "add", "other0", "type", "veth", "peer", "other1")
	both := s.b.to(s.a)
	both.Relays = append(both.Relays, Relay{VIP: vip4, Interface: "other0", Via: s.a.mac()})
	relays.set(both)
	if !strings.Contains(s.b.ruleset(), `device "other0"`) {
		t.Fatal(s.b.ruleset())
	}
	s.b.run("", "ip", "link", "del", "other0")
	if err := relays.try(both); err == nil || !strings.Contains(err.Error(), `no interface "other0"`) {
		t.Errorf("got %v, want that other0 is named", err)
	}
	s.owns(s.a)
	c := s.mustDial(vip4)
	c.answeredBy(t, s.a)
	s.owns(s.b)
	c.answeredBy(t, s.a)
	relays.set(s.b.to(s.a))
	if strings.Contains(s.b.ruleset(), "other0") {
		t.Errorf("other0 is still there:\n%s", s.b.ruleset())
	}
	c.answeredBy(t, s.a)
}

// Packets that another program looks at are shared; large ones are put together from
// many, their checksum still to be made by a card that is not there.
func TestLargePacketsArriveWhole(t *testing.T) {
	for name, vip := range vips {
		t.Run(name, func(t *testing.T) {
			s := newSegment(t)
			s.b.check(s.b.inside(func() error {
				fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0300) // ETH_P_ALL
				t.Cleanup(func() { unix.Close(fd) })
				return err
			}))
			s.owns(s.a)
			c := s.mustDial(vip)
			c.answeredBy(t, s.a)
			s.b.relays().set(s.b.to(s.a))
			s.owns(s.b)
			body := make([]byte, 64<<20)
			random := rand.NewChaCha8([32]byte{1})
			_, _ = random.Read(body)
			before, start := s.a.received(), time.Now()
			got, err := c.post("/sum", bytes.NewReader(body), int64(len(body)))
			if want := fmt.Sprintf("%x", sha256.Sum256(body)); err != nil || got != want {
				t.Errorf("64 MiB by way of B arrive as %s, %v; want %s", got, err, want)
			}
			n := s.a.received() - before
			t.Logf("64 MiB in %s; %d frames, %d bytes each", time.Since(start), n, uint64(len(body))/n)
			if size := uint64(len(body)) / n; size < 3000 {
				t.Errorf("frames of %d bytes: this did not test large packets", size)
			}
		})
	}
}

func sum(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	_, _ = io.Copy(h, r.Body)
	fmt.Fprintf(w, "%x", h.Sum(nil))
}

const victim = "FAIRLEAD_RELAY_VICTIM"

// TestMain is also the program that is killed.
func TestMain(m *testing.M) {
	if via := os.Getenv(victim); via != "" {
		mac, _ := net.ParseMAC(via)
		err := New(Options{}).Set(context.Background(), Want{Relays: []Relay{{VIP: vip4, Interface: "eth0", Via: mac}}})
		fmt.Println("set", err)
		select {}
	}
	os.Exit(m.Run())
}

// killed leaves what a process that was killed leaves on a node.
func (h *host) killed(via net.HardwareAddr) {
	h.Helper()
	h.check(h.inside(func() error {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), victim+"="+via.String())
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		line := make([]byte, 100)
		n, err := out.Read(line)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err != nil || string(line[:n]) != "set <nil>\n" {
			return fmt.Errorf("the process to kill said %q, %v", line[:n], err)
		}
		return nil
	}))
	if h.ruleset() == "" {
		h.Fatal("the killed process left nothing: this tests nothing")
	}
}

func TestWhatAKilledProcessLeftIsCleanedAtTheFirstSet(t *testing.T) {
	s := newSegment(t)
	nowhere := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	s.b.killed(nowhere)
	s.b.relays().set(Want{})
	if left := s.b.ruleset(); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	s.b.killed(nowhere)
	s.owns(s.b)
	held := s.mustDial(vip4) // begins while nobody is there to know
	held.answeredBy(t, s.b)
	s.b.relays().set(s.b.to(s.a))
	if strings.Contains(s.b.ruleset(), nowhere.String()) {
		t.Errorf("the old relay is still there:\n%s", s.b.ruleset())
	}
	held.answeredBy(t, s.b)
}

func TestManyAddressesMoveAtOnce(t *testing.T) {
	s := newSegment(t)
	var w Want
	for i := range 1000 {
		w.Relays = append(w.Relays,
			Relay{VIP: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Interface: "eth0", Via: s.a.mac()},
			Relay{VIP: netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)}), Interface: "eth0", Via: s.a.mac()})
	}
	w.Relays = append(w.Relays, s.b.to(s.a).Relays...)
	s.owns(s.a)
	c := s.mustDial(vip6)
	c.answeredBy(t, s.a)
	relays := s.b.relays()
	start := time.Now()
	relays.set(w)
	set := time.Since(start)
	start = time.Now()
	relays.set(w)
	t.Logf("2,002 relays set in %s, again in %s", set, time.Since(start))
	s.owns(s.b)
	c.answeredBy(t, s.a)
	s.mustDial(vip6).answeredBy(t, s.b)
}

func TestUDPIsUntouched(t *testing.T) {
	s := newSegment(t)
	s.b.relays().set(s.b.to(s.a))
	s.owns(s.b)
	before := s.a.received()
	s.client.check(s.client.inside(func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(vip4, 53).String())
		if err != nil {
			return err
		}
		defer c.Close()
		for range 100 {
			_, _ = c.Write([]byte("hello"))
		}
		_, _ = c.Write(make([]byte, 4000)) // in fragments
		return nil
	}))
	time.Sleep(100 * time.Millisecond)
	if n := s.a.received() - before; n > 60 {
		t.Errorf("A received %d frames, want none of the 100", n)
	}
}

// TestCost measures what the chain costs connections that begin at B. It fails only on
// nonsense: a shared machine is no benchmark.
func TestCost(t *testing.T) {
	s := newSegment(t)
	s.owns(s.b)
	relays := s.b.relays()
	var bytesWith, bytesWithout, connsWith, connsWithout float64
	const rounds = 2
	for range rounds {
		relays.set(Want{})
		bytesWithout += s.upload(time.Second)
		connsWithout += s.connect(time.Second)
		relays.set(s.b.to(s.a))
		bytesWith += s.upload(time.Second)
		connsWith += s.connect(time.Second)
	}
	t.Logf("upload: %.0f MB/s without, %.0f MB/s with the chain: ratio %.3f", bytesWithout/rounds/1e6, bytesWith/rounds/1e6, bytesWith/bytesWithout)
	t.Logf("connections: %.0f/s without, %.0f/s with the chain: ratio %.3f", connsWithout/rounds, connsWith/rounds, connsWith/connsWithout)
	if bytesWith < bytesWithout/3 || connsWith < connsWithout/3 {
		t.Error("the chain costs more than two thirds")
	}
}

// upload returns bytes per second of one connection.
func (s *segment) upload(d time.Duration) float64 {
	s.Helper()
	c := s.mustDial(vip4)
	defer c.Close()
	_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: vip\r\nContent-Length: 1000000000000\r\n\r\n")
	s.client.check(err)
	buf, n, start := make([]byte, 1<<16), 0, time.Now()
	for time.Since(start) < d {
		m, err := c.Write(buf)
		s.client.check(err)
		n += m
	}
	return float64(n) / time.Since(start).Seconds()
}

// connect returns short connections per second. They end with RST, as the ports of
// those that end properly would be used up within seconds.
func (s *segment) connect(d time.Duration) float64 {
	s.Helper()
	n, start := 0, time.Now()
	for time.Since(start) < d {
		c := s.mustDial(vip4)
		c.answeredBy(s.T, s.b)
		s.client.check(c.Conn.(*net.TCPConn).SetLinger(0))
		c.Close()
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}
