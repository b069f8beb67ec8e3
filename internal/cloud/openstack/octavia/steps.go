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
		if !extra.Status.Pending() && extra.owned() && extra.exclusive(w.ours) {
			out = append(out, deleteLoadBalancer{ID: extra.ID, Name: extra.Name, Cascade: true, Why: "the Service has another"})
		}
	}
	switch {
	case have == nil && len(w.frontends) > 0:
		return append(out, createLoadBalancer{w.whole()})
	case have == nil:
		return out
	case w.remove && have.owned() && have.exclusive(w.ours) && (w.cascade || len(have.Listeners)+len(have.Pools) == 0):
		return append(out, deleteLoadBalancer{ID: have.ID, Name: have.Name, Cascade: w.cascade})
	case w.remove && have.owned() && have.exclusive(w.ours):
		out = append(out, obsolete(w, have)...)
		return append(out, deleteLoadBalancer{ID: have.ID, Name: have.Name})
	}
	// It is by the tags that a restart finds what is left to do: new ones come first, and
	// old ones go last.
	if all := union(have.Tags, w.loadBalancer.Tags); !w.remove && !sameTags(have.Tags, all) {
		out = append(out, updateLoadBalancer{ID: have.ID, Name: have.Name, Tags: all})
	}
	out = append(out, misfits(w, have)...)
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
	if l != nil && l.Protocol != f.Listener.Protocol {
		l = nil // a misfit, which goes first
	}
	p := have.poolFor(f, l)
	if p == nil {
		p = &Pool{Name: f.Pool.Name, Protocol: f.Pool.Protocol}
		out = append(out, createPool{LB: have.ID, Pool: f.Pool})
	} else if !samePool(p, &f.Pool) {
		out = append(out, updatePool{ID: p.ID, Want: f.Pool, Have: *p})
	}
	out = append(out, w.membership(p, f.Pool.Members)...)
	out = append(out, monitoring(p, f.Pool.Monitor)...)
	want := f.Listener
	want.Pool = p.ID
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

// misfits are listeners in the way of a wanted one: the same port, another protocol,
// which cannot be changed.
func misfits(w *want, have *LoadBalancer) []step {
	var out []step
	for i := range have.Listeners {
		if l := &have.Listeners[i]; w.misfit(l) {
			out = append(out, deleteListener{ID: l.ID, Name: l.Name, Port: l.Port, Protocol: l.Protocol})
		}
	}
	return out
}

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
		if w.wants(l) || !w.mayDelete(have, l.Tags, l.Name) {
			used[l.Pool] = true
			continue
		}
		if w.misfit(l) {
			continue // is among the first to go
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
		if !used[p.ID] && w.mayDelete(have, nil, p.Name) {
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

// mayDelete tells whether an object below a load balancer is one of this unit's
// Services: it says so in its tag, or by OCCM's name for it; what says nothing is the
// one's for whom the load balancer was made.
func (w *want) mayDelete(have *LoadBalancer, tags []string, name string) bool {
	frozen := func(text string) bool { return slices.Contains(w.frozen, text) }
	for _, t := range tags {
		switch {
		case frozen(t):
			return false
		case slices.Contains(w.ours, t), t == w.cluster:
			return true
		case strings.HasPrefix(t, clusterTagPrefix):
			return false // another cluster's
		}
	}
	if owner, ok := occm.ChildOf(name); ok {
		if frozen(owner) {
			return false
		}
		if slices.Contains(w.ours, owner) {
			return true
		}
	}
	ownTags := slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return strings.HasPrefix(t, clusterTagPrefix) })
	return have.owned() && len(ownTags) == 0 && len(w.frozen) == 0
}

// exclusive tells whether nobody but the Services named uses the load balancer.
func (l *LoadBalancer) exclusive(names []string) bool {
	for _, t := range l.Tags {
		if strings.HasPrefix(t, occm.LoadBalancerPrefix) && !slices.Contains(names, t) && t != l.Name {
			return false
		}
	}
	return true
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
		have.TLSContainer == want.TLSContainer && have.ForwardedFor == want.ForwardedFor && have.Pool == want.Pool &&
		!have.Down && have.Status != Error
}
