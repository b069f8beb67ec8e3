package ndp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/announce/ether"
)

var (
	us      = ether.MAC{0x52, 0x54, 0, 0, 0, 1}
	client  = ether.MAC{0x52, 0x54, 0, 0, 0, 2}
	vip     = netip.MustParseAddr("2001:db8::9:a")
	asker   = netip.MustParseAddr("2001:db8::77")
	nobody  = netip.IPv6Unspecified()
	routers = netip.MustParseAddr("ff02::2")
)

// question is "who has 2001:db8::9:a, tell 2001:db8::77" from the client.
func question() Message {
	group := SolicitedNode(vip)
	return Message{
		Destination: ether.Multicast(group), Source: client, From: asker, To: group,
		Type: Solicitation, Target: vip, LinkAddress: client,
	}
}

// solicitation is what question looks like on the wire.
var solicitation = []byte{
	0x33, 0x33, 0xff, 0x09, 0x00, 0x0a, // to the group's MAC
	0x52, 0x54, 0x00, 0x00, 0x00, 0x02, // from the client
	0x86, 0xdd, // IPv6
	0x60, 0x00, 0x00, 0x00, // version 6
	0x00, 0x20, // 32 bytes follow the header
	0x3a,                                                                                           // ICMPv6
	0xff,                                                                                           // hop limit
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x77, // from
	0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x09, 0x00, 0x0a, // to ff02::1:ff09:a
	0x87, 0x00, // solicitation, code 0
	0xcb, 0x39, // checksum
	0x00, 0x00, 0x00, 0x00, // reserved
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x0a, // target
	0x01, 0x01, 0x52, 0x54, 0x00, 0x00, 0x00, 0x02, // source link-layer address option
}

func TestParseReadsASolicitation(t *testing.T) {
	for _, frame := range [][]byte{solicitation, append(bytes.Clone(solicitation), 0, 0, 0, 0)} {
		if got, drop := Parse(frame); drop != "" || got != question() {
			t.Errorf("got %+v (drop %q)\nwant %+v", got, drop, question())
		}
	}
	if got := question().Append(nil); !bytes.Equal(got, solicitation) {
		t.Errorf("Append\n got %x\nwant %x", got, solicitation)
	}
}

// The checksum is compared with that of golang.org/x/net/icmp.
func TestChecksumAgreesWithAnotherImplementation(t *testing.T) {
	m := question()
	pseudo := icmp.IPv6PseudoHeader(m.From.AsSlice(), m.To.AsSlice())
	other := icmp.Message{Type: ipv6.ICMPTypeNeighborSolicitation, Body: &icmp.RawBody{Data: solicitation[minLen-20:]}}
	b, err := other.Marshal(pseudo)
	if err != nil {
		t.Fatal(err)
	}
	if want := solicitation[minLen-messageLen:]; !bytes.Equal(b, want) {
		t.Errorf("x/net/icmp writes %x, we %x", b, want)
	}
}

// changed writes m with a byte of the frame replaced and the checksum made right.
func changed(m Message, at int, value byte) []byte {
	b := m.Append(nil)
	b[at] = value
	return resum(b)
}

