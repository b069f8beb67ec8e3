package claims

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

const ms = time.Millisecond

func on(i Interface, a netip.Addr, say Say, at ...time.Duration) []said {
	var out []said
	for _, at := range at {
		out = append(out, said{at, Send{Index: i.Index, Address: a, Say: say}})
	}
	return out
}

func (s *scenario) expectSaid(what string, want []said) {
	s.Helper()
	if diff := cmp.Diff(want, s.heard(), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b said) bool {
		return a.At < b.At || a.At == b.At && a.Index < b.Index
	})); diff != "" {
		s.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestTakeOverIsAnnouncedAtOnceAndThenMoreSlowly(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0, eth1)
		s.want(lb.Announcement{Address: vip})
		s.expect(vip, lb.Announced, "")
		if !answers(s, vip, eth0.Index) || !answers(s, vip, eth1.Index) {
			t.Error("not answered before the first announcement went out")
		}
		s.pass(11 * time.Second)
		burst := []time.Duration{0, 20 * ms, 100 * ms, 500 * ms, 2 * time.Second, 10 * time.Second}
		s.expectSaid("burst", append(on(eth0, vip, Announce, burst...), on(eth1, vip, Announce, burst...)...))
	})
}

func TestHeldAddressIsAnnouncedEveryMinuteAtItsOwnTime(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4})
	s.pass(11 * time.Second)
	s.heard()
	s.pass(5 * time.Minute)
	got := s.heard()
	if len(got) != 5 {
		t.Fatalf("%d announcements in 5 minutes: %v", len(got), got)
	}
	for i := range got[1:] {
		if gap := got[i+1].At - got[i].At; gap != time.Minute {
			t.Errorf("gap %d is %s", i, gap)
		}
	}
}

func TestPeriodicAnnouncementsOfManyAreSpread(t *testing.T) {
	s := begin(t, eth0)
	s.want(many(1000, false)...)
	s.pass(time.Minute)
	s.heard()
	s.pass(time.Minute)
	second := map[time.Duration]int{}
	got := s.heard()
	for _, one := range got {
		second[one.At.Truncate(time.Second)]++
	}
	if len(got) != 1000 {
		t.Errorf("%d announcements of 1,000 addresses in a minute", len(got))
	}
	for at, n := range second {
		if n > 40 { // 17 on average
			t.Errorf("%d announcements in the second at %s", n, at)
		}
	}
}

func many(n int, fresh bool) []lb.Announcement {
	out := make([]lb.Announcement, n)
	for i := range out {
		out[i] = lb.Announcement{Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Fresh: fresh}
	}
	return out
}

func TestThousandTakeOversAreOutWithin100Milliseconds(t *testing.T) {
	s := begin(t, eth0, eth1)
	s.want(many(1000, false)...)
	s.pass(100 * ms)
	first := map[Send]time.Duration{}
	perMoment := map[said]int{}
	for _, one := range s.heard() {
		if _, ok := first[one.Send]; !ok {
			first[one.Send] = one.At
		}
		perMoment[said{At: one.At, Send: Send{Index: one.Index}}]++
	}
	if len(first) != 2000 {
		t.Errorf("%d of 2,000 (1,000 on two interfaces) in 100 ms", len(first))
	}
	for at, n := range perMoment {
		if n > 4*slotSize {
			t.Errorf("%d packets at once on interface %d at %s", n, at.Index, at.At)
		}
	}
}

func TestManyAppliesShareTheSlots(t *testing.T) {
	s := begin(t, eth0)
	var all []lb.Announcement
	for _, a := range many(200, false) {
		all = append(all, a)
		s.want(all...) // a controller that adds them one by one
	}
	s.pass(0)
	if n := len(s.heard()); n != slotSize {
		t.Errorf("%d at once, want %d", n, slotSize)
	}
	s.pass(15 * ms)
	if n := len(s.heard()); n != 150 {
		t.Errorf("%d in the next 15 ms, want 150", n)
	}
}

func TestLateWakeUpSkipsWhatWasMissed(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4})
	s.now = s.now.Add(700 * ms)
	if got := s.Due(s.now, nil); len(got) != 1 {
		t.Errorf("said %v at once", got)
	}
	if next, _ := s.Next(); next != epoch.Add(2*time.Second) {
		t.Errorf("next at %s", next.Sub(epoch))
	}
}

