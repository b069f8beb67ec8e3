package claims

import (
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// silence lets time go by in which the node must not be heard.
func (s *scenario) silence(d time.Duration) {
	s.now = s.now.Add(d)
	s.Resume(s.now)
}

// from moves times that count from a moment of the scenario.
func from(start time.Duration, at ...time.Duration) []time.Duration {
	for i := range at {
		at[i] += start
	}
	return at
}

func TestTakeOverInSilenceIsAnnouncedAfterIt(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip})
		s.silence(700 * ms)
		s.pass(600 * ms)
		s.expectSaid("the whole burst", on(eth0, vip, Announce, from(700*ms, 0, 20*ms, 100*ms, 500*ms)...))
	})
}

func TestOnlyWhatCameDueInSilenceIsAnnouncedAfterIt(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4})
	s.pass(11 * time.Second)
	s.heard()
	s.silence(100 * ms)
	s.pass(ms)
	s.expectSaid("nothing was due", nil)
	s.silence(time.Minute) // longer than the period
	at := s.now.Sub(epoch)
	s.pass(100 * ms)
	s.expectSaid("the periodic one was due", on(eth0, vip4, Announce, from(at, 0, 20*ms, 100*ms)...))
}

func TestUnsaidIsAnnouncedOnThatInterfaceAfterSilence(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0, eth1)
		s.want(lb.Announcement{Address: vip})
		s.pass(11 * time.Second)
		s.heard()
		s.Unsaid(s.now, Send{Index: eth1.Index, Address: vip, Say: Announce})
		s.Unsaid(s.now, Send{Index: 77, Address: vip, Say: Announce})
		s.Unsaid(s.now, Send{Index: eth0.Index, Address: asker4, Say: Announce})
		s.silence(50 * ms)
		at := s.now.Sub(epoch)
		s.pass(30 * ms)
		s.expectSaid("on eth1 alone", on(eth1, vip, Announce, from(at, 0, 20*ms)...))
	})
}

func TestProbesBeginAnewAfterSilence(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip, Fresh: true})
		s.pass(350 * ms) // in the wait after the last probe
		s.heard()
		s.silence(time.Second)
		at := s.now.Sub(epoch)
		s.pass(399 * ms)
		s.expect(vip, lb.Probing, "")
		s.expectSaid("probes", on(eth0, vip, Probe, from(at, 0, 100*ms, 200*ms)...))
		s.pass(ms)
		s.expect(vip, lb.Announced, "")
	})
}

func TestAttemptAfterAConflictBeginsAnewAfterSilence(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4, Fresh: true})
	claimBy(s, vip4, foreign)
	s.pass(10100 * ms) // the first probes of the next attempt are out
	s.heard()
	s.silence(time.Second)
	at := s.now.Sub(epoch)
	s.pass(399 * ms)
	s.expectSaid("probes", on(eth0, vip4, Probe, from(at, 0, 100*ms, 200*ms)...))
	s.pass(ms)
	s.expect(vip4, lb.Announced, "")
}

func TestConflictHeardInSilenceStands(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip, Fresh: true})
		s.pass(250 * ms)
		s.heard()
		claimBy(s, vip, foreign)
		s.silence(time.Second)
		s.pass(8900 * ms)
		s.expectSaid("silence until the next attempt", nil)
		s.expect(vip, lb.Conflict, "52:54:00:12:34:56 answers for it on eth0")
	})
}

func TestPeerHeardInSilenceKeepsWhatWeHad(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip})
		s.pass(3 * time.Second) // the burst's last word would be at 10 s
		s.heard()
		s.Unsaid(s.now, Send{Index: eth0.Index, Address: vip, Say: Announce})
		claimBy(s, vip, peer)
		s.silence(10 * time.Second)
		s.pass(19 * time.Second)
		s.expectSaid("nothing while we yield", nil)
		s.pass(2 * time.Minute)
		if len(s.heard()) == 0 {
			t.Error("never announced again, although it is still wanted")
		}
	})
}

// The other way round: the former owner's last word does not silence the new one, whose
// first word nobody heard.
func TestFirstWordAfterSilenceIsSaidInSpiteOfAPeer(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		for name, first := range map[string]func(s *scenario){
			"that was not due": func(*scenario) {},
			"that was held back": func(s *scenario) {
				for _, send := range s.Due(s.now, nil) {
					s.Unsaid(s.now, send)
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				s := begin(t, eth0)
				s.want(lb.Announcement{Address: vip})
				first(s)
				claimBy(s, vip, peer)
				s.silence(100 * ms)
				s.pass(30 * ms)
				s.expectSaid("the burst", on(eth0, vip, Announce, 100*ms, 120*ms))
			})
		}
	})
}

func TestManyAfterSilenceShareTheSlots(t *testing.T) {
	s := begin(t, eth0)
	s.want(many(1000, false)...)
	s.pass(11 * time.Second)
	s.heard()
	s.silence(time.Minute)
	s.pass(0)
	if n := len(s.heard()); n != slotSize {
		t.Errorf("%d at once, want %d", n, slotSize)
	}
	s.pass(50 * ms)
	if n := len(s.heard()); n < 950 {
		t.Errorf("%d of the other 950 in 50 ms", n)
	}
}
