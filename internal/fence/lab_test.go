//go:build lab

package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
)

// fence makes one with the kernel's gate on the node's eth0.
func (c *cable) fence() *Fence {
	c.Helper()
	var f *Fence
	c.check(c.node.inside(func() error {
		f = New(Options{Log: slog.New(slog.NewTextHandler(c.Output(), nil))})
		return f.Guard([]string{"eth0"})
	}))
	c.Cleanup(func() {
		if err := f.Close(); err != nil {
			c.Error(err)
		}
	})
	expectMode(c.T, f, true, "on eth0")
	return f
}

// frame is one to the client that carries a number.
func (c *cable) frame(number int) []byte {
	b := ether.Header{Destination: c.client.mac, Source: c.node.mac, Type: experimental}.Append(nil)
	return append(binary.BigEndian.AppendUint64(b, uint64(number)), make([]byte, 46)...)
}

func number(frame []byte) int { return int(binary.BigEndian.Uint64(frame[14:])) }

// send tells whether the kernel let a frame out.
func (c *cable) send(conn *packet.Conn, frame []byte) bool {
	c.Helper()
	_, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: c.client.mac.Hardware()})
	if err != nil && !errors.Is(err, unix.ENOBUFS) {
		c.Fatal(err)
	}
	return err == nil
}

func TestLabOnlyMarkedFramesAreHeldBack(t *testing.T) {
	c := newCable(t)
	f := c.fence()
	wire := c.listen(experimental)
	marked, plain, other := c.socket(c.node, experimental, f.Mark()), c.socket(c.node, experimental, 0), c.socket(c.node, experimental, f.Mark()|1<<16)

	if c.send(marked, c.frame(1)) {
		t.Error("a marked frame left while the gate is shut")
	}
	for i, conn := range []*packet.Conn{plain, other} {
		if !c.send(conn, c.frame(2+i)) {
			t.Errorf("frame %d was held back, and is not marked", 2+i)
		}
	}
	// What the kernel sends by itself: ARP, ICMP and UDP of everybody else.
	c.check(c.node.inside(func() error {
		conn, err := net.DialTimeout("tcp", "10.0.255.2:9", time.Second)
		if err == nil {
			conn.Close()
		} else if !errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("the node cannot reach the client: %w", err)
		}
		return nil
	}))
	f.Push()
	if !c.send(marked, c.frame(4)) {
		t.Error("a marked frame was held back while the gate is open")
	}
	time.Sleep(settle)
	var got []int
	for _, frame := range wire.take() {
		got = append(got, number(frame))
	}
	if want := "[2 3 4]"; fmt.Sprint(got) != want {
		t.Errorf("frames %v were heard, want %s", got, want)
	}
	if got := f.gate.dropped.Load(); got != 1 {
		t.Errorf("%d counted as dropped, want 1", got)
	}
}

func TestLabHoldEndsByItselfWithinTheKernel(t *testing.T) {
	c := newCable(t)
	f := c.fence()
	conn := c.socket(c.node, experimental, f.Mark())
	before := f.Now()
	f.Push()
	after := f.Now()
	var passed, held int
	for {
		start := f.Now()
		left := c.send(conn, c.frame(0))
		end := f.Now()
		switch {
		case left && start >= after.add(DefaultHold):
			t.Fatalf("a frame left %s after the push", time.Duration(start-after))
		case !left && end < before.add(DefaultHold):
			t.Fatalf("a frame was held back %s after the push", time.Duration(end-before))
		case left:
			passed++
		default:
			held++
		}
		if end > after.add(2*DefaultHold) {
			break
		}
	}
	if passed == 0 || held == 0 {
		t.Errorf("%d frames left and %d did not", passed, held)
	}
	t.Logf("%d frames left, %d were held back from %s after the push on", passed, held, DefaultHold)
}

func TestLabShutAndPushWorkInTheKernelAtOnce(t *testing.T) {
	c := newCable(t)
	f := c.fence()
	conn := c.socket(c.node, experimental, f.Mark())
	for range 100 {
		f.Push()
		if !c.send(conn, c.frame(0)) {
			t.Fatal("held back after Push")
		}
		f.Shut()
		if c.send(conn, c.frame(0)) {
			t.Fatal("left after Shut")
		}
	}
}

