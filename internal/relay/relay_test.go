package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

var (
	self, nodeA, nodeB, nodeC = mac(1), mac(0xa), mac(0xb), mac(0xc)

	eth0 = netif{Name: "eth0", Index: 2, MAC: self, Hooks: []string{"eth0"}}
	br0  = netif{Name: "br0", Index: 7, MAC: mac(7), Hooks: []string{"eno1", "eno2"}}
	tun0 = netif{Name: "tun0", Index: 8, Hooks: []string{"tun0"}}

	values = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, nftables.SetDatatype{})}
)

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }

func relay(vip, iface string, to net.HardwareAddr) Relay {
	return Relay{VIP: netip.MustParseAddr(vip), Interface: iface, Via: to}
}

func by(vip string, to net.HardwareAddr) via { return via{netip.MustParseAddr(vip), to} }

func TestPlanSortsByInterfaceAndFamily(t *testing.T) {
	want := Want{
		Relays: []Relay{
			relay("192.0.2.9", "eth0", nodeA), relay("2001:db8::1", "br0", nodeA), relay("192.0.2.1", "eth0", nodeB),
			relay("2001:db8::2", "eth0", nodeA), relay("192.0.2.1", "eth0", nodeB),
		},
		Peers: []net.HardwareAddr{nodeC, nodeA, make(net.HardwareAddr, 20)},
	}
	expected := []ingress{
		{
			Interface: "br0", Index: 7, MAC: br0.MAC, Hooks: br0.Hooks, Peers: []net.HardwareAddr{nodeA, nodeC},
			IPv6: []via{by("2001:db8::1", nodeA)},
		},
		{
			Interface: "eth0", Index: 2, MAC: self, Hooks: eth0.Hooks, Peers: []net.HardwareAddr{nodeA, nodeB, nodeC},
			IPv4: []via{by("192.0.2.1", nodeB), by("192.0.2.9", nodeA)},
			IPv6: []via{by("2001:db8::2", nodeA)},
		},
	}
	for range 20 {
		got, err := plan(want, []netif{eth0, br0})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(expected, got, values); diff != "" {
			t.Fatalf("plan (-want +got):\n%s", diff)
		}
		rand.Shuffle(len(want.Relays), func(i, j int) { want.Relays[i], want.Relays[j] = want.Relays[j], want.Relays[i] })
	}
}

func TestPlanNamesWhatCannotBeRelayedAndPlansTheRest(t *testing.T) {
	good := relay("192.0.2.9", "eth0", nodeA)
	for _, c := range []struct {
		name string
		bad  Relay
		says string
	}{
		{"an interface that is not there", relay("192.0.2.1", "eth9", nodeA), `relay 192.0.2.1: there is no interface "eth9"`},
		{"an interface without MAC", relay("192.0.2.1", "tun0", nodeA), "relay 192.0.2.1 on tun0: not an Ethernet interface"},
		{"a group as node", relay("192.0.2.1", "eth0", net.HardwareAddr{255, 255, 255, 255, 255, 255}), `is not the MAC of a node`},
		{"no node", relay("192.0.2.1", "eth0", nil), `is not the MAC of a node`},
		{"this node", relay("192.0.2.1", "eth0", self), "would be sent to this node itself"},
		{"no address", Relay{Interface: "eth0", Via: nodeA}, "not an address that frames can carry"},
		{"two nodes at once", relay("192.0.2.9", "eth0", nodeB), "wanted by way of " + nodeA.String() + " and of " + nodeB.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := plan(Want{Relays: []Relay{good, c.bad}}, []netif{eth0, tun0})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if rest, _ := plan(Want{Relays: []Relay{good}}, []netif{eth0}); !cmp.Equal(rest, got, values) {
				t.Errorf("the rest (-want +got):\n%s", cmp.Diff(rest, got, values))
			}
		})
	}
}

