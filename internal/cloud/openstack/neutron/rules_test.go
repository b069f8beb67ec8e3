package neutron

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/lb"
)

func prefixes(text ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range text {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func TestRulesFor(t *testing.T) {
	web := lb.Service{Ports: []lb.Port{{Protocol: "TCP", Number: 80}, {Protocol: "UDP", Number: 53}}, NodePorts: []uint16{30080, 30053}}
	local := web
	local.HealthCheckNodePort = 32000
	ranged := web
	ranged.SourceRanges = prefixes("192.0.2.7/24", "2001:db8::/32")
	tests := []struct {
		name    string
		service lb.Service
		options lb.CloudOptions
		via     []netip.Prefix
		keeps   bool
		want    []string
	}{
		{
			name: "a proxy comes from its subnet, whatever the source ranges", service: ranged, via: prefixes("10.0.0.0/24"),
			want: []string{"tcp 30080 from 10.0.0.0/24", "udp 30053 from 10.0.0.0/24"},
		},
		{
			name: "health checks of Local traffic", service: local, via: prefixes("10.0.0.0/24"),
			want: []string{"tcp 30080 from 10.0.0.0/24", "tcp 32000 from 10.0.0.0/24", "udp 30053 from 10.0.0.0/24"},
		},
		{
			name: "both families of the nodes", service: lb.Service{Ports: web.Ports[:1], NodePorts: web.NodePorts[:1]}, via: prefixes("fd00::/64", "10.0.0.0/24"),
			want: []string{"tcp 30080 from 10.0.0.0/24", "tcp 30080 from fd00::/64"},
		},
		{
			name: "clients from everywhere, in the nodes' families", service: local, via: prefixes("10.0.0.0/24"), keeps: true,
			want: []string{"tcp 30080 from 0.0.0.0/0", "tcp 32000 from 10.0.0.0/24", "udp 30053 from 0.0.0.0/0"},
		},
		{
			name: "clients from source ranges, monitors from the subnet", service: ranged, via: prefixes("10.0.0.0/24"), keeps: true,
			want: []string{"tcp 30080 from 10.0.0.0/24", "tcp 30080 from 192.0.2.0/24", "udp 30053 from 10.0.0.0/24", "udp 30053 from 192.0.2.0/24"},
		},
		{
			name: "options say the ranges", service: ranged, options: lb.CloudOptions{SourceRanges: prefixes("198.51.100.0/24")}, via: prefixes("10.0.0.0/24"), keeps: true,
			want: []string{"tcp 30080 from 10.0.0.0/24", "tcp 30080 from 198.51.100.0/24", "udp 30053 from 10.0.0.0/24", "udp 30053 from 198.51.100.0/24"},
		},
		{
			name: "ranges of another family let nobody in", service: ranged, options: lb.CloudOptions{SourceRanges: prefixes("2001:db8::/32")}, via: prefixes("10.0.0.0/24"), keeps: true,
			want: []string{"tcp 30080 from 10.0.0.0/24", "udp 30053 from 10.0.0.0/24"},
		},
		{
			name: "ranges that cover one another", service: lb.Service{Ports: web.Ports[:1], NodePorts: web.NodePorts[:1]},
			options: lb.CloudOptions{SourceRanges: prefixes("10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8")}, via: prefixes("10.0.0.0/24"), keeps: true,
			want: []string{"tcp 30080 from 10.0.0.0/8"},
		},
		{
			name: "no node port, no rule", service: lb.Service{Ports: web.Ports, NodePorts: []uint16{0, 0}}, via: prefixes("10.0.0.0/24"),
		},
		{name: "no subnet, no rule", service: local},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range RulesFor(&tt.service, &tt.options, tt.via, tt.keeps) {
				got = append(got, r.String())
				if r.Family != lb.FamilyOf(r.Remote.Addr()) || r.Description != RuleDescription {
					t.Errorf("rule %+v", r)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

// probe is a packet.
type probe struct {
	protocol string
	port     uint16
	from     netip.Addr
}

var probes = func() []probe {
	var out []probe
	for _, protocol := range []string{"tcp", "udp"} {
		for port := uint16(1); port <= 4; port++ {
			for _, from := range []string{"10.1.1.1", "10.1.2.1", "10.2.0.1", "192.0.2.1", "fd00::1", "2001:db8::1"} {
				out = append(out, probe{protocol, port, netip.MustParseAddr(from)})
			}
		}
	}
	return out
}()

func (p probe) passes(rules []Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool {
		return r.Protocol == p.protocol && r.PortMin <= p.port && p.port <= r.PortMax && r.Remote.Contains(p.from)
	})
}

func drawRule(t *rapid.T) Rule {
	remote := rapid.SampledFrom(prefixes("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "::/0", "fd00::/8")).Draw(t, "remote")
	low := rapid.Uint16Range(1, 4).Draw(t, "port")
	return Rule{
		Family: lb.FamilyOf(remote.Addr()), Protocol: rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "protocol"),
		PortMin: low, PortMax: low, Remote: remote, Description: RuleDescription,
	}
}

func TestMergedRulesLetTheSameIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(drawRule), 0, 20).Draw(t, "rules")
		merged := MergeRules(rules[:len(rules)/2], rules[len(rules)/2:])
		for _, p := range probes {
			if p.passes(rules) != p.passes(merged) {
				t.Fatalf("%v: %v before, %v after\n%v\n%v", p, p.passes(rules), p.passes(merged), rules, merged)
			}
		}
		for i, r := range merged {
			for j, o := range merged {
				if i != j && r.Covers(o) {
					t.Fatalf("%v covers %v", r, o)
				}
			}
		}
		if !slices.IsSortedFunc(merged, Rule.compare) {
			t.Fatalf("not sorted: %v", merged)
		}
		if diff := cmp.Diff(merged, MergeRules(merged), cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
			t.Fatalf("merged twice (-once +twice):\n%s", diff)
		}
	})
}
