package conformance

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

func isV6(address string) bool { return strings.Contains(address, ":") }

func (s *suite) makeGroup(t *testing.T, name string) *groups.SecGroup {
	t.Helper()
	group, err := groups.Create(t.Context(), s.network, groups.CreateOpts{Name: name, Description: s.mark}).Extract()
	succeeded(t, "create a security group", err)
	cleanup(t, func(ctx context.Context) { _ = groups.Delete(ctx, s.network, group.ID).ExtractErr() }) // may be gone
	return group
}

func (s *suite) securityGroups(t *testing.T) {
	group := s.makeGroup(t, s.name("group"))
	rule := func(port int, from string) rules.CreateOpts {
		family := rules.EtherType4
		if isV6(from) {
			family = rules.EtherType6
		}
		return rules.CreateOpts{
			SecGroupID: group.ID, Direction: rules.DirIngress, EtherType: family, Protocol: rules.ProtocolTCP,
			PortRangeMin: port, PortRangeMax: port, RemoteIPPrefix: from, Description: s.mark,
		}
	}
	t.Run("a new one lets everything out", func(t *testing.T) {
		if len(group.Rules) != 2 || group.Rules[0].Direction != "egress" || group.Rules[1].Direction != "egress" {
			t.Errorf("rules %+v", group.Rules)
		}
	})
	t.Run("many rules in one request, all or none", func(t *testing.T) {
		three := []rules.CreateOpts{rule(1001, "192.0.2.0/24"), rule(1001, "2001:db8::/32"), rule(1002, "192.0.2.0/24")}
		made := must(rules.CreateBulk(t.Context(), s.network, three).Extract())(t, "create rules")
		if len(made) != 3 {
			t.Errorf("made %+v", made)
		}
		_, err := rules.CreateBulk(t.Context(), s.network, []rules.CreateOpts{rule(1003, "192.0.2.0/24"), rule(1002, "192.0.2.0/24")}).Extract()
		refused(t, "one of two is there already", err, http.StatusConflict, "already exists")
		_, err = rules.CreateBulk(t.Context(), s.network, []rules.CreateOpts{rule(1004, "192.0.2.0/24"), rule(1004, "192.0.2.0/24")}).Extract()
		refused(t, "one twice", err, http.StatusConflict)
		now := must(groups.Get(t.Context(), s.network, group.ID).Extract())(t, "get the group")
		if len(now.Rules) != 5 {
			t.Errorf("%d rules, want the 2 of a new group and 3: %+v", len(now.Rules), now.Rules)
		}
	})
	t.Run("the same rule again is 409", func(t *testing.T) {
		_, err := rules.Create(t.Context(), s.network, rule(1001, "192.0.2.0/24")).Extract()
		refused(t, "create", err, http.StatusConflict, "already exists")
	})
	t.Run("from everywhere is the same as from nowhere in particular", func(t *testing.T) {
		must(rules.Create(t.Context(), s.network, rule(1010, "0.0.0.0/0")).Extract())(t, "create")
		bare := rule(1010, "")
		_, err := rules.Create(t.Context(), s.network, bare).Extract()
		refused(t, "create", err, http.StatusConflict)
	})
	t.Run("a prefix of the other family is 400", func(t *testing.T) {
		bad := rule(1005, "2001:db8::/32")
		bad.EtherType = rules.EtherType4
		_, err := rules.Create(t.Context(), s.network, bad).Extract()
		refused(t, "create", err, http.StatusBadRequest, "Conflicting value ethertype")
	})
	t.Run("bits of the host stay in the prefix", func(t *testing.T) {
		made := must(rules.Create(t.Context(), s.network, rule(1011, "198.51.100.7/24")).Extract())(t, "create")
		if made.RemoteIPPrefix != "198.51.100.7/24" {
			t.Errorf("prefix %s", made.RemoteIPPrefix)
		}
		_, err := rules.Create(t.Context(), s.network, rule(1011, "198.51.100.0/24")).Extract()
		if err != nil {
			t.Errorf("the same network in other words: %v", err)
		}
	})
	t.Run("ports without a protocol are 400", func(t *testing.T) {
		bad := rule(1006, "192.0.2.0/24")
		bad.Protocol = ""
		_, err := rules.Create(t.Context(), s.network, bad).Extract()
		refused(t, "create", err, http.StatusBadRequest)
	})
	t.Run("in an unknown group is 404", func(t *testing.T) {
		bad := rule(1007, "192.0.2.0/24")
		bad.SecGroupID = unknownID
		_, err := rules.Create(t.Context(), s.network, bad).Extract()
		refused(t, "create", err, http.StatusNotFound)
	})
	s.groupEnds(t, group)
}

// groupEnds takes rules and group away.
func (s *suite) groupEnds(t *testing.T, group *groups.SecGroup) {
	t.Run("rules are found by group and deleted once", func(t *testing.T) {
		page := must(rules.List(s.network, rules.ListOpts{SecGroupID: group.ID, Direction: "ingress", PortRangeMin: 1002}).AllPages(t.Context()))(t, "list")
		found := must(rules.ExtractRules(page))(t, "rules")
		if len(found) != 1 {
			t.Fatalf("found %+v", found)
		}
		before := must(groups.Get(t.Context(), s.network, group.ID).Extract())(t, "get")
		succeeded(t, "delete", rules.Delete(t.Context(), s.network, found[0].ID).ExtractErr())
		refused(t, "delete again", rules.Delete(t.Context(), s.network, found[0].ID).ExtractErr(), http.StatusNotFound)
		after := must(groups.Get(t.Context(), s.network, group.ID).Extract())(t, "get")
		if len(after.Rules) != len(before.Rules)-1 {
			t.Errorf("rules before %v, after %v", before.Rules, after.Rules)
		}
	})
	t.Run("in use it cannot be deleted", func(t *testing.T) {
		port := s.makePort(t, ports.CreateOpts{Name: s.name("grouped"), SecurityGroups: &[]string{group.ID}})
		refused(t, "delete", groups.Delete(t.Context(), s.network, group.ID).ExtractErr(), http.StatusConflict, "SecurityGroupInUse")
		none := []string{}
		changed := must(ports.Update(t.Context(), s.network, port.ID, ports.UpdateOpts{SecurityGroups: &none}).Extract())(t, "take it off")
		if len(changed.SecurityGroups) != 0 {
			t.Errorf("groups %v", changed.SecurityGroups)
		}
		_, err := ports.Update(t.Context(), s.network, port.ID, ports.UpdateOpts{SecurityGroups: &[]string{unknownID}}).Extract()
		refused(t, "put an unknown one on", err, http.StatusNotFound)
		succeeded(t, "delete", groups.Delete(t.Context(), s.network, group.ID).ExtractErr())
		refused(t, "delete again", groups.Delete(t.Context(), s.network, group.ID).ExtractErr(), http.StatusNotFound)
	})
}
