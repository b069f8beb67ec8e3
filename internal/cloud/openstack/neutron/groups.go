package neutron

import (
	"cmp"
	"slices"
)

// rulesPerCall keeps a bulk request, which Neutron does in one transaction, short.
const rulesPerCall = 100

// ClusterGroupName is the name of the group that has the rules of all Services of a
// cluster: projects may have ten groups by default, and a new node then needs one
// update of its port, not one for each Service.
func ClusterGroupName(clusterUID string) string { return "lb-sg-fairlead-" + clusterUID }

// ClusterGroupDescription says what it is in the words that OCCM uses, since people and
// janitors search for them.
func ClusterGroupDescription(clusterName string) string {
	return "Security Group for fairlead/all Service LoadBalancer in cluster " + clusterName
}

// GroupWant is a security group that all nodes' ports should be in.
type GroupWant struct {
	Name        string
	Description string
	// Tags that it must have besides others.
	Tags  []string
	Rules []Rule
	// Adopted: OCCM made it. Rules in it that OCCM would not make are left alone.
	Adopted bool
}

// Group is a security group as it is.
type Group struct {
	ID          string
	Name        string
	Description string
	Tags        []string
	// Rules that let traffic in by protocol, ports and address, sorted. Others, such as
	// the two that let everything out, are not looked at.
	Rules    []Rule
	Revision int
}

func (g *Group) ref() GroupRef { return GroupRef{g.ID, g.Name} }

// GroupSteps leads from the groups that there are to those that are wanted. have are
// groups of ours only, found by name: what is not wanted is deleted. ports are the
// nodes' (with Node set) and any other that has one of these groups, such as that of a
// node that left.
//
// What should be open is opened before what should not is closed, but a group is
// cleaned before another port gets it. A port never loses a group that is not in have.
func GroupSteps(want []GroupWant, have []Group, ports []Port) []Step {
	p := groupPlan{kept: make(map[string]*Group)}
	p.want = slices.SortedFunc(slices.Values(want), func(x, y GroupWant) int { return cmp.Compare(x.Name, y.Name) })
	p.ports = slices.SortedFunc(slices.Values(ports), func(x, y Port) int { return cmp.Or(cmp.Compare(x.Node, y.Node), cmp.Compare(x.ID, y.ID)) })
	p.ports = slices.DeleteFunc(p.ports, func(p Port) bool { return !p.PortSecurity })
	p.sort(have)
	soon, late := p.removeRules()
	return slices.Concat(p.create(), soon, p.attach(), late, p.detach(), p.remove())
}

type groupPlan struct {
	want   []GroupWant
	ports  []Port
	kept   map[string]*Group // by name
	wanted []*Group          // the values of kept, by name
	others []*Group          // not wanted, by id
}