// question asks the node for an address: ARP or a solicitation.
func (c *cable) question(vip netip.Addr) []byte {
	if vip.Is4() {
		return arp.Packet{
			Destination: ether.Broadcast, Source: c.client.mac, Operation: arp.Request,
			SenderMAC: c.client.mac, SenderIP: netip.MustParseAddr("10.0.255.2"), TargetIP: vip,
		}.Append(nil)
	}
	group := ndp.SolicitedNode(vip)
	return ndp.Message{
		Destination: ether.Multicast(group), Source: c.client.mac, From: netip.MustParseAddr("fd00:1::ffff:2"), To: group,
		Type: ndp.Solicitation, Target: vip, LinkAddress: c.client.mac,
	}.Append(nil)
}

// askAllTheTime asks for both addresses every 5 ms until the test ends.
func (c *cable) askAllTheTime() {
	c.Helper()
	conn := c.socket(c.client, unix.ETH_P_ALL, 0)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		every(ctx, 5*time.Millisecond, func() {
			for _, vip := range []netip.Addr{vip4, vip6} {
				_, _ = conn.WriteTo(c.question(vip), &packet.Addr{HardwareAddr: c.node.mac.Hardware()})
			}
		})
	}()
	c.Cleanup(func() { stop(); <-done })
}

// told counts the frames that tell of our addresses: answers and announcements.
func told(frames [][]byte) (v4, v6 int) {
	for _, frame := range frames {
		if p, drop := arp.Parse(frame); drop == "" && p.SenderIP == vip4 {
			v4++
		}
		if m, drop := ndp.Parse(frame); drop == "" && m.Type == ndp.Advertisement && m.Target == vip6 {
			v6++
		}
	}
	return v4, v6
}

// frozen is how long a speaker is stopped: others took over long ago.
const frozen = 500 * time.Millisecond

func TestLabThawedSpeakerIsSilentUntilItIsPushedAgain(t *testing.T) {
	for _, role := range []string{honest, reckless} {
		t.Run(role, func(t *testing.T) {
			c := newCable(t)
			wire := c.listen(unix.ETH_P_ALL)
			s := c.start(role, nil)
			if got := s.ask("mode"); got != "true on eth0" {
				t.Fatalf("mode: %s", got)
			}
			c.askAllTheTime()
			time.Sleep(100 * time.Millisecond)
			if v4, v6 := told(wire.take()); v4 < 5 || v6 < 5 {
				t.Fatalf("%d ARP and %d NDP answers in 100 ms: the test asks in vain", v4, v6)
			}
			dropped := s.ask("dropped")

			s.stop()
			time.Sleep(settle)
			wire.take()
			time.Sleep(frozen)
			s.signal(unix.SIGCONT)
			time.Sleep(300 * time.Millisecond)
			if v4, v6 := told(wire.take()); v4+v6 != 0 {
				t.Errorf("%d ARP and %d NDP frames of a thawed speaker", v4, v6)
			}
			if got := s.ask("pushing"); got != "false" {
				t.Error("the child pushed after it had slept: the test shows nothing")
			}
			held := parse(t, s.ask("dropped")) - parse(t, dropped)
			switch {
			case role == reckless && held < 100: // 5 ms apart for 500 ms and more, of each family
				t.Errorf("the kernel held back %d frames only", held)
			case role == honest && held > 2: // a thread each that was stopped between asking and writing
				t.Errorf("the process asked the gate and wrote %d frames all the same", held)
			}
			t.Logf("the kernel held back %d frames", held)

			s.ask("push")
			time.Sleep(100 * time.Millisecond)
			if v4, v6 := told(wire.take()); v4 == 0 || v6 == 0 {
				t.Errorf("%d ARP and %d NDP frames in the 100 ms after a push", v4, v6)
			}
		})
	}
}

