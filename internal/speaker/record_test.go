package speaker

import (
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

func TestATakeoverIsRecordedOnceWithTheNextEpoch(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	w := lb.World{Speakers: []lb.Speaker{{Node: "a"}, {Node: "b", Claims: []lb.Claim{{Address: vip, Epoch: 6}}}, {Node: "c", Claims: []lb.Claim{{Address: vip, Epoch: 4}}}}}
	owners := []plan.Ownership{{Address: vip, Node: "a", Cause: lb.Failure, From: "b"}}
	want := []lb.Announcement{{Address: vip}}
	r := records{}
	if taken := r.keep("a", &w, owners, want, true); len(taken) != 1 {
		t.Fatalf("taken: %+v", taken)
	}
	if got := r[vip]; got != (record{cause: lb.Failure, from: "b", epoch: 7}) {
		t.Errorf("recorded %+v", got)
	}
	w.Speakers[1].Claims[0].Epoch = 9
	if taken := r.keep("a", &w, owners, want, true); len(taken) != 0 || r[vip].epoch != 7 {
		t.Errorf("recorded again: %+v, %+v", taken, r[vip])
	}
	r.keep("a", &w, owners, nil, true)
	if taken := r.keep("a", &w, owners, want, true); len(taken) != 1 || r[vip].epoch != 10 {
		t.Errorf("what was given up and taken again is %+v", r[vip])
	}
}

func TestWhatTheProcessBeforeAnnouncedIsResumed(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	w := lb.World{Speakers: []lb.Speaker{{Node: "a", Claims: []lb.Claim{{Address: vip, Epoch: 6, State: lb.Announced}}}}}
	r := records{}
	r.keep("a", &w, []plan.Ownership{{Address: vip, Node: "a"}}, []lb.Announcement{{Address: vip}}, false)
	if got := r[vip]; got != (record{cause: lb.Resumed, epoch: 6}) {
		t.Errorf("recorded %+v", got)
	}
}

func TestAnAddressThatIsHandedOverKeepsItsRecord(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	r := records{vip: {cause: lb.First, epoch: 2}}
	w := lb.World{}
	r.keep("a", &w, []plan.Ownership{{Address: vip, Node: "b"}}, []lb.Announcement{{Address: vip}}, true)
	claims := r.complete([]lb.Claim{{Address: vip, State: lb.Announced}})
	if claims[0].Epoch != 2 || claims[0].Cause != lb.First {
		t.Errorf("while it is handed over, the claim is %+v", claims[0])
	}
}
