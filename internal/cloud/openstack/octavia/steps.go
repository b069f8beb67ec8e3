package octavia

import (
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/compat/occm"
)

// step is one call that changes something. Its text is what the log and fairlead plan
// show.
type step interface {
	fmt.Stringer
	deed
}

// steps lead from what is there of a unit to what is wanted, in order. Octavia takes
// one change of a load balancer at a time, so that only the first is taken before the
// rest is computed again; what adds comes before what takes away.
func steps(w *want, u *unit) []step {
	have := u.have
	var out []step
	for _, extra := range u.surplus {
		if !extra.Status.Pending() && extra.owned() && w.exclusive(extra) {
			out = append(out, deleteLoadBalancer{ID: extra.ID, Name: extra.Name, Cascade: true, Why: "the Service has another"})
		}
	}
	switch {
	case have == nil && len(w.frontends) > 0:
		return append(out, createLoadBalancer{w.whole()})
	case have == nil:
		return out
	case w.goes(have) && (w.cascade || len(have.Listeners)+len(have.Pools) == 0):
		return append(out, deleteLoadBalancer{ID: have.ID, Name: have.Name, Cascade: w.cascade})
	case w.goes(have):
		out = append(out, obsolete(w, have)...)
		return append(out, deleteLoadBalancer{ID: have.ID, Name: have.Name})
	}
	// It is by the tags that a restart finds what is left to do: new ones come first, and
	// old ones go last.
	if all := union(have.Tags, w.loadBalancer.Tags); !w.remove && !sameTags(have.Tags, all) {
		out = append(out, updateLoadBalancer{ID: have.ID, Name: have.Name, Tags: all})
	}
	for i := range w.frontends {
		out = append(out, w.frontend(&w.frontends[i], have)...)
	}
	out = append(out, obsolete(w, have)...)
	if !sameTags(union(have.Tags, w.loadBalancer.Tags), w.loadBalancer.Tags) {
		out = append(out, updateLoadBalancer{ID: have.ID, Name: have.Name, Tags: w.loadBalancer.Tags})
	}
	return out
}

// whole is the load balancer with all below it, for one call.
func (w *want) whole() LoadBalancer {
	l := w.loadBalancer
	if w.serial {
		return l
	}
	for _, f := range w.frontends {
		l.Listeners = append(l.Listeners, f.Listener)
		l.Pools = append(l.Pools, f.Pool)
	}
	return l
}

// frontend leads one port to what is wanted. The listener comes after its pool, so
// that clients never meet one that leads nowhere.
func (w *want) frontend(f *frontend, have *LoadBalancer) []step {
	var out []step
	l := have.listener(f.Listener.Protocol, f.Listener.Port)
	var misfit *Listener
	if l != nil && l.Protocol != f.Listener.Protocol {
		l, misfit = nil, l // that cannot be changed
	}
	p := have.poolFor(f, l)
	created := p == nil
	if created {
		p = &Pool{Name: f.Pool.Name, Protocol: f.Pool.Protocol}
		out = append(out, createPool{LB: have.ID, Pool: f.Pool})
	}
	below := slices.Concat(w.membership(p, f.Pool.Members), monitoring(p, f.Pool.Monitor))
	// Octavia 11 may leave all below a load balancer that it built at once in
	// PENDING_CREATE for ever: members then cannot be changed until the pool was.
	forgotten := p.Status == PendingCreate && len(below) > 0
	named := renamed(p.Name, nil, f.owner)
	if !created && (!samePool(p, &f.Pool) || forgotten || named) {
		out = append(out, updatePool{ID: p.ID, Want: f.Pool, Have: *p, Rename: named})
	}
	out = append(out, below...)
	want := f.Listener
	want.Pool = p.ID
	if misfit != nil {
		out = append(out, deleteListener{ID: misfit.ID, Name: misfit.Name, Port: misfit.Port, Protocol: misfit.Protocol})
	}
	if l != nil && !renamed(l.Name, l.Tags, f.owner) {
		want.Name, want.Tags = l.Name, l.Tags
	}
	switch {
	case l == nil:
		out = append(out, createListener{LB: have.ID, Listener: want})
	case !sameListener(l, &want):
		out = append(out, updateListener{ID: l.ID, Want: want, Have: *l})
	}
	return out
}