// What it is against. Without this, the test above might be one of a quiet wire.
func TestLabThawedSpeakerWithoutAFenceAnswersWhatPiledUp(t *testing.T) {
	c := newCable(t)
	wire := c.listen(unix.ETH_P_ALL)
	s := c.start(unfenced, nil)
	c.askAllTheTime()
	s.stop()
	time.Sleep(settle)
	wire.take()
	time.Sleep(frozen)
	s.signal(unix.SIGCONT)
	time.Sleep(50 * time.Millisecond)
	v4, v6 := told(wire.take())
	if v4 < 50 || v6 < 50 {
		t.Errorf("%d ARP and %d NDP answers", v4, v6)
	}
	t.Logf("%d ARP and %d NDP answers to questions that others had answered", v4, v6)
}

func parse(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// keepCapabilities takes all others away from what the thread starts.
func keepCapabilities(keep ...uintptr) func() error {
	return func() error {
		for bit := uintptr(0); bit <= unix.CAP_LAST_CAP; bit++ {
			kept := false
			for _, k := range keep {
				kept = kept || k == bit
			}
			if kept {
				continue
			}
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, bit, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("drop capability %d: %w", bit, err)
			}
		}
		return nil
	}
}

func TestLabBPFAndNetAdminAreWhatItTakes(t *testing.T) {
	for _, test := range []struct {
		name string
		keep []uintptr
		mode string // how it begins
	}{
		{"BPF and NET_ADMIN", []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN}, "true on eth0"},
		{"NET_ADMIN and NET_RAW", []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}, "false the speaker lacks BPF: add it"},
		{"BPF and NET_RAW", []uintptr{unix.CAP_BPF, unix.CAP_NET_RAW}, "false the speaker lacks NET_ADMIN: add it"},
		{"none", nil, "false the speaker lacks BPF and NET_ADMIN: add it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCable(t)
			s := c.start(bare, keepCapabilities(test.keep...))
			mode := s.ask("mode")
			t.Log(mode)
			if !strings.HasPrefix(mode, test.mode) {
				t.Errorf("mode %q, want %q", mode, test.mode)
			}
			kernel := strings.HasPrefix(test.mode, "true")
			if got := s.ask("mark"); (got != "0") != kernel {
				t.Errorf("mark %s", got)
			}
			if got := s.ask("guarded"); got != "<nil>" {
				t.Errorf("guard: %s", got)
			}
			// The process's gate works in any case.
			if got := s.ask("open"); got != "false" {
				t.Errorf("open before it was pushed: %s", got)
			}
			s.ask("push")
			time.Sleep(2 * 25 * time.Millisecond)
			if got := s.ask("open"); got != "true" {
				t.Errorf("open after it was pushed: %s", got)
			}
		})
	}
}

// The announcer's sockets need no more than they had, and their mark.
func TestLabSpeakerNeedsNoOtherCapability(t *testing.T) {
	c := newCable(t)
	s := c.start(honest, keepCapabilities(unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW))
	if got := s.ask("mode"); got != "true on eth0" {
		t.Errorf("mode: %s", got)
	}
	wire := c.listen(unix.ETH_P_ALL)
	c.askAllTheTime()
	time.Sleep(100 * time.Millisecond)
	if v4, v6 := told(wire.take()); v4 == 0 || v6 == 0 {
		t.Errorf("%d ARP and %d NDP answers", v4, v6)
	}
}

// RLIMIT_MEMLOCK counted BPF's memory before Linux 5.11; tcx is younger.
func TestLabNoMemoryNeedsToBeLocked(t *testing.T) {
	c := newCable(t)
	s := c.start(bare, nil, "prlimit", "--memlock=0:0")
	if got := s.ask("mode"); got != "true on eth0" {
		t.Errorf("mode: %s", got)
	}
}