func resum(b []byte) []byte {
	ip := b[ether.HeaderLen:]
	length := int(binary.BigEndian.Uint16(ip[4:]))
	if length < messageLen || length > len(ip)-ipLen {
		return b
	}
	body := ip[ipLen : ipLen+length]
	body[2], body[3] = 0, 0
	binary.BigEndian.PutUint16(body[2:], checksum(ip[8:ipLen], body))
	return b
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	const ip, body, option = ether.HeaderLen, ether.HeaderLen + ipLen, minLen
	alter := func(change func(*Message)) []byte {
		m := question()
		change(&m)
		return m.Append(nil)
	}
	na := Announcement(client, vip)
	solicited := na
	solicited.Solicited = true
	fromNobody := na
	fromNobody.From = nobody
	broken := bytes.Clone(solicitation)
	broken[body+2] ^= 1
	fragment := append(question().Append(nil), 0x0e) // one byte of a further option
	fragment[ip+5]++
	for _, c := range []struct {
		name  string
		frame []byte
		want  ether.Drop
	}{
		{"empty", nil, Short},
		{"cut off in the option", solicitation[:len(solicitation)-1], Short},
		{"payload shorter than a message", changed(question(), ip+5, 23), Short},
		{"IPv4", changed(question(), 13, 0), NotNDP},
		{"version 4", changed(question(), ip, 0x40), NotNDP},
		{"UDP", changed(question(), ip+6, 17), NotNDP},
		{"router advertisement", changed(question(), body, 134), NotNDP},
		{"through a router", changed(question(), ip+7, 254), BadHopLimit},
		{"code 1", changed(question(), body+1, 1), BadCode},
		{"flipped bit", broken, BadChecksum},
		{"target is a group", alter(func(m *Message) { m.Target = routers }), BadTarget},
		{"option of length 0", changed(question(), option+1, 0), BadOption},
		{"option beyond the end", changed(question(), option+1, 2), BadOption},
		{"option of one byte", resum(fragment), BadOption},
		{"link address is broadcast", alter(func(m *Message) { m.LinkAddress = ether.Broadcast }), BadLinkAddress},
		{"source is a group", alter(func(m *Message) { m.From = routers }), BadSource},
		{"probe with a link address", alter(func(m *Message) { m.From = nobody }), BadSource},
		{"probe to the target", alter(func(m *Message) { m.From, m.LinkAddress, m.To = nobody, ether.MAC{}, vip }), BadDestination},
		{"probe to all nodes", alter(func(m *Message) { m.From, m.LinkAddress, m.To = nobody, ether.MAC{}, AllNodes }), BadDestination},
		{"solicited to all nodes", solicited.Append(nil), BadSolicited},
		{"advertisement from nobody", fromNobody.Append(nil), BadSource},
	} {
		if _, got := Parse(c.frame); got != c.want {
			t.Errorf("%s: drop %q, want %q", c.name, got, c.want)
		}
	}
}

// Linux adds a nonce to its probes (RFC 7527), others what they like.
func TestParseSkipsUnknownOptions(t *testing.T) {
	b := Probe(client, vip).Append(nil)
	b = append(b, 14, 1, 1, 2, 3, 4, 5, 6) // nonce option
	b[ether.HeaderLen+5] += 8
	if m, drop := Parse(resum(b)); drop != "" || m != Probe(client, vip) {
		t.Errorf("got %+v, drop %q", m, drop)
	}
}

func TestAnswerFollowsTheKindOfSolicitation(t *testing.T) {
	plain := question()
	bare := question()
	bare.LinkAddress = ether.MAC{}
	unicast := bare
	unicast.Destination, unicast.To = us, vip

	want := Message{
		Destination: client, Source: us, From: vip, To: asker,
		Type: Advertisement, Target: vip, Solicited: true, Override: true, LinkAddress: us,
	}
	for name, m := range map[string]Message{
		"with link address": plain, "without link address": bare, "unicast (NUD)": unicast,
	} {
		if got := m.Answer(us); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	// RFC 4861 s.7.2.4: a probe is answered to all nodes, unsolicited.
	if got, want := Probe(client, vip).Answer(us), Announcement(us, vip); got != want {
		t.Errorf("probe:\n got %+v\nwant %+v", got, want)
	}
}

func TestAnnouncementIsUnsolicitedAndOverrides(t *testing.T) {
	m := Announcement(us, vip)
	if m.Solicited || !m.Override || m.Router || m.To != AllNodes || m.LinkAddress != us ||
		m.Destination != (ether.MAC{0x33, 0x33, 0, 0, 0, 1}) || !m.Claims() {
		t.Errorf("%+v", m)
	}
	if question().Answer(us).Claims() {
		t.Error("a solicited advertisement is no announcement")
	}
}

func TestSolicitedNodeIsSharedByTheLast24Bits(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8::1:800:200e:8c6c"), netip.MustParseAddr("fd00::fe0e:8c6c")
	want := netip.MustParseAddr("ff02::1:ff0e:8c6c") // RFC 4291 s.2.7.1
	if SolicitedNode(a) != want || SolicitedNode(b) != want {
		t.Errorf("%s %s", SolicitedNode(a), SolicitedNode(b))
	}
	if !isSolicitedNode(want) || isSolicitedNode(AllNodes) || isSolicitedNode(a) {
		t.Error("isSolicitedNode misjudges")
	}
}

func TestFilterPassesOnlyNeighborDiscoveryOfTheSegment(t *testing.T) {
	const ip, body = ether.HeaderLen, ether.HeaderLen + ipLen
	for _, c := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"solicitation", solicitation, true},
		{"advertisement", Announcement(us, vip).Append(nil), true},
		{"probe", Probe(us, vip).Append(nil), true},
		{"ARP", changed(question(), 13, 0x06), false},
		{"UDP", changed(question(), ip+6, 17), false},
		{"through a router", changed(question(), ip+7, 254), false},
		{"router solicitation", changed(question(), body, 133), false},
		{"router advertisement", changed(question(), body, 134), false},
		{"redirect", changed(question(), body, 137), false},
		{"echo request", changed(question(), body, 128), false},
		{"cut off", solicitation[:body], false},
	} {
		if got := passes(t, Filter(), c.frame); got != c.want {
			t.Errorf("%s: passes=%v", c.name, got)
		}
	}
}

