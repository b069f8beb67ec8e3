package claims

import (
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

var (
	epoch   = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	us      = ether.MAC{0x52, 0x54, 0, 0, 0, 0x01}
	us2     = ether.MAC{0x52, 0x54, 0, 0, 0, 0x02}
	peer    = ether.MAC{0x52, 0x54, 0, 0, 0, 0xaa}
	foreign = ether.MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}
	client  = ether.MAC{0x52, 0x54, 0, 0, 0, 0xcc}

	vip4, vip6     = netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	other4         = netip.MustParseAddr("192.0.2.11")
	asker4, asker6 = netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8::77")

	eth0 = Interface{Index: 2, Name: "eth0", MAC: us, ARP: true, NDP: true}
	eth1 = Interface{Index: 3, Name: "eth1", MAC: us2, ARP: true, NDP: true}
)

// scenario is a table, the time, and everything that was said.
type scenario struct {
	*testing.T
	*Table
	now  time.Time
	said []said
}

// said is a Send and when it was due, from the start of the scenario.
type said struct {
	At time.Duration
	Send
}

func begin(t *testing.T, interfaces ...Interface) *scenario {
	s := &scenario{T: t, Table: New(Timing{}, epoch), now: epoch}
	s.links(interfaces...)
	return s
}

func (s *scenario) links(interfaces ...Interface) { s.SetInterfaces(s.now, interfaces, nil) }

func (s *scenario) want(announcements ...lb.Announcement) {
	s.Want(s.now, announcements, []ether.MAC{peer})
}

// pass lets time go by, as a loop does that wakes at every deadline.
func (s *scenario) pass(d time.Duration) {
	s.Helper()
	end := s.now.Add(d)
	for {
		next, ok := s.Next()
		if !ok || next.After(end) {
			break
		}
		if next.Before(s.now) {
			next = s.now
		}
		s.now = next
		for _, send := range s.Due(s.now, nil) {
			s.said = append(s.said, said{s.now.Sub(epoch), send})
		}
		if after, ok := s.Next(); ok && !after.After(s.now) {
			s.Fatalf("at %s: the next deadline %s is not later", s.now, after)
		}
	}
	s.now = end
}

// heard returns and forgets what was said.
func (s *scenario) heard() []said {
	h := s.said
	s.said = nil
	return h
}

func (s *scenario) expect(a netip.Addr, state lb.ClaimState, detail string) {
	s.Helper()
	for _, c := range s.Claims() {
		if c.Address == a {
			if c.State != state || c.Detail != detail {
				s.Errorf("%s is %s %q, want %s %q", a, c.State, c.Detail, state, detail)
			}
			return
		}
	}
	s.Errorf("%s is not claimed", a)
}

// Frames of others.

func ask4(a netip.Addr, from ether.MAC) arp.Packet {
	return arp.Packet{
		Destination: ether.Broadcast, Source: from, Operation: arp.Request,
		SenderMAC: from, SenderIP: asker4, TargetIP: a,
	}
}

func ask6(a netip.Addr, from ether.MAC) ndp.Message {
	group := ndp.SolicitedNode(a)
	return ndp.Message{
		Destination: ether.Multicast(group), Source: from, From: asker6, To: group,
		Type: ndp.Solicitation, Target: a, LinkAddress: from,
	}
}

func (s *scenario) arp(p arp.Packet) ether.Drop {
	_, drop := s.HearARP(s.now, eth0.Index, p)
	return drop
}

func (s *scenario) ndp(m ndp.Message) ether.Drop {
	_, drop := s.HearNDP(s.now, eth0.Index, m)
	return drop
}

// announces, probes and so on, of either family.

func claimBy(s *scenario, a netip.Addr, mac ether.MAC) {
	if a.Is4() {
		s.arp(arp.Announcement(mac, a))
	} else {
		s.ndp(ndp.Announcement(mac, a))
	}
}

func probeBy(s *scenario, a netip.Addr, mac ether.MAC) ether.Drop {
	if a.Is4() {
		return s.arp(arp.Probe(mac, a))
	}
	return s.ndp(ndp.Probe(mac, a))
}

func answers(s *scenario, a netip.Addr, index int) bool {
	var drop ether.Drop
	if a.Is4() {
		_, drop = s.HearARP(s.now, index, ask4(a, client))
	} else {
		_, drop = s.HearNDP(s.now, index, ask6(a, client))
	}
	return drop == ""
}

// bothFamilies runs a test with an address of each.
func bothFamilies(t *testing.T, run func(t *testing.T, vip netip.Addr)) {
	for _, vip := range []netip.Addr{vip4, vip6} {
		t.Run(lb.FamilyOf(vip).String(), func(t *testing.T) { run(t, vip) })
	}
}
