package neutron

import (
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// Port of a network.
type Port struct {
	ID        string
	Name      string
	NetworkID string
	FixedIPs  []FixedIP
	// Groups are the ids of its security groups, sorted.
	Groups []string
	// Revision counts its changes; 0 where the cloud does not.
	Revision int
	// PortSecurity is false for a port that every packet may reach: it cannot have
	// security groups, and needs none.
	PortSecurity bool
	// Device is the id of what has the port, such as a server; DeviceOwner says what
	// kind of thing that is.
	Device      string
	DeviceOwner string
	// Node is the name of the node that the port is of; empty for other ports.
	Node string
}

// FixedIP is an address of a port.
type FixedIP struct {
	Address  netip.Addr
	SubnetID string
}

func (p Port) String() string {
	if p.Node == "" {
		return "port " + p.ID
	}
	return "port " + p.ID + " of node " + p.Node
}

// Has tells whether the port has an address.
func (p Port) Has(a netip.Addr) bool {
	return slices.ContainsFunc(p.FixedIPs, func(f FixedIP) bool { return f.Address == a })
}

// Unguarded names the nodes whose ports have port security off: no security group is
// needed there, and none is possible.
func Unguarded(nodePorts map[string]Port) []string {
	var out []string
	for node, p := range nodePorts {
		if !p.PortSecurity {
			out = append(out, node)
		}
	}
	slices.Sort(out)
	return out
}

// byServer finds the port that has a node's address among those of its server. The
// node's addresses come in the order of preference.
func byServer(n *lb.Node, ports []Port) (Port, bool) {
	if n.ServerID == "" {
		return Port{}, false
	}
	for _, a := range n.Addresses {
		for _, p := range ports {
			if p.Device == n.ServerID && p.Has(a) {
				p.Node = n.Name
				return p, true
			}
		}
	}
	return Port{}, false
}

// byAddress finds the port that has a node's address. Networks of one project may
// have the same addresses: then one that other nodes are on counts, and in doubt none.
func byAddress(n *lb.Node, ports []Port, networks []string) (Port, bool) {
	for _, a := range n.Addresses {
		var found []Port
		for _, p := range ports {
			// A router, a DHCP server or a load balancer is no node.
			service := strings.HasPrefix(p.DeviceOwner, "network:") || p.DeviceOwner == "Octavia"
			if p.Has(a) && !service {
				found = append(found, p)
			}
		}
		if len(found) > 1 {
			found = slices.DeleteFunc(found, func(p Port) bool { return !slices.Contains(networks, p.NetworkID) })
		}
		if len(found) == 1 {
			found[0].Node = n.Name
			return found[0], true
		}
	}
	return Port{}, false
}
