package octavia

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// floatingWant is what a unit needs of floating IPs: one for its IPv4 VIP, or none. It
// is nil while nothing can be said yet.
func (v *view) floatingWant(u *unit, m *memo) (*neutron.FloatingWant, *lb.Refusal) {
	var w neutron.FloatingWant
	var owner *half
	for _, h := range slices.Concat(u.halves, u.leaving) {
		if owner == nil {
			owner = h
		}
		if h.surplus || h.Wanted && !slices.Contains(h.families, lb.IPv4) {
			continue // the floating IP that is described as the Service's is the other half's
		}
		described := []string{v.description(h, false), v.description(h, true)}
		if v.heldByOCCM(h) {
			described = append(described, occm.FloatingIP{Cluster: h.cluster.Name, Service: h.Service.Key.String()}.Description())
		}
		w.Earlier = append(w.Earlier, described...)
		w.Keep = w.Keep || h.Options.KeepFloatingIP
		for _, a := range h.Service.Held {
			if !w.Shown.IsValid() && lb.FamilyOf(a) == lb.IPv4 {
				w.Shown = a
			}
		}
	}
	if owner == nil {
		return nil, nil // nobody's: see orphans.go
	}
	w.Description = v.description(owner, w.Keep)
	if u.have != nil {
		w.Port = u.have.VIP.Port
		w.Fixed = u.have.vipOf(lb.IPv4)
	}
	if m != nil && m.vip.Port != "" && m.vip.Port != w.Port {
		w.From = []string{m.vip.Port}
	}
	switch {
	case len(u.halves) == 0 && u.have != nil && (u.have.owned() && v.want(u).goes(u.have) || u.have.tagged(owner.tag())):
		return nil, nil // the load balancer goes first
	case len(u.halves) == 0:
		w.Remove = true
		return &w, nil
	case u.have == nil || owner.Problem != nil:
		return nil, nil
	case owner.Options.Internal || !w.Fixed.IsValid():
		w.Remove = true
		return &w, nil
	}
	for _, h := range u.halves {
		for _, a := range h.Service.Request.Addresses {
			if lb.FamilyOf(a) == lb.IPv4 && a != w.Fixed && !w.Address.IsValid() {
				w.Address = a
			}
		}
	}
	if len(v.byPort[w.Port]) > 0 && !w.Address.IsValid() {
		return &w, nil // has one, wherever it came from
	}
	var refusal *lb.Refusal
	w.Network, w.Subnets, refusal = neutron.ChooseFloating(v.Networks, v.Subnets, &owner.Options)
	if refusal != nil && !w.Address.IsValid() {
		return nil, refusal
	}
	return &w, nil
}

func (v *view) description(h *half, keep bool) string {
	c, s := h.cluster, h.Service.Key
	if keep {
		return occm.KeptFloatingIPDescription(c.Name, c.UID, s.Namespace, s.Name)
	}
	return occm.FloatingIPDescription(c.Name, c.UID, s.Namespace, s.Name)
}

// heldByOCCM tells whether the Service shows a floating IP that OCCM described as its
// own. The description alone proves nothing: the cluster's name is not unique.
func (v *view) heldByOCCM(h *half) bool {
	return slices.ContainsFunc(h.Service.Held, func(a netip.Addr) bool {
		i, there := v.byAddress[a]
		if !there {
			return false
		}
		told, ok := occm.ParseFloatingIP(v.FloatingIPs[i].Description)
		return ok && told.ClusterUID == "" && told.Of(h.Service.Key, h.cluster.Name, h.cluster.UID)
	})
}

// floats are the floating IPs that a unit may be concerned with, signed. What a stranger
// gave to a load balancer that is not ours either stays out of it.
func (v *view) floats(u *unit, w *neutron.FloatingWant) []neutron.FloatingIP {
	var at []int
	for _, port := range append([]string{w.Port}, w.From...) {
		at = append(at, v.byPort[port]...)
	}
	for _, d := range w.Earlier {
		at = append(at, v.byDescription[d]...)
	}
	if i, there := v.byAddress[w.Address]; there {
		at = append(at, i)
	}
	slices.Sort(at)
	theirs := u.have != nil && !u.have.owned()
	var out []neutron.FloatingIP
	for _, i := range slices.Compact(at) {
		f := v.FloatingIPs[i]
		here := f.PortID != "" && (f.PortID == w.Port || slices.Contains(w.From, f.PortID))
		described := slices.Contains(w.Earlier, f.Description)
		told, ok := occm.ParseFloatingIP(f.Description)
		f.Keep = told.Kept
		f.Ours = ok && (told.ClusterUID == v.in.Cluster.UID || told.ClusterUID == "" && (here && !theirs || described))
		if w.Remove && theirs && !f.Ours {
			continue
		}
		out = append(out, f)
	}
	return out
}

// float begins the next step of a unit's floating IP. That needs no load balancer that
// is ACTIVE: the VIP's port is there from the first reply on.
func (r *run) float(ctx context.Context, v *view, u *unit, m *memo, now time.Time, next *deadline) (busy bool) {
	if m.floatBusy || r.floatsBusy || r.floatsStale {
		return true
	}
	w, refusal := v.floatingWant(u, m)
	if refusal != nil || w == nil {
		m.floatRefusal = refusal
		return false
	}
	if _, known := v.byAddress[w.Address]; w.Address.IsValid() && !known && m.asked != w.Address {
		// Its owner may have allocated it a moment ago.
		m.asked, r.floatsStale = w.Address, true
		return true
	}
	steps, refusal := neutron.FloatingSteps(*w, v.floats(u, w))
	m.floatRefusal = refusal
	if len(steps) == 0 {
		if m.floatFail.count > 0 {
			m.floatFail.clear()
		}
		return false
	}
	name := steps[0].String()
	if m.floatFail.waits(name, now, next) {
		return false
	}
	m.floatBusy = true
	clients, s := r.clients, steps[0]
	r.log.Info("step", "service", u.label(), "step", name)
	before := v.floats(u, w)
	var after []neutron.FloatingIP
	r.call(ctx, func(ctx context.Context) (err error) {
		after, err = neutron.ApplyFloating(ctx, clients.Network, s, before)
		return err
	}, func(err error) {
		m.floatBusy = false
		r.turn++
		r.changeFloats(before, after)
		r.d.figures.stepped(s, err)
		if err != nil {
			r.failed(&m.floatFail, name, err)
			// The answer was lost, somebody was faster, or the one that is asked for will be
			// there by the next try.
			r.floatsStale = true
			return
		}
		m.floatFail.clear()
	})
	return true
}

// changeFloats puts what became of some floating IPs in their place.
func (r *run) changeFloats(before, after []neutron.FloatingIP) {
	concerned := func(f neutron.FloatingIP) bool {
		same := func(x neutron.FloatingIP) bool { return x.ID == f.ID }
		return slices.ContainsFunc(before, same) || slices.ContainsFunc(after, same)
	}
	r.setFloats(append(without(r.scene.FloatingIPs, concerned), after...))
}

// address is what clients of a half's family should use, once it can be had.
func (v *view) address(u *unit, h *half, family lb.Family) (netip.Addr, bool) {
	vip := u.have.vipOf(family)
	if !vip.IsValid() {
		return netip.Addr{}, false
	}
	if family == lb.IPv6 || u.halves[0].Options.Internal {
		return vip, true
	}
	for _, i := range v.byPort[u.have.VIP.Port] {
		if f := &v.FloatingIPs[i]; u.have.VIP.Port != "" && (f.Fixed == vip || !f.Fixed.IsValid()) {
			return f.Address, true
		}
	}
	return netip.Addr{}, false
}