func TestRulesOfOneAddress(t *testing.T) {
	all, err := plan(Want{Relays: []Relay{relay("192.0.2.1", "eth0", nodeA)}}, []netif{eth0})
	if err != nil {
		t.Fatal(err)
	}
	tuple := []expr.Any{
		&expr.Payload{DestRegister: 8, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Payload{DestRegister: 9, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2},
		&expr.Payload{DestRegister: 10, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Payload{DestRegister: 11, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
	update := &expr.Dynset{SrcRegKey: 8, SetName: "began4", Operation: 1}
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	expected := ruleset{
		Sets: []set{
			{Name: "peers_2", Key: nftables.TypeEtherAddr, Elements: []nftables.SetElement{{Key: nodeA}}},
			{Name: "via4_2", Key: nftables.TypeIPAddr, Map: true, Elements: []nftables.SetElement{{Key: []byte{192, 0, 2, 1}, Val: nodeA}}},
		},
		Chains: []chain{
			{Name: "tcp4_2", Rules: [][]expr.Any{
				{ // ether saddr @peers accept
					&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
					&expr.Lookup{SourceRegister: 1, SetName: "peers_2"}, accept,
				},
				append(append([]expr.Any{ // SYN of FIN, SYN, RST, ACK
					&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
					&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x17}, Xor: []byte{0}},
					&expr.Cmp{Register: 1, Data: []byte{2}},
				}, tuple...), update, accept),
				append(slices.Clone(tuple), &expr.Lookup{SourceRegister: 8, SetName: "began4"}, update, accept),
				{
					&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
					&expr.Lookup{SourceRegister: 1, DestRegister: 2, IsDestRegSet: true, SetName: "via4_2"},
					&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: 2, Base: expr.PayloadBaseLLHeader, Offset: 0, Len: 6},
					&expr.Immediate{Register: 1, Data: self},
					&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
					&expr.Counter{},
					&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, 2)},
					&expr.Dup{RegDev: 1, IsRegDevSet: true},
					&expr.Verdict{Kind: expr.VerdictDrop},
				},
			}},
			{Name: "in_2_eth0", Device: "eth0", Rules: [][]expr.Any{{
				&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, &expr.Cmp{Register: 1, Data: []byte{8, 0}},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
				&expr.Lookup{SourceRegister: 1, DestRegister: 2, IsDestRegSet: true, SetName: "via4_2"},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1}, &expr.Cmp{Register: 1, Data: []byte{6}},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2},
				&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0x3f, 0xff}, Xor: []byte{0, 0}},
				&expr.Cmp{Register: 1, Data: []byte{0, 0}},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 0, Len: 6}, &expr.Cmp{Register: 1, Data: self},
				&expr.Verdict{Kind: expr.VerdictGoto, Chain: "tcp4_2"},
			}}},
		},
	}
	if diff := cmp.Diff(expected, rules(all), values); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestAddressesShareTheRulesOfTheirInterface(t *testing.T) {
	var want Want
	a := netip.MustParseAddr("192.0.2.1")
	for range 100 {
		want.Relays = append(want.Relays, Relay{a, "br0", nodeA}, Relay{netip.AddrFrom16(a.As16()).Unmap(), "eth0", nodeB})
		a = a.Next()
	}
	want.Relays = append(want.Relays, relay("2001:db8::1", "eth0", nodeA))
	all, err := plan(want, []netif{eth0, br0})
	if err != nil {
		t.Fatal(err)
	}
	r := rules(all)
	got := make(map[string]int)
	for _, c := range r.Chains {
		got[c.Name+" "+c.Device] = len(c.Rules)
	}
	for _, s := range r.Sets {
		got[s.Name] = len(s.Elements)
	}
	expected := map[string]int{
		"in_7_eno1 eno1": 1, "in_7_eno2 eno2": 1, "tcp4_7 ": 4, "peers_7": 1, "via4_7": 100,
		"in_2_eth0 eth0": 2, "tcp4_2 ": 4, "tcp6_2 ": 4, "peers_2": 2, "via4_2": 100, "via6_2": 1,
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("rules by chain, elements by set (-want +got):\n%s", diff)
	}
}