func TestFreshAddressIsProbedThenAnnounced(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip, Fresh: true})
		s.expect(vip, lb.Probing, "")
		if answers(s, vip, eth0.Index) {
			t.Error("answered while probing")
		}
		s.pass(399 * ms)
		s.expect(vip, lb.Probing, "")
		s.expectSaid("probes", on(eth0, vip, Probe, 0, 100*ms, 200*ms))
		s.pass(25 * ms)
		s.expect(vip, lb.Announced, "")
		s.expectSaid("burst begins", on(eth0, vip, Announce, 400*ms, 420*ms))
		if !answers(s, vip, eth0.Index) {
			t.Error("not answered after the probes")
		}
	})
}

func TestForeignAnswerWhileProbingIsAConflict(t *testing.T) {
	const detail = "52:54:00:12:34:56 answers for it on eth0"
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		for name, hear := range map[string]func(s *scenario){
			"announcement":       func(s *scenario) { claimBy(s, vip, foreign) },
			"simultaneous probe": func(s *scenario) { probeBy(s, vip, foreign) },
			"answer": func(s *scenario) {
				if vip.Is4() {
					s.arp(arp.Probe(us, vip).Answer(foreign))
				} else {
					s.ndp(ndp.Probe(us, vip).Answer(foreign))
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				s := begin(t, eth0)
				s.want(lb.Announcement{Address: vip, Fresh: true})
				s.pass(350 * ms) // in the wait after the last probe
				s.heard()
				hear(s)
				s.expect(vip, lb.Conflict, detail)
				s.pass(9900 * ms)
				s.expectSaid("silence until the next attempt", nil)
				if answers(s, vip, eth0.Index) {
					t.Error("answered in spite of the conflict")
				}
				s.pass(200 * ms) // the next attempt has begun
				s.expectSaid("next attempt", on(eth0, vip, Probe, 10350*ms, 10450*ms))
				hear(s)
				s.expect(vip, lb.Conflict, detail)
				s.pass(9900 * ms)
				s.expectSaid("silence again", nil)
				s.pass(time.Second) // nobody answers any more
				s.expect(vip, lb.Announced, "")
			})
		}
	})
}

func TestQuestionsOfOthersWhileProbingAreNoConflict(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip, Fresh: true})
		s.pass(150 * ms)
		answers(s, vip, eth0.Index)
		s.expect(vip, lb.Probing, "")
	})
}

func TestPeersAndOurselvesAreNoConflict(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0, eth1)
		s.want(lb.Announcement{Address: vip, Fresh: true})
		s.pass(150 * ms)
		claimBy(s, vip, peer)
		probeBy(s, vip, peer)
		probeBy(s, vip, us2) // eth1 is on the same segment
		claimBy(s, vip, us2)
		s.pass(300 * ms)
		s.expect(vip, lb.Announced, "")
	})
}

func TestMACsOfUnusableInterfacesAreOurs(t *testing.T) {
	s := begin(t)
	s.SetInterfaces(s.now, []Interface{eth0}, []ether.MAC{client})
	s.want(lb.Announcement{Address: vip4, Fresh: true})
	probeBy(s, vip4, client)
	s.expect(vip4, lb.Probing, "")
}

func TestForeignClaimToAHeldAddressIsDefendedAndTold(t *testing.T) {
	const detail = "52:54:00:12:34:56 also answers for it on eth0"
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0, eth1)
		s.want(lb.Announcement{Address: vip})
		s.pass(11 * time.Second)
		s.heard()
		s.Changes()
		at := s.now.Sub(epoch)
		for range 5 { // they shout: we defend once
			claimBy(s, vip, foreign)
			s.pass(ms)
		}
		s.expect(vip, lb.Announced, detail)
		s.expectSaid("one defence", on(eth0, vip, Defend, at))
		if events, _ := s.Changes(); len(events) != 1 || !events[0].Foreign() {
			t.Errorf("events %+v, want one", events)
		}
		if !answers(s, vip, eth0.Index) {
			t.Error("a working address was withdrawn")
		}
		s.now = s.now.Add(10 * time.Second)
		claimBy(s, vip, foreign)
		if got := s.Due(s.now, nil); len(got) == 0 || got[0].Say != Defend {
			t.Errorf("after DEFEND_INTERVAL: %v", got)
		}
		s.pass(2*time.Minute + time.Second)
		s.expect(vip, lb.Announced, "")
	})
}

