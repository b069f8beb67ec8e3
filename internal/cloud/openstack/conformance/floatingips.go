package conformance

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

func (s *suite) makeFloatingIP(t *testing.T, opts floatingips.CreateOpts) *floatingips.FloatingIP {
	t.Helper()
	opts.FloatingNetworkID, opts.Description = s.External, s.name("fip")
	fip, err := floatingips.Create(t.Context(), s.network, opts).Extract()
	succeeded(t, "create a floating IP", err)
	cleanup(t, func(ctx context.Context) { _ = floatingips.Delete(ctx, s.network, fip.ID).ExtractErr() }) // may be gone
	return fip
}

func v4Of(port *ports.Port) string {
	for _, ip := range port.FixedIPs {
		if len(ip.IPAddress) > 0 && !isV6(ip.IPAddress) {
			return ip.IPAddress
		}
	}
	return ""
}

func (s *suite) floatingIPs(t *testing.T) {
	port := s.makePort(t, ports.CreateOpts{Name: s.name("target")})
	fip := s.makeFloatingIP(t, floatingips.CreateOpts{PortID: port.ID})
	free := s.makeFloatingIP(t, floatingips.CreateOpts{})

	t.Run("it is associated as it is created", func(t *testing.T) {
		if fip.PortID != port.ID || fip.FixedIP != v4Of(port) || fip.FloatingIP == "" || fip.RouterID == "" {
			t.Errorf("got %+v", fip)
		}
	})
	t.Run("one that points nowhere is DOWN", func(t *testing.T) {
		if free.Status != "DOWN" || free.PortID != "" || free.FixedIP != "" {
			t.Errorf("got %+v", free)
		}
	})
	t.Run("it is found by port, address, description and tags", func(t *testing.T) {
		must(attributestags.ReplaceAll(t.Context(), s.network, "floatingips", fip.ID, attributestags.ReplaceAllOpts{Tags: []string{s.mark}}).Extract())(t, "tag it")
		for what, opts := range map[string]floatingips.ListOpts{
			"port": {PortID: port.ID}, "address": {FloatingIP: fip.FloatingIP, FloatingNetworkID: s.External}, "tags": {Tags: s.mark},
			"description": {Description: s.name("fip"), PortID: port.ID}, "fixed address": {FixedIP: fip.FixedIP, PortID: port.ID},
		} {
			page := must(floatingips.List(s.network, opts).AllPages(t.Context()))(t, "list by "+what)
			if found := must(floatingips.ExtractFloatingIPs(page))(t, what); len(found) != 1 || found[0].ID != fip.ID {
				t.Errorf("by %s: %v", what, found)
			}
		}
	})
	t.Run("a second one for the same fixed address is 409", func(t *testing.T) {
		_, err := floatingips.Update(t.Context(), s.network, free.ID, floatingips.UpdateOpts{PortID: &port.ID}).Extract()
		refused(t, "associate", err, http.StatusConflict, "already has a floating IP")
		_, err = floatingips.Create(t.Context(), s.network, floatingips.CreateOpts{FloatingNetworkID: s.External, PortID: port.ID}).Extract()
		refused(t, "create", err, http.StatusConflict, "already has a floating IP")
	})
	t.Run("a new description leaves it where it is", func(t *testing.T) {
		text := s.name("described")
		changed := must(floatingips.Update(t.Context(), s.network, fip.ID, floatingips.UpdateOpts{Description: &text}).Extract())(t, "update")
		if changed.PortID != port.ID || changed.Description != text {
			t.Errorf("got %+v", changed)
		}
	})
	t.Run("it moves from port to port", func(t *testing.T) {
		second := s.makePort(t, ports.CreateOpts{Name: s.name("second")})
		moved := must(floatingips.Update(t.Context(), s.network, fip.ID, floatingips.UpdateOpts{PortID: &second.ID}).Extract())(t, "update")
		if moved.PortID != second.ID || moved.FixedIP != v4Of(second) {
			t.Errorf("got %+v", moved)
		}
		succeeded(t, "delete the port", ports.Delete(t.Context(), s.network, second.ID).ExtractErr())
		left := must(floatingips.Get(t.Context(), s.network, fip.ID).Extract())(t, "get")
		if left.PortID != "" || left.FixedIP != "" || left.FloatingIP != fip.FloatingIP {
			t.Errorf("after its port has gone: %+v", left)
		}
	})
	t.Run("it detaches", func(t *testing.T) {
		must(floatingips.Update(t.Context(), s.network, fip.ID, floatingips.UpdateOpts{PortID: &port.ID}).Extract())(t, "attach")
		nothing := ""
		off := must(floatingips.Update(t.Context(), s.network, fip.ID, floatingips.UpdateOpts{PortID: &nothing}).Extract())(t, "detach")
		if off.PortID != "" {
			t.Errorf("got %+v", off)
		}
	})
	t.Run("a certain address is the administrator's to ask for", func(t *testing.T) {
		_, err := floatingips.Create(t.Context(), s.network, floatingips.CreateOpts{FloatingNetworkID: s.External, FloatingIP: free.FloatingIP}).Extract()
		refused(t, "create", err, http.StatusForbidden)
	})
	t.Run("bad wishes", func(t *testing.T) {
		_, err := floatingips.Create(t.Context(), s.network, floatingips.CreateOpts{FloatingNetworkID: s.Network}).Extract()
		refused(t, "in a network that is not external", err, http.StatusBadRequest)
		_, err = floatingips.Create(t.Context(), s.network, floatingips.CreateOpts{FloatingNetworkID: unknownID}).Extract()
		refused(t, "in an unknown network", err, http.StatusNotFound)
		_, err = floatingips.Create(t.Context(), s.network, floatingips.CreateOpts{FloatingNetworkID: s.External, PortID: unknownID}).Extract()
		refused(t, "for an unknown port", err, http.StatusNotFound)
		_, err = floatingips.Create(t.Context(), s.network, floatingips.CreateOpts{FloatingNetworkID: s.External, SubnetID: unknownID}).Extract()
		refused(t, "in an unknown subnet", err, http.StatusNotFound, "SubnetNotFound")
	})
	t.Run("deleted is 404", func(t *testing.T) {
		succeeded(t, "delete", floatingips.Delete(t.Context(), s.network, free.ID).ExtractErr())
		refused(t, "delete again", floatingips.Delete(t.Context(), s.network, free.ID).ExtractErr(), http.StatusNotFound)
	})
}
