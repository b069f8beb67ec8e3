package ndp

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// Probe asks whether anybody has ip (duplicate address detection, RFC 4862
// s.5.4.2): from ::, to the solicited-node group, without a link address.
func Probe(mac ether.MAC, ip netip.Addr) Message {
	group := SolicitedNode(ip)
	return Message{
		Destination: ether.Multicast(group), Source: mac,
		From: netip.IPv6Unspecified(), To: group,
		Type: Solicitation, Target: ip,
	}
}

// Announcement tells the segment that mac has ip. RFC 4861 s.7.2.6: it must not
// set Solicited, or hosts take it for proof that we hear them; Override makes
// them replace what they have. RFC 9131: routers create an entry from it.
func Announcement(mac ether.MAC, ip netip.Addr) Message {
	return Message{
		Destination: ether.Multicast(AllNodes), Source: mac,
		From: ip, To: AllNodes,
		Type: Advertisement, Target: ip, Override: true, LinkAddress: mac,
	}
}

// Answer is the advertisement for a solicitation (RFC 4861 s.7.2.4).
//
// The sender's MAC is in its link address option or, where that is left out as in
// unicast solicitations of reachability detection, in the Ethernet header. A probe
// comes from nobody, so all nodes are told, Solicited unset. Override is set: the
// address is a unicast one of this node, neither anycast nor proxied. We answer
// from the address itself, as Linux does for its own.
func (m Message) Answer(mac ether.MAC) Message {
	if m.From.IsUnspecified() {
		return Announcement(mac, m.Target)
	}
	to := m.LinkAddress
	if to.IsZero() {
		to = m.Source
	}
	return Message{
		Destination: to, Source: mac,
		From: m.Target, To: m.From,
		Type: Advertisement, Target: m.Target, Solicited: true, Override: true, LinkAddress: mac,
	}
}

// Claims tells whether the message says that its sender has the target, unasked.
func (m Message) Claims() bool { return m.Type == Advertisement && !m.Solicited && m.Override }

// Claimant is the MAC that the message gives for its sender or target.
func (m Message) Claimant() ether.MAC {
	if m.LinkAddress.IsZero() {
		return m.Source
	}
	return m.LinkAddress
}
