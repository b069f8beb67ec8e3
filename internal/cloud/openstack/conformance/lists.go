package conformance

import (
	"net/http"
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/common/extensions"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
)

func (s *suite) neutronLists(t *testing.T) {
	name := s.name("paged")
	want := []string{}
	for range 3 {
		want = append(want, s.makeGroup(t, name).ID)
	}
	slices.Sort(want)
	t.Run("names need not be unique", func(t *testing.T) {
		page := must(groups.List(s.network, groups.ListOpts{Name: name}).AllPages(t.Context()))(t, "list")
		if found := must(groups.ExtractGroups(page))(t, "groups"); len(found) != 3 {
			t.Errorf("found %d", len(found))
		}
	})
	t.Run("pages are followed and keep the filter", func(t *testing.T) {
		page := must(groups.List(s.network, groups.ListOpts{Name: name, Limit: 1}).AllPages(t.Context()))(t, "list")
		var got []string
		for _, group := range must(groups.ExtractGroups(page))(t, "groups") {
			got = append(got, group.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("pages of one: %v, want %v", got, want)
		}
	})
	t.Run("extensions are named", func(t *testing.T) {
		page := must(extensions.List(s.network).AllPages(t.Context()))(t, "list")
		have := map[string]bool{}
		for _, extension := range must(extensions.ExtractExtensions(page))(t, "extensions") {
			have[extension.Alias] = true
		}
		for _, alias := range []string{"router", "external-net", "security-group", "standard-attr-tag", "revision-if-match", "quotas", "quota_details"} {
			if !have[alias] {
				t.Errorf("extension %s is missing", alias)
			}
		}
		if status, answer := raw(t, s.network, http.MethodGet, s.network.ServiceURL("extensions", "nonsense"), nil); status != http.StatusNotFound {
			t.Errorf("an unknown extension: %d %v", status, answer)
		}
	})
}

func (s *suite) neutronQuotas(t *testing.T) {
	before := must(quotas.GetDetail(t.Context(), s.network, s.project).Extract())(t, "quota details")
	s.makeGroup(t, s.name("counted"))
	after := must(quotas.GetDetail(t.Context(), s.network, s.project).Extract())(t, "quota details")
	if before.SecurityGroup.Limit >= 0 && after.SecurityGroup.Used <= before.SecurityGroup.Used {
		t.Errorf("security groups used: %+v, then %+v", before.SecurityGroup, after.SecurityGroup)
	}
	plain := must(quotas.Get(t.Context(), s.network, s.project).Extract())(t, "quota")
	if plain.FloatingIP != after.FloatingIP.Limit {
		t.Errorf("floating IPs: limit %d, in details %d", plain.FloatingIP, after.FloatingIP.Limit)
	}
	if s.Admin == nil {
		t.Skip("the target names no administrator, so nothing can be exceeded")
	}
	admin := s.enter(t, *s.Admin)
	url := admin.network.ServiceURL("quotas", s.project)
	limit := map[string]any{"quota": map[string]any{"security_group": 0}}
	if status, answer := raw(t, admin.network, http.MethodPut, url, limit); status != http.StatusOK {
		t.Fatalf("limit the project: %d %v", status, answer)
	}
	defer raw(t, admin.network, http.MethodPut, url, map[string]any{"quota": map[string]any{"security_group": plain.SecurityGroup}})
	_, err := groups.Create(t.Context(), s.network, groups.CreateOpts{Name: s.name("too-many")}).Extract()
	refused(t, "one group too many", err, http.StatusConflict, "OverQuota", "security_group")
	if status, _ := raw(t, s.network, http.MethodPut, s.network.ServiceURL("quotas", s.project), limit); status != http.StatusForbidden {
		t.Errorf("a member changes its quota: %d", status)
	}
}
