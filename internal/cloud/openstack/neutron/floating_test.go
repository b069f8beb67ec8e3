package neutron

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/lb"
)

const (
	mineText  = "Floating IP for Kubernetes external service shop/web from cluster c1"
	otherText = "Floating IP for Kubernetes external service shop/dns from cluster c1"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestFloatingSteps(t *testing.T) {
	want := FloatingWant{Port: "vip", Fixed: addr("10.0.0.10"), Network: "public", Description: mineText}
	given := want
	given.Address = addr("203.0.113.7")
	kept := want
	kept.Keep, kept.Earlier, kept.Description = true, []string{mineText}, mineText+" (kept)"
	removed := FloatingWant{Remove: true, Port: "vip", Fixed: want.Fixed, Description: mineText}
	removedKept := removed
	removedKept.Keep = true

	fip := func(id, address, port, description string) FloatingIP {
		f := FloatingIP{ID: id, Address: addr(address), NetworkID: "public", PortID: port, Description: description, Revision: 3, Ours: description != ""}
		f.Keep = strings.HasSuffix(description, "(kept)")
		if port != "" {
			f.Fixed = want.Fixed
		}
		return f
	}
	foreign := fip("f", "203.0.113.7", "", "")
	moved := want
	moved.From = []string{"oldvip"}
	shown := want
	shown.Shown = addr("203.0.113.9")
	tests := []struct {
		name    string
		want    FloatingWant
		have    []FloatingIP
		steps   []string
		refusal string
	}{
		{name: "nothing there", want: want, steps: []string{"create floating IP in network public, for port vip"}},
		{name: "as wanted", want: want, have: []FloatingIP{fip("a", "203.0.113.9", "vip", mineText)}},
		{name: "a stranger's on the VIP will do", want: want, have: []FloatingIP{fip("a", "203.0.113.9", "vip", "")}},
		{name: "another Service's is left alone", want: want, have: []FloatingIP{fip("a", "203.0.113.9", "", otherText), fip("b", "203.0.113.8", "else", mineText)}, steps: []string{"create floating IP in network public, for port vip"}},
		{name: "a free one of the Service is reused", want: want, have: []FloatingIP{fip("a", "203.0.113.9", "", mineText)}, steps: []string{"attach floating IP 203.0.113.9 to port vip"}},
		{name: "one whose port is gone is free", want: want, have: []FloatingIP{{ID: "a", Address: addr("203.0.113.9"), NetworkID: "public", PortID: "dead", PortGone: true, Description: mineText, Ours: true}}, steps: []string{"attach floating IP 203.0.113.9 to port vip"}},
		{
			name: "the one that is shown is reused, the duplicate goes", want: shown, have: []FloatingIP{fip("a", "203.0.113.8", "", mineText), fip("b", "203.0.113.9", "", mineText)},
			steps: []string{"attach floating IP 203.0.113.9 to port vip", "delete floating IP 203.0.113.8"},
		},
		{name: "duplicate of a request without an answer", want: want, have: []FloatingIP{fip("a", "203.0.113.8", "vip", mineText), fip("b", "203.0.113.9", "", mineText)}, steps: []string{"delete floating IP 203.0.113.9"}},
		{name: "a kept one is no duplicate", want: kept, have: []FloatingIP{fip("a", "203.0.113.8", "vip", kept.Description), fip("b", "203.0.113.9", "", kept.Description)}},
		{name: "from the VIP before", want: moved, have: []FloatingIP{fip("a", "203.0.113.8", "oldvip", "")}, steps: []string{"attach floating IP 203.0.113.8 to port vip"}},
		{name: "in another network, and free", want: want, have: []FloatingIP{{ID: "a", Address: addr("192.0.2.1"), NetworkID: "old", Description: mineText, Ours: true}}, steps: []string{"create floating IP in network public, for port vip", "delete floating IP 192.0.2.1"}},
		{name: "no network", want: FloatingWant{Port: "vip"}, refusal: "no external network"},
		{name: "no network, but one on the VIP", want: FloatingWant{Port: "vip", Fixed: want.Fixed, Description: mineText}, have: []FloatingIP{fip("a", "203.0.113.8", "vip", mineText)}},
		{name: "keep is switched on", want: kept, have: []FloatingIP{fip("a", "203.0.113.8", "vip", mineText)}, steps: []string{`describe floating IP 203.0.113.8 as "` + kept.Description + `"`}},

		{name: "given and free", want: given, have: []FloatingIP{foreign}, steps: []string{"attach floating IP 203.0.113.7 to port vip"}},
		{name: "given and not there", want: given, steps: []string{"create floating IP 203.0.113.7 in network public, for port vip"}},
		{
			name: "given is somewhere else", want: given, have: []FloatingIP{{ID: "f", Address: given.Address, PortID: "else", Holder: "compute:nova s1"}},
			refusal: "floating IP 203.0.113.7 is in use: it leads to port else of compute:nova s1: detach it there, or ask for another address",
		},
		{name: "given is on a port that is gone", want: given, have: []FloatingIP{{ID: "f", Address: given.Address, PortID: "else", PortGone: true}}, steps: []string{"attach floating IP 203.0.113.7 to port vip"}},
		{
			name: "given in place of ours", want: given, have: []FloatingIP{fip("a", "203.0.113.9", "vip", mineText), foreign},
			steps: []string{"detach floating IP 203.0.113.9 from port vip", "attach floating IP 203.0.113.7 to port vip", "delete floating IP 203.0.113.9"},
		},
		{
			name: "given in place of a stranger's", want: given, have: []FloatingIP{fip("a", "203.0.113.9", "vip", ""), foreign},
			steps: []string{"detach floating IP 203.0.113.9 from port vip", "attach floating IP 203.0.113.7 to port vip"},
		},
		{
			name: "given, to be created, in place of ours: not before it is there", want: given, have: []FloatingIP{fip("a", "203.0.113.9", "vip", mineText)},
			steps: []string{
				"create floating IP 203.0.113.7 in network public", "detach floating IP 203.0.113.9 from port vip",
				"attach floating IP 203.0.113.7 to port vip", "delete floating IP 203.0.113.9",
			},
		},
		{
			name: "at another address of the port, ours goes and a stranger's stays", want: want, have: []FloatingIP{
				fip("a", "203.0.113.9", "vip", mineText),
				{ID: "b", Address: addr("203.0.113.1"), PortID: "vip", Fixed: addr("10.0.0.11"), Description: mineText, Ours: true},
				{ID: "c", Address: addr("203.0.113.2"), PortID: "vip", Fixed: addr("10.0.0.12")},
			},
			steps: []string{"detach floating IP 203.0.113.1 from port vip", "delete floating IP 203.0.113.1"},
		},

		{name: "removed: ours is deleted, also a free one", want: removed, have: []FloatingIP{fip("a", "203.0.113.9", "vip", mineText), fip("b", "203.0.113.8", "", mineText)}, steps: []string{"delete floating IP 203.0.113.9", "delete floating IP 203.0.113.8"}},
		{name: "removed: a stranger's is detached", want: removed, have: []FloatingIP{fip("a", "203.0.113.9", "vip", "")}, steps: []string{"detach floating IP 203.0.113.9 from port vip"}},
		{name: "removed: others are left alone", want: removed, have: []FloatingIP{fip("a", "203.0.113.9", "else", mineText), fip("b", "203.0.113.8", "", otherText), foreign}},
		{name: "removed: kept is detached", want: removedKept, have: []FloatingIP{fip("a", "203.0.113.9", "vip", mineText)}, steps: []string{"detach floating IP 203.0.113.9 from port vip"}},
		{name: "removed: what was kept stays", want: removed, have: []FloatingIP{fip("a", "203.0.113.9", "vip", mineText+" (kept)")}, steps: []string{"detach floating IP 203.0.113.9 from port vip"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			steps, refusal := FloatingSteps(tt.want, tt.have)
			if tt.refusal != "" {
				if refusal == nil || refusal.Reason != lb.FloatingIPMissing || !strings.Contains(refusal.Message(), tt.refusal) {
					t.Fatalf("refusal %+v, want %q", refusal, tt.refusal)
				}
				return
			}
			if refusal != nil {
				t.Fatalf("refused: %s", refusal.Message())
			}
			if diff := cmp.Diff(tt.steps, printed(steps)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func printed(steps []Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.String())
	}
	return out
}

// floatingCloud obeys Neutron's rule: one floating IP of a network at each address.
type floatingCloud []FloatingIP

func (c *floatingCloud) at(id string) *FloatingIP {
	for i := range *c {
		if (*c)[i].ID == id {
			return &(*c)[i]
		}
	}
	return nil
}

func (c *floatingCloud) attach(t *rapid.T, f *FloatingIP, port string, fixed netip.Addr) {
	for _, o := range *c {
		if o.ID != f.ID && o.PortID == port && o.Fixed == fixed && o.NetworkID == f.NetworkID {
			t.Fatalf("%s is attached beside %s", f.Address, o.Address)
		}
	}
	f.PortID, f.Fixed, f.PortGone = port, fixed, false
}

func (c *floatingCloud) do(t *rapid.T, step Step) {
	describe := func(f *FloatingIP, text string, keep bool) {
		if text != "" {
			f.Description, f.Keep = text, keep
		}
	}
	switch s := step.(type) {
	case CreateFloating:
		f := FloatingIP{ID: fmt.Sprintf("new%d", len(*c)), NetworkID: s.Network, Description: s.Description, Ours: true, Keep: s.Keep, Address: s.Address}
		if !f.Address.IsValid() {
			f.Address = addr(fmt.Sprintf("192.0.2.%d", 100+len(*c)))
		}
		if s.Port != "" {
			c.attach(t, &f, s.Port, s.Fixed)
		}
		*c = append(*c, f)
	case AttachFloating:
		f := c.at(s.ID)
		for i := range *c {
			if s.ID == "" && (*c)[i].Address == s.Address {
				f = &(*c)[i]
			}
		}
		c.attach(t, f, s.Port, s.Fixed)
		describe(f, s.Description, s.Keep)
	case DescribeFloating:
		f := c.at(s.ID)
		if f.PortID != s.Port || f.Fixed != s.Fixed {
			t.Fatalf("%s detaches it from %s", step, f.PortID)
		}
		describe(f, s.Description, s.Keep)
	case DetachFloating:
		f := c.at(s.ID)
		f.PortID, f.Fixed, f.PortGone = "", netip.Addr{}, false
		describe(f, s.Description, s.Keep)
	case DeleteFloating:
		if f := c.at(s.ID); !f.Ours || f.Keep {
			t.Fatalf("deletes %+v", f)
		}
		*c = slices.DeleteFunc(*c, func(f FloatingIP) bool { return f.ID == s.ID })
	}
}

func TestFloatingStepsConverge(t *testing.T) {
	keptText := mineText + " (kept)"
	fixed := addr("10.0.0.10")
	rapid.Check(t, func(t *rapid.T) {
		var cloud floatingCloud
		used := make(map[string]bool)
		for i := range rapid.IntRange(0, 5).Draw(t, "floating IPs") {
			f := FloatingIP{
				ID: fmt.Sprint(i), Address: addr(fmt.Sprintf("192.0.2.%d", i)), NetworkID: rapid.SampledFrom([]string{"public", "old"}).Draw(t, "network"),
				PortID: rapid.SampledFrom([]string{"", "vip", "oldvip", "else"}).Draw(t, "port"), Description: rapid.SampledFrom([]string{"", mineText, keptText, otherText}).Draw(t, "description"),
			}
			f.Ours, f.Keep = f.Description != "", f.Description == keptText
			if f.PortID != "" {
				f.Fixed = rapid.SampledFrom([]netip.Addr{fixed, addr("10.0.0.11")}).Draw(t, "fixed")
				f.PortGone = f.PortID == "else" && rapid.Bool().Draw(t, "gone")
			}
			if at := fmt.Sprint(f.PortID, f.Fixed, f.NetworkID); f.PortID == "" || !used[at] {
				used[at] = true
				cloud = append(cloud, f)
			}
		}
		before := slices.Clone(cloud)
		w := FloatingWant{
			Remove: rapid.Bool().Draw(t, "remove"), Port: "vip", Fixed: fixed, From: []string{"oldvip"}, Network: "public",
			Keep: rapid.Bool().Draw(t, "keep"), Earlier: []string{mineText, keptText}, Description: mineText,
		}
		if w.Keep {
			w.Description = keptText
		}
		if rapid.Bool().Draw(t, "given") {
			w.Address = addr(fmt.Sprintf("192.0.2.%d", rapid.IntRange(0, 6).Draw(t, "address")))
		}
		oneByOne := rapid.Bool().Draw(t, "one by one")
		for round := 0; ; round++ {
			steps, refusal := FloatingSteps(w, cloud)
			if refusal != nil {
				if diff := cmp.Diff(before, cloud, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
					t.Fatalf("refused, and changed (-before +after):\n%s", diff)
				}
				return
			}
			if len(steps) == 0 {
				break
			}
			if round > 8 {
				t.Fatalf("no end: %v", printed(steps))
			}
			for i, s := range steps {
				if !oneByOne || i == 0 {
					cloud.do(t, s)
				}
			}
		}
		checkFloating(t, &w, before, cloud)
	})
}

func checkFloating(t *rapid.T, w *FloatingWant, before, after floatingCloud) {
	var here []FloatingIP
	for _, f := range after {
		if w.here(f) {
			here = append(here, f)
		}
		if f.PortID == "" && w.mine(f) && !f.Keep && !w.Keep {
			t.Fatalf("left over: %+v", f)
		}
	}
	switch {
	case w.Remove && len(here) > 0:
		t.Fatalf("not removed: %+v", here)
	case w.Remove:
	case len(here) != 1 || w.Address.IsValid() && here[0].Address != w.Address:
		t.Fatalf("want one at the VIP (%s), have %+v", w.Address, here)
	}
	for _, f := range before {
		concerned := f.Address == w.Address || f.PortID == "vip" || f.PortID == "oldvip" || w.mine(f) && !f.attached()
		if now := after.at(f.ID); now == nil && !concerned || now != nil && !concerned && *now != f {
			t.Fatalf("%+v is nobody's business here, and became %+v", f, now)
		}
		if f.Keep && after.at(f.ID) == nil {
			t.Fatalf("%+v was to be kept", f)
		}
	}
}
