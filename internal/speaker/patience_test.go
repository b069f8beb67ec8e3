package speaker

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

func TestANodeThatDoesNotTakeWhatIsItsIsPassedOver(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	p := newPatience("a")
	w := lb.World{Speakers: []lb.Speaker{{Node: "a"}, {Node: "b"}}}
	owners := []plan.Ownership{{Address: vip, Node: "b"}}
	start := time.Unix(1000, 0)

	if next := p.watch(start, &w, owners); !next.Equal(start.Add(patienceLimit)) {
		t.Errorf("looks again at %s", next)
	}
	if got := p.unaware(start.Add(patienceLimit/2), "b"); len(got) > 0 {
		t.Errorf("passed over for %v at once", got)
	}
	late := start.Add(patienceLimit)
	p.watch(late, &w, owners)
	if got := p.unaware(late, "b"); !slices.Equal(got, []netip.Addr{vip}) {
		t.Errorf("passed over for %v", got)
	}
	if got := p.unaware(late.Add(forgiveness), "b"); len(got) > 0 {
		t.Errorf("passed over for %v for ever", got)
	}
}

func TestPatienceBeginsAnewWithAnotherOwner(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	p := newPatience("a")
	w := lb.World{Speakers: []lb.Speaker{{Node: "a"}, {Node: "b"}, {Node: "c"}}}
	start := time.Unix(1000, 0)
	p.watch(start, &w, []plan.Ownership{{Address: vip, Node: "b"}})
	later := start.Add(patienceLimit)
	p.watch(later, &w, []plan.Ownership{{Address: vip, Node: "c"}})
	if got := p.unaware(later, "c"); len(got) > 0 {
		t.Errorf("passed over for %v", got)
	}
}

func TestWhoClaimsIsNotPassedOverHoweverLongItProbes(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	p := newPatience("a")
	w := lb.World{Speakers: []lb.Speaker{{Node: "b", Claims: []lb.Claim{{Address: vip, State: lb.Conflict}}}}}
	owners := []plan.Ownership{{Address: vip, Node: "b"}}
	for now := time.Unix(1000, 0); now.Before(time.Unix(1010, 0)); now = now.Add(time.Second) {
		p.watch(now, &w, owners)
		if got := p.unaware(now, "b"); len(got) > 0 {
			t.Fatalf("passed over for %v", got)
		}
	}
}

func TestWhoWasBlindWaitsAnew(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	p := newPatience("a")
	w := lb.World{Speakers: []lb.Speaker{{Node: "a"}, {Node: "b"}}}
	owners := []plan.Ownership{{Address: vip, Node: "b"}}
	start := time.Unix(1000, 0)
	p.watch(start, &w, owners)
	p.blind()
	back := start.Add(patienceLimit)
	if next := p.watch(back, &w, owners); !next.Equal(back.Add(patienceLimit)) {
		t.Errorf("looks again at %s", next)
	}
	if got := p.unaware(back, "b"); len(got) > 0 {
		t.Errorf("passed over for %v, of which it could not hear", got)
	}
}