func TestProbeForAHeldAddressIsAnswered(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4}, lb.Announcement{Address: vip6})
	got4, drop := s.HearARP(s.now, eth0.Index, arp.Probe(foreign, vip4))
	want4 := arp.Packet{
		Destination: foreign, Source: us, Operation: arp.Reply,
		SenderMAC: us, SenderIP: vip4, TargetMAC: foreign, TargetIP: netip.IPv4Unspecified(),
	}
	if drop != "" || got4 != want4 {
		t.Errorf("drop %q\n got %+v\nwant %+v", drop, got4, want4)
	}
	got6, drop := s.HearNDP(s.now, eth0.Index, ndp.Probe(foreign, vip6))
	if want := ndp.Announcement(us, vip6); drop != "" || got6 != want {
		t.Errorf("drop %q\n got %+v\nwant %+v", drop, got6, want)
	}
	s.expect(vip4, lb.Announced, "")
	s.expect(vip6, lb.Announced, "")
}

func TestUnansweredPacketsHaveReasons(t *testing.T) {
	s := begin(t, eth0, Interface{Index: 9, Name: "eth9", MAC: us2, ARP: true, NDP: true})
	s.want(
		lb.Announcement{Address: vip4, Interfaces: []string{"eth0"}},
		lb.Announcement{Address: vip6, Interfaces: []string{"eth0"}},
		lb.Announcement{Address: other4, Fresh: true},
	)
	unicast4, elsewhere4 := ask4(vip4, client), ask4(vip4, client)
	unicast4.Destination, elsewhere4.Destination = us, peer
	unicast6, elsewhere6 := ask6(vip6, client), ask6(vip6, client)
	unicast6.Destination, elsewhere6.Destination = us, peer
	for _, c := range []struct {
		name  string
		index int
		p     arp.Packet
		want  ether.Drop
	}{
		{"broadcast", 2, ask4(vip4, client), ""},
		{"to our MAC", 2, unicast4, ""},
		{"to another MAC", 2, elsewhere4, OtherHost},
		{"address on another interface only", 9, ask4(vip4, client), NotOurs},
		{"interface that is gone", 77, ask4(vip4, client), NoSuchInterface},
		{"address of nobody", 2, ask4(netip.MustParseAddr("192.0.2.99"), client), NotOurs},
		{"looped back", 2, ask4(vip4, us2), FromUs},
		{"still probing", 2, ask4(other4, client), NotYet},
		{"announcement", 2, arp.Announcement(foreign, vip4), NoQuestion},
		{"reply", 2, ask4(vip4, client).Answer(foreign), OtherHost},
	} {
		if _, got := s.HearARP(s.now, c.index, c.p); got != c.want {
			t.Errorf("ARP %s: drop %q, want %q", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		name  string
		index int
		m     ndp.Message
		want  ether.Drop
	}{
		{"multicast", 2, ask6(vip6, client), ""},
		{"unicast", 2, unicast6, ""},
		{"to another MAC", 2, elsewhere6, OtherHost},
		{"address on another interface only", 9, ask6(vip6, client), NotOurs},
		{"interface that is gone", 77, ask6(vip6, client), NoSuchInterface},
		{"address of nobody", 2, ask6(asker6, client), NotOurs},
		{"looped back", 2, ask6(vip6, us2), FromUs},
		{"advertisement", 2, ndp.Announcement(peer, vip6), NoQuestion},
	} {
		if _, got := s.HearNDP(s.now, c.index, c.m); got != c.want {
			t.Errorf("NDP %s: drop %q, want %q", c.name, got, c.want)
		}
	}
}

func TestReleasedAddressIsSilent(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip})
		s.pass(50 * ms)
		s.heard()
		s.want()
		if answers(s, vip, eth0.Index) {
			t.Error("answered after release")
		}
		s.pass(5 * time.Minute)
		s.expectSaid("nothing", nil)
		if _, ok := s.Next(); ok || len(s.Claims()) != 0 {
			t.Errorf("left behind: %v", s.Claims())
		}
	})
}

