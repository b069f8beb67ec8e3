package arp

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/ether"
)

var (
	us     = ether.MAC{0x52, 0x54, 0, 0, 0, 1}
	client = ether.MAC{0x52, 0x54, 0, 0, 0, 2}
	vip    = netip.MustParseAddr("192.0.2.10")
	asker  = netip.MustParseAddr("192.0.2.77")
)

// request is a captured question "who has 192.0.2.10, tell 192.0.2.77".
var request = []byte{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // to everybody
	0x52, 0x54, 0x00, 0x00, 0x00, 0x02, // from the client
	0x08, 0x06, // ARP
	0x00, 0x01, // Ethernet
	0x08, 0x00, // IPv4
	0x06, 0x04, // lengths
	0x00, 0x01, // request
	0x52, 0x54, 0x00, 0x00, 0x00, 0x02, // sender MAC
	0xc0, 0x00, 0x02, 0x4d, // sender IP
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // target MAC: what is asked for
	0xc0, 0x00, 0x02, 0x0a, // target IP
}

func TestParseReadsACapturedRequest(t *testing.T) {
	want := Packet{
		Destination: ether.Broadcast, Source: client, Operation: Request,
		SenderMAC: client, SenderIP: asker, TargetIP: vip,
	}
	padded := append(bytes.Clone(request), make([]byte, 18)...) // to 60 bytes, as drivers do
	for _, frame := range [][]byte{request, padded} {
		if got, drop := Parse(frame); drop != "" || got != want {
			t.Errorf("got %+v (drop %q)\nwant %+v", got, drop, want)
		}
	}
	if got := want.Append(nil); !bytes.Equal(got, request) {
		t.Errorf("Append\n got %x\nwant %x", got, request)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	with := func(at int, value ...byte) []byte {
		b := bytes.Clone(request)
		copy(b[at:], value)
		return b
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  ether.Drop
	}{
		{"empty", nil, Short},
		{"cut off", request[:Len-1], Short},
		{"IPv4 frame", with(12, 0x08, 0x00), ForeignMedia},
		{"token ring", with(14, 0, 6), ForeignMedia},
		{"protocol IPv6", with(16, 0x86, 0xdd), ForeignMedia},
		{"hardware address of 8 bytes", with(18, 8), ForeignMedia},
		{"protocol address of 16 bytes", with(19, 16), ForeignMedia},
		{"reverse ARP", with(20, 0, 3), BadOperation},
		{"operation 0", with(20, 0, 0), BadOperation},
		{"sender is broadcast", with(22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), BadSender},
		{"sender is nobody", with(22, 0, 0, 0, 0, 0, 0), BadSender},
	} {
		if _, got := Parse(c.frame); got != c.want {
			t.Errorf("%s: drop %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAnswerGoesToTheSenderWithOurMAC(t *testing.T) {
	question, _ := Parse(request)
	want := Packet{
		Destination: client, Source: us, Operation: Reply,
		SenderMAC: us, SenderIP: vip, TargetMAC: client, TargetIP: asker,
	}
	if got := question.Answer(us); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	probe := Probe(client, vip)
	if got := probe.Answer(us); got.TargetIP != netip.IPv4Unspecified() || got.Destination != client || got.SenderIP != vip {
		t.Errorf("answer to a probe: %+v", got)
	}
}

func TestClaimsIsTrueOfAnnouncementsOnly(t *testing.T) {
	question, _ := Parse(request)
	for _, c := range []struct {
		name string
		p    Packet
		want bool
	}{
		{"announcement", Announcement(us, vip), true},
		{"gratuitous reply", GratuitousReply(us, vip), true},
		{"probe", Probe(us, vip), false},
		{"question", question, false},
		{"answer", question.Answer(us), false},
	} {
		if got := c.p.Claims(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// The kernel runs the program on a socket pair, whose packets are of type
// PACKET_HOST, so no root is needed.
func TestFilterPassesOnlyARPOverEthernet(t *testing.T) {
	with := func(at int, value ...byte) []byte {
		b := bytes.Clone(request)
		copy(b[at:], value)
		return b
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"request", request, true},
		{"answer", Announcement(us, vip).Append(nil), true},
		{"reply", GratuitousReply(us, vip).Append(nil), true},
		{"IPv4", with(12, 0x08, 0x00), false},
		{"token ring", with(14, 0, 6), false},
		{"protocol IPv6", with(16, 0x86, 0xdd), false},
		{"long addresses", with(18, 8), false},
		{"cut off in the media", request[:19], false},
	} {
		if got := passes(t, Filter(), c.frame); got != c.want {
			t.Errorf("%s: passes=%v", c.name, got)
		}
	}
}

func passes(t *testing.T, filter []bpf.Instruction, frame []byte) bool {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	raw, err := bpf.Assemble(filter)
	if err != nil {
		t.Fatal(err)
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	attach := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fds[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &attach); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fds[0], frame); err != nil {
		t.Fatal(err)
	}
	n, err := unix.Read(fds[1], make([]byte, 2048))
	if err != nil && err != unix.EAGAIN {
		t.Fatal(err)
	}
	if err == nil && n != len(frame) {
		t.Errorf("the filter cut %d bytes to %d", len(frame), n)
	}
	return err == nil
}

func FuzzARP(f *testing.F) {
	f.Add(request)
	f.Add(Probe(us, vip).Append(nil))
	f.Add(GratuitousReply(us, vip).Append(nil))
	f.Add(request[:20])
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, drop := Parse(frame)
		if drop != "" {
			return
		}
		if got := p.Append(nil); !bytes.Equal(got, frame[:Len]) {
			t.Errorf("%x is written back as %x", frame[:Len], got)
		}
		p.Answer(us).Append(nil)
	})
}
