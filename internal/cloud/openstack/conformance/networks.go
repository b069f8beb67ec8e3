package conformance

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

func (s *suite) networks(t *testing.T) {
	t.Run("the external network is found by router:external", func(t *testing.T) {
		yes := true
		opts := external.ListOptsExt{ListOptsBuilder: networks.ListOpts{}, External: &yes}
		page := must(networks.List(s.network, opts).AllPages(t.Context()))(t, "list networks")
		found := must(networks.ExtractNetworks(page))(t, "networks")
		if !slices.ContainsFunc(found, func(n networks.Network) bool { return n.ID == s.External }) {
			t.Errorf("%v is without %s", found, s.External)
		}
		if slices.ContainsFunc(found, func(n networks.Network) bool { return n.ID == s.Network }) {
			t.Errorf("the tenant network is said to be external: %v", found)
		}
	})
	t.Run("a network has subnets of both families", func(t *testing.T) {
		page := must(subnets.List(s.network, subnets.ListOpts{NetworkID: s.Network}).AllPages(t.Context()))(t, "list subnets")
		versions := map[string]int{}
		for _, subnet := range must(subnets.ExtractSubnets(page))(t, "subnets") {
			versions[subnet.ID] = subnet.IPVersion
		}
		if versions[s.SubnetV4] != 4 || versions[s.SubnetV6] != 6 {
			t.Errorf("IP versions by subnet: %v", versions)
		}
	})
	t.Run("what is unknown is 404", func(t *testing.T) {
		for _, resource := range []string{"networks", "subnets", "ports", "floatingips", "security-groups", "security-group-rules"} {
			if status, answer := raw(t, s.network, http.MethodGet, s.network.ServiceURL(resource, unknownID), nil); status != http.StatusNotFound {
				t.Errorf("%s: %d %v", resource, status, answer)
			}
		}
	})
}

// unknownID is well formed and of nothing.
const unknownID = "01234567-89ab-4def-8123-456789abcdef"

// makePort makes a port in the tenant network, and takes it away after the test.
func (s *suite) makePort(t *testing.T, opts ports.CreateOpts) *ports.Port {
	t.Helper()
	opts.NetworkID = s.Network
	port, err := ports.Create(t.Context(), s.network, opts).Extract()
	succeeded(t, "create a port", err)
	cleanup(t, func(ctx context.Context) { _ = ports.Delete(ctx, s.network, port.ID).ExtractErr() }) // may be gone
	return port
}

func (s *suite) listPorts(t *testing.T, opts ports.ListOpts) []string {
	t.Helper()
	page := must(ports.List(s.network, opts).AllPages(t.Context()))(t, "list ports")
	var names []string
	for _, port := range must(ports.ExtractPorts(page))(t, "ports") {
		names = append(names, strings.TrimPrefix(port.Name, s.mark+"-"))
	}
	slices.Sort(names)
	return names
}

