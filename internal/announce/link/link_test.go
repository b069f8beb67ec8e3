package link

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/ether"
)

const (
	up       = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_BROADCAST | unix.IFF_MULTICAST
	adminUp  = unix.IFF_UP | unix.IFF_BROADCAST | unix.IFF_MULTICAST // without carrier
	ethernet = unix.ARPHRD_ETHER
)

var (
	mac1, mac2 = ether.MAC{2, 0, 0, 0, 0, 1}, ether.MAC{2, 0, 0, 0, 0, 2}
	fe80       = netip.MustParseAddr("fe80::1")
)

// attribute encodes one, padded to a multiple of 4.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func number4(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// newLink is an RTM_NEWLINK for an Ethernet interface.
func newLink(index int, name string, flags uint32, mac ether.MAC, more ...[]byte) syscall.NetlinkMessage {
	return linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, ethernet, index, flags, append([][]byte{
		attribute(unix.IFLA_IFNAME, append([]byte(name), 0)), attribute(unix.IFLA_ADDRESS, mac[:]),
	}, more...)...)
}

func linkMessage(kind uint16, family byte, hardware uint16, index int, flags uint32, attributes ...[]byte) syscall.NetlinkMessage {
	b := []byte{family, 0}
	b = binary.NativeEndian.AppendUint16(b, hardware)
	b = append(b, number4(uint32(index))...)
	b = append(b, number4(flags)...)
	b = append(b, number4(0)...)
	for _, a := range attributes {
		b = append(b, a...)
	}
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: b}
}

func kindOf(kind string) []byte {
	return attribute(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, attribute(unix.IFLA_INFO_KIND, []byte(kind)))
}

func portOf(master int) []byte { return attribute(unix.IFLA_MASTER, number4(uint32(master))) }

func address(kind uint16, index int, a netip.Addr, flags byte) syscall.NetlinkMessage {
	b := []byte{unix.AF_INET6, 64, flags, 253}
	b = append(b, number4(uint32(index))...)
	b = append(b, attribute(unix.IFA_ADDRESS, a.AsSlice())...)
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: b}
}

func after(messages ...syscall.NetlinkMessage) *links {
	l := newLinks()
	for _, m := range messages {
		l.take(m)
	}
	return l
}

func names(s Snapshot) []string {
	var out []string
	for _, i := range s.Interfaces {
		n := i.Name
		if !i.ARP {
			n += " without ARP"
		}
		if i.NDP {
			n += " with NDP"
		}
		out = append(out, n)
	}
	return out
}

