package neutron

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

func readGroup(ctx context.Context, client *gophercloud.ServiceClient, id string) (Group, error) {
	var wire wireGroup
	err := groups.Get(ctx, client, id).ExtractIntoStructPtr(&wire, "security_group")
	return wire.group(), err
}

func (s *Security) createGroup(ctx context.Context, st CreateGroup) error {
	var wire wireGroup
	err := groups.Create(ctx, s.client, groups.CreateOpts{Name: st.Name, Description: st.Description}).ExtractIntoStructPtr(&wire, "security_group")
	if err != nil {
		return s.doubt(err)
	}
	s.groups = append(s.groups, wire.group())
	return nil
}

func (s *Security) tagGroup(ctx context.Context, st TagGroup) error {
	g, ok := s.group(st.Group)
	if !ok {
		return errNoGroup
	}
	err := attributestags.ReplaceAll(ctx, s.client, "security-groups", g.ID, attributestags.ReplaceAllOpts{Tags: st.Tags}).Err
	if err != nil {
		return s.missed(err)
	}
	s.change(g.ID, func(g *Group) { g.Tags = st.Tags })
	return nil
}

// missed is doubt for calls that fail with 404 when the group is gone.
func (s *Security) missed(err error) error {
	s.stale = s.stale || gone(err)
	return s.doubt(err)
}

// addRules makes all rules with one call. It takes effect as a whole or not at all, so
// that one rule that somebody else made would keep out the others: they are then made
// one by one.
func (s *Security) addRules(ctx context.Context, st AddRules) error {
	g, ok := s.group(st.Group)
	if !ok {
		return errNoGroup
	}
	err := s.postRules(ctx, g.ID, st.Rules)
	if Kind(err) != "SecurityGroupRuleExists" {
		return err
	}
	for _, r := range st.Rules {
		switch err := s.postRules(ctx, g.ID, []Rule{r}); {
		case Kind(err) == "SecurityGroupRuleExists":
			s.stale = true // it is there, and we do not know its id
		case err != nil:
			return err
		}
	}
	return nil
}

func (s *Security) postRules(ctx context.Context, group string, wanted []Rule) error {
	opts := make([]rules.CreateOpts, len(wanted))
	for i, r := range wanted {
		opts[i] = rules.CreateOpts{
			Direction: rules.DirIngress, EtherType: rules.RuleEtherType(r.Family.String()), SecGroupID: group, Protocol: rules.RuleProtocol(r.Protocol),
			PortRangeMin: int(r.PortMin), PortRangeMax: int(r.PortMax), RemoteIPPrefix: r.Remote.String(), Description: r.Description,
		}
	}
	var wire []wireRule
	if err := rules.CreateBulk(ctx, s.client, opts).ExtractIntoSlicePtr(&wire, "security_group_rules"); err != nil {
		return s.missed(err)
	}
	var made []Rule
	for _, w := range wire {
		if r, ok := w.rule(); ok {
			made = append(made, r)
		}
	}
	s.change(group, func(g *Group) {
		g.Rules = slices.SortedFunc(slices.Values(slices.Concat(g.Rules, made)), Rule.compare)
	})
	return nil
}

func (s *Security) removeRule(ctx context.Context, st RemoveRule) error {
	if err := rules.Delete(ctx, s.client, st.Rule.ID).ExtractErr(); err != nil && !gone(err) {
		return s.doubt(err)
	}
	s.change(st.Group.ID, func(g *Group) {
		g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(r Rule) bool { return r.ID == st.Rule.ID })
	})
	return nil
}

// attachGroups puts a port into those of the groups that are there.
func (s *Security) attachGroups(ctx context.Context, st AttachGroups) error {
	var ids []string
	var missing error
	for _, ref := range st.Groups {
		if g, ok := s.group(ref); ok {
			ids = append(ids, g.ID)
		} else {
			missing = errNoGroup
		}
	}
	if len(ids) == 0 {
		return missing
	}
	err := s.setGroups(ctx, st.Port, func(now []string) []string {
		return slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(now), ids...))))
	})
	return errors.Join(err, missing)
}

func (s *Security) detachGroups(ctx context.Context, st DetachGroups) error {
	return s.setGroups(ctx, st.Port, func(now []string) []string {
		return slices.DeleteFunc(slices.Clone(now), func(id string) bool {
			return slices.ContainsFunc(st.Groups, func(g GroupRef) bool { return g.ID == id })
		})
	})
}

// setGroups changes the groups of a port, unless it was changed since it was read: the
// groups that others gave it in the meantime would be lost. Then it is read and changed
// once more; a second time, whoever called decides.
func (s *Security) setGroups(ctx context.Context, port Port, change func([]string) []string) error {
	port = s.now(port)
	err := s.putGroups(ctx, port, change(port.Groups))
	if gophercloud.ResponseCodeIs(err, http.StatusPreconditionFailed) {
		if port, err = s.readPort(ctx, port); err != nil || port.ID == "" {
			return err
		}
		if wanted := change(port.Groups); !slices.Equal(wanted, port.Groups) {
			err = s.putGroups(ctx, port, wanted)
		}
	}
	switch {
	case err == nil:
		return nil
	case Kind(err) == "SecurityGroupNotFound":
		s.stale = true
		return err
	case gone(err):
		s.lose(port)
		return nil
	}
	return s.doubt(err)
}

func (s *Security) putGroups(ctx context.Context, port Port, wanted []string) error {
	if wanted == nil {
		wanted = []string{} // null would be the default group
	}
	opts := ports.UpdateOpts{SecurityGroups: &wanted}
	if port.Revision > 0 {
		opts.RevisionNumber = &port.Revision
	}
	var wire wirePort
	if err := ports.Update(ctx, s.client, port.ID, opts).ExtractIntoStructPtr(&wire, "port"); err != nil {
		return err
	}
	s.seen(wire.port(), port.Node)
	return nil
}

// seen notes what an answer said of a port.
func (s *Security) seen(port Port, node string) Port {
	port.Node = node
	s.ports[port.ID] = port
	return port
}

// lose forgets a port that is gone, probably with its node.
func (s *Security) lose(port Port) {
	delete(s.ports, port.ID)
	if port.Node != "" {
		s.lost[port.ID] = true
	}
}

// readPort reads a port again; a zero Port is gone.
func (s *Security) readPort(ctx context.Context, port Port) (Port, error) {
	var wire wirePort
	switch err := ports.Get(ctx, s.client, port.ID).ExtractIntoStructPtr(&wire, "port"); {
	case gone(err):
		s.lose(port)
		return Port{}, nil
	case err != nil:
		return Port{}, err
	}
	return s.seen(wire.port(), port.Node), nil
}

func (s *Security) deleteGroup(ctx context.Context, st DeleteGroup) error {
	err := groups.Delete(ctx, s.client, st.Group.ID).ExtractErr()
	if err != nil && !gone(err) {
		// In use: by a port that we do not know of.
		s.stale = s.stale || conflicts(err)
		return s.doubt(err)
	}
	s.groups = slices.DeleteFunc(s.groups, func(g Group) bool { return g.ID == st.Group.ID })
	return nil
}
