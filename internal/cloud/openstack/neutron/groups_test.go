package neutron

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func rule(id, protocol string, port uint16, remote string) Rule {
	p := prefixes(remote)[0]
	r := Rule{ID: id, Family: 4, Protocol: protocol, PortMin: port, PortMax: port, Remote: p}
	if p.Addr().Is6() {
		r.Family = 6
	}
	return r
}

func TestGroupSteps(t *testing.T) {
	web, dns := rule("", "tcp", 30080, "10.0.0.0/24"), rule("", "udp", 30053, "10.0.0.0/24")
	cluster := GroupWant{Name: "all", Description: "d", Tags: []string{"t"}, Rules: []Rule{web, dns}}
	port := func(id, node string, groups ...string) Port {
		return Port{ID: id, Node: node, Groups: groups, PortSecurity: true}
	}
	open := port("p2", "b", "default")
	open.PortSecurity = false
	done := Group{ID: "g1", Name: "all", Tags: []string{"t", "x"}, Rules: []Rule{rule("r1", "tcp", 30080, "10.0.0.0/24"), rule("r2", "udp", 30053, "10.0.0.0/24")}}
	extra := done
	extra.Rules = append(slices.Clone(done.Rules), rule("r3", "tcp", 30080, "0.0.0.0/0"), rule("r4", "tcp", 22, "0.0.0.0/0"))
	adopted := GroupWant{Name: "lb-sg-1", Rules: []Rule{web}, Adopted: true}
	byHand := rule("r9", "tcp", 443, "0.0.0.0/0")
	byHand.Description = "by hand"
	tests := []struct {
		name    string
		want    []GroupWant
		have    []Group
		ports   []Port
		steps   []string
		careful []string // those of the steps
	}{
		{
			name: "from nothing", want: []GroupWant{cluster}, ports: []Port{port("p1", "a", "default"), open},
			steps: []string{
				"create security group all", "tag security group all with t",
				"allow in security group all: tcp 30080 from 10.0.0.0/24; udp 30053 from 10.0.0.0/24",
				"put port p1 of node a into security group all",
			},
			careful: []string{
				"tag security group all with t", "allow in security group all: tcp 30080 from 10.0.0.0/24; udp 30053 from 10.0.0.0/24",
				"put port p1 of node a into security group all",
			},
		},
		{name: "as wanted", want: []GroupWant{cluster}, have: []Group{done}, ports: []Port{port("p1", "a", "default", "g1"), open}},
		{
			name: "a node came, another left", want: []GroupWant{cluster}, have: []Group{done}, ports: []Port{port("p1", "a", "default"), port("p3", "", "default", "g1")},
			steps: []string{"put port p1 of node a into security group all", "take port p3 out of security group all"},
		},
		{
			name: "no node at all is not believed", want: []GroupWant{cluster}, have: []Group{done}, ports: []Port{port("p3", "", "default", "g1")},
		},
		{
			name: "stale rules, one of which lets in what is wanted", want: []GroupWant{cluster}, have: []Group{extra}, ports: []Port{port("p1", "a", "g1"), port("p2", "b")},
			steps:   []string{"stop allowing in security group all: tcp 30080 from 0.0.0.0/0", "stop allowing in security group all: tcp 22 from 0.0.0.0/0", "put port p2 of node b into security group all"},
			careful: []string{"stop allowing in security group all: tcp 30080 from 0.0.0.0/0"},
		},
		{
			name: "what moves to another group is closed after ports have that one", want: []GroupWant{cluster, {Name: "lb-sg-1", Adopted: true}},
			have:    []Group{done, {ID: "o1", Name: "lb-sg-1", Rules: []Rule{rule("r5", "tcp", 30080, "10.0.0.0/24")}}},
			ports:   []Port{port("p1", "a", "default", "o1")},
			steps:   []string{"put port p1 of node a into security group all", "stop allowing in security group lb-sg-1: tcp 30080 from 10.0.0.0/24"},
			careful: []string{"stop allowing in security group lb-sg-1: tcp 30080 from 10.0.0.0/24"},
		},
		{
			name: "OCCM's group keeps what OCCM would not make", want: []GroupWant{adopted},
			have: []Group{{ID: "o1", Name: "lb-sg-1", Rules: []Rule{
				rule("r1", "tcp", 30080, "10.0.0.0/24"), rule("r2", "tcp", 30081, "10.0.0.0/24"), byHand,
				{ID: "r3", Family: 4, Protocol: "tcp", PortMin: 1, PortMax: 99, Remote: web.Remote}, {ID: "r4", Family: 4, Protocol: "tcp", PortMax: 65535, Remote: web.Remote},
			}}},
			ports: []Port{port("p1", "a", "o1")},
			steps: []string{"stop allowing in security group lb-sg-1: tcp 30081 from 10.0.0.0/24"},
		},
		{
			name: "OCCM's group goes with its Service", want: []GroupWant{cluster}, have: []Group{done, {ID: "o1", Name: "lb-sg-1", Rules: []Rule{rule("r5", "tcp", 30081, "10.0.0.0/24")}}},
			ports: []Port{port("p1", "a", "default", "g1", "o1"), port("p3", "", "o1")},
			steps: []string{"take port p3 out of security group lb-sg-1", "take port p1 of node a out of security group lb-sg-1", "delete security group lb-sg-1 (o1)"},
		},
		{
			name: "a duplicate goes after its rules are elsewhere", want: []GroupWant{cluster}, have: []Group{{ID: "g0", Name: "all", Tags: []string{"t"}}, done},
			ports: []Port{port("p1", "a", "g0")},
			steps: []string{
				"allow in security group all: tcp 30080 from 10.0.0.0/24; udp 30053 from 10.0.0.0/24", "delete security group all (g1)",
			},
		},
		{
			name: "everything goes, also without a node", have: []Group{done}, ports: []Port{port("p3", "", "default", "g1")},
			steps: []string{"take port p3 out of security group all", "delete security group all (g1)"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			steps := GroupSteps(tt.want, tt.have, tt.ports)
			if diff := gocmp.Diff(tt.steps, printed(steps)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			steps = slices.DeleteFunc(steps, func(s Step) bool { return !Careful(s) })
			if diff := gocmp.Diff(tt.careful, printed(steps)); diff != "" {
				t.Errorf("careful steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestManyRulesTakeFewCalls(t *testing.T) {
	want := GroupWant{Name: "all"}
	for port := range uint16(250) {
		want.Rules = append(want.Rules, rule("", "tcp", 30000+port, "10.0.0.0/24"))
	}
	if n := len(GroupSteps([]GroupWant{want}, []Group{{ID: "g", Name: "all"}}, nil)); n != 3 {
		t.Errorf("%d steps for 250 rules, want 3", n)
	}
}

// groupCloud is a Neutron of groups and ports.
type groupCloud struct {
	serial int
	groups []Group
	ports  []Port
}

func (c *groupCloud) group(ref GroupRef) *Group {
	for i, g := range c.groups {
		if g.ID == ref.ID || ref.ID == "" && g.Name == ref.Name {
			return &c.groups[i]
		}
	}
	return nil
}

func (c *groupCloud) do(t *rapid.T, step Step) error {
	switch s := step.(type) {
	case CreateGroup:
		c.serial++
		c.groups = append(c.groups, Group{ID: fmt.Sprintf("new%d", c.serial), Name: s.Name})
	case TagGroup:
		c.group(s.Group).Tags = s.Tags
	case AddRules:
		g := c.group(s.Group)
		for _, r := range s.Rules {
			if slices.ContainsFunc(g.Rules, func(o Rule) bool { return o.key() == r.key() }) {
				t.Fatalf("%s: rule exists", step)
			}
			c.serial++
			r.ID = fmt.Sprintf("new%d", c.serial)
			g.Rules = append(g.Rules, r)
		}
	case RemoveRule:
		g := c.group(s.Group)
		g.Rules = slices.DeleteFunc(g.Rules, func(r Rule) bool { return r.ID == s.Rule.ID })
	case AttachGroups:
		for i := range c.ports {
			if p := &c.ports[i]; p.ID == s.Port.ID {
				for _, ref := range s.Groups {
					if g := c.group(ref); g != nil {
						p.Groups = append(p.Groups, g.ID)
					}
				}
			}
		}
	case DetachGroups:
		for i := range c.ports {
			if p := &c.ports[i]; p.ID == s.Port.ID {
				p.Groups = slices.DeleteFunc(p.Groups, func(id string) bool {
					return slices.ContainsFunc(s.Groups, func(g GroupRef) bool { return g.ID == id })
				})
			}
		}
	case DeleteGroup:
		if slices.ContainsFunc(c.ports, func(p Port) bool { return slices.Contains(p.Groups, s.Group.ID) }) {
			return fmt.Errorf("%s: in use", step)
		}
		c.groups = slices.DeleteFunc(c.groups, func(g Group) bool { return g.ID == s.Group.ID })
	}
	return nil
}

// rulesOf are all rules that hold for a port.
func (c *groupCloud) rulesOf(p Port) []Rule {
	var out []Rule
	for _, g := range c.groups {
		if slices.Contains(p.Groups, g.ID) {
			out = append(out, g.Rules...)
		}
	}
	return out
}

// clone is deep as far as do changes anything.
func (c *groupCloud) clone() *groupCloud {
	out := &groupCloud{serial: c.serial, groups: slices.Clone(c.groups), ports: slices.Clone(c.ports)}
	for i := range out.groups {
		out.groups[i].Rules = slices.Clone(out.groups[i].Rules)
	}
	for i := range out.ports {
		out.ports[i].Groups = slices.Clone(out.ports[i].Groups)
	}
	return out
}

func drawGroupCloud(t *rapid.T) *groupCloud {
	c := &groupCloud{}
	groups := []string{"foreign1", "foreign2"}
	for i := range rapid.IntRange(0, 4).Draw(t, "groups") {
		g := Group{ID: fmt.Sprintf("g%d", i), Name: rapid.SampledFrom([]string{"all", "occm1", "occm2"}).Draw(t, "name")}
		for _, r := range rapid.SliceOfNDistinct(rapid.Custom(drawRule), 0, 6, Rule.key).Draw(t, "rules") {
			c.serial++
			r.ID = fmt.Sprintf("r%d", c.serial)
			r.Description = rapid.SampledFrom([]string{RuleDescription, "", "by hand"}).Draw(t, "description")
			g.Rules = append(g.Rules, r)
		}
		c.groups, groups = append(c.groups, g), append(groups, g.ID)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "ports") {
		p := Port{ID: fmt.Sprintf("p%d", i), Node: rapid.SampledFrom([]string{fmt.Sprintf("node%d", i), ""}).Draw(t, "node"), PortSecurity: true}
		if rapid.IntRange(0, 4).Draw(t, "security") == 0 {
			p.PortSecurity = false
		} else {
			p.Groups = rapid.SliceOfDistinct(rapid.SampledFrom(groups), func(s string) string { return s }).Draw(t, "has")
		}
		c.ports = append(c.ports, p)
	}
	return c
}

func drawGroupWants(t *rapid.T) []GroupWant {
	var out []GroupWant
	for _, name := range []string{"all", "occm1", "occm2"} {
		if rapid.Bool().Draw(t, "wanted") {
			out = append(out, GroupWant{
				Name: name, Tags: []string{"t"}, Adopted: name != "all", Rules: rapid.SliceOfN(rapid.Custom(drawRule), 0, 6).Draw(t, "wanted rules"),
			})
		}
	}
	return out
}

// Every state on the way is looked at, whichever steps fail: what is wanted and passes
// goes on passing, nothing passes that is neither wanted nor passed before, and no port
// loses a group of somebody else. A rule that could not be removed, that is not ours to
// remove, or that is relied on until another group is there, holds for a new port too.
func TestGroupStepsOpenBeforeTheyClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cloud, want := drawGroupCloud(t), drawGroupWants(t)
		before := cloud.clone()
		var wanted []Rule
		for _, w := range want {
			wanted = append(wanted, w.Rules...)
		}
		tolerated := slices.Clone(wanted)
		failures := rapid.IntRange(0, 3).Draw(t, "failures")
		for _, g := range cloud.groups {
			for _, r := range g.Rules {
				elsewhere := slices.ContainsFunc(want, func(w GroupWant) bool { return w.Name != g.Name && slices.ContainsFunc(w.Rules, r.overlaps) })
				if failures > 0 || r.Description == "by hand" || elsewhere {
					tolerated = append(tolerated, r)
				}
			}
		}
		for round := 0; ; round++ {
			steps := GroupSteps(want, cloud.groups, cloud.ports)
			if len(steps) == 0 {
				break
			}
			if round > 6 {
				t.Fatalf("no end: %v", printed(steps))
			}
			failed := false
			for _, s := range steps {
				if failed && Careful(s) {
					continue
				}
				if failures > 0 && rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
					failures--
					failed = true
					continue
				}
				if err := cloud.do(t, s); err != nil {
					if !failed {
						t.Fatal(err)
					}
					continue
				}
				checkPorts(t, before, cloud, wanted, tolerated, s)
			}
		}
		checkGroups(t, want, cloud)
	})
}

func checkPorts(t *rapid.T, before, now *groupCloud, wanted, tolerated []Rule, after Step) {
	foreign := func(p Port) []string {
		out := slices.Clone(p.Groups)
		out = slices.DeleteFunc(out, func(id string) bool { return id != "foreign1" && id != "foreign2" })
		slices.Sort(out)
		return out
	}
	for i, p := range now.ports {
		was := before.ports[i]
		if !slices.Equal(foreign(p), foreign(was)) {
			t.Fatalf("%s: %s had %v and has %v", after, p, was.Groups, p.Groups)
		}
		old, rules := before.rulesOf(was), now.rulesOf(p)
		for _, packet := range probes {
			passed, passes, should := packet.passes(old), packet.passes(rules), packet.passes(wanted)
			switch {
			case p.Node != "" && should && passed && !passes:
				t.Fatalf("%s: %v does not pass to %s any more", after, packet, p)
			case passes && !passed && !packet.passes(tolerated):
				t.Fatalf("%s: %v passes to %s", after, packet, p)
			}
		}
	}
}

// checkGroups looks at the state in which no steps are left.
func checkGroups(t *rapid.T, want []GroupWant, c *groupCloud) {
	nodes := slices.ContainsFunc(c.ports, func(p Port) bool { return p.Node != "" && p.PortSecurity })
	if len(c.groups) != len(want) {
		t.Fatalf("groups %+v, want %+v", c.groups, want)
	}
	for _, w := range want {
		g := c.group(GroupRef{Name: w.Name})
		var have, should []Rule
		for _, r := range g.Rules {
			if !w.Adopted || r.Description != "by hand" {
				have = append(have, r.key())
			}
		}
		for _, r := range MergeRules(w.Rules) {
			if !w.Adopted || slices.ContainsFunc(have, func(h Rule) bool { return h == r.key() }) {
				should = append(should, r.key())
			}
		}
		slices.SortFunc(have, Rule.compare)
		if !slices.Equal(have, should) {
			t.Fatalf("group %s has %v, want %v", w.Name, have, should)
		}
		for _, p := range c.ports {
			if has := slices.Contains(p.Groups, g.ID); p.PortSecurity && nodes && has != (p.Node != "") {
				t.Fatalf("%s in group %s: %v", p, w.Name, has)
			}
		}
	}
}

func TestGroupStepsDependOnNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cloud, want := drawGroupCloud(t), drawGroupWants(t)
		steps := printed(GroupSteps(want, cloud.groups, cloud.ports))
		slices.Reverse(want)
		slices.Reverse(cloud.groups)
		slices.SortFunc(cloud.ports, func(x, y Port) int { return cmp.Compare(y.ID, x.ID) })
		if diff := gocmp.Diff(steps, printed(GroupSteps(want, cloud.groups, cloud.ports))); diff != "" {
			t.Fatalf("steps (-one order +another):\n%s", diff)
		}
	})
}