// poolFor is the pool behind a listener, or one that was made for it and is not
// connected yet. A pool's protocol cannot be changed.
func (l *LoadBalancer) poolFor(f *frontend, at *Listener) *Pool {
	if at != nil {
		if p := l.pool(at.Pool); p != nil && p.Protocol == f.Pool.Protocol {
			return p
		}
	}
	for i := range l.Pools {
		if p := &l.Pools[i]; p.Name == f.Pool.Name && p.Protocol == f.Pool.Protocol && !l.connected(p.ID) {
			return p
		}
	}
	return nil
}

func (l *LoadBalancer) connected(pool string) bool {
	return slices.ContainsFunc(l.Listeners, func(x Listener) bool { return x.Pool == pool })
}

// membership leads the members of a pool to what is wanted: by one call, or for
// serial providers by one call a member, new ones first.
func (w *want) membership(p *Pool, wanted []Member) []step {
	have := make(map[memberKey]*Member, len(p.Members))
	for i := range p.Members {
		have[p.Members[i].key()] = &p.Members[i]
	}
	var add, change, remove []step
	keep := make(map[memberKey]bool, len(wanted))
	for _, m := range wanted {
		keep[m.key()] = true
		switch h := have[m.key()]; {
		case h == nil:
			add = append(add, createMember{Pool: p.ID, PoolName: p.Name, Member: m})
		case !sameMember(h, &m):
			change = append(change, updateMember{Pool: p.ID, PoolName: p.Name, ID: h.ID, Member: m})
		}
	}
	for _, m := range p.Members {
		if !keep[m.key()] {
			remove = append(remove, deleteMember{Pool: p.ID, PoolName: p.Name, Member: m})
		}
	}
	all := slices.Concat(add, change, remove)
	if len(all) == 0 || w.serial {
		return all
	}
	return []step{setMembers{Pool: p.ID, PoolName: p.Name, Members: wanted, Added: len(add), Changed: len(change), Removed: len(remove)}}
}

func monitoring(p *Pool, want *Monitor) []step {
	have := p.Monitor
	switch {
	case have == nil && want == nil:
		return nil
	case have == nil:
		return []step{createMonitor{Pool: p.ID, PoolName: p.Name, Monitor: *want}}
	case want == nil:
		return []step{deleteMonitor{ID: have.ID, PoolName: p.Name}}
	case have.Type != want.Type:
		return []step{deleteMonitor{ID: have.ID, PoolName: p.Name}, createMonitor{Pool: p.ID, PoolName: p.Name, Monitor: *want}}
	case !sameMonitor(have, want):
		return []step{updateMonitor{ID: have.ID, PoolName: p.Name, Monitor: *want}}
	}
	return nil
}

// renamed tells whether an object was made for another Service than its owner, so that
// it would be taken for that one's at the next start. What says nothing is left so.
func renamed(name string, tags, owner []string) bool {
	for _, t := range tags {
		if slices.Contains(owner, t) {
			return false
		}
	}
	if slices.ContainsFunc(tags, func(t string) bool { return strings.HasPrefix(t, occm.LoadBalancerPrefix) }) {
		return true
	}
	of, is := occm.ChildOf(name)
	return is && (strings.HasPrefix(of, occm.LoadBalancerPrefix) || occm.IsLegacyName(of)) && !slices.Contains(owner, of)
}

// misfit tells whether a listener is in the way of a wanted one: the same port, another
// protocol, which cannot be changed.
func (w *want) misfit(l *Listener) bool {
	return slices.ContainsFunc(w.frontends, func(f frontend) bool {
		return f.Listener.Port == l.Port && f.Listener.Protocol != l.Protocol && transport(f.Listener.Protocol) == transport(l.Protocol)
	})
}

// obsolete are listeners and pools that nobody wants and that are ours to delete.
func obsolete(w *want, have *LoadBalancer) []step {
	var out []step
	used := make(map[string]bool)
	for i := range have.Listeners {
		l := &have.Listeners[i]
		if w.wants(l) || !w.mine(l.Tags, l.Name) && !w.unsigned(l) {
			used[l.Pool] = true
			continue
		}
		if w.misfit(l) {
			continue // goes when its successor can come
		}
		out = append(out, deleteListener{ID: l.ID, Name: l.Name, Port: l.Port, Protocol: l.Protocol})
	}
	for i := range w.frontends {
		f := &w.frontends[i]
		l := have.listener(f.Listener.Protocol, f.Listener.Port)
		if p := have.poolFor(f, l); p != nil {
			if l != nil && l.Pool != p.ID {
				delete(used, l.Pool) // its successor takes over before
			}
			used[p.ID] = true
		}
	}
	for _, p := range have.Pools {
		if !used[p.ID] && w.mine(nil, p.Name) {
			out = append(out, deletePool{ID: p.ID, Name: p.Name})
		}
	}
	return out
}