// A deadline of a clock that is an hour ahead would never pass.
func TestLabForeignClockIsFoundOut(t *testing.T) {
	for _, offset := range []string{"3600", "-3600"} {
		c := newCable(t)
		s := c.start(bare, nil, "unshare", "--time", "--boottime", offset, "--fork", "--kill-child")
		mode := s.ask("mode")
		t.Log(mode)
		if !strings.HasPrefix(mode, "false the program does not tell before the deadline from after") {
			t.Errorf("offset %s: mode %q", offset, mode)
		}
	}
}

func TestLabDeadProcessLeavesNothing(t *testing.T) {
	c := newCable(t)
	s := c.start(bare, nil)
	if got := c.programs(); len(got) != 1 {
		t.Fatalf("%d programs on eth0", len(got))
	}
	s.signal(unix.SIGKILL)
	_ = s.cmd.Wait()
	for deadline := time.Now().Add(5 * time.Second); len(c.programs()) != 0; time.Sleep(settle) {
		if time.Now().After(deadline) {
			t.Fatal("the program outlived its process by 5 s")
		}
	}
}

// programs are those at the egress of the node's eth0, in their order.
func (c *cable) programs() []link.AttachedProgram {
	c.Helper()
	var all []link.AttachedProgram
	c.check(c.node.inside(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		got, err := link.QueryPrograms(link.QueryOptions{Target: eth0.Index, Attach: ebpf.AttachTCXEgress})
		if err == nil {
			all = got.Programs
		}
		return err
	}))
	return all
}

// behind attaches, as Cilium does, a program at the end of the node's egress. It counts
// the frames that it sees, and returns the verdict.
func (c *cable) behind(verdict int32) (seen func() uint64) {
	c.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	c.check(err)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, m.FD(), 0),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, verdict),
		asm.Return(),
	}})
	c.check(err)
	c.Cleanup(func() { p.Close(); m.Close() })
	c.check(c.node.inside(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: eth0.Index, Program: p, Attach: ebpf.AttachTCXEgress, Anchor: link.Tail()})
		if err == nil {
			c.Cleanup(func() { l.Close() })
		}
		return err
	}))
	return func() (n uint64) {
		c.check(m.Lookup(uint32(0), &n))
		return n
	}
}

// tcxPass lets a frame out and asks nobody behind.
const tcxPass = 0

func TestLabProgramThatLetsAllOutDoesNotHideTheFence(t *testing.T) {
	for name, before := range map[string]bool{"attached before": true, "attached after": false} {
		t.Run(name, func(t *testing.T) {
			c := newCable(t)
			if before {
				c.behind(tcxPass)
			}
			f := c.fence()
			if !before {
				c.behind(tcxPass)
			}
			if got := len(c.programs()); got != 2 {
				t.Fatalf("%d programs on eth0", got)
			}
			if c.send(c.socket(c.node, experimental, f.Mark()), c.frame(0)) {
				t.Error("a marked frame left while the gate is shut")
			}
		})
	}
}

func TestLabProgramsBehindSeeWhatTheFenceLetsOut(t *testing.T) {
	c := newCable(t)
	f := c.fence()
	seen := c.behind(tcxNext)
	plain, marked := c.socket(c.node, experimental, 0), c.socket(c.node, experimental, f.Mark())
	f.Push()
	before := seen()
	for range 1000 {
		c.send(plain, c.frame(0))
	}
	f.Push()
	c.send(marked, c.frame(0))
	if got := seen() - before; got < 1001 { // the kernel has frames of its own
		t.Errorf("the program behind saw %d of 1001 frames", got)
	}
}

func BenchmarkFrame(b *testing.B) {
	f := New(Options{Log: slog.New(slog.DiscardHandler), Hold: time.Hour})
	defer f.Close()
	k, ok := f.kernel.(*kernel)
	if !ok {
		b.Fatal(f.lack)
	}
	for name, c := range map[string]struct {
		mark uint32
		open bool
	}{"of others": {0, false}, "that passes": {Mark, true}, "that is dropped": {Mark, false}} {
		b.Run(name, func(b *testing.B) {
			f.Shut()
			if c.open {
				f.Push()
			}
			if _, err := k.run(c.mark, uint32(b.N)); err != nil {
				b.Fatal(err)
			}
		})
	}
}
