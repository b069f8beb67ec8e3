package neutron

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
)

// Security knows the security groups of a cluster and the ports that have them, and
// keeps that up to date from the answers to its own changes: while nothing fails, it
// needs no second look. It is not for two goroutines at a time.
type Security struct {
	client *gophercloud.ServiceClient
	// Project narrows the lists, where the client might see those of others.
	Project string

	looked, stale bool
	groups        []Group
	// ports by id: those that had a group of ours at the last look, and those that were
	// changed since.
	ports map[string]Port
	// lost are ids of nodes' ports that turned out not to be there.
	lost map[string]bool
}

// NewSecurity makes a Security that has not looked yet.
func NewSecurity(client *gophercloud.ServiceClient) *Security {
	return &Security{client: client, ports: make(map[string]Port), lost: make(map[string]bool)}
}

// Stale tells that Look must come next: it was never called, or nobody knows what a
// change did.
func (s *Security) Stale() bool { return !s.looked || s.stale }

// Look reads the groups of these names, and the ports that have them. It takes one call
// for the groups, whatever their rules, and one for the ports.
//
// The names are that of the cluster, and those that OCCM would have given to the groups
// of Services. Everything by these names is ours: what is not wanted will be deleted.
func (s *Security) Look(ctx context.Context, names ...string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	found, err := listGroups(ctx, s.client, s.Project, names)
	if err != nil {
		return err
	}
	// A list may come from a copy of the database that does not have everything yet: what
	// we made and do not see there is asked for by its id.
	for _, g := range s.groups {
		listed := slices.ContainsFunc(found, func(f Group) bool { return f.ID == g.ID })
		if listed || !slices.Contains(names, g.Name) {
			continue
		}
		switch again, err := readGroup(ctx, s.client, g.ID); {
		case gone(err):
		case err != nil:
			return fmt.Errorf("read security group %s: %w", g.Name, err)
		default:
			found = append(found, again)
		}
	}
	ids := make([]string, len(found))
	for i, g := range found {
		ids[i] = g.ID
	}
	with, err := portsWith(ctx, s.client, ids)
	if err != nil {
		return err
	}
	s.groups, s.ports = found, make(map[string]Port, len(with))
	for _, p := range with {
		s.ports[p.ID] = p
	}
	s.looked, s.stale = true, false
	return nil
}

// Groups are those that are known.
func (s *Security) Groups() []Group { return slices.Clone(s.groups) }

// Has tells whether there is a group of that name, such as the one of a Service that
// OCCM made.
func (s *Security) Has(name string) bool {
	return slices.ContainsFunc(s.groups, func(g Group) bool { return g.Name == name })
}

// Lost tells that a node's port is gone: NodePorts must be read again. Until then Steps
// leave the node out.
func (s *Security) Lost() bool { return len(s.lost) > 0 }

// Steps are GroupSteps from what is known. nodePorts are all that NodePorts found, at
// any time: for what was changed since, the later of the two counts.
func (s *Security) Steps(want []GroupWant, nodePorts map[string]Port) []Step {
	var all []Port
	nodes := make(map[string]bool, len(nodePorts))
	for node, p := range nodePorts {
		nodes[p.ID] = true
		if s.lost[p.ID] {
			continue
		}
		p = s.now(p)
		p.Node = node
		all = append(all, p)
	}
	maps.DeleteFunc(s.lost, func(id string, _ bool) bool { return !nodes[id] })
	for id, p := range s.ports {
		if !nodes[id] {
			p.Node = ""
			all = append(all, p)
		}
	}
	return GroupSteps(want, s.groups, all)
}

// now is a port as it is best known.
func (s *Security) now(p Port) Port {
	known, ok := s.ports[p.ID]
	switch {
	case ok && known.Revision >= p.Revision:
		known.Node = p.Node
		return known
	case !ok:
		// It had no group of ours when we looked. If somebody gave it one since, the update
		// finds out (412).
		p.Groups = slices.DeleteFunc(slices.Clone(p.Groups), func(id string) bool {
			return slices.ContainsFunc(s.groups, func(g Group) bool { return g.ID == id })
		})
	}
	return p
}

// group finds a group by a reference; one that was made by a step before has no id
// there.
func (s *Security) group(ref GroupRef) (Group, bool) {
	i := slices.IndexFunc(s.groups, func(g Group) bool { return g.ID == ref.ID || ref.ID == "" && g.Name == ref.Name })
	if i < 0 {
		return Group{}, false
	}
	return s.groups[i], true
}

// change notes what an answer said of a group.
func (s *Security) change(id string, f func(*Group)) {
	for i := range s.groups {
		if s.groups[i].ID == id {
			f(&s.groups[i])
		}
	}
}

// Do performs one of Steps. After an error, steps that are Careful must be left out;
// when it is Stale then, so must all.
func (s *Security) Do(ctx context.Context, step Step) error {
	var err error
	switch st := step.(type) {
	case CreateGroup:
		err = s.createGroup(ctx, st)
	case TagGroup:
		err = s.tagGroup(ctx, st)
	case AddRules:
		err = s.addRules(ctx, st)
	case RemoveRule:
		err = s.removeRule(ctx, st)
	case AttachGroups:
		err = s.attachGroups(ctx, st)
	case DetachGroups:
		err = s.detachGroups(ctx, st)
	case DeleteGroup:
		err = s.deleteGroup(ctx, st)
	default:
		err = errOtherStep
	}
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// doubt notes that what is known may be wrong after an error, and gives it back.
func (s *Security) doubt(err error) error {
	s.stale = s.stale || Uncertain(err)
	return err
}
