package relay

import (
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// family is where IPv4 and IPv6 differ. Offsets are into the network header.
type family struct {
	IPv6      bool
	Suffix    string // of the names of sets and chains
	EtherType uint16
	Source    uint32
	Dest      uint32
	Bytes     uint32 // of an address
	Type      nftables.SetDatatype
	// ConntrackSource and ConntrackDest are attributes of a tuple
	// (linux/netfilter/nfnetlink_conntrack.h, enum ctattr_ip).
	AF                             uint8
	ConntrackSource, ConntrackDest uint16
}

var (
	ipv4 = family{
		Suffix: "4", EtherType: unix.ETH_P_IP, Source: 12, Dest: 16, Bytes: 4, Type: nftables.TypeIPAddr,
		AF: unix.AF_INET, ConntrackSource: 1, ConntrackDest: 2,
	}
	ipv6 = family{
		IPv6: true, Suffix: "6", EtherType: unix.ETH_P_IPV6, Source: 8, Dest: 24, Bytes: 16, Type: nftables.TypeIP6Addr,
		AF: unix.AF_INET6, ConntrackSource: 3, ConntrackDest: 4,
	}
	families = []family{ipv4, ipv6}
)

// connection is a TCP connection as its packets to us name it.
type connection struct {
	Client, VIP netip.AddrPort
}

// key is a connection as an element of the set of those that began here. In
// nftables every part of a concatenation begins at a multiple of 4 bytes.
func (c connection) key() []byte {
	b := c.Client.Addr().AsSlice()
	b = append(b, byte(c.Client.Port()>>8), byte(c.Client.Port()), 0, 0)
	b = append(b, c.VIP.Addr().AsSlice()...)
	return append(b, byte(c.VIP.Port()>>8), byte(c.VIP.Port()), 0, 0)
}
