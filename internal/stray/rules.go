package stray

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/nft"
)

const (
	tableName = "fairlead_stray"
	chainName = "forward"
	// priority is behind kube-proxy's chains in the same hook, which are at 0.
	priority = 10
)

func table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
}

// family is where IPv4 and IPv6 differ.
type family struct {
	IPv6   bool
	Name   string // of the set
	Number byte   // NFPROTO_*, linux/netfilter.h
	Dest   uint32 // offset of the destination in the header
	Bytes  uint32 // of an address
	Type   nftables.SetDatatype
}

var families = []family{
	{Name: "vips4", Number: unix.NFPROTO_IPV4, Dest: 16, Bytes: 4, Type: nftables.TypeIPAddr},
	{Name: "vips6", Number: unix.NFPROTO_IPV6, Dest: 24, Bytes: 16, Type: nftables.TypeIP6Addr, IPv6: true},
}

func (f family) set() *nftables.Set {
	return &nftables.Set{Table: table(), Name: f.Name, KeyType: f.Type}
}

// of are the addresses of the family.
func (f family) of(vips []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(vips), func(a netip.Addr) bool { return a.Is6() != f.IPv6 })
}

// protocols are those that Services have. ICMP is none: who pings an address is told by
// the node, as always, that it is not there.
func protocols() (*nftables.Set, []nftables.SetElement) {
	return &nftables.Set{Table: table(), Name: "protocols", KeyType: nftables.TypeInetProto},
		[]nftables.SetElement{{Key: []byte{unix.IPPROTO_TCP}}, {Key: []byte{unix.IPPROTO_UDP}}, {Key: []byte{unix.IPPROTO_SCTP}}}
}

func (f family) rule() []expr.Any {
	set, _ := protocols()
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: nft.Reg}, nft.Equal(f.Number),
		nft.Load(expr.PayloadBaseNetworkHeader, f.Dest, f.Bytes, nft.Reg),
		&expr.Lookup{SourceRegister: nft.Reg, SetName: f.Name},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: nft.Reg},
		&expr.Lookup{SourceRegister: nft.Reg, SetName: set.Name},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}
