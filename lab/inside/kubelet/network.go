package kubelet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/inside"
	"fairlead.dev/fairlead/lab/netns"
)

// PodCommand is the subcommand of the inside program that becomes a pod.
const PodCommand = "pod"

const bridge = "cni0" // the name that the real bridge plugin uses

// Pod is the process of a pod: it waits at the gate (file descriptor 3) until
// it has a network, then serves.
func Pod(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: pod NAME PORT")
	}
	if err := unix.Sethostname([]byte(args[0])); err != nil {
		return err
	}
	word, err := io.ReadAll(io.LimitReader(os.NewFile(3, "gate"), 2))
	if err != nil {
		return fmt.Errorf("wait for the pod's network: %w", err)
	}
	if string(word) != "go" {
		return fmt.Errorf("the kubelet went away before the pod had a network: it said %q", word)
	}
	return inside.Echo([]string{"--port=" + args[1]})
}

// nth is the address with host number i in prefix.
func nth(prefix netip.Prefix, i int) netip.Addr {
	bytes := prefix.Masked().Addr().AsSlice()
	bytes[len(bytes)-1] |= byte(i)
	bytes[len(bytes)-2] |= byte(i >> 8)
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

func ipNet(addr netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}
}

func ensureBridge(prefixes []netip.Prefix) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridge
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !os.IsExist(err) {
		return fmt.Errorf("add %s: %w", bridge, err)
	}
	link, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	for _, prefix := range prefixes {
		addr := &netlink.Addr{IPNet: ipNet(nth(prefix, 1), prefix.Bits()), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("address %s: %w", bridge, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// plugPod lays a cable from the bridge to the network namespace of pid.
func plugPod(pid, index int, prefixes []netip.Prefix) error {
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("pod%d", index)
	attrs.MasterIndex = br.Attrs().Index
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsPid(pid)}
	// The kernel takes its time over the cable of a pod that just died.
	if old, err := netlink.LinkByName(attrs.Name); err == nil {
		_ = netlink.LinkDel(old) // or it is gone by now
	}
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("add %s: %w", attrs.Name, err)
	}
	// A pod may call itself through its Service and come back on the port it left by.
	if err := netlink.LinkSetHairpin(cable, true); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(cable); err != nil {
		return err
	}
	return configurePod(pid, index, prefixes)
}

func configurePod(pid, index int, prefixes []netip.Prefix) error {
	return netns.Do(fmt.Sprintf("/proc/%d/ns/net", pid), func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(eth0); err != nil {
			return err
		}
		for _, prefix := range prefixes {
			addr := &netlink.Addr{IPNet: ipNet(nth(prefix, index), prefix.Bits()), Flags: unix.IFA_F_NODAD}
			if err := netlink.AddrReplace(eth0, addr); err != nil {
				return err
			}
			// An IPv6 pod may be dialled the moment it is Ready, so no address waits for DAD.
			if err := netlink.RouteReplace(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: nth(prefix, 1).AsSlice()}); err != nil {
				return fmt.Errorf("default route: %w", err)
			}
		}
		return nil
	})
}
