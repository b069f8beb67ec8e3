package lab

import (
	"fmt"
	"net/netip"
)

// Addresses are the same in every lab, since each has wires of its own.
// Free for load balancers: 172.31.0.200-172.31.0.250 and fd31::1:0/112.
var (
	apiIP4 = netip.MustParseAddr("172.31.0.1")
	apiIP6 = netip.MustParseAddr("fd31::1")

	routerIP4 = netip.MustParseAddr("172.31.0.254") // on the nodes' segment
	routerIP6 = netip.MustParseAddr("fd31::fe")

	routerFarIP4 = netip.MustParseAddr("10.66.0.1") // on the remote client's segment
	routerFarIP6 = netip.MustParseAddr("fd66::1")
)

const (
	apiPort = 6443

	podCIDR4     = "10.245.0.0/16"
	podCIDR6     = "fd45::/32"
	serviceCIDR4 = "10.97.0.0/16"
	serviceCIDR6 = "fd97::/112"
	serviceAPI4  = "10.97.0.1" // the kubernetes Service
	serviceAPI6  = "fd97::1"

	// maxNodes keeps the nodes' last octet below the client's.
	maxNodes = 89
)

// Family says which IP families the cluster uses. The wires carry both always.
type Family string

// The families a cluster can have.
const (
	Dual Family = "dual"
	IPv4 Family = "ipv4"
)

// list is the values for the families in use, IPv4 first.
func (f Family) list(v4, v6 string) []string {
	if f == IPv4 {
		return []string{v4}
	}
	return []string{v4, v6}
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i) }

func nodeIP4(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("172.31.0.%d", 10+i)) }

// nodeIP6 writes the same digits as nodeIP4, for people's sake.
func nodeIP6(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd31::%d", 10+i)) }

func podCIDRs(f Family, i int) []string {
	return f.list(fmt.Sprintf("10.245.%d.0/24", i), fmt.Sprintf("fd45:0:0:%d::/64", i))
}
