package neutron

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/lb"
)

func TestChooseFloating(t *testing.T) {
	prefix := netip.MustParsePrefix
	networks := []Network{
		{ID: "private", Name: "private", Subnets: []string{"p4"}},
		{ID: "six", Name: "six-only", External: true, Subnets: []string{"s6"}},
		{ID: "empty", Name: "empty", External: true},
		{ID: "public", Name: "public", External: true, Subnets: []string{"a", "b", "c", "c6"}},
		{ID: "hidden", Name: "hidden", External: true, Subnets: []string{"unseen"}},
	}
	subnets := []Subnet{
		{ID: "p4", Name: "private", NetworkID: "private", CIDR: prefix("10.0.0.0/24")},
		{ID: "s6", Name: "six", NetworkID: "six", CIDR: prefix("2001:db8::/64")},
		{ID: "a", Name: "pool-a", NetworkID: "public", CIDR: prefix("192.0.2.0/24"), Tags: []string{"cheap", "old"}},
		{ID: "b", Name: "pool-b", NetworkID: "public", CIDR: prefix("198.51.100.0/24"), Tags: []string{"cheap"}},
		{ID: "c", Name: "other", NetworkID: "public", CIDR: prefix("203.0.113.0/24")},
		{ID: "c6", Name: "pool-6", NetworkID: "public", CIDR: prefix("2001:db8:1::/64"), Tags: []string{"cheap"}},
	}
	tests := []struct {
		name    string
		network string
		choice  lb.SubnetChoice
		without []string // networks that are not there
		want    string
		subnets []string
		refusal string // part of the message
		reason  lb.Reason
	}{
		{name: "the first external network with IPv4", want: "public"},
		{name: "a network whose subnets cannot be seen may have IPv4", without: []string{"public"}, want: "hidden"},
		{name: "none with IPv4", without: []string{"public", "hidden"}, refusal: "six-only (six), empty (empty)", reason: lb.FloatingIPMissing},
		{name: "a named network", network: "hidden", want: "hidden"},
		{name: "a network that is not external", network: "private", refusal: `"private" is no external network: the project sees six-only`, reason: lb.FloatingIPMissing},
		{name: "a subnet by id", choice: lb.SubnetChoice{ID: "b"}, want: "public", subnets: []string{"b"}},
		{name: "a subnet that cannot be seen", network: "hidden", choice: lb.SubnetChoice{ID: "unseen"}, want: "hidden", subnets: []string{"unseen"}},
		{name: "a subnet of another network", choice: lb.SubnetChoice{ID: "p4"}, refusal: "another network, private", reason: lb.BadOption},
		{name: "a subnet that does not exist", choice: lb.SubnetChoice{ID: "x"}, refusal: "no subnet of network public (public): it has pool-a (a)", reason: lb.BadOption},
		{name: "id before name", choice: lb.SubnetChoice{ID: "b", Name: "other"}, want: "public", subnets: []string{"b"}},
		{name: "shell pattern, IPv4 only", choice: lb.SubnetChoice{Name: "pool-*"}, want: "public", subnets: []string{"a", "b"}},
		{name: "shell pattern with alternatives", choice: lb.SubnetChoice{Name: "{pool-[a],oth?r}"}, want: "public", subnets: []string{"a", "c"}},
		{name: "not a shell pattern", choice: lb.SubnetChoice{Name: "!pool-*"}, want: "public", subnets: []string{"c"}},
		{name: "regular expression of the whole name", choice: lb.SubnetChoice{Name: "~pool-(b|6)|othe"}, want: "public", subnets: []string{"b"}},
		{name: "not a regular expression", choice: lb.SubnetChoice{Name: "!~pool-.*"}, want: "public", subnets: []string{"c"}},
		{name: "expression that cannot be read", choice: lb.SubnetChoice{Name: "~("}, refusal: `floating-subnet "~(" cannot be read`, reason: lb.BadOption},
		{name: "pattern that cannot be read", choice: lb.SubnetChoice{Name: "["}, refusal: "cannot be read", reason: lb.BadOption},
		{name: "one of the tags", choice: lb.SubnetChoice{Tags: "old, none"}, want: "public", subnets: []string{"a"}},
		{name: "all of the tags", choice: lb.SubnetChoice{Tags: "&cheap,old"}, want: "public", subnets: []string{"a"}},
		{name: "none of the tags", choice: lb.SubnetChoice{Tags: "!cheap,old"}, want: "public", subnets: []string{"c"}},
		{name: "not all of the tags", choice: lb.SubnetChoice{Tags: "!&cheap,old"}, want: "public", subnets: []string{"b", "c"}},
		{name: "name and tags", choice: lb.SubnetChoice{Name: "pool-*", Tags: "!old"}, want: "public", subnets: []string{"b"}},
		{name: "nothing matches", choice: lb.SubnetChoice{Tags: "none"}, refusal: `matches floating-subnet-tags "none": it has pool-a (a), pool-b (b), other (c), pool-6 (c6)`, reason: lb.FloatingIPMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var there []Network
			for _, n := range networks {
				if !strings.Contains(strings.Join(tt.without, " "), n.ID) {
					there = append(there, n)
				}
			}
			network, ids, refusal := ChooseFloating(there, subnets, &lb.CloudOptions{FloatingNetwork: tt.network, FloatingSubnet: tt.choice})
			if tt.refusal != "" {
				if refusal == nil || refusal.Reason != tt.reason || !strings.Contains(refusal.Message(), tt.refusal) {
					t.Fatalf("refusal %+v, want %s with %q", refusal, tt.reason, tt.refusal)
				}
				return
			}
			if refusal != nil {
				t.Fatalf("refused: %s", refusal.Message())
			}
			if network != tt.want {
				t.Errorf("network %q, want %q", network, tt.want)
			}
			if diff := cmp.Diff(tt.subnets, ids); diff != "" {
				t.Errorf("subnets (-want +got):\n%s", diff)
			}
		})
	}
}
