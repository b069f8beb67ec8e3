package claims

import (
	"time"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

// Why a valid packet gets no answer.
const (
	NoSuchInterface ether.Drop = "interface_gone"
	FromUs          ether.Drop = "from_us"
	OtherHost       ether.Drop = "other_host"    // not to us by its Ethernet destination
	NotOurs         ether.Drop = "not_ours"      // about an address that we do not claim there
	NotYet          ether.Drop = "not_announced" // claimed, but not in use yet
	NoQuestion      ether.Drop = "no_question"   // tells of one of ours, asks nothing
)

// Drops lists every reason that HearARP and HearNDP give.
func Drops() []ether.Drop {
	return []ether.Drop{NoSuchInterface, FromUs, OtherHost, NotOurs, NotYet, NoQuestion}
}

// HearARP takes in a packet that came in on an interface, and answers it unless
// it says why not. RFC 826; conflicts RFC 5227 s.2.1.1 and 2.4.
func (t *Table) HearARP(now time.Time, index int, p arp.Packet) (arp.Packet, ether.Drop) {
	s := t.segments[index]
	switch {
	case s == nil:
		return arp.Packet{}, NoSuchInterface
	case t.own[p.SenderMAC]:
		return arp.Packet{}, FromUs
	case p.Destination != ether.Broadcast && p.Destination != s.MAC:
		return arp.Packet{}, OtherHost
	}
	claimed := t.on(s, t.claims[p.SenderIP])
	if claimed != nil {
		t.heardClaim(now, claimed, p.SenderMAC, s, p.Claims())
	}
	c := t.on(s, t.claims[p.TargetIP])
	switch {
	case c == nil && claimed == nil:
		return arp.Packet{}, NotOurs
	// A reply to an announcement would make two hosts with one address shout at
	// each other; the defence is rate-limited.
	case c == nil || p.Operation != arp.Request || p.Claims():
		return arp.Packet{}, NoQuestion
	case c.state == lb.Announced:
		return p.Answer(s.MAC), ""
	}
	if p.SenderIP.IsUnspecified() {
		t.heardProbe(now, c, p.SenderMAC, s)
	}
	return arp.Packet{}, NotYet
}

// HearNDP is HearARP for IPv6. RFC 4861 s.7.2.3 and 7.2.4; conflicts RFC 4862
// s.5.4.3 and 5.4.4.
func (t *Table) HearNDP(now time.Time, index int, m ndp.Message) (ndp.Message, ether.Drop) {
	s := t.segments[index]
	switch {
	case s == nil:
		return ndp.Message{}, NoSuchInterface
	case t.own[m.Source] || t.own[m.Claimant()]:
		return ndp.Message{}, FromUs
	case !m.Destination.IsGroup() && m.Destination != s.MAC:
		return ndp.Message{}, OtherHost
	}
	c := t.on(s, t.claims[m.Target])
	switch {
	case c == nil:
		return ndp.Message{}, NotOurs
	case m.Type == ndp.Advertisement:
		t.heardClaim(now, c, m.Claimant(), s, m.Claims())
		return ndp.Message{}, NoQuestion
	case c.state == lb.Announced:
		answer := m.Answer(s.MAC)
		// Who has heard the successor meanwhile stays with it; RFC 4861 s.7.2.5. ARP
		// cannot say so.
		answer.Override = !c.handingOver
		return answer, ""
	}
	if m.From.IsUnspecified() {
		t.heardProbe(now, c, m.Source, s)
	}
	return ndp.Message{}, NotYet
}

// on is c where it belongs on the segment, else nil.
func (t *Table) on(s *segment, c *claim) *claim {
	if c == nil || !c.isOn(s.Index) {
		return nil
	}
	return c
}

// heardClaim acts on a packet in which another host uses the address; announced
// tells that it did so unasked.
func (t *Table) heardClaim(now time.Time, c *claim, mac ether.MAC, s *segment, announced bool) {
	switch {
	case t.peers[mac] && announced && c.state == lb.Announced:
		c.takenOver = now
		t.changed = true
	case t.peers[mac]:
		// It still answers, or answers already: a hand-over, not a conflict.
	case c.state == lb.Announced:
		t.defend(now, c, mac, s)
	default:
		t.conflict(now, c, mac, s.Name)
	}
}

// heardProbe acts on another host that is about to take an address that we have
// not yet: both give it up.
func (t *Table) heardProbe(now time.Time, c *claim, mac ether.MAC, s *segment) {
	if !t.peers[mac] {
		t.conflict(now, c, mac, s.Name)
	}
}
