package relay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Limit is how long a relay may last, which is for what was open when the address moved.
// Beyond it a connection that was silent all the time would be sent away from where it
// began.
const Limit = time.Minute

// Relay sends TCP packets to VIP that reach this node on Interface, of connections
// that did not begin here, on to the node with the MAC Via.
type Relay struct {
	VIP       netip.Addr
	Interface string
	Via       net.HardwareAddr
}

// Want is all that shall be relayed.
type Want struct {
	Relays []Relay
	// Peers are the MACs of our own speakers on other nodes. Frames from them have
	// been relayed once, and stay here. Those of Relays need not be repeated.
	Peers []net.HardwareAddr
}

// ingress is all relaying on one interface, as a value: what the rules are made of.
type ingress struct {
	Interface string
	Index     int
	MAC       net.HardwareAddr   // its own
	Hooks     []string           // where its frames come in
	Peers     []net.HardwareAddr // sorted
	IPv4      []via              // sorted by address
	IPv6      []via
}

// via is one relay without its interface.
type via struct {
	VIP netip.Addr
	MAC net.HardwareAddr
}

// vias are the relays of a family.
func (in ingress) vias(f family) []via {
	if f.IPv6 {
		return in.IPv6
	}
	return in.IPv4
}

// plan sorts what is wanted by interface. What cannot be relayed is named in the
// error; the rest is planned.
func plan(want Want, interfaces []netif) (all []ingress, err error) {
	var problems []error
	at := make(map[string]*ingress)
	seen := make(map[string]net.HardwareAddr) // by VIP and interface
	for _, r := range want.Relays {
		i := slices.IndexFunc(interfaces, func(i netif) bool { return i.Name == r.Interface })
		if i < 0 {
			problems = append(problems, fmt.Errorf("relay %s: there is no interface %q", r.VIP, r.Interface))
			continue
		}
		own := interfaces[i].MAC
		if err := check(r, own); err != nil {
			problems = append(problems, fmt.Errorf("relay %s on %s: %w", r.VIP, r.Interface, err))
			continue
		}
		key := r.VIP.String() + "%" + r.Interface
		if other, twice := seen[key]; twice {
			if !bytes.Equal(other, r.Via) {
				problems = append(problems, fmt.Errorf("relay %s on %s: wanted by way of %s and of %s", r.VIP, r.Interface, other, r.Via))
			}
			continue
		}
		seen[key] = r.Via
		in := at[r.Interface]
		if in == nil {
			in = &ingress{Interface: r.Interface, Index: interfaces[i].Index, MAC: own, Hooks: interfaces[i].Hooks, Peers: slices.Clone(want.Peers)}
			at[r.Interface] = in
		}
		in.add(r)
	}
	for _, in := range at {
		in.sort()
		all = append(all, *in)
	}
	slices.SortFunc(all, func(a, b ingress) int { return cmp.Compare(a.Interface, b.Interface) })
	return all, errors.Join(problems...)
}

func check(r Relay, own net.HardwareAddr) error {
	switch {
	case !r.VIP.IsValid() || r.VIP.Zone() != "" || r.VIP.Is4In6():
		return errors.New("not an address that frames can carry")
	case len(own) != 6:
		return errors.New("not an Ethernet interface")
	case len(r.Via) != 6 || r.Via[0]&1 != 0:
		return fmt.Errorf("%q is not the MAC of a node", r.Via)
	case bytes.Equal(r.Via, own):
		return errors.New("would be sent to this node itself")
	}
	return nil
}

func (in *ingress) add(r Relay) {
	in.Peers = append(in.Peers, r.Via)
	v := via{VIP: r.VIP, MAC: r.Via}
	if r.VIP.Is4() {
		in.IPv4 = append(in.IPv4, v)
		return
	}
	in.IPv6 = append(in.IPv6, v)
}

func (in *ingress) sort() {
	in.Peers = slices.DeleteFunc(in.Peers, func(m net.HardwareAddr) bool { return len(m) != 6 })
	slices.SortFunc(in.Peers, func(a, b net.HardwareAddr) int { return bytes.Compare(a, b) })
	in.Peers = slices.CompactFunc(in.Peers, func(a, b net.HardwareAddr) bool { return bytes.Equal(a, b) })
	for _, vias := range [][]via{in.IPv4, in.IPv6} {
		slices.SortFunc(vias, func(a, b via) int { return a.VIP.Compare(b.VIP) })
	}
}
