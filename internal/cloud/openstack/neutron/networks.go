package neutron

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// Network that floating IPs can come from.
type Network struct {
	ID       string
	Name     string
	External bool
	// Subnets are the ids of all of its subnets, in the order in which the cloud gives
	// them. Some may not be visible to the project.
	Subnets []string
}

func (n Network) String() string { return named(n.Name, n.ID) }

// Subnet of a network.
type Subnet struct {
	ID        string
	Name      string
	NetworkID string
	CIDR      netip.Prefix
	Tags      []string
}

func (s Subnet) String() string { return named(s.Name, s.ID) }

func named(name, id string) string {
	if name == "" {
		return id
	}
	return name + " (" + id + ")"
}

// ChooseFloating tells where a Service's floating IP is allocated, in OCCM's ways: in
// the network that is named, or the first external one that has an IPv4 subnet or one
// that cannot be seen; and in the subnets that match, to be tried in this order. No
// subnets are any.
func ChooseFloating(networks []Network, subnets []Subnet, o *lb.CloudOptions) (networkID string, subnetIDs []string, _ *lb.Refusal) {
	external := slices.DeleteFunc(slices.Clone(networks), func(n Network) bool { return !n.External })
	network, refusal := floatingNetwork(external, subnets, o)
	if refusal != nil {
		return "", nil, refusal
	}
	choice := o.FloatingSubnet
	if choice == (lb.SubnetChoice{}) {
		return network.ID, nil, nil
	}
	var there []Subnet
	for _, s := range subnets {
		if s.NetworkID == network.ID {
			there = append(there, s)
		}
	}
	if choice.ID != "" {
		return network.ID, []string{choice.ID}, subnetIn(network, subnets, there, choice.ID)
	}
	matches, what, err := matcher(choice)
	if err != nil {
		return "", nil, lb.Refuse(lb.BadOption, "write a shell pattern, or a regular expression after ~", "%s cannot be read: %s", what, err)
	}
	for _, s := range there {
		// Neutron gives floating IPs of IPv4 only.
		if matches(s) && s.CIDR.Addr().Is4() {
			subnetIDs = append(subnetIDs, s.ID)
		}
	}
	if len(subnetIDs) == 0 {
		return "", nil, lb.Refuse(lb.FloatingIPMissing, "it has "+listed(there), "no IPv4 subnet of network %s matches %s", network, what)
	}
	return network.ID, subnetIDs, nil
}

// floatingNetwork is the network that is named, or the first that can give IPv4
// addresses.
func floatingNetwork(external []Network, subnets []Subnet, o *lb.CloudOptions) (Network, *lb.Refusal) {
	if o.FloatingNetwork != "" {
		i := slices.IndexFunc(external, func(n Network) bool { return n.ID == o.FloatingNetwork })
		if i < 0 {
			return Network{}, lb.Refuse(lb.FloatingIPMissing, "the project sees "+listed(external), "floating-network-id %q is no external network", o.FloatingNetwork)
		}
		return external[i], nil
	}
	for _, n := range external {
		if slices.ContainsFunc(n.Subnets, func(id string) bool { return mayBeIPv4(id, subnets) }) {
			return n, nil
		}
	}
	return Network{}, lb.Refuse(lb.FloatingIPMissing, "name one with floating-network-id, or make the load balancer internal",
		"no external network with an IPv4 subnet to take a floating IP from; the project sees %s", listed(external))
}

func mayBeIPv4(id string, subnets []Subnet) bool {
	i := slices.IndexFunc(subnets, func(s Subnet) bool { return s.ID == id })
	return i < 0 || subnets[i].CIDR.Addr().Is4()
}

// subnetIn checks a subnet that is named by id. One that cannot be seen is believed to
// be there if the network says that it has it.
func subnetIn(network Network, subnets, there []Subnet, id string) *lb.Refusal {
	seen := slices.IndexFunc(subnets, func(s Subnet) bool { return s.ID == id })
	switch {
	case seen >= 0 && subnets[seen].NetworkID != network.ID:
		return lb.Refuse(lb.BadOption, "network "+network.String()+" has "+listed(there), "floating-subnet-id %q is a subnet of another network, %s", id, subnets[seen].NetworkID)
	case seen < 0 && !slices.Contains(network.Subnets, id):
		return lb.Refuse(lb.BadOption, "it has "+listed(there), "floating-subnet-id %q is no subnet of network %s", id, network)
	}
	return nil
}

// listed names what exists, not too much of it.
func listed[T fmt.Stringer](all []T) string {
	const enough = 8
	text := make([]string, 0, enough)
	for i, x := range all {
		if i == enough {
			text = append(text, fmt.Sprintf("and %d more", len(all)-enough))
			break
		}
		text = append(text, x.String())
	}
	if len(text) == 0 {
		return "none"
	}
	return strings.Join(text, ", ")
}

// matcher of a choice by name, tags or both, and how to call it.
func matcher(c lb.SubnetChoice) (matches func(Subnet) bool, what string, _ error) {
	byName, byTags := func(Subnet) bool { return true }, func(Subnet) bool { return true }
	var text []string
	if c.Name != "" {
		text = append(text, fmt.Sprintf("floating-subnet %q", c.Name))
		var err error
		if byName, err = nameMatcher(c.Name); err != nil {
			return nil, text[0], err
		}
	}
	if c.Tags != "" {
		text = append(text, fmt.Sprintf("floating-subnet-tags %q", c.Tags))
		byTags = tagMatcher(c.Tags)
	}
	return func(s Subnet) bool { return byName(s) && byTags(s) }, strings.Join(text, " and "), nil
}

func nameMatcher(pattern string) (func(Subnet) bool, error) {
	pattern, not := strings.CutPrefix(pattern, "!")
	if expression, is := strings.CutPrefix(pattern, "~"); is {
		// OCCM takes a name for matched if the first match is all of it.
		re, err := regexp.Compile(expression)
		if err != nil {
			return nil, err
		}
		return func(s Subnet) bool { return (re.FindString(s.Name) == s.Name) != not }, nil
	}
	patterns := alternatives(pattern)
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, err
		}
	}
	return func(s Subnet) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			is, _ := path.Match(p, s.Name) // the pattern was read before
			return is
		}) != not
	}, nil
}

// alternatives spells {a,b} out, as shells do and path.Match does not.
func alternatives(pattern string) []string {
	open := strings.IndexByte(pattern, '{')
	length := strings.IndexByte(pattern[open+1:], '}')
	if open < 0 || length < 0 {
		return []string{pattern}
	}
	var out []string
	for choice := range strings.SplitSeq(pattern[open+1:open+1+length], ",") {
		out = append(out, alternatives(pattern[:open]+choice+pattern[open+length+2:])...)
	}
	return out
}

func tagMatcher(tags string) func(Subnet) bool {
	tags, not := strings.CutPrefix(tags, "!")
	tags, all := strings.CutPrefix(tags, "&")
	var wanted []string
	for t := range strings.SplitSeq(tags, ",") {
		if t = strings.TrimSpace(t); t != "" {
			wanted = append(wanted, t)
		}
	}
	return func(s Subnet) bool {
		has := func(t string) bool { return slices.Contains(s.Tags, t) }
		is := slices.ContainsFunc(wanted, has)
		if all {
			is = !slices.ContainsFunc(wanted, func(t string) bool { return !has(t) })
		}
		return is != not
	}
}