func (w *want) wants(l *Listener) bool {
	return slices.ContainsFunc(w.frontends, func(f frontend) bool {
		return f.Listener.Port == l.Port && f.Listener.Protocol == l.Protocol
	})
}

// mine tells whether an object below a load balancer is one of this unit's Services: it
// says so in its tag, or by OCCM's name for it.
func (w *want) mine(tags []string, name string) bool {
	ours := false
	for _, t := range tags {
		switch {
		case strings.HasPrefix(t, clusterTagPrefix) && t != w.cluster, slices.Contains(w.frozen, t):
			return false
		case slices.Contains(w.ours, t):
			ours = true
		}
	}
	if ours || slices.ContainsFunc(tags, func(t string) bool { return strings.HasPrefix(t, occm.LoadBalancerPrefix) }) {
		return ours
	}
	owner, is := occm.ChildOf(name)
	return is && slices.Contains(w.ours, owner) && !slices.Contains(w.frozen, owner)
}

// unsigned tells whether a listener says nothing of whose it is: OCCM takes it for the
// one's for whom the load balancer was made.
func (w *want) unsigned(l *Listener) bool {
	if !w.made || len(w.frozen) > 0 || slices.ContainsFunc(l.Tags, func(t string) bool { return t != w.cluster }) {
		return false
	}
	owner, is := occm.ChildOf(l.Name)
	return !is || slices.Contains(w.ours, owner) || !strings.HasPrefix(owner, occm.LoadBalancerPrefix) && !occm.IsLegacyName(owner)
}

// goes tells whether a load balancer goes with its last Service: it was made for one,
// and nobody else has anything on it.
func (w *want) goes(l *LoadBalancer) bool {
	if !w.remove || !l.owned() || !w.exclusive(l) {
		return false
	}
	return w.made || !slices.ContainsFunc(l.Listeners, func(x Listener) bool { return !w.mine(x.Tags, x.Name) })
}

// exclusive tells whether nobody but this unit's Services uses a load balancer, by its
// tags.
func (w *want) exclusive(l *LoadBalancer) bool {
	return !slices.ContainsFunc(l.Tags, func(t string) bool {
		switch {
		case strings.HasPrefix(t, occm.LoadBalancerPrefix):
			return !slices.Contains(w.ours, t)
		case strings.HasPrefix(t, clusterTagPrefix):
			return t != w.cluster
		case strings.HasPrefix(t, serviceTagPrefix), strings.HasPrefix(t, secondTagPrefix):
			return !slices.Contains(w.signs, t)
		}
		return false
	})
}

func union(x, y []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(x, y))))
}

func sameTags(x, y []string) bool {
	x, y = slices.Clone(x), slices.Clone(y)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(slices.Compact(x), slices.Compact(y))
}

func samePool(have, want *Pool) bool {
	sticky := have.Sticky == want.Sticky && (want.StickyFor == 0 || have.StickyFor == want.StickyFor)
	return have.Method == want.Method && sticky && !have.Down && have.Status != Error
}

// sameMember ignores the subnet, which Octavia keeps from the member's creation, and
// a name that says more than the node's, as OCCM's serial mode gives it.
func sameMember(have, want *Member) bool {
	return have.Weight == want.Weight && have.MonitorPort == want.MonitorPort && !have.Down && have.Status != Error &&
		(have.Name == "" || strings.Contains(have.Name, want.Name))
}

func sameMonitor(have, want *Monitor) bool {
	return have.Delay == want.Delay && have.Timeout == want.Timeout && have.MaxRetries == want.MaxRetries &&
		have.MaxRetriesDown == want.MaxRetriesDown && have.Path == want.Path && !have.Down && have.Status != Error
}

// sameListener compares what can be changed.
func sameListener(have, want *Listener) bool {
	timeouts := want.Timeouts == nil || have.Timeouts != nil && *have.Timeouts == *want.Timeouts
	return have.ConnectionLimit == want.ConnectionLimit && timeouts && slices.Equal(have.AllowedCIDRs, want.AllowedCIDRs) &&
		have.TLSContainer == want.TLSContainer && have.Name == want.Name && have.ForwardedFor == want.ForwardedFor && have.Pool == want.Pool &&
		!have.Down && have.Status != Error
}
