package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/netns"
)

// buildSwitch makes the bridges in the fabric.
func (l *Lab) buildSwitch() error {
	fabric, err := l.fabric().netns()
	if err != nil {
		return err
	}
	return netns.Do(fabric, func() error {
		if err := up("lo"); err != nil {
			return err
		}
		snooping := false // without a querier it would lose neighbour discovery
		for _, name := range []string{lanBridge, farBridge} {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = name
			// Without its own, a bridge has the lowest of its ports: another one when that
			// machine crashes, and then nobody reaches the API server for half a minute.
			attrs.HardwareAddr = macOf(apiIP4)
			if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
				return fmt.Errorf("add bridge %s: %w", name, err)
			}
			if err := up(name); err != nil {
				return err
			}
		}
		addrs := []netip.Prefix{netip.PrefixFrom(apiIP4, 24), netip.PrefixFrom(apiIP6, 64)}
		if err := setAddresses(lanBridge, addrs); err != nil {
			return err
		}
		return setRoutes(l.wiring[fabricName].routes)
	})
}

// plug lays the cables of a machine and configures their ends.
func (l *Lab) plug(h *Host) error {
	fabric, err := l.fabric().netns()
	if err != nil {
		return err
	}
	record, err := h.record()
	if err != nil {
		return err
	}
	err = netns.Do(fabric, func() error {
		for _, c := range l.wiring[h.name].cables {
			if err := layCable(c, record.PID); err != nil {
				return fmt.Errorf("lay cable to %s: %w", c.port, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.configure(h)
}

func layCable(c cable, pid int) error {
	bridge, err := netlink.LinkByName(c.bridge)
	if err != nil {
		return err
	}
	if old, err := netlink.LinkByName(c.port); err == nil {
		_ = netlink.LinkDel(old) // the kernel takes its time over the cables of a crashed machine
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = c.port
	attrs.MasterIndex = bridge.Attrs().Index
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: c.iface, PeerNamespace: netlink.NsPid(pid), PeerHardwareAddr: macOf(c.addrs[0].Addr())}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	return netlink.LinkSetUp(veth)
}

// macOf is the same after every boot, as with a real network card.
func macOf(address netip.Addr) net.HardwareAddr {
	ip := address.As4()
	return net.HardwareAddr{0x02, 0xfa, ip[0], ip[1], ip[2], ip[3]}
}

// configure brings up a machine's links with addresses and routes. A link that
// was down has lost its routes and its IPv6 addresses, so LinkUp needs it too.
func (l *Lab) configure(h *Host) error {
	path, err := h.netns()
	if err != nil {
		return err
	}
	w := l.wiring[h.name]
	return netns.Do(path, func() error {
		if err := up("lo"); err != nil {
			return err
		}
		for _, c := range w.cables {
			if err := up(c.iface); err != nil {
				return err
			}
			if err := setAddresses(c.iface, c.addrs); err != nil {
				return err
			}
		}
		return setRoutes(w.routes)
	})
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	return netlink.LinkSetUp(link)
}

func setAddresses(name string, addrs []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("give %s to %s: %w", a, name, err)
		}
	}
	return nil
}

func setRoutes(routes []route) error {
	for _, r := range routes {
		if err := netlink.RouteReplace(&netlink.Route{Dst: ipNet(r.to), Gw: r.via.AsSlice()}); err != nil {
			return fmt.Errorf("route %s via %s: %w", r.to, r.via, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// loadModules asks for what the lab needs of a kernel that is built with
// modules; namespaces cannot load them on demand.
func loadModules() {
	if _, err := os.Stat("/proc/modules"); err != nil {
		return
	}
	for _, module := range []string{"overlay", "veth", "bridge", "br_netfilter", "nf_tables", "nft_numgen", "nf_conntrack"} {
		_ = run("modprobe", "-q", module) // a built-in needs no loading; what is truly missing says so where it is used
	}
}