func TestTheKeyOfAConnectionIsPaddedAsNftablesDoes(t *testing.T) {
	c := connection{Client: netip.MustParseAddrPort("192.0.2.77:4096"), VIP: netip.MustParseAddrPort("192.0.2.1:80")}
	want := []byte{192, 0, 2, 77, 16, 0, 0, 0, 192, 0, 2, 1, 0, 80, 0, 0}
	if got := c.key(); !bytes.Equal(got, want) {
		t.Errorf("key of %v is %v, want %v", c, got, want)
	}
}

func TestConntrackEntriesAreReadUnlessTheyAreOver(t *testing.T) {
	want := connection{Client: netip.MustParseAddrPort("[2001:db8::7]:4096"), VIP: netip.MustParseAddrPort("[2001:db8::1]:80")}
	for _, c := range []struct {
		name     string
		protocol uint8
		state    uint8
		ok       bool
	}{
		{"established", unix.IPPROTO_TCP, 3, true},
		{"last ACK", unix.IPPROTO_TCP, 6, true},
		{"time wait", unix.IPPROTO_TCP, 7, false},
		{"closed", unix.IPPROTO_TCP, 8, false},
		{"UDP", unix.IPPROTO_UDP, 0, false},
	} {
		got, ok := ipv6.parse(entry(t, want, c.protocol, c.state))
		if ok != c.ok || ok && got != want {
			t.Errorf("%s: read as %v, %v", c.name, got, ok)
		}
	}
	whole := entry(t, want, unix.IPPROTO_TCP, 3)
	for n := range whole { // what is cut off anywhere must not panic
		ipv6.parse(whole[:n])
	}
}

// entry is a message of conntrack.
func entry(t *testing.T, c connection, protocol, state uint8) []byte {
	t.Helper()
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	nested := func(e *netlink.AttributeEncoder, kind uint16, fill func(*netlink.AttributeEncoder)) {
		e.Nested(kind, func(inner *netlink.AttributeEncoder) error {
			inner.ByteOrder = binary.BigEndian
			fill(inner)
			return nil
		})
	}
	nested(e, ctaTupleOrig, func(tuple *netlink.AttributeEncoder) {
		nested(tuple, ctaTupleIP, func(ip *netlink.AttributeEncoder) {
			ip.Bytes(ipv6.ConntrackSource, c.Client.Addr().AsSlice())
			ip.Bytes(ipv6.ConntrackDest, c.VIP.Addr().AsSlice())
		})
		nested(tuple, ctaTupleProto, func(p *netlink.AttributeEncoder) {
			p.Uint8(ctaProtoNumber, protocol)
			p.Uint16(ctaProtoSource, c.Client.Port())
			p.Uint16(ctaProtoDest, c.VIP.Port())
		})
	})
	nested(e, ctaProtoInfo, func(info *netlink.AttributeEncoder) {
		nested(info, ctaProtoInfoTCP, func(tcp *netlink.AttributeEncoder) { tcp.Uint8(ctaProtoInfoTCPState, state) })
	})
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{unix.AF_INET6, 0, 0, 0}, b...)
}

// A kernel that refuses what has some bytes in it.
func TestTheMissingFeatureIsNamed(t *testing.T) {
	for _, c := range []struct{ lacks, want string }{
		{"", ""},
		{tableName, "CONFIG_NF_TABLES_NETDEV"},
		{"lo\x00", "CONFIG_NETFILTER_INGRESS"},
		{"dynset\x00", "sets that packets add to"},
		{"dup\x00", "CONFIG_NFT_DUP_NETDEV"},
	} {
		got := firstMissing(func() (*nftables.Conn, error) {
			return nftables.New(nftables.WithTestDial(func(request []netlink.Message) ([]netlink.Message, error) {
				for _, m := range request {
					if c.lacks != "" && bytes.Contains(m.Data, []byte(c.lacks)) {
						return nil, unix.ENOENT
					}
				}
				return nil, io.EOF
			}))
		})
		if got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("a kernel without %q is said to lack %q, want %q", c.lacks, got, c.want)
		}
	}
}

func TestALackIsToldFromADenial(t *testing.T) {
	if err := explain(unix.EPERM); !errors.Is(err, unix.EPERM) || errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "NET_ADMIN") {
		t.Errorf("got %v", err)
	}
}
