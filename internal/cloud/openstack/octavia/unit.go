package octavia

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/lb"
)

// unit begins what can be begun for one load balancer and its floating IP. It tells
// whether the cloud is at work for it, so that it should be looked at soon.
func (r *run) unit(ctx context.Context, v *view, u *unit, now time.Time, next *deadline) (busy bool) {
	m := r.memo(u.key)
	if m.began.IsZero() {
		m.began = now
	}
	if !r.recognised(ctx, v, u, now, next) {
		return true
	}
	floating := r.float(ctx, v, u, m, now, next)
	if m.busy {
		return true
	}
	if u.have != nil {
		s := r.state(u.have.ID)
		s.note(u.have.Status)
		switch {
		case u.have.Status.Pending():
			next.by(s.pending.Add(r.d.o.Pace.Stuck))
			if !u.have.tagged(ClusterTag(r.input.Cluster.UID)) {
				r.look(ctx, u.have.ID, now, next) // the poll does not show it
			}
			return true
		case u.have.Status == Active && !u.have.Known:
			r.look(ctx, u.have.ID, now, next)
			return true
		case u.have.Status == Active && s.verify:
			r.verify(ctx, u.have.ID, now, next)
			return true
		}
		m.settle(u.have, now)
	}
	w := v.wanted(u)
	todo := r.todo(v, u, &w, m, now, next)
	if len(todo) == 0 && u.have != nil {
		m.fail.clear() // what failed was done after all, or is not wanted any more
		m.lost = time.Time{}
		return floating
	}
	if len(todo) == 0 {
		return floating || !m.lost.IsZero()
	}
	name := todo[0].String()
	if m.fail.waits(name, now, next) {
		return floating
	}
	r.take(ctx, u, m, todo[0], name)
	return true
}

// settle forgets troubles of a load balancer that has been well for a while.
func (m *memo) settle(have *LoadBalancer, now time.Time) {
	const well = 10 * time.Minute
	switch {
	case have.Status != Active:
		m.healthy = time.Time{}
	case m.healthy.IsZero():
		m.healthy = now
	case now.Sub(m.healthy) > well:
		m.failovers, m.rebuilds, m.vip = 0, 0, VIP{}
	}
}

// todo are the steps that may be taken now.
func (r *run) todo(v *view, u *unit, w *want, m *memo, now time.Time, next *deadline) []step {
	if u.have != nil && u.have.Status == Error && !w.remove {
		return r.repair(u, m)
	}
	if u.have == nil && !w.remove {
		if m.vip.Address.IsValid() && w.loadBalancer.VIP.Port == "" {
			w.loadBalancer.VIP.Address, w.loadBalancer.VIP.Subnet = m.vip.Address, m.vip.Subnet
		}
		if !r.mayCreate(v, u, m, now, next) {
			return nil
		}
	}
	todo := steps(w, u)
	if u.have != nil && u.have.Status == Error {
		// Only a load balancer as a whole may be deleted in ERROR.
		todo = slices.DeleteFunc(todo, func(s step) bool { _, is := s.(deleteLoadBalancer); return !is })
	}
	return todo
}

// mayCreate tells whether a load balancer may be made now: the Service is held by its
// finalizer, and no earlier attempt may still turn out to have worked.
func (r *run) mayCreate(v *view, u *unit, m *memo, now time.Time, next *deadline) bool {
	for _, h := range u.halves {
		if !h.Service.Finalized {
			return false
		}
	}
	if r.ports != nodesKey(r.input.Nodes) {
		return false // the nodes' subnets are being looked up
	}
	if now.Before(m.notBefore) {
		next.by(m.notBefore)
		return false
	}
	if m.lost.IsZero() {
		return true
	}
	until := m.lost.Add(r.d.o.Pace.Lost)
	if now.Before(until) {
		next.by(until)
		return false
	}
	return r.polled >= m.lostAt
}

// repair leads a load balancer out of ERROR. One that never served is built again; one
// that did is failed over first, which keeps everything, and built again with the same
// address where that is not possible or did not help.
func (r *run) repair(u *unit, m *memo) []step {
	have := u.have
	if !have.owned() {
		return nil // somebody else's
	}
	served := slices.ContainsFunc(u.halves, func(h *half) bool { return len(h.Service.Held) > 0 })
	if served && abilityOf(have.Provider).failover && m.failovers == 0 {
		return []step{failover{ID: have.ID, Name: have.Name}}
	}
	why := "it was built with an error"
	if served {
		why = "failover did not help; it is built again with the same address"
	}
	return []step{deleteLoadBalancer{ID: have.ID, Name: have.Name, Cascade: true, Why: why}}
}