func TestUsableInterfaces(t *testing.T) {
	ll := func(index int) syscall.NetlinkMessage { return address(unix.RTM_NEWADDR, index, fe80, 0) }
	for _, c := range []struct {
		name  string
		links []syscall.NetlinkMessage
		want  []string
	}{
		{"a network card", []syscall.NetlinkMessage{newLink(2, "eth0", up, mac1)}, []string{"eth0"}},
		{"with a link-local address", []syscall.NetlinkMessage{newLink(2, "eth0", up, mac1), ll(2)}, []string{"eth0 with NDP"}},
		{"the address is told first", []syscall.NetlinkMessage{ll(2), newLink(2, "eth0", up, mac1)}, []string{"eth0 with NDP"}},
		{"a global address is not enough", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1), address(unix.RTM_NEWADDR, 2, netip.MustParseAddr("2001:db8::1"), 0),
		}, []string{"eth0"}},
		{"the link-local address is a duplicate", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1), address(unix.RTM_NEWADDR, 2, fe80, unix.IFA_F_DADFAILED),
		}, []string{"eth0"}},
		{"the link-local address went", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1), ll(2), address(unix.RTM_DELADDR, 2, fe80, 0),
		}, []string{"eth0"}},
		{"no carrier", []syscall.NetlinkMessage{newLink(2, "eth0", adminUp, mac1)}, nil},
		{"down", []syscall.NetlinkMessage{newLink(2, "eth0", unix.IFF_BROADCAST, mac1)}, nil},
		{"loopback", []syscall.NetlinkMessage{newLink(1, "loop", up|unix.IFF_LOOPBACK, mac1)}, nil},
		{"NOARP", []syscall.NetlinkMessage{newLink(2, "dum", up|unix.IFF_NOARP, mac1)}, nil},
		{"no broadcast", []syscall.NetlinkMessage{newLink(2, "eth0", up&^unix.IFF_BROADCAST, mac1), ll(2)}, []string{"eth0 without ARP with NDP"}},
		{"InfiniBand", []syscall.NetlinkMessage{linkMessage(unix.RTM_NEWLINK, 0, unix.ARPHRD_INFINIBAND, 2, up,
			attribute(unix.IFLA_IFNAME, []byte("ib0\x00")), attribute(unix.IFLA_ADDRESS, make([]byte, 20)))}, nil},
		{"no hardware address yet", []syscall.NetlinkMessage{newLink(2, "eth0", up, ether.MAC{})}, nil},
		{"excluded", []syscall.NetlinkMessage{newLink(2, "cali123", up, mac1), newLink(3, "docker0", up, mac1), newLink(4, "veth1a", up, mac1)}, nil},
		{"a bridge, not its ports", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1, portOf(4)), newLink(4, "br0", up, mac1, kindOf("bridge")),
		}, []string{"br0"}},
		{"a bond, not its ports", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1, portOf(4)), newLink(3, "eth1", up, mac1, portOf(4)), newLink(4, "bond0", up, mac1, kindOf("bond")),
		}, []string{"bond0"}},
		{"a VLAN and the card below it", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1), newLink(5, "eth0.7", up, mac1, kindOf("vlan")),
		}, []string{"eth0", "eth0.7"}},
		{"a card in a VRF", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1, portOf(9)), newLink(9, "blue", up|unix.IFF_NOARP, mac2, kindOf("vrf")),
		}, []string{"eth0"}},
		{"the end of a bridge port is not of the interface", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1), linkMessage(unix.RTM_DELLINK, unix.AF_BRIDGE, ethernet, 2, up),
		}, []string{"eth0"}},
		{"it left the bridge", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1, portOf(4)),
			newLink(2, "eth0", up, mac1),
		}, []string{"eth0"}},
		{"news of a bridge port is not of the interface", []syscall.NetlinkMessage{
			newLink(2, "eth0", up, mac1), linkMessage(unix.RTM_NEWLINK, unix.AF_BRIDGE, ethernet, 2, 0),
		}, []string{"eth0"}},
		{"removed", []syscall.NetlinkMessage{newLink(2, "eth0", up, mac1), linkMessage(unix.RTM_DELLINK, 0, ethernet, 2, 0)}, nil},
		{"renamed", []syscall.NetlinkMessage{newLink(2, "eth0", up, mac1), newLink(2, "lan0", up, mac1)}, []string{"lan0"}},
		{"cut off", []syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: []byte{0, 0}}}, nil},
	} {
		if diff := cmp.Diff(c.want, names(after(c.links...).snapshot(DefaultExclude()))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestOwnHasTheMACsOfUnusableInterfacesToo(t *testing.T) {
	s := after(newLink(2, "eth0", up, mac2), newLink(3, "veth1", 0, mac1), newLink(4, "eth0.1", up, mac2)).snapshot(DefaultExclude())
	if diff := cmp.Diff([]ether.MAC{mac1, mac2}, s.Own); diff != "" {
		t.Error(diff)
	}
}

func TestEpochChangesWhenTheSegmentMayHaveForgottenUs(t *testing.T) {
	carrier := func(n uint32) []byte { return attribute(unix.IFLA_CARRIER_UP_COUNT, number4(n)) }
	event := func(n uint32) []byte { return attribute(unix.IFLA_EVENT, number4(n)) }
	l := after(newLink(2, "eth0", up, mac1, carrier(3)))
	last := l.snapshot(nil).Interfaces[0].Epoch
	for _, c := range []struct {
		name string
		m    syscall.NetlinkMessage
		want bool
	}{
		{"nothing", newLink(2, "eth0", up, mac1, carrier(3)), false},
		{"carrier was gone for less than we see", newLink(2, "eth0", up, mac1, carrier(4)), true},
		{"bond changed its port", newLink(2, "eth0", up, mac1, carrier(4), event(unix.IFLA_EVENT_BONDING_FAILOVER)), true},
		{"nothing more", newLink(2, "eth0", up, mac1, carrier(4)), false},
		{"virtual machine moved", newLink(2, "eth0", up, mac1, carrier(4), event(unix.IFLA_EVENT_NOTIFY_PEERS)), true},
		{"features changed", newLink(2, "eth0", up, mac1, carrier(4), event(unix.IFLA_EVENT_FEATURES)), false},
	} {
		l.take(c.m)
		now := l.snapshot(nil).Interfaces[0].Epoch
		if (now != last) != c.want {
			t.Errorf("%s: epoch %d, then %d", c.name, last, now)
		}
		last = now
	}
}

func TestDefaultExcludeLeavesNetworksOfNodes(t *testing.T) {
	for name, want := range map[string]bool{
		"lo": true, "docker0": true, "cbr0": true, "dummy0": true, "virbr0": true, "lxcbr0": true, "veth12": true,
		"cali9": true, "tunl0": true, "flannel.1": true, "kube-ipvs0": true, "cni0": true, "nodelocaldns": true,
		"lxc1": true, "cilium_host": true, "vxlan.calico": true,
		"eth0": false, "ens3": false, "enp1s0f0np0": false, "bond0": false, "br0": false, "br-ex": false,
		"eth0.100": false, "vlan100": false, "wlan0": false, "team0": false, "lan0": false,
	} {
		if got := excluded(DefaultExclude(), name); got != want {
			t.Errorf("%s: excluded=%v", name, got)
		}
	}
}

// tape is a source that plays what a test puts in.
type tape struct {
	dump   []syscall.NetlinkMessage
	news   chan []syscall.NetlinkMessage
	fail   chan error
	closed chan struct{}
}

func newTape(dump ...syscall.NetlinkMessage) *tape {
	return &tape{dump: dump, news: make(chan []syscall.NetlinkMessage), fail: make(chan error), closed: make(chan struct{})}
}

func (p *tape) Dump(context.Context) ([]syscall.NetlinkMessage, error) { return p.dump, nil }

func (p *tape) Receive() ([]syscall.NetlinkMessage, error) {
	select {
	case m := <-p.news:
		return m, nil
	case err := <-p.fail:
		return nil, err
	case <-p.closed:
		return nil, errors.New("closed")
	}
}

func (p *tape) Close() { close(p.closed) }

func TestWatchStartsAnewAfterOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newTape(newLink(2, "eth0", up, mac1), newLink(3, "eth1", up, mac2))
		second := newTape(newLink(3, "eth1", up, mac2), address(unix.RTM_NEWADDR, 3, fe80, 0))
		third := newTape()
		tapes := []*tape{first, second, third}
		opened := 0
		var got [][]string
		w := watcher{
			log: slog.New(slog.DiscardHandler), links: newLinks(),
			changed: func(s Snapshot) { got = append(got, names(s)) },
			open: func() (source, error) {
				opened++
				if opened == 3 { // the kernel refuses once
					return nil, unix.EMFILE
				}
				p := tapes[0]
				tapes = tapes[1:]
				return p, nil
			},
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.run(ctx); close(done) }()

		first.news <- []syscall.NetlinkMessage{newLink(2, "eth0", up, mac1)} // nothing new
		first.news <- []syscall.NetlinkMessage{newLink(2, "eth0", adminUp, mac1)}
		first.fail <- unix.ENOBUFS
		synctest.Wait()
		second.fail <- errors.New("odd")
		third.news <- nil // is open after a while
		stop()
		<-done

		want := [][]string{{"eth0", "eth1"}, {"eth1"}, {"eth1 with NDP"}, nil}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		for i, p := range []*tape{first, second, third} {
			select {
			case <-p.closed:
			default:
				t.Errorf("subscription %d was left open", i)
			}
		}
	})
}

func TestWatchRefusesAPatternThatCannotBeRead(t *testing.T) {
	err := Watch(t.Context(), []string{"eth[0"}, slog.Default(), nil)
	if err == nil || err.Error() != `exclude interfaces "eth[0": syntax error in pattern (a shell pattern such as docker*)` {
		t.Error(err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWLINK), newLink(2, "eth0", up, mac1, kindOf("bridge"), portOf(3)).Data)
	f.Add(uint16(unix.RTM_NEWADDR), address(unix.RTM_NEWADDR, 2, fe80, 0).Data)
	f.Add(uint16(unix.RTM_NEWLINK), attribute(0, nil))
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		l := after(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: data})
		l.snapshot(DefaultExclude())
	})
}
