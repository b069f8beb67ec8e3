package octavia

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// reports are what to tell of every Service.
func (r *run) reports(v *view, units []*unit, now time.Time) []lb.Built {
	byService := make(map[lb.Key]*lb.Built, len(r.input.Requests))
	out := make([]lb.Built, len(r.input.Requests))
	for i := range r.input.Requests {
		q := &r.input.Requests[i]
		out[i] = lb.Built{Service: q.Service.Key, UID: q.Service.UID, Proxy: q.Options.ProxyProtocol != "",
			Hostname: q.Options.Hostname, Gone: !q.Wanted}
		byService[q.Service.Key] = &out[i]
	}
	for _, u := range units {
		w := v.want(u)
		for _, h := range u.halves {
			r.tell(v, u, h, w, byService[h.Service.Key])
		}
		for _, h := range u.leaving {
			r.tellLeaving(v, u, h, byService[h.Service.Key])
		}
	}
	for i := range r.input.Requests {
		s := &r.input.Requests[i].Service
		if b := &out[i]; len(b.Addresses) > 0 && len(s.Held) == 0 && !b.Gone {
			if m := r.memos[serviceTagPrefix+s.UID]; m != nil {
				r.d.figures.published(s.UID, now.Sub(m.began))
			}
		}
		settle(&out[i], s)
	}
	return out
}

// settle decides what to show. An address that a Service shows is taken back only for
// another one that works: while something is being repaired it stays.
func settle(b *lb.Built, s *lb.Service) {
	for _, held := range s.Held {
		family := lb.FamilyOf(held)
		wanted := slices.Contains(s.Families, family) || b.Gone || b.Trouble != nil && b.Trouble.Reason == lb.Deleting
		if wanted && !b.Gone && !slices.ContainsFunc(b.Addresses, func(a netip.Addr) bool { return lb.FamilyOf(a) == family }) {
			b.Addresses = append(b.Addresses, held)
		}
	}
	slices.SortFunc(b.Addresses, func(x, y netip.Addr) int {
		return slices.Index(s.Families, lb.FamilyOf(x)) - slices.Index(s.Families, lb.FamilyOf(y))
	})
	switch {
	case len(b.Addresses) > 0:
		b.Hostname = occm.Hostname(&lb.CloudOptions{Hostname: b.Hostname}, b.Addresses[0])
	case s.Hostname == "":
		b.Hostname = ""
	default:
		b.Hostname = s.Hostname
	}
	if b.Trouble == nil && !b.Gone && len(b.Addresses) == 0 {
		b.Trouble = building("its address is not there yet")
	}
	if b.Trouble != nil {
		own := *b.Trouble
		own.Service = s.Key
		b.Trouble = &own
	}
}

func building(what string) *lb.Refusal {
	return lb.Refuse(lb.Building, "wait", "the load balancer is being built: %s", what)
}

// tell adds what a unit is to one of its Services.
func (r *run) tell(v *view, u *unit, h *half, w *want, b *lb.Built) {
	m := r.memo(u.key)
	b.Trouble = first(b.Trouble, w.refusals[h.Service.Key])
	if u.have == nil {
		b.Trouble = first(b.Trouble, m.fail.refusal, r.unseen(h), r.blind(), building("the cloud was asked for it"))
		return
	}
	b.VIP = u.have.VIP.Address
	insecure := r.insecure(v, u, h)
	serves := insecure == nil && r.serves(u, h, w)
	for _, family := range h.families {
		address, ok := v.address(u, h, family)
		if !ok {
			continue
		}
		refused := w.refusals[h.Service.Key] != nil
		if slices.Contains(h.Service.Held, address) || !refused && (h.Options.PublishAtOnce || serves) {
			b.Addresses = append(b.Addresses, address)
		}
	}
	if len(b.Addresses)+len(h.Service.Held) > 0 && !h.second {
		// Not before an address is shown: who writes it into the Service could not tell it
		// from the wish to share a load balancer if this one has to be built again.
		b.ID = u.have.ID
	}
	b.Trouble = first(b.Trouble, r.ailing(u), m.fail.refusal, m.floatRefusal, m.floatFail.refusal, insecure, r.blind(), elsewhere(u, h))
	if b.Trouble == nil && !serves && len(h.Service.Held) == 0 {
		b.Trouble = building("load balancer " + u.have.ID + " is " + string(u.have.Status))
	}
	if b.Trouble == nil && len(w.frontends) > 0 && noMembers(w, h) {
		b.Trouble = lb.Refuse(lb.NoNodes, "look at kubectl get nodes and the node selector", "no node can take the Service's connections")
	}
}

// elsewhere says that another VIP is asked for than the load balancer has: it cannot be
// changed. What is asked for beside an IPv4 VIP that is not internal is a floating IP.
func elsewhere(u *unit, h *half) *lb.Refusal {
	for _, a := range h.Service.Request.Addresses {
		family := lb.FamilyOf(a)
		vip := u.have.vipOf(family)
		if vip.IsValid() && a != vip && (family == lb.IPv6 || u.halves[0].Options.Internal) {
			return lb.Refuse(lb.Unsupported, "recreate the Service, or ask for the address that it has",
				"%s is asked for, but the load balancer has %s, and its own address cannot be changed", a, vip)
		}
	}
	return nil
}

