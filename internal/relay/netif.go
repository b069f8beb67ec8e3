package relay

import (
	"net"
	"slices"

	"github.com/vishvananda/netlink"
)

// netif is an interface of this node.
type netif struct {
	Name  string
	Index int
	MAC   net.HardwareAddr
	// Hooks are the interfaces where its frames have to be caught, sorted: it alone,
	// or the ports of a bridge. With bridge-nf-call-iptables, which nodes have on,
	// kube-proxy translates what comes in by a port before the bridge itself sees it.
	Hooks []string
}

// look lists the interfaces.
func look() ([]netif, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var all []netif
	for _, l := range links {
		a := l.Attrs()
		i := netif{Name: a.Name, Index: a.Index, MAC: a.HardwareAddr, Hooks: []string{a.Name}}
		if l.Type() == "bridge" {
			i.Hooks = ports(links, a.Index)
		}
		all = append(all, i)
	}
	return all, nil
}

func ports(links []netlink.Link, bridge int) (names []string) {
	for _, l := range links {
		if l.Attrs().MasterIndex == bridge {
			names = append(names, l.Attrs().Name)
		}
	}
	slices.Sort(names)
	return names
}
