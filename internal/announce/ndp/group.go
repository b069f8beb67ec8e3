package ndp

import "net/netip"

// AllNodes is the group of every IPv6 host of the segment (RFC 4291 s.2.7.1).
var AllNodes = netip.MustParseAddr("ff02::1")

// SolicitedNode is the group to which a is asked for: ff02::1:ff and the last 24
// bits of a (RFC 4291 s.2.7.1). Addresses that end alike share it.
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// isSolicitedNode tells whether g is the group of some address.
func isSolicitedNode(g netip.Addr) bool { return g.Is6() && SolicitedNode(g) == g }