func TestFreshMayChangeWhileHeld(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		t.Run("announced turned fresh is not probed", func(t *testing.T) {
			s := begin(t, eth0)
			s.want(lb.Announcement{Address: vip})
			s.pass(11 * time.Second)
			s.heard()
			s.want(lb.Announcement{Address: vip, Fresh: true})
			s.want(lb.Announcement{Address: vip})
			s.expect(vip, lb.Announced, "")
			s.pass(time.Second)
			for _, one := range s.heard() {
				if one.Say != Announce {
					t.Errorf("said %v", one)
				}
			}
		})
		t.Run("probing turned not fresh is announced at once", func(t *testing.T) {
			s := begin(t, eth0)
			s.want(lb.Announcement{Address: vip, Fresh: true})
			s.pass(150 * ms)
			s.heard()
			s.want(lb.Announcement{Address: vip})
			s.expect(vip, lb.Announced, "")
			s.pass(0)
			s.expectSaid("at once", on(eth0, vip, Announce, 150*ms))
		})
		t.Run("fresh again and again does not restart the probes", func(t *testing.T) {
			s := begin(t, eth0)
			for range 4 {
				s.want(lb.Announcement{Address: vip, Fresh: true})
				s.pass(100 * ms)
			}
			s.expect(vip, lb.Announced, "")
		})
	})
}

func TestInterfacesComeAndGo(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t)
		s.want(lb.Announcement{Address: vip, Fresh: true})
		s.expect(vip, lb.NoInterface, "no usable interface")

		s.links(eth0)
		s.expect(vip, lb.Probing, "")
		s.pass(11 * time.Second)
		s.expect(vip, lb.Announced, "")
		s.heard()

		at := s.now.Sub(epoch)
		s.links(eth0, eth1)
		s.pass(30 * ms)
		s.expectSaid("announced on the new one only, without probes", on(eth1, vip, Announce, at, at+20*ms))

		s.links()
		s.expect(vip, lb.NoInterface, "no usable interface")
		if answers(s, vip, eth0.Index) {
			t.Error("answered on an interface that is gone")
		}
		s.pass(time.Second)
		s.expectSaid("nothing", nil)

		at = s.now.Sub(epoch)
		s.links(eth0)
		s.expect(vip, lb.Announced, "")
		s.pass(0)
		s.expectSaid("announced when the link is back", on(eth0, vip, Announce, at))
	})
}

func TestInterfaceThatJoinsWhileProbingIsProbedToo(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip, Fresh: true})
		s.pass(150 * ms)
		s.heard()
		s.links(eth0, eth1)
		s.pass(399 * ms)
		s.expect(vip, lb.Probing, "")
		again := []time.Duration{150 * ms, 250 * ms, 350 * ms}
		s.expectSaid("probes on both", append(on(eth0, vip, Probe, again...), on(eth1, vip, Probe, again...)...))
		s.pass(ms)
		s.expect(vip, lb.Announced, "")
	})
}

func TestNewMACOrEpochIsAnnounced(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0, eth1)
		s.want(lb.Announcement{Address: vip})
		s.pass(11 * time.Second)
		s.heard()
		for name, change := range map[string]func(*Interface){
			"MAC":   func(i *Interface) { i.MAC[5]++ },
			"epoch": func(i *Interface) { i.Epoch++ },
		} {
			changed := eth0
			change(&changed)
			at := s.now.Sub(epoch)
			s.links(changed, eth1)
			s.pass(0)
			s.expectSaid(name, on(eth0, vip, Announce, at))
			s.pass(11 * time.Second)
			s.heard()
			s.links(eth0, eth1)
			s.pass(11 * time.Second)
			s.heard()
		}
	})
}

