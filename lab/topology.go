package lab

import "net/netip"

// Names of the machines that every lab has besides its nodes.
const (
	fabricName = "fabric" // the switch and the control plane
	clientName = "client" // on the nodes' segment
	routerName = "router" // between that segment and the far one
	remoteName = "remote" // on the far segment
)

// The two segments are bridges in the fabric's namespace. The fabric itself
// has an address on the first only: nothing gets past the router.
const (
	lanBridge = "lan"
	farBridge = "far"
)

// cable joins an interface of a machine to a port of a bridge.
type cable struct {
	iface  string
	port   string // the interface in the fabric, which faults act on
	bridge string
	addrs  []netip.Prefix
}

type route struct {
	to  netip.Prefix
	via netip.Addr
}

// wiring is how one machine is connected.
type wiring struct {
	cables  []cable
	routes  []route
	forward bool // forwards packets
	bridged bool // has pods behind a bridge whose traffic netfilter must see
}

var (
	any4 = netip.MustParsePrefix("0.0.0.0/0")
	any6 = netip.MustParsePrefix("::/0")
)

// topology gives the wiring of every machine of a lab with n nodes.
func topology(n int) map[string]wiring {
	upstream := []route{{any4, routerIP4}, {any6, routerIP6}}
	lan := func(name string, ip4, ip6 netip.Addr) cable {
		return cable{iface: "eth0", port: name, bridge: lanBridge, addrs: []netip.Prefix{netip.PrefixFrom(ip4, 24), netip.PrefixFrom(ip6, 64)}}
	}
	far := func(iface, port string, ip4, ip6 netip.Addr) cable {
		return cable{iface: iface, port: port, bridge: farBridge, addrs: []netip.Prefix{netip.PrefixFrom(ip4, 24), netip.PrefixFrom(ip6, 64)}}
	}
	t := map[string]wiring{
		fabricName: {routes: append(podRoutes(n, 0), upstream...)},
		clientName: {
			cables: []cable{lan(clientName, netip.MustParseAddr("172.31.0.100"), netip.MustParseAddr("fd31::100"))},
			routes: upstream,
		},
		routerName: {
			cables:  []cable{lan(routerName, routerIP4, routerIP6), far("eth1", "router-far", routerFarIP4, routerFarIP6)},
			forward: true,
		},
		remoteName: {
			cables: []cable{far("eth0", remoteName, netip.MustParseAddr("10.66.0.100"), netip.MustParseAddr("fd66::100"))},
			routes: []route{{any4, routerFarIP4}, {any6, routerFarIP6}},
		},
	}
	for i := 1; i <= n; i++ {
		t[nodeName(i)] = wiring{
			cables:  []cable{lan(nodeName(i), nodeIP4(i), nodeIP6(i))},
			routes:  append(podRoutes(n, i), upstream...),
			forward: true,
			bridged: true,
		}
	}
	return t
}

// podRoutes leads to the pods of all nodes but one. Outside the cluster nobody
// has them: clients reach pods through Services only.
func podRoutes(n, except int) []route {
	var routes []route
	for i := 1; i <= n; i++ {
		if i == except {
			continue
		}
		cidrs := podCIDRs(Dual, i)
		routes = append(routes,
			route{netip.MustParsePrefix(cidrs[0]), nodeIP4(i)},
			route{netip.MustParsePrefix(cidrs[1]), nodeIP6(i)})
	}
	return routes
}

// sysctls of the machine's network namespace.
func (w wiring) sysctls() map[string]string {
	flag := func(on bool) string {
		if on {
			return "1"
		}
		return "0"
	}
	return map[string]string{
		"net/ipv4/ip_forward":                    flag(w.forward),
		"net/ipv6/conf/all/forwarding":           flag(w.forward),
		"net/ipv4/conf/all/rp_filter":            "0",
		"net/ipv4/conf/default/rp_filter":        "0",
		"net/ipv6/conf/all/disable_ipv6":         "0",
		"net/ipv6/conf/default/disable_ipv6":     "0",
		"net/ipv6/conf/default/accept_dad":       "0", // nobody else is on the wire, and waiting costs a second
		"net/ipv6/conf/all/accept_dad":           "0",
		"net/ipv6/conf/default/accept_ra":        "0",
		"net/bridge/bridge-nf-call-iptables":     flag(w.bridged), // replies between pods of one node must be un-NATed
		"net/bridge/bridge-nf-call-ip6tables":    flag(w.bridged),
		"net/ipv4/conf/all/accept_redirects":     "0",
		"net/ipv4/conf/default/send_redirects":   "0",
		"net/ipv4/conf/all/send_redirects":       "0",
		"net/ipv6/conf/all/accept_redirects":     "0",
		"net/ipv6/conf/default/accept_redirects": "0",
	}
}