// recognised tells whether it is clear what a unit has: ids that a Service names, and
// load balancers that only bear the right name, are looked at first.
func (r *run) recognised(ctx context.Context, v *view, u *unit, now time.Time, next *deadline) bool {
	if u.have != nil {
		return true
	}
	for _, h := range slices.Concat(u.halves, u.leaving) {
		if id := h.Options.LoadBalancerID; id != "" && !h.second && !r.absent[id] {
			r.look(ctx, id, now, next)
			return false
		}
		for _, l := range v.candidates(h) {
			if !l.Known {
				r.look(ctx, l.ID, now, next)
				return false
			}
		}
	}
	return true
}

// take begins a step.
func (r *run) take(ctx context.Context, u *unit, m *memo, s step, name string) {
	m.busy = true
	id := ""
	if u.have != nil {
		id = u.have.ID
	}
	if extra, is := s.(deleteLoadBalancer); is {
		id = extra.ID
	}
	if have := r.scene.loadBalancer(id); have != nil {
		r.before(m, s, have)
	}
	clients := r.clients
	r.log.Info("step", "service", u.label(), "step", name)
	var effect change
	r.call(ctx, func(ctx context.Context) (err error) {
		effect, err = s.do(ctx, clients.LoadBalancer)
		return err
	}, func(err error) {
		m.busy = false
		r.turn++
		r.d.figures.stepped(s, err)
		if err != nil {
			r.stepFailed(m, s, id, name, err)
			return
		}
		m.fail.clear()
		m.lost = time.Time{}
		r.stepDone(m, s, id, effect)
	})
}

// before remembers what a step is about to take away.
func (r *run) before(m *memo, s step, have *LoadBalancer) {
	switch s.(type) {
	case failover:
		m.failovers++
	case deleteLoadBalancer:
		// One that comes up in ERROR again and again is built less and less often.
		m.notBefore = time.Now().Add(min(r.d.o.Pace.Retry<<min(m.rebuilds, 10), r.d.o.Pace.RetryMax))
		m.rebuilds++
		if have.VIP.Address.IsValid() {
			m.vip = have.VIP
		}
	}
}

func (r *run) stepDone(m *memo, s step, id string, effect change) {
	var made LoadBalancer
	if _, is := s.(createLoadBalancer); is {
		effect(&made)
		r.scene.LoadBalancers = append(r.scene.LoadBalancers, made)
		id = made.ID
	} else if have := r.scene.loadBalancer(id); have != nil {
		changed := have.clone()
		effect(changed)
		*have = *changed
	}
	state := r.state(id)
	state.touched, state.own, state.missing, state.pending = r.turn, true, 0, time.Now()
	// Octavia calls a load balancer ACTIVE whose listener it could not make.
	switch s.(type) {
	case createLoadBalancer, createListener, updateListener:
		state.verify = true
	}
	r.nextPoll = time.Time{}
}

// stepFailed notes what is not known any more.
func (r *run) stepFailed(m *memo, s step, id, name string, err error) {
	why := r.failed(&m.fail, name, err)
	have := r.scene.loadBalancer(id)
	_, creates := s.(createLoadBalancer)
	switch {
	case creates && why.Uncertain:
		m.lost, m.lostAt = time.Now(), r.turn
	case creates:
		if m.vip.Address.IsValid() && why.Kind == access.Conflict || why.Kind == access.Invalid {
			if m.fail.count > 2 {
				m.vip = VIP{} // somebody else has the address by now
			}
		}
	case have == nil:
	case why.Kind == access.Conflict:
		// Somebody else is changing it: the poll tells when that is over, and what is
		// there then is read.
		have.Status, have.Known = PendingUpdate, false
		r.state(id).touched = r.turn
	case why.Uncertain, why.Kind == access.NotFound:
		have.Known = false
		r.state(id).own = false
	}
	if _, is := s.(failover); is && why.Kind == access.Invalid {
		m.failovers++ // cannot be done: build it again
	}
	r.nextPoll = time.Time{}
}

// label is what the log calls a unit: its first Service.
func (u *unit) label() lb.Key {
	for _, h := range slices.Concat(u.halves, u.leaving) {
		return h.Service.Key
	}
	return lb.Key{}
}

// vipOf is the address of a family at a load balancer.
func (l *LoadBalancer) vipOf(f lb.Family) netip.Addr {
	for _, v := range slices.Concat([]VIP{l.VIP}, l.Additional) {
		if v.Address.IsValid() && lb.FamilyOf(v.Address) == f {
			return v.Address
		}
	}
	return netip.Addr{}
}
