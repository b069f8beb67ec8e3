package neutron

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// RuleDescription is on every rule that is made here. It names no Service: one rule
// may serve several, and a rule cannot be changed.
const RuleDescription = "fairlead: node port of a Service"

// Rule lets traffic in.
type Rule struct {
	ID       string // empty while it is only wanted
	Family   lb.Family
	Protocol string // tcp, udp or sctp
	PortMin  uint16
	PortMax  uint16
	// Remote is where the traffic comes from.
	Remote      netip.Prefix
	Description string
}

func (r Rule) String() string {
	ports := strconv.Itoa(int(r.PortMin))
	if r.PortMax != r.PortMin {
		ports += "-" + strconv.Itoa(int(r.PortMax))
	}
	return fmt.Sprintf("%s %s from %s", r.Protocol, ports, r.Remote)
}

// key is what makes two rules the same for Neutron (securitygroups_db.py,
// _rule_to_key): a second one is refused.
func (r Rule) key() Rule { r.ID, r.Description = "", ""; return r }

func (r Rule) compare(o Rule) int {
	return cmp.Or(cmp.Compare(r.Family, o.Family), cmp.Compare(r.Protocol, o.Protocol), cmp.Compare(r.PortMin, o.PortMin),
		cmp.Compare(r.PortMax, o.PortMax), r.Remote.Addr().Compare(o.Remote.Addr()), cmp.Compare(r.Remote.Bits(), o.Remote.Bits()), cmp.Compare(r.ID, o.ID))
}

// Covers tells whether everything that o lets in is let in.
func (r Rule) Covers(o Rule) bool {
	return r.Family == o.Family && r.Protocol == o.Protocol && r.PortMin <= o.PortMin && o.PortMax <= r.PortMax &&
		r.Remote.Bits() <= o.Remote.Bits() && r.Remote.Contains(o.Remote.Addr())
}

// overlaps tells whether there is traffic that both let in.
func (r Rule) overlaps(o Rule) bool {
	return r.Family == o.Family && r.Protocol == o.Protocol && r.PortMin <= o.PortMax && o.PortMin <= r.PortMax && r.Remote.Overlaps(o.Remote)
}

// RulesFor are the rules that let the load balancer of a Service in to its node ports.
//
// via are the subnets that a load balancer speaks to the nodes from: of its VIP, or of
// its members. A proxy such as the amphora comes from there itself. A provider that
// keeps the client's address (ovn) brings everybody whom the source ranges let in;
// there, the nodes' groups are the only thing that holds others back, and only health
// monitors come from the subnet. Families are those of via: nodes have no others there.
func RulesFor(s *lb.Service, o *lb.CloudOptions, via []netip.Prefix, preservesClientIP bool) []Rule {
	remotes := masked(via)
	if preservesClientIP {
		remotes = append(sources(s, o, remotes), remotes...)
	}
	var out []Rule
	allow := func(protocol string, port uint16, from []netip.Prefix) {
		for _, p := range from {
			if port != 0 {
				out = append(out, Rule{
					Family: lb.FamilyOf(p.Addr()), Protocol: strings.ToLower(protocol), PortMin: port, PortMax: port, Remote: p, Description: RuleDescription,
				})
			}
		}
	}
	for i, p := range s.Ports {
		if i < len(s.NodePorts) {
			allow(p.Protocol, s.NodePorts[i], remotes)
		}
	}
	allow("tcp", s.HealthCheckNodePort, masked(via))
	return MergeRules(out)
}

// sources are where clients may come from, in the families of via.
func sources(s *lb.Service, o *lb.CloudOptions, via []netip.Prefix) []netip.Prefix {
	ranges := o.SourceRanges
	if len(ranges) == 0 {
		ranges = s.SourceRanges
	}
	if len(ranges) == 0 {
		ranges = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return slices.DeleteFunc(masked(ranges), func(r netip.Prefix) bool {
		return !slices.ContainsFunc(via, func(v netip.Prefix) bool { return lb.FamilyOf(v.Addr()) == lb.FamilyOf(r.Addr()) })
	})
}

// masked are the prefixes as Neutron means them: 192.0.2.7/24 is 192.0.2.0/24.
func masked(prefixes []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range prefixes {
		if p.IsValid() {
			out = append(out, p.Masked())
		}
	}
	return out
}

// MergeRules sorts rules and leaves out those that another one covers: a quota counts
// them.
func MergeRules(rules ...[]Rule) []Rule {
	all := slices.Concat(rules...)
	slices.SortFunc(all, Rule.compare)
	all = slices.CompactFunc(all, func(x, y Rule) bool { return x.key() == y.key() })
	// Rules that could cover one another stand together: same family and protocol, and
	// the widest of them first at each port.
	var out []Rule
	for i, r := range all {
		if !coveredIn(all, i) {
			out = append(out, r)
		}
	}
	return out
}

// coveredIn looks among the rules of the same family, protocol and ports, which stand
// together in a sorted list. Ranges of ports are not wanted by anybody, so that wider
// ones are not looked for.
func coveredIn(sorted []Rule, at int) bool {
	r := sorted[at]
	same := func(o Rule) bool {
		return o.Family == r.Family && o.Protocol == r.Protocol && o.PortMin == r.PortMin && o.PortMax == r.PortMax
	}
	for i := at - 1; i >= 0 && same(sorted[i]); i-- {
		if sorted[i].Covers(r) {
			return true
		}
	}
	for i := at + 1; i < len(sorted) && same(sorted[i]); i++ {
		if sorted[i].Covers(r) {
			return true
		}
	}
	return false
}
