package octavia

import (
	"context"
	"net/netip"
	"slices"
	"strings"
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
		if settled, busy := r.settledAt(ctx, v, u, now, next); !settled {
			return busy
		}
		m.settle(u.have, now)
	}
	w := v.want(u)
	todo := r.todo(v, u, w, m, now, next)
	switch {
	case len(todo) == 0 && u.have != nil:
		m.fail.clear() // what failed was done after all, or is not wanted any more
		m.lost, m.repeat = time.Time{}, repetition{}
		return floating
	case len(todo) == 0:
		return floating || !m.lost.IsZero()
	}
	name := todo[0].String()
	if m.fail.waits(name, now, next) {
		return floating
	}
	if m.repeat.step == name && now.Before(m.repeat.until) {
		next.by(m.repeat.until)
		return floating
	}
	r.take(ctx, u, m, todo[0], name)
	return true
}

// settledAt tells whether a load balancer may be changed: it is not at work, and
// everything is known of it. Otherwise it sees to that.
func (r *run) settledAt(ctx context.Context, v *view, u *unit, now time.Time, next *deadline) (settled, busy bool) {
	s := r.state(u.have.ID)
	s.note(u.have.Status)
	switch {
	case s.missing:
		r.look(ctx, u.have.ID, now, next)
		return false, true
	case u.have.Status.Pending():
		next.by(s.pending.Add(r.d.o.Pace.Stuck))
		if !u.have.tagged(ClusterTag(r.input.Cluster.UID)) {
			r.look(ctx, u.have.ID, now, next) // the poll does not show it
		}
		return false, now.Before(s.pending.Add(r.d.o.Pace.Stuck))
	case u.have.Status == Active && !u.have.Known:
		if w := v.want(u); w.made && w.cascade && w.goes(u.have) {
			return true, true // whatever is below it
		}
		r.look(ctx, u.have.ID, now, next)
		return false, true
	case u.have.Status == Active && s.verify:
		r.verify(ctx, u.have.ID, now, next)
		return false, true
	}
	return true, false
}

// settle forgets troubles of a load balancer that has been well for a while.
func (m *memo) settle(have *LoadBalancer, now time.Time) {
	const well = 10 * time.Minute
	if !m.healthy.IsZero() && now.Sub(m.healthy) > well {
		m.failovers, m.rebuilds, m.vip = 0, 0, VIP{}
	}
	switch {
	case have.Status != Active:
		m.healthy = time.Time{}
	case m.healthy.IsZero():
		m.healthy = now
	}
}

