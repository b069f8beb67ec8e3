package neutron

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Step is one change. ApplyFloating and Security.Do perform it.
type Step interface {
	fmt.Stringer
	// careful steps rely on the steps before them.
	careful() bool
}

// Careful tells whether a step must be left out when one before it failed, since it
// takes away what that one was to replace, or needs what that one was to make. The
// others may be tried nevertheless: a node whose port cannot be changed must not keep
// the next node closed, and a quota that is used up must not keep what frees it.
func Careful(s Step) bool { return s.careful() }

// CreateFloating allocates a floating IP, and attaches it where Port is set.
type CreateFloating struct {
	Network string
	// Subnets are tried in this order while the one before has no address left; empty
	// leaves the choice to the cloud.
	Subnets []string
	// Address that it must be; the zero Addr is any.
	Address     netip.Addr
	Port        string
	Fixed       netip.Addr
	Description string
	Keep        bool
}

func (s CreateFloating) String() string {
	var b strings.Builder
	b.WriteString("create floating IP ")
	if s.Address.IsValid() {
		b.WriteString(s.Address.String() + " ")
	}
	b.WriteString("in network " + s.Network)
	if len(s.Subnets) > 0 && !s.Address.IsValid() {
		b.WriteString(", subnet " + strings.Join(s.Subnets, " or "))
	}
	if s.Port != "" {
		b.WriteString(", for port " + s.Port)
	}
	return b.String()
}

func (CreateFloating) careful() bool { return false }

// AttachFloating points a floating IP at a port, also one that is at another port.
type AttachFloating struct {
	// ID is empty for one that a step before creates: Address tells it.
	ID      string
	Address netip.Addr
	Port    string
	Fixed   netip.Addr
	// Description to give it; empty leaves the one that it has.
	Description string
	Keep        bool
	// Revision that it must still have, for one that is not ours; 0 is any.
	Revision int
}

func (s AttachFloating) String() string {
	return fmt.Sprintf("attach floating IP %s to port %s", s.Address, s.Port)
}

// One that was not created cannot be attached.
func (s AttachFloating) careful() bool { return s.ID == "" }

// DescribeFloating changes the description of a floating IP that is attached.
type DescribeFloating struct {
	ID      string
	Address netip.Addr
	// Port and Fixed that it is attached to: Neutron takes an update that names no port
	// for a wish to detach (l3_db.py, _check_and_get_fip_assoc).
	Port        string
	Fixed       netip.Addr
	Description string
	Keep        bool
}

func (s DescribeFloating) String() string {
	return fmt.Sprintf("describe floating IP %s as %q", s.Address, s.Description)
}

func (DescribeFloating) careful() bool { return false }

// DetachFloating takes a floating IP off its port, and leaves it to the project.
type DetachFloating struct {
	ID      string
	Address netip.Addr
	Port    string
	// Description to give it; empty leaves the one that it has.
	Description string
	Keep        bool
	// Revision that it must still have, for one that is not ours; 0 is any.
	Revision int
	// Replaced: another one comes in its place.
	Replaced bool
}

func (s DetachFloating) String() string {
	return fmt.Sprintf("detach floating IP %s from port %s", s.Address, s.Port)
}

func (s DetachFloating) careful() bool { return s.Replaced }

// DeleteFloating gives a floating IP back to the cloud.
type DeleteFloating struct {
	ID      string
	Address netip.Addr
	// Replaced: another one came in its place.
	Replaced bool
}

func (s DeleteFloating) String() string { return fmt.Sprintf("delete floating IP %s", s.Address) }

func (s DeleteFloating) careful() bool { return s.Replaced }

// GroupRef names a security group; ID is empty for one that a step before creates.
type GroupRef struct{ ID, Name string }

func (r GroupRef) String() string { return r.Name }

// CreateGroup makes a security group without rules of ours.
type CreateGroup struct {
	Name, Description string
}

func (s CreateGroup) String() string { return "create security group " + s.Name }

func (CreateGroup) careful() bool { return false }

// TagGroup sets all tags of a security group.
type TagGroup struct {
	Group GroupRef
	Tags  []string
}

func (s TagGroup) String() string {
	return fmt.Sprintf("tag security group %s with %s", s.Group, strings.Join(s.Tags, ", "))
}

func (s TagGroup) careful() bool { return s.Group.ID == "" }

// AddRules opens a security group, with one call.
type AddRules struct {
	Group GroupRef
	Rules []Rule
}

func (s AddRules) String() string {
	text := make([]string, len(s.Rules))
	for i, r := range s.Rules {
		text[i] = r.String()
	}
	return fmt.Sprintf("allow in security group %s: %s", s.Group, strings.Join(text, "; "))
}

// A group that was not created takes no rules.
func (s AddRules) careful() bool { return s.Group.ID == "" }

// RemoveRule closes what a rule opened.
type RemoveRule struct {
	Group GroupRef
	Rule  Rule // with its ID
	// Replaced: what is wanted overlaps with it, and may rely on it until the steps
	// before are done.
	Replaced bool
}

func (s RemoveRule) String() string {
	return fmt.Sprintf("stop allowing in security group %s: %s", s.Group, s.Rule)
}

func (s RemoveRule) careful() bool { return s.Replaced }

// AttachGroups puts a port into security groups.
type AttachGroups struct {
	Port   Port
	Groups []GroupRef
}

func (s AttachGroups) String() string {
	return fmt.Sprintf("put %s into security group %s", s.Port, names(s.Groups))
}

func (s AttachGroups) careful() bool {
	return !slices.ContainsFunc(s.Groups, func(g GroupRef) bool { return g.ID != "" })
}

// DetachGroups takes a port out of security groups.
type DetachGroups struct {
	Port   Port
	Groups []GroupRef
	// Replaced: what is wanted overlaps with what the groups open.
	Replaced bool
}

func (s DetachGroups) String() string {
	return fmt.Sprintf("take %s out of security group %s", s.Port, names(s.Groups))
}

func (s DetachGroups) careful() bool { return s.Replaced }

// DeleteGroup removes a security group with its rules. Neutron refuses while a port
// has it, so that it does no harm after a step that failed.
type DeleteGroup struct{ Group GroupRef }

func (s DeleteGroup) String() string {
	return fmt.Sprintf("delete security group %s (%s)", s.Group, s.Group.ID)
}

func (DeleteGroup) careful() bool { return false }

func names(groups []GroupRef) string {
	text := make([]string, len(groups))
	for i, g := range groups {
		text[i] = g.String()
	}
	return strings.Join(text, ", ")
}