// sort tells the groups that are wanted from the others. Of two with the same name,
// made by a request whose answer was lost, the one that more ports have stays.
func (p *groupPlan) sort(have []Group) {
	uses := make(map[string]int)
	for _, port := range p.ports {
		for _, id := range port.Groups {
			uses[id]++
		}
	}
	groups := make([]*Group, len(have))
	for i := range have {
		groups[i] = &have[i]
	}
	slices.SortFunc(groups, func(x, y *Group) int {
		return cmp.Or(cmp.Compare(uses[y.ID], uses[x.ID]), cmp.Compare(len(y.Rules), len(x.Rules)), cmp.Compare(x.ID, y.ID))
	})
	for _, g := range groups {
		wanted := slices.ContainsFunc(p.want, func(w GroupWant) bool { return w.Name == g.Name })
		if wanted && p.kept[g.Name] == nil {
			p.kept[g.Name] = g
			p.wanted = append(p.wanted, g)
		} else {
			p.others = append(p.others, g)
		}
	}
	slices.SortFunc(p.wanted, func(x, y *Group) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(p.others, func(x, y *Group) int { return cmp.Compare(x.ID, y.ID) })
}

// ref of a wanted group, which may not be there yet.
func (p *groupPlan) ref(name string) GroupRef {
	if g := p.kept[name]; g != nil {
		return g.ref()
	}
	return GroupRef{Name: name}
}

// create makes groups and rules.
func (p *groupPlan) create() []Step {
	var steps []Step
	for _, w := range p.want {
		g := p.kept[w.Name]
		if g == nil {
			steps = append(steps, CreateGroup{w.Name, w.Description})
			g = &Group{Name: w.Name}
		}
		tags := slices.Clone(g.Tags)
		for _, t := range w.Tags {
			if !slices.Contains(tags, t) {
				tags = append(tags, t)
			}
		}
		if len(tags) > len(g.Tags) {
			slices.Sort(tags)
			steps = append(steps, TagGroup{p.ref(w.Name), tags})
		}
		there := make(map[Rule]bool, len(g.Rules))
		for _, r := range g.Rules {
			there[r.key()] = true
		}
		missing := slices.DeleteFunc(MergeRules(w.Rules), func(r Rule) bool { return there[r.key()] })
		for some := range slices.Chunk(missing, rulesPerCall) {
			steps = append(steps, AddRules{p.ref(w.Name), some})
		}
	}
	return steps
}

// attach puts every node's port into every group.
func (p *groupPlan) attach() []Step {
	var steps []Step
	for _, port := range p.ports {
		if port.Node == "" {
			continue
		}
		var missing []GroupRef
		for _, w := range p.want {
			if ref := p.ref(w.Name); ref.ID == "" || !slices.Contains(port.Groups, ref.ID) {
				missing = append(missing, ref)
			}
		}
		if len(missing) > 0 {
			steps = append(steps, AttachGroups{port, missing})
		}
	}
	return steps
}

// removeRules closes what no Service needs any more: soon, or late where a port may
// rely on it until it has another group that is wanted.
func (p *groupPlan) removeRules() (soon, late []Step) {
	for i := range p.want {
		w := &p.want[i]
		g := p.kept[w.Name]
		if g == nil {
			continue
		}
		wanted := make(map[Rule]bool, len(w.Rules))
		for _, r := range MergeRules(w.Rules) {
			wanted[r.key()] = true
		}
		for _, r := range g.Rules {
			if wanted[r.key()] || !w.owns(r) {
				continue
			}
			step := RemoveRule{g.ref(), r, p.needed(r)}
			if step.Replaced && p.elsewhere(w, r) {
				late = append(late, step)
			} else {
				soon = append(soon, step)
			}
		}
	}
	return soon, late
}

// owns tells whether a rule of the group is ours to remove. In a group that we made
// every one is. In one of OCCM's those are that look like OCCM's: a single port from a
// single prefix, not described (loadbalancer_sg.go), and those that we made since.
func (w *GroupWant) owns(r Rule) bool {
	return !w.Adopted || r.Description == RuleDescription || r.Description == "" && r.PortMin == r.PortMax && r.PortMin != 0
}

// needed tells whether something that is wanted may rely on a rule.
func (p *groupPlan) needed(r Rule) bool {
	return slices.ContainsFunc(p.want, func(w GroupWant) bool { return slices.ContainsFunc(w.Rules, r.overlaps) })
}

// elsewhere tells whether what relies on a rule of one group is wanted in another.
func (p *groupPlan) elsewhere(w *GroupWant, r Rule) bool {
	return slices.ContainsFunc(p.want, func(o GroupWant) bool {
		return o.Name != w.Name && slices.ContainsFunc(o.Rules, func(x Rule) bool {
			return r.overlaps(x) && !slices.ContainsFunc(w.Rules, func(y Rule) bool { return y.Covers(x) })
		})
	})
}

// detach takes ports out of groups: nodes' out of those that are not wanted, others out
// of all.
func (p *groupPlan) detach() []Step {
	// That no node has a port is more likely an observation that is missing.
	blind := !slices.ContainsFunc(p.ports, func(p Port) bool { return p.Node != "" })
	var steps []Step
	for _, port := range p.ports {
		from := p.others
		if port.Node == "" && !blind {
			from = slices.Concat(p.wanted, p.others)
		}
		step := DetachGroups{Port: port}
		for _, g := range from {
			if slices.Contains(port.Groups, g.ID) {
				step.Groups = append(step.Groups, g.ref())
				step.Replaced = step.Replaced || port.Node != "" && slices.ContainsFunc(g.Rules, p.needed)
			}
		}
		if len(step.Groups) > 0 {
			steps = append(steps, step)
		}
	}
	return steps
}

func (p *groupPlan) remove() []Step {
	var steps []Step
	for _, g := range p.others {
		steps = append(steps, DeleteGroup{g.ref()})
	}
	return steps
}