func (s *suite) ports(t *testing.T) {
	one := s.makePort(t, ports.CreateOpts{Name: s.name("one"), DeviceID: s.name("server-1"), DeviceOwner: "compute:nova"})
	two := s.makePort(t, ports.CreateOpts{Name: s.name("two"), DeviceID: s.name("server-2"), DeviceOwner: "compute:nova"})

	t.Run("it has an address of each family and the default security group", func(t *testing.T) {
		if len(one.FixedIPs) != 2 || len(one.SecurityGroups) != 1 || one.RevisionNumber < 1 {
			t.Errorf("got %+v", one)
		}
	})
	t.Run("several device ids are one list", func(t *testing.T) {
		url := s.network.ServiceURL("ports") + "?device_id=" + s.name("server-1") + "&device_id=" + s.name("server-2") + "&fields=id&fields=device_id"
		_, answer := raw(t, s.network, http.MethodGet, url, nil)
		list, _ := answer["ports"].([]any)
		if len(list) != 2 {
			t.Fatalf("got %v", answer)
		}
		if first, _ := list[0].(map[string]any); len(first) != 2 || first["id"] == nil || first["device_id"] == nil {
			t.Errorf("fields=id&fields=device_id gave %v", first)
		}
	})
	t.Run("it is found by address", func(t *testing.T) {
		for _, ip := range one.FixedIPs {
			got := s.listPorts(t, ports.ListOpts{FixedIPs: []ports.FixedIPOpts{{IPAddress: ip.IPAddress}}, NetworkID: s.Network})
			if !slices.Equal(got, []string{"one"}) {
				t.Errorf("ports with %s: %v", ip.IPAddress, got)
			}
		}
	})
	t.Run("an old revision is 412", func(t *testing.T) {
		name, old := s.name("renamed"), one.RevisionNumber
		changed := must(ports.Update(t.Context(), s.network, one.ID, ports.UpdateOpts{Name: &name, RevisionNumber: &old}).Extract())(t, "update a port")
		if changed.RevisionNumber <= old {
			t.Errorf("revision %d after %d", changed.RevisionNumber, old)
		}
		_, err := ports.Update(t.Context(), s.network, one.ID, ports.UpdateOpts{Name: &name, RevisionNumber: &old}).Extract()
		refused(t, "update with an old revision", err, http.StatusPreconditionFailed, "RevisionNumberConstraintFailed")
	})
	t.Run("tags are written all at once and one by one", func(t *testing.T) {
		tags := must(attributestags.ReplaceAll(t.Context(), s.network, "ports", two.ID, attributestags.ReplaceAllOpts{Tags: []string{"b", s.mark}}).Extract())(t, "replace tags")
		if len(tags) != 2 {
			t.Errorf("tags %v", tags)
		}
		succeeded(t, "add a tag", attributestags.Add(t.Context(), s.network, "ports", two.ID, "c").ExtractErr())
		succeeded(t, "delete a tag", attributestags.Delete(t.Context(), s.network, "ports", two.ID, "b").ExtractErr())
		refused(t, "delete it again", attributestags.Delete(t.Context(), s.network, "ports", two.ID, "b").ExtractErr(), http.StatusNotFound)
		if got := s.listPorts(t, ports.ListOpts{Tags: s.mark + ",c"}); !slices.Equal(got, []string{"two"}) {
			t.Errorf("tags=%s,c: %v", s.mark, got)
		}
		if got := s.listPorts(t, ports.ListOpts{Tags: s.mark + ",b"}); len(got) != 0 {
			t.Errorf("tags=%s,b: %v", s.mark, got)
		}
		if got := s.listPorts(t, ports.ListOpts{TagsAny: s.mark + ",b"}); !slices.Equal(got, []string{"two"}) {
			t.Errorf("tags-any: %v", got)
		}
		if got := s.listPorts(t, ports.ListOpts{NotTags: s.mark, DeviceID: s.name("server-2")}); len(got) != 0 {
			t.Errorf("not-tags: %v", got)
		}
	})
	t.Run("an unknown filter is 400", func(t *testing.T) {
		if status, answer := raw(t, s.network, http.MethodGet, s.network.ServiceURL("ports")+"?nonsense=1", nil); status != http.StatusBadRequest {
			t.Errorf("status %d: %v", status, answer)
		}
	})
	t.Run("an unknown attribute is 400", func(t *testing.T) {
		body := map[string]any{"port": map[string]any{"network_id": s.Network, "nonsense": 1}}
		if status, answer := raw(t, s.network, http.MethodPost, s.network.ServiceURL("ports"), body); status != http.StatusBadRequest {
			t.Errorf("status %d: %v", status, answer)
		}
	})
	t.Run("an address in use is 409", func(t *testing.T) {
		_, err := ports.Create(t.Context(), s.network, ports.CreateOpts{NetworkID: s.Network, FixedIPs: one.FixedIPs[:1]}).Extract()
		refused(t, "take the address again", err, http.StatusConflict, "IpAddressAlreadyAllocated")
	})
}
