package speaker

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
	"fairlead.dev/fairlead/internal/relay"
)

// passages remember which addresses came from a node that lives, and until when.
type passages map[netip.Addr]passage

type passage struct {
	from  string
	until time.Time
}

// relays are the connections to be sent on: of addresses that this node owns and
// took from a living one. next is when to look again at the latest, zero for never.
// Nothing is sent to a node that died: there, a reset is the better answer.
func (p passages) relays(now time.Time, node string, owners []plan.Ownership, e evidence, w *lb.World, mine []lb.Interface) (want []relay.Relay, next time.Time) {
	owned := make(map[netip.Addr]bool, len(owners))
	for _, o := range owners {
		if o.Node != node {
			continue
		}
		owned[o.Address] = true
		if before := living(w.Nodes, o.Predecessors); before != "" && !e.answering[o.Address] {
			p[o.Address] = passage{from: before, until: now.Add(relay.Limit)}
		}
		through, open := p[o.Address]
		if !open {
			continue
		}
		if !now.Before(through.until) || !forwards(w, through.from) {
			delete(p, o.Address)
			continue
		}
		want = append(want, relaysTo(through.from, o, w.Speakers, mine)...)
		next = earlier(next, through.until)
	}
	for addr := range p {
		if !owned[addr] {
			delete(p, addr)
		}
	}
	return want, next
}

// living is the first of the nodes that lives, or "".
func living(nodes []lb.Node, names []string) string {
	for _, name := range names {
		if slices.ContainsFunc(nodes, func(n lb.Node) bool { return n.Name == name && n.Alive }) {
			return name
		}
	}
	return ""
}

// forwards tells whether the kernel of a node still serves the connections that began
// there: also after its speaker said goodbye, which is no death.
func forwards(w *lb.World, node string) bool {
	speaker := find(w, node)
	leaving := speaker != nil && speaker.Leaving
	return slices.ContainsFunc(w.Nodes, func(n lb.Node) bool { return n.Name == node && (n.Alive || n.Parted || leaving) })
}

// relaysTo lists the relays of one address, for each interface that it is announced
// on and whose counterpart on the other node is known.
func relaysTo(node string, o plan.Ownership, speakers []lb.Speaker, mine []lb.Interface) []relay.Relay {
	i := slices.IndexFunc(speakers, func(s lb.Speaker) bool { return s.Node == node })
	if i < 0 {
		return nil
	}
	var out []relay.Relay
	for _, iface := range mine {
		via := counterpart(iface.Name, speakers[i].Interfaces)
		if plan.MatchesInterface(o.Interfaces, iface.Name) && via != nil && !bytes.Equal(via, iface.MAC) {
			out = append(out, relay.Relay{VIP: o.Address, Interface: iface.Name, Via: via})
		}
	}
	return out
}

// counterpart is the MAC of the other node on the segment of our interface: that of
// the same name, as on nodes of one kind, or its only one.
func counterpart(name string, theirs []lb.Interface) net.HardwareAddr {
	for _, i := range theirs {
		if i.Name == name {
			return i.MAC
		}
	}
	if len(theirs) == 1 {
		return theirs[0].MAC
	}
	return nil
}