// passes asks the kernel, which runs the program on a socket pair without root.
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
	_, err = unix.Read(fds[1], make([]byte, 2048))
	if err != nil && err != unix.EAGAIN {
		t.Fatal(err)
	}
	return err == nil
}

func drawMAC(t *rapid.T, label string) ether.MAC {
	b := rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, label)
	b[0] &^= 1
	b[5] |= 1
	return ether.MAC(b)
}

func drawAddress(t *rapid.T, label string) netip.Addr {
	b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label)
	b[0] = 0x20
	return netip.AddrFrom16([16]byte(b))
}

func TestEveryValidMessageReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Message{
			Destination: drawMAC(t, "destination"), Source: drawMAC(t, "source"),
			From: drawAddress(t, "from"), To: drawAddress(t, "to"), Target: drawAddress(t, "target"),
			Type: rapid.SampledFrom([]Type{Solicitation, Advertisement}).Draw(t, "type"),
		}
		if rapid.Bool().Draw(t, "link address") {
			m.LinkAddress = drawMAC(t, "link")
		}
		if m.Type == Advertisement {
			m.Router, m.Solicited, m.Override = rapid.Bool().Draw(t, "R"), rapid.Bool().Draw(t, "S"), rapid.Bool().Draw(t, "O")
		}
		if got, drop := Parse(m.Append(nil)); drop != "" || got != m {
			t.Fatalf("drop %q\n got %+v\nwant %+v", drop, got, m)
		}
	})
}

func FuzzNDP(f *testing.F) {
	f.Add(solicitation)
	f.Add(Announcement(us, vip).Append(nil))
	f.Add(Probe(us, vip).Append(nil))
	f.Add(changed(question(), minLen+1, 0)) // an option of length 0 must not loop
	f.Add(solicitation[:minLen])
	f.Fuzz(func(t *testing.T, frame []byte) {
		// Few random frames have a right checksum: also try with it put right.
		frames := [][]byte{frame}
		if len(frame) >= minLen {
			frames = append(frames, resum(bytes.Clone(frame)))
		}
		for _, frame := range frames {
			m, drop := Parse(frame)
			if drop != "" {
				continue
			}
			again, drop := Parse(m.Append(nil))
			if drop != "" || again != m {
				t.Errorf("%x reads as %+v, written back as %+v (drop %q)", frame, m, again, drop)
			}
			if m.Type == Solicitation && !m.Target.IsUnspecified() {
				if _, drop := Parse(m.Answer(us).Append(nil)); drop != "" {
					t.Errorf("the answer to %+v is invalid: %s", m, drop)
				}
			}
		}
	})
}
