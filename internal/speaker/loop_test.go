package speaker

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/announce"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
	"fairlead.dev/fairlead/internal/relay"
)

// stalling is a kernel that lets time go by in the middle of a look.
type stalling func()

func (s stalling) Set([]netip.Addr) error { s(); return nil }
func (s stalling) Close() error           { return nil }

type noRelays struct{}

func (noRelays) Set(context.Context, relay.Want) error { return nil }
func (noRelays) Close() error                          { return nil }

type noGuard struct{}

func (noGuard) Guard([]string) error { return nil }

// looking is the loop of n1, without goroutines, in a segment with n2. vip is one
// Service's, and n2 is leaving.
func looking(s *segment, stall func()) (*loop, *lb.World) {
	silent := slog.New(slog.DiscardHandler)
	l := &loop{
		node: "n1", log: silent, figures: newFigures(nil),
		neighbours: s, sight: newSight("n1", s, silent), gate: &gate{fence: new(fenceOpen), neighbours: s},
		announcer: announce.New(announce.Options{Log: silent}), fence: noGuard{}, relays: noRelays{}, strays: stalling(stall),
		tenure: newTenure("n1"), patience: newPatience("n1"), mending: &mending{},
		records: records{}, passages: passages{}, contests: contests{},
	}
	return l, &lb.World{
		Nodes:    []lb.Node{{Name: "n1", Alive: true}, {Name: "n2", Alive: true}},
		Services: []lb.Service{{Key: lb.Key{Namespace: "default", Name: "web"}, UID: "web", LoadBalancer: true, Marked: true, Held: []netip.Addr{vip}}},
		Speakers: []lb.Speaker{
			{Node: "n1", Interfaces: []lb.Interface{{Name: "eth0"}}, Hearing: hears(true)},
			{Node: "n2", Interfaces: []lb.Interface{{Name: "eth0"}}, Hearing: hears(true), Leaving: true, Claims: []lb.Claim{{Address: vip, State: lb.Announced, Epoch: 3}}},
		},
	}
}

func (l *loop) has(a netip.Addr) bool {
	return slices.ContainsFunc(l.announcer.Claims(), func(c lb.Claim) bool { return c.Address == a })
}

func TestALookInWhichTheProcessWasCountedOutTakesNothing(t *testing.T) {
	s := &segment{now: liveness.Standing{Quorate: true, Term: 4}}
	l, w := looking(s, func() { s.now.Term = 5 })
	_, next := l.act(t.Context(), noon, w, s.now)
	if l.has(vip) || len(l.records) > 0 {
		t.Error("it took what it had decided upon before")
	}
	if !next.Equal(noon) {
		t.Errorf("it looks again at %v, want at once", next)
	}
	if l.act(t.Context(), noon, w, s.now); !l.has(vip) {
		t.Error("it does not take it in the next look either")
	}
}

func TestWithoutAQuorumNothingNewIsTaken(t *testing.T) {
	s := &segment{now: liveness.Standing{Quorate: true}}
	l, w := looking(s, func() {})
	another := vip.Next()
	if l.act(t.Context(), noon, w, s.now); !l.has(vip) {
		t.Fatal("the control: it takes nothing at all")
	}
	// Who just woke up has no quorum, and does not count itself out yet.
	s.now = liveness.Standing{Term: 1}
	w.Services[0].Held = append(w.Services[0].Held, another)
	w.Speakers[1].Claims = append(w.Speakers[1].Claims, lb.Claim{Address: another, State: lb.Announced, Epoch: 3})
	if l.act(t.Context(), noon, w, s.now); l.has(another) {
		t.Error("it took an address")
	}
	if !l.has(vip) {
		t.Error("it gave up what it had, although nobody may have missed it")
	}
	s.now = liveness.Standing{Quorate: true, Term: 1}
	if l.act(t.Context(), noon, w, s.now); !l.has(another) {
		t.Error("it does not take it with its quorum either")
	}
}
