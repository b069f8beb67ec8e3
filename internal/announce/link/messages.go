package link

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// take applies a routing netlink message (rtnetlink(7)), of a dump or an event.
// What it cannot read, or does not concern us, changes nothing.
func (l *links) take(m syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK:
		if d := parseDevice(m.Data); d != nil {
			l.setDevice(d)
		}
	case unix.RTM_DELLINK:
		// A port that leaves a bridge is told of with the family AF_BRIDGE; the
		// interface itself stays.
		if len(m.Data) >= unix.SizeofIfInfomsg && m.Data[0] == unix.AF_UNSPEC {
			l.removeDevice(int(int32(binary.NativeEndian.Uint32(m.Data[4:]))))
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if index, a, failed, ok := parseAddress(m.Data); ok && a.IsLinkLocalUnicast() {
			l.setLinkLocal(index, a, m.Header.Type == unix.RTM_NEWADDR && !failed)
		}
	}
}

// parseDevice reads a struct ifinfomsg and its attributes; nil for one that does
// not describe an interface.
func parseDevice(b []byte) *device {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return nil
	}
	d := &device{
		hardware: binary.NativeEndian.Uint16(b[2:]),
		index:    int(int32(binary.NativeEndian.Uint32(b[4:]))),
		flags:    binary.NativeEndian.Uint32(b[8:]),
	}
	for kind, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			d.name = text(value)
		case unix.IFLA_ADDRESS:
			d.mac, d.hasMAC = ether.ParseMAC(value)
		case unix.IFLA_MASTER:
			d.master = int(number(value))
		case unix.IFLA_CARRIER_UP_COUNT:
			d.carrierUps = number(value)
		case unix.IFLA_EVENT:
			switch number(value) {
			case unix.IFLA_EVENT_NOTIFY_PEERS, unix.IFLA_EVENT_BONDING_FAILOVER:
				d.hints = 1
			}
		case unix.IFLA_LINKINFO:
			for kind, value := range attributes(value) {
				if kind == unix.IFLA_INFO_KIND {
					d.kind = text(value)
				}
			}
		}
	}
	return d
}

// parseAddress reads a struct ifaddrmsg and its attributes. failed tells that
// somebody else has the address (RFC 4862 s.5.4.5).
func parseAddress(b []byte) (index int, a netip.Addr, failed, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg || b[0] != unix.AF_INET6 {
		return 0, netip.Addr{}, false, false
	}
	index = int(binary.NativeEndian.Uint32(b[4:]))
	failed = b[2]&unix.IFA_F_DADFAILED != 0
	for kind, value := range attributes(b[unix.SizeofIfAddrmsg:]) {
		if kind == unix.IFA_ADDRESS {
			a, ok = netip.AddrFromSlice(value)
		}
	}
	return index, a, failed, ok
}

// attributes yields the attributes in b by type; what is cut off is left out.
func attributes(b []byte) func(yield func(kind uint16, value []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(len(b), (n+3)&^3):] // attributes start at multiples of 4
		}
	}
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}