func TestPatternsAndFamiliesSelectInterfaces(t *testing.T) {
	only4 := Interface{Index: 5, Name: "bond0.7", MAC: us2, ARP: true}
	s := begin(t, eth0, only4)
	s.want(
		lb.Announcement{Address: vip4, Interfaces: []string{"bond*"}},
		lb.Announcement{Address: vip6, Interfaces: []string{"bond*"}},
		lb.Announcement{Address: other4, Interfaces: []string{"eth7", "[bad"}},
		lb.Announcement{Address: asker6},
	)
	s.expect(vip4, lb.Announced, "")
	s.expect(vip6, lb.NoInterface, "no interface that matches bond* can announce IPv6")
	s.expect(other4, lb.NoInterface, "no usable interface that matches eth7, [bad")
	want := map[netip.Addr][]string{vip4: {"bond0.7"}, asker6: {"eth0"}}
	for _, c := range s.Claims() {
		if diff := cmp.Diff(want[c.Address], c.Interfaces); diff != "" {
			t.Errorf("interfaces of %s (-want +got):\n%s", c.Address, diff)
		}
	}
	if answers(s, vip4, eth0.Index) || !answers(s, vip4, only4.Index) {
		t.Error("answered on the wrong interface")
	}

	s.want(lb.Announcement{Address: vip4, Interfaces: []string{"eth*"}})
	if !answers(s, vip4, eth0.Index) || answers(s, vip4, only4.Index) {
		t.Error("a changed pattern was not followed")
	}
}

func TestImpossibleAddressesAreLeftOut(t *testing.T) {
	s := begin(t, eth0)
	s.want(
		lb.Announcement{}, lb.Announcement{Address: netip.IPv4Unspecified()}, lb.Announcement{Address: ndp.AllNodes},
		lb.Announcement{Address: netip.MustParseAddr("255.255.255.255")},
		lb.Announcement{Address: netip.MustParseAddr("::ffff:192.0.2.10")},
	)
	if got := s.Claims(); len(got) != 1 || got[0].Address != vip4 {
		t.Errorf("claims %v", got)
	}
}

func TestGroupsAreThoseOfAddressesOnTheInterface(t *testing.T) {
	twin := netip.MustParseAddr("2001:db8:1::10") // ends like vip6
	s := begin(t, eth0, eth1)
	both := []lb.Announcement{
		{Address: vip6, Interfaces: []string{"eth0"}}, {Address: twin, Interfaces: []string{"eth0"}, Fresh: true}, {Address: vip4},
	}
	group := []netip.Addr{ndp.SolicitedNode(vip6)}
	for _, c := range []struct {
		name string
		want []lb.Announcement
		has  []netip.Addr
	}{
		{"two addresses share one", both, group},
		{"the one that is left needs it", both[:1], group},
		{"nobody needs it", both[2:], nil},
	} {
		s.want(c.want...)
		if diff := cmp.Diff(c.has, s.Groups(eth0.Index), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if got := s.Groups(eth1.Index); len(got) != 0 {
			t.Errorf("%s: eth1 has %v", c.name, got)
		}
	}
}

func TestConflictWithManyHostsTellsOfOne(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4, Fresh: true})
	s.Changes()
	for i := range 100 {
		claimBy(s, vip4, ether.MAC{2, 0, 0, 0, 0, byte(i)})
	}
	if events, _ := s.Changes(); len(events) != 1 {
		t.Errorf("%d events", len(events))
	}
	s.expect(vip4, lb.Conflict, "02:00:00:00:00:00 answers for it on eth0")
}

func TestEventsTellEveryStep(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4, Fresh: true})
	s.pass(time.Second)
	s.links()
	s.want()
	events, changed := s.Changes()
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s", e.State, e.Detail))
	}
	want := []string{"Probing ", "Announced ", "NoInterface no usable interface", " "}
	if diff := cmp.Diff(want, got); diff != "" || !changed {
		t.Errorf("changed %v (-want +got):\n%s", changed, diff)
	}
	if s.Pending() {
		t.Error("Changes left something")
	}
}

func TestSinceIsWhenTheStateWasEntered(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4, Fresh: true})
	s.pass(time.Minute)
	claimBy(s, vip4, foreign) // changes the detail only
	if got := s.Claims()[0].Since; got != epoch.Add(400*ms) {
		t.Errorf("since %s", got.Sub(epoch))
	}
}

func TestNoProbesWhereTheyAreSwitchedOff(t *testing.T) {
	table := New(Timing{Probes: -1}, epoch)
	table.SetInterfaces(epoch, []Interface{eth0}, nil)
	table.Want(epoch, []lb.Announcement{{Address: vip4, Fresh: true}}, nil)
	if got := table.Claims()[0].State; got != lb.Announced {
		t.Error(got)
	}
}