// serves tells whether clients of the half get an answer: the load balancer was built,
// with the half's listeners, and the nodes let it in.
func (r *run) serves(u *unit, h *half, w *want) bool {
	if u.have.Status != Active && u.have.Status != PendingUpdate || !u.have.Known || r.state(u.have.ID).verify {
		return false
	}
	for i := range w.frontends {
		f := &w.frontends[i].Listener
		if !slices.Contains(f.Tags, h.name()) {
			continue
		}
		if l := u.have.listener(f.Protocol, f.Port); l == nil || l.Status == Error {
			return false
		}
	}
	return true
}

// unseen says why the load balancer that a Service names cannot be looked at.
func (r *run) unseen(h *half) *lb.Refusal {
	if s := r.lbs[h.Options.LoadBalancerID]; s != nil {
		return s.fail.refusal
	}
	return nil
}

// blind says why nothing is known of the cloud for a while now.
func (r *run) blind() *lb.Refusal {
	const while = 3
	if r.trouble.count < while {
		return nil
	}
	return r.trouble.refusal
}

// ailing says what is wrong with a load balancer.
func (r *run) ailing(u *unit) *lb.Refusal {
	l := u.have
	s := r.state(l.ID)
	if l.Status.Pending() && !s.pending.IsZero() && time.Since(s.pending) >= r.d.o.Pace.Stuck {
		return lb.Refuse(lb.LoadBalancerStuck, "ask the cloud's operator; no second one is made",
			"load balancer %s has been %s for more than %s", l.ID, l.Status, r.d.o.Pace.Stuck)
	}
	if l.Status == Error || s.sick {
		if !l.owned() {
			return lb.Refuse(lb.LoadBalancerError, "repair it: it was not made for a Service", "load balancer %s is in state ERROR", l.ID)
		}
		return lb.Refuse(lb.LoadBalancerError, "wait; it is being repaired", "load balancer %s was in state ERROR", l.ID)
	}
	for _, x := range l.Listeners {
		if x.Status == Error {
			return lb.Refuse(lb.LoadBalancerError, "wait; it is tried again", "listener %s (port %d) of load balancer %s is in state ERROR", x.ID, x.Port, l.ID)
		}
	}
	return nil
}

// tellLeaving says of a Service that goes whether anything of it is still there.
func (r *run) tellLeaving(v *view, u *unit, h *half, b *lb.Built) {
	if h.surplus {
		return // the Service has what it needs
	}
	m := r.memo(u.key)
	there := u.have != nil && (v.want(u).goes(u.have) || u.have.tagged(h.tag()) || u.have.tagged(h.name()) && !u.have.foreign(r.input.Cluster.UID))
	rest := there || len(u.surplus) > 0 || m.busy || m.floatBusy || !m.lost.IsZero() || r.floatsStale || r.floatsBusy || !r.released(h)
	if len(u.halves) > 0 && u.have != nil {
		// Others stay on the load balancer: gone is what carries this one's tags.
		rest = u.have.tagged(h.tag()) || u.have.tagged(h.name()) && !u.have.foreign(r.input.Cluster.UID) || m.busy || !r.released(h)
	} else if w, _ := v.floatingWant(u, m); w != nil {
		steps, _ := neutron.FloatingSteps(*w, v.floats(u, w))
		rest = rest || len(steps) > 0
	}
	if !rest {
		return
	}
	b.Gone = false
	if u.have != nil {
		b.ID, b.VIP = u.have.ID, u.have.VIP.Address
	}
	var sick *lb.Refusal
	if u.have != nil && u.have.Status.Pending() {
		sick = r.ailing(u)
	}
	b.Trouble = first(b.Trouble, sick, m.fail.refusal, m.floatFail.refusal, r.blind(),
		lb.Refuse(lb.Deleting, "wait", "the load balancer is being taken away"))
}

func first(troubles ...*lb.Refusal) *lb.Refusal {
	for _, t := range troubles {
		if t != nil {
			return t
		}
	}
	return nil
}

func noMembers(w *want, h *half) bool {
	for i := range w.frontends {
		if slices.Contains(w.frontends[i].Listener.Tags, h.name()) && len(w.frontends[i].Pool.Members) > 0 {
			return false
		}
	}
	return w.refusals[h.Service.Key] == nil
}

// unreachable tells of every Service that the cloud cannot be asked. What it shows
// stays.
func (r *run) unreachable(why *lb.Refusal) []lb.Built {
	if why == nil {
		return nil
	}
	out := make([]lb.Built, len(r.input.Requests))
	for i := range r.input.Requests {
		s := &r.input.Requests[i].Service
		out[i] = lb.Built{Service: s.Key, UID: s.UID, Addresses: slices.Clone(s.Held), Hostname: s.Hostname,
			Proxy: r.input.Requests[i].Options.ProxyProtocol != "", Trouble: why, ID: r.input.Requests[i].Options.LoadBalancerID}
		settle(&out[i], s)
	}
	return out
}
