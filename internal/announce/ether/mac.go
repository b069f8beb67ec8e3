package ether

import (
	"encoding/hex"
	"net"
	"net/netip"
)

// MAC is a 48-bit hardware address. Unlike net.HardwareAddr it can be compared
// and be the key of a map.
type MAC [6]byte

// Broadcast reaches every host of the segment.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseMAC takes over a hardware address; false for one that is not 6 bytes long.
func ParseMAC(a []byte) (MAC, bool) {
	if len(a) != len(MAC{}) {
		return MAC{}, false
	}
	return MAC(a), true
}

// Multicast is the MAC that an IPv6 multicast group has: 33:33 and the last
// four bytes of the group (RFC 2464 s.7).
func Multicast(group netip.Addr) MAC {
	g := group.As16()
	return MAC{0x33, 0x33, g[12], g[13], g[14], g[15]}
}

// IsZero tells whether no bit is set, as in fields that are to be filled in.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsGroup tells whether m is a multicast address or Broadcast: no host may have it.
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// Hardware is m for the standard library.
func (m MAC) Hardware() net.HardwareAddr { return net.HardwareAddr(m[:]) }

// String writes 52:54:00:12:34:56.
func (m MAC) String() string {
	var b [17]byte
	for i := range m {
		if i > 0 {
			b[3*i-1] = ':'
		}
		hex.Encode(b[3*i:], m[i:i+1])
	}
	return string(b[:])
}
