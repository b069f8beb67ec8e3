package speaker

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

var (
	noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	vip  = netip.MustParseAddr("192.0.2.1")
)

// look is one look at the world by node n1, and what it should lead to.
type look struct {
	after     time.Duration // since noon
	owner     string        // of vip; "-" where no Service has it
	answering bool
	claimed   bool
	heard     time.Duration // since noon; 0 is never
	announces bool          // vip
	answers   bool          // vip, for who asks, and announces nothing
	next      time.Duration // since noon; 0 is never
}

func TestAnAddressIsHandedOverWhenItsSuccessorAnswers(t *testing.T) {
	const limit = handoverLimit
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"what it owns it announces", []look{{owner: "n1", announces: true}}},
		{"what another one owns it does not begin to announce", []look{{owner: "n2"}}},
		{"it goes on until the successor says that it announces", []look{
			{owner: "n1", announces: true},
			{after: time.Second, owner: "n2", answering: true, answers: true, next: time.Second + limit},
			{after: 2 * time.Second, owner: "n2", answering: true, answers: true, next: time.Second + limit},
			{after: 3 * time.Second, owner: "n2", answering: true, claimed: true},
			{after: 4 * time.Second, owner: "n2", claimed: true},
		}},
		{"it goes on until the successor was heard", []look{
			{owner: "n2", answering: true, answers: true, next: limit},
			{after: time.Second, owner: "n2", answering: true, heard: 500 * time.Millisecond},
		}},
		{"that the successor was heard earlier does not count", []look{
			{after: time.Second, owner: "n2", answering: true, heard: 900 * time.Millisecond, answers: true, next: time.Second + limit},
			{after: 2 * time.Second, owner: "n2", answering: true, heard: 1100 * time.Millisecond},
		}},
		{"a successor that was ready before it began needs no hand-over", []look{{owner: "n2", answering: true, claimed: true}}},
		{"it gives up at the limit", []look{
			{owner: "n2", answering: true, answers: true, next: limit},
			{after: limit - 1, owner: "n2", answering: true, answers: true, next: limit},
			{after: limit, owner: "n2", answering: true},
		}},
		{"having given up it does not begin again while it still answers", []look{
			{owner: "n2", answering: true, answers: true, next: limit},
			{after: limit, owner: "n2", answering: true},
			{after: limit + 1, owner: "n2", answering: true},
		}},
		{"having heard the successor it does not begin again while it still answers", []look{
			{owner: "n2", answering: true, answers: true, next: limit},
			{after: 2, owner: "n2", answering: true, heard: 1},
			{after: 3, owner: "n2", answering: true, heard: 1},
		}},
		{"another successor does not extend the limit", []look{
			{owner: "n2", answering: true, answers: true, next: limit},
			{after: time.Second, owner: "n3", answering: true, answers: true, next: limit},
		}},
		{"an address that came back can be handed over again", []look{
			{owner: "n2", answering: true, answers: true, next: limit},
			{after: time.Second, owner: "n1", answering: true, announces: true},
			{after: 10 * time.Second, owner: "n2", answering: true, answers: true, next: 10*time.Second + limit},
		}},
		{"nobody eligible ends it at once", []look{
			{owner: "n1", announces: true},
			{after: 1, owner: "", answering: true},
		}},
		{"an address that is released ends at once", []look{
			{owner: "n1", announces: true},
			{after: 1, owner: "-", answering: true},
		}},
		{"an address released during its hand-over ends at once", []look{
			{owner: "n2", answering: true, answers: true, next: limit},
			{after: 1, owner: "-", answering: true},
		}},
		{"what it lost by a conflict it does not hand over", []look{
			{owner: "n1", announces: true},
			{after: 1, owner: "n2"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenure := newTenure("n1")
			for i, l := range c.looks {
				var owners []plan.Ownership
				if l.owner != "-" {
					owners = append(owners, plan.Ownership{Address: vip, Node: l.owner, Interfaces: []string{"eth0"}, Fresh: true})
				}
				e := evidence{
					claimed:   map[netip.Addr]bool{vip: l.claimed},
					answering: map[netip.Addr]bool{vip: l.answering},
					heard: func(netip.Addr) time.Time {
						if l.heard == 0 {
							return time.Time{}
						}
						return noon.Add(l.heard)
					},
				}
				got, next := tenure.announcements(noon.Add(l.after), owners, e)
				var want []lb.Announcement
				if l.announces || l.answers {
					want = []lb.Announcement{{Address: vip, Interfaces: []string{"eth0"}, Fresh: true, HandingOver: l.answers}}
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Errorf("look %d (-want +got):\n%s", i+1, diff)
				}
				wantNext := time.Time{}
				if l.next != 0 {
					wantNext = noon.Add(l.next)
				}
				if !next.Equal(wantNext) {
					t.Errorf("look %d: next at %v, want %v", i+1, next, wantNext)
				}
			}
		})
	}
}

func TestTheNextLookIsAtTheFirstLimit(t *testing.T) {
	tenure := newTenure("n1")
	other := vip.Next()
	e := evidence{answering: map[netip.Addr]bool{vip: true, other: true}, heard: func(netip.Addr) time.Time { return time.Time{} }}
	tenure.announcements(noon, []plan.Ownership{{Address: other, Node: "n2"}}, e)
	want, next := tenure.announcements(noon.Add(time.Second), []plan.Ownership{{Address: vip, Node: "n2"}, {Address: other, Node: "n2"}}, e)
	if len(want) != 2 || !next.Equal(noon.Add(handoverLimit)) {
		t.Errorf("announces %v and looks again at %v", want, next)
	}
	// What is over leaves nothing behind.
	if tenure.announcements(noon, nil, e); len(tenure.since) != 0 {
		t.Errorf("remembers %v", tenure.since)
	}
}
