package claims

import (
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

func TestPeerThatTakesOverIsNoticedAndNotShoutedDown(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip})
		s.pass(11 * time.Second)
		if at := s.TakenOver(vip); !at.IsZero() {
			t.Errorf("taken over at %s by nobody", at)
		}
		next, _ := s.Next() // the periodic announcement
		s.pass(next.Sub(s.now) - time.Second)
		s.heard()
		s.Changes()
		claimBy(s, vip, peer)
		if at := s.TakenOver(vip); at != s.now {
			t.Errorf("taken over at %s, want %s", at, s.now)
		}
		if _, changed := s.Changes(); !changed {
			t.Error("nobody was told")
		}
		if !answers(s, vip, eth0.Index) {
			t.Error("the leaver stopped answering by itself")
		}
		s.pass(29 * time.Second)
		s.expectSaid("the periodic announcement is held back", nil)
		s.pass(time.Minute)
		if len(s.heard()) != 1 {
			t.Error("still owner after a while: should announce again")
		}
		s.want()
		if !s.TakenOver(vip).IsZero() {
			t.Error("released and still taken over")
		}
	})
}

func TestWhoIsLeftOfTwoOwnersAnnouncesAgain(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.Repeat(s.now, vip) // which nobody wants
		s.want(lb.Announcement{Address: vip})
		s.pass(11 * time.Second)
		s.heard()
		claimBy(s, vip, peer)
		at := s.now.Sub(epoch)
		s.Repeat(s.now, vip)
		s.pass(600 * ms)
		s.expectSaid("the burst, although a peer was heard", on(eth0, vip, Announce, from(at, 0, 20*ms, 100*ms, 500*ms)...))
		if !s.TakenOver(vip).IsZero() {
			t.Error("still taken over")
		}
	})
}

func TestWhoHandsOverAnswersAndSaysNothingUnasked(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip})
		s.pass(10 * ms) // in the burst
		s.heard()
		s.want(lb.Announcement{Address: vip, HandingOver: true})
		s.pass(50 * ms)
		claimBy(s, vip, foreign)
		s.pass(2 * time.Minute)
		s.expectSaid("nothing, nor in its defence", nil)
		if !answers(s, vip, eth0.Index) {
			t.Error("it does not answer who asks")
		}
		at := s.now.Sub(epoch)
		s.want(lb.Announcement{Address: vip})
		s.pass(600 * ms)
		s.expectSaid("the burst, when it keeps the address after all", on(eth0, vip, Announce, from(at, 0, 20*ms, 100*ms, 500*ms)...))
	})
}

func TestAnAnswerOverridesUnlessItIsHandedOver(t *testing.T) {
	for _, handing := range []bool{false, true} {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip6, HandingOver: handing})
		for name, question := range map[string]ndp.Message{"question": ask6(vip6, client), "probe": ndp.Probe(client, vip6)} {
			answer, drop := s.HearNDP(s.now, eth0.Index, question)
			if drop != "" || answer.Override == handing {
				t.Errorf("%s, handing over %t: override %t, drop %q", name, handing, answer.Override, drop)
			}
		}
	}
}

func TestNewOwnerGoesOnWhenTheOldOneSpeaksLast(t *testing.T) {
	bothFamilies(t, func(t *testing.T, vip netip.Addr) {
		s := begin(t, eth0)
		s.want(lb.Announcement{Address: vip})
		s.pass(10 * ms)
		s.heard()
		claimBy(s, vip, peer)
		s.pass(100 * ms)
		s.expectSaid("burst goes on", on(eth0, vip, Announce, 20*ms, 100*ms))
	})
}

func TestQuestionsOfPeersAreNoTakeOver(t *testing.T) {
	s := begin(t, eth0)
	s.want(lb.Announcement{Address: vip4})
	// kube-proxy in IPVS mode puts the address on every node, whose kernels then
	// use it as the sender of their own requests.
	p := ask4(asker4, peer)
	p.SenderIP = vip4
	s.arp(p)
	if !s.TakenOver(vip4).IsZero() {
		t.Error("a request was taken for an announcement")
	}
}
