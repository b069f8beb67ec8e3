package speaker

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/plan"
)

func TestWhoIsLeftOfTwoOwnersIsToldOnce(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	set := func(addresses ...netip.Addr) map[netip.Addr]bool {
		out := map[netip.Addr]bool{}
		for _, address := range addresses {
			out[address] = true
		}
		return out
	}
	c := contests{}
	for i, look := range []struct {
		owner              string // of a; b is ours throughout
		answering, claimed map[netip.Addr]bool
		want               []netip.Addr
	}{
		{"n1", set(b), set(a), nil},    // being taken over from another: not ours yet
		{"n1", set(a, b), set(a), nil}, // both have it
		{"n1", set(a, b), set(a), nil},
		{"n1", set(a, b), set(), []netip.Addr{a}},
		{"n1", set(a, b), set(), nil},
		{"n1", set(a, b), set(a, b), nil},
		{"n2", set(b), set(a, b), nil}, // the other is left
		{"n1", set(a, b), set(), []netip.Addr{b}},
	} {
		owners := []plan.Ownership{{Address: a, Node: look.owner}, {Address: b, Node: "n1"}}
		got := c.over("n1", owners, evidence{answering: look.answering, claimed: look.claimed})
		if diff := cmp.Diff(look.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("look %d (-want +got):\n%s", i, diff)
		}
	}
}
