//go:build lab

package e2e

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/lab"
)

// askEvery is how often a newcomer asks for each address.
const askEvery = 20 * time.Millisecond

// newcomer is a host without a neighbour cache: all the time it asks for addresses by
// ARP and NDP, and it hears every answer to itself and every announcement. It has a MAC
// of its own, so that its answers mend no cache of the machine whose port it uses.
type newcomer struct {
	mac      ether.MAC
	ip4, ip6 netip.Addr
	conns    map[ether.Type]*packet.Conn
	done     chan struct{}
	running  sync.WaitGroup

	mu    sync.Mutex
	words []word
	err   error
}

// word is somebody's claim to an address.
type word struct {
	at      time.Time
	address netip.Addr
	mac     ether.MAC
}

// newcomer asks for addresses until the test ends.
func (c *cluster) newcomer(at *lab.Host, addresses ...netip.Addr) *newcomer {
	c.t.Helper()
	// Switches learn MACs: each port's newcomer has its own, after the port's machine.
	host := at.IP4().As4()[3]
	n := &newcomer{
		mac: ether.MAC{0x02, 0xfa, 0, 0, 0, host},
		ip4: netip.AddrFrom4([4]byte{172, 31, 0, host - 1}), ip6: netip.AddrFrom16([16]byte{0xfd, 0x31, 14: 0xfa, 15: host}),
		conns: make(map[ether.Type]*packet.Conn), done: make(chan struct{}),
	}
	for _, protocol := range []ether.Type{ether.ARP, ether.IPv6} {
		err := at.Do(func() error {
			iface, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			conn, err := packet.Listen(iface, packet.Raw, int(protocol), nil)
			if err != nil {
				return err
			}
			n.conns[protocol] = conn
			return conn.SetPromiscuous(true) // answers go to a MAC that is not the interface's
		})
		if err != nil {
			c.t.Fatalf("listen at %s: %v", at.Name(), err)
		}
		n.running.Go(func() { n.listen(n.conns[protocol]) })
	}
	n.running.Go(func() { n.ask(addresses) })
	c.t.Cleanup(func() { n.leave(c.t) })
	return n
}

func (n *newcomer) leave(t *testing.T) {
	close(n.done)
	for _, conn := range n.conns {
		conn.Close()
	}
	n.running.Wait()
	if n.err != nil {
		t.Errorf("the newcomer could not ask: %v", n.err)
	}
}

func (n *newcomer) ask(addresses []netip.Addr) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		for _, address := range addresses {
			frame, protocol := n.question(address)
			_, err := n.conns[protocol].WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])})
			select {
			case <-n.done:
				return
			default:
			}
			if err != nil {
				n.mu.Lock()
				n.err = err
				n.mu.Unlock()
			}
		}
		select {
		case <-n.done:
			return
		case <-tick.C:
		}
	}
}

func (n *newcomer) question(address netip.Addr) ([]byte, ether.Type) {
	if address.Is4() {
		return arp.Packet{
			Destination: ether.Broadcast, Source: n.mac, Operation: arp.Request,
			SenderMAC: n.mac, SenderIP: n.ip4, TargetIP: address,
		}.Append(nil), ether.ARP
	}
	group := ndp.SolicitedNode(address)
	return ndp.Message{
		Destination: ether.Multicast(group), Source: n.mac, From: n.ip6, To: group,
		Type: ndp.Solicitation, Target: address, LinkAddress: n.mac,
	}.Append(nil), ether.IPv6
}

func (n *newcomer) listen(conn *packet.Conn) {
	frame := make([]byte, 2048)
	for {
		size, _, err := conn.ReadFrom(frame)
		if err != nil {
			return // it was closed
		}
		if w, ok := n.understand(frame[:size]); ok {
			n.mu.Lock()
			n.words = append(n.words, w)
			n.mu.Unlock()
		}
	}
}

// understand reads announcements, and answers to this newcomer.
func (n *newcomer) understand(frame []byte) (word, bool) {
	now := time.Now()
	if p, drop := arp.Parse(frame); drop == "" {
		return word{now, p.SenderIP, p.SenderMAC}, p.Claims() || p.Operation == arp.Reply && p.TargetMAC == n.mac
	}
	if m, drop := ndp.Parse(frame); drop == "" && m.Type == ndp.Advertisement {
		return word{now, m.Target, m.Claimant()}, m.Claims() || m.To == n.ip6
	}
	return word{}, false
}

// since are the words about an address from then on, in the order in which they came.
func (n *newcomer) since(from time.Time, address netip.Addr) []word {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []word
	for _, w := range n.words {
		if w.address == address && !w.at.Before(from) {
			out = append(out, w)
		}
	}
	return out
}

// now are the MACs that claimed an address in the last moments, sorted.
func (n *newcomer) now(address netip.Addr) []string {
	var out []string
	for _, w := range n.since(time.Now().Add(-10*askEvery), address) {
		out = append(out, w.mac.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unanswered is the longest time between two moments without an answer for an address.
func (n *newcomer) unanswered(address netip.Addr, from, to time.Time) time.Duration {
	var longest time.Duration
	last := from
	for _, w := range n.since(from, address) {
		if w.at.After(to) {
			break
		}
		longest, last = max(longest, w.at.Sub(last)), w.at
	}
	return max(longest, to.Sub(last))
}