// todo are the steps that may be taken now.
func (r *run) todo(v *view, u *unit, w *want, m *memo, now time.Time, next *deadline) []step {
	if u.have != nil && u.have.Status == Error {
		if now.Before(m.notBefore) {
			next.by(m.notBefore) // what ended in ERROR again and again is tried less and less often
			return nil
		}
		if !w.remove {
			return repairs(u, m.failovers)
		}
	}
	if u.have == nil && w.remove {
		// An earlier create may still turn out to have worked.
		if r.answered(m, now, next) {
			m.lost = time.Time{}
		}
		return nil
	}
	if u.have == nil {
		switch vip := &w.loadBalancer.VIP; {
		case vip.Port != "":
		case m.vip.Address.IsValid():
			vip.Address, vip.Subnet = m.vip.Address, m.vip.Subnet
		case m.yield && !slices.Contains(u.halves[0].Service.Request.Addresses, vip.Address):
			vip.Address = netip.Addr{}
		}
		if !r.mayCreate(v, u, m, now, next) {
			return nil
		}
	}
	todo := steps(w, u)
	if u.have != nil && u.have.Status == Error {
		// Only a load balancer as a whole may be deleted in ERROR.
		todo = slices.DeleteFunc(todo, func(s step) bool { _, is := s.(deleteLoadBalancer); return !is })
		for i := range todo {
			// What is below it cannot be taken away first.
			whole := todo[i].(deleteLoadBalancer)
			whole.Cascade = true
			todo[i] = whole
		}
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
	if r.ports != r.nodes {
		return false // the nodes' subnets are being looked up
	}
	if now.Before(m.notBefore) {
		next.by(m.notBefore)
		return false
	}
	return r.answered(m, now, next)
}

// answered tells whether it is clear what became of an earlier create.
func (r *run) answered(m *memo, now time.Time, next *deadline) bool {
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

// repairs lead a load balancer out of ERROR. One that never served is built again; one
// that did is failed over first, which keeps everything, and built again with the same
// address where that is not possible or did not help.
func repairs(u *unit, failovers int) []step {
	have := u.have
	if !have.owned() {
		return nil // somebody else's
	}
	served := slices.ContainsFunc(u.halves, func(h *half) bool { return len(h.Service.Held) > 0 })
	if served && abilityOf(have.Provider).failover && failovers == 0 {
		return []step{failover{ID: have.ID, Name: have.Name}}
	}
	why := "it was built with an error"
	if served {
		why = "it is in ERROR; it is built again with the same address"
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
		r.stepDone(u, m, s, name, id, effect)
	})
}

// before remembers what a step is about to take away.
func (r *run) before(m *memo, s step, have *LoadBalancer) {
	switch s.(type) {
	case deleteLoadBalancer:
		// One that comes up in ERROR again and again is built less and less often.
		m.notBefore = time.Now().Add(min(r.d.o.Pace.Retry<<min(m.rebuilds, 10), r.d.o.Pace.RetryMax))
		m.rebuilds++
		if have.VIP.Address.IsValid() {
			m.vip = have.VIP
		}
	}
}

func (r *run) stepDone(u *unit, m *memo, s step, name, id string, effect change) {
	if m.repeat.step != name {
		m.repeat = repetition{step: name}
	}
	m.repeat.count++
	m.repeat.until = time.Now().Add(min(r.d.o.Pace.Retry<<min(m.repeat.count, 10), r.d.o.Pace.RetryMax))
	if _, is := s.(failover); is {
		m.failovers++
	}
	var made LoadBalancer
	if _, is := s.(createLoadBalancer); is {
		effect(&made)
		// A poll may have seen it before the create was answered.
		r.scene.LoadBalancers = append(without(r.scene.LoadBalancers, func(l LoadBalancer) bool { return l.ID == made.ID }), made)
		id = made.ID
		r.state(id).key = u.key
	} else if have := r.scene.loadBalancer(id); have != nil {
		changed := have.clone()
		effect(changed)
		*have = *changed
	}
	state := r.state(id)
	state.touched, state.own, state.missing, state.pending = r.turn, true, false, time.Now()
	// Octavia calls a load balancer ACTIVE whose listener it could not make.
	switch s.(type) {
	case createLoadBalancer, createListener, updateListener:
		state.verify = true
	}
	r.nextPoll = time.Time{}
}

// stepFailed notes what is not known any more.
func (r *run) stepFailed(m *memo, s step, id, name string, err error) {
	r.failed(&m.fail, name, err)
	why := access.Classify(err)
	have := r.scene.loadBalancer(id)
	_, creates := s.(createLoadBalancer)
	// Octavia says it with 500, in the words of Neutron's IpAddressAlreadyAllocated.
	taken := why.Kind == access.Conflict || why.Kind == access.Invalid || strings.Contains(why.Message, "already allocated")
	if creates && taken && m.fail.count > 2 {
		m.vip, m.yield = VIP{}, true // somebody else has the address by now
	}
	switch {
	case creates && why.Uncertain:
		m.lost, m.lostAt = time.Now(), r.turn
	case creates:
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
	const enough = 3
	if _, is := s.(failover); is && (why.Kind == access.Invalid || why.Kind == access.Denied || m.fail.count >= enough) {
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
