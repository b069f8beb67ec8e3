package octavia

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
)

const (
	// purgeTries is how often a call is made that fails without the cloud saying that it
	// always will.
	purgeTries = 8
	// purgePace is the time between two looks at load balancers that are at work.
	purgePace = time.Second
)

// Remove takes all of it away, and waits until it is gone: load balancers first, then
// what their ports are joined to. What cannot be removed does not keep back the rest;
// a call again later, after another Find, goes on where this one stopped. It tells every
// step as it begins.
func (e Estate) Remove(ctx context.Context, c *Clients, progress func(string)) error {
	balancers := e.removeLoadBalancers(ctx, c, progress)
	if ctx.Err() != nil {
		return balancers
	}
	return errors.Join(balancers, e.removeFloating(ctx, c.Network, progress), e.removePorts(ctx, c.Network, progress), e.removeGroups(ctx, c, progress))
}

// target is a load balancer on its way out.
type target struct {
	id     string
	next   func(ctx context.Context) (step, error) // nil step: nothing is left to do
	tries  int
	until  time.Time
	failed error
	told   string
	gone   bool
}

func (e Estate) removeLoadBalancers(ctx context.Context, c *Clients, progress func(string)) error {
	var all []*target
	for _, l := range e.Visited {
		all = append(all, &target{id: l.ID, next: func(ctx context.Context) (step, error) {
			now, err := look(ctx, c.LoadBalancer, l.ID)
			if err != nil {
				return nil, err
			}
			if todo := e.visited(&now); len(todo) > 0 {
				return todo[0], nil
			}
			return nil, nil
		}})
	}
	for _, l := range e.LoadBalancers {
		all = append(all, &target{id: l.ID, next: func(context.Context) (step, error) {
			return deleteLoadBalancer{ID: l.ID, Name: l.Name, Cascade: true}, nil
		}})
	}
	for {
		left := slices.DeleteFunc(slices.Clone(all), func(t *target) bool { return t.gone || t.failed != nil })
		if len(left) == 0 {
			break
		}
		var seen []LoadBalancer
		err := persist(ctx, func() (err error) {
			seen, err = list(ctx, c.LoadBalancer, "", e.project)
			return err
		})
		if err != nil {
			return err
		}
		for _, t := range left {
			t.advance(ctx, c.LoadBalancer, seen, progress)
		}
		if err := sleep(ctx, purgePace); err != nil {
			return err
		}
	}
	var failed []error
	for _, t := range all {
		failed = append(failed, t.failed)
	}
	return errors.Join(failed...)
}

// advance takes the next step, unless the load balancer is at work.
func (t *target) advance(ctx context.Context, c *gophercloud.ServiceClient, seen []LoadBalancer, progress func(string)) {
	i := slices.IndexFunc(seen, func(l LoadBalancer) bool { return l.ID == t.id })
	if i < 0 {
		t.gone = true
		progress("load balancer " + t.id + " is gone")
		return
	}
	if seen[i].Status.Pending() || time.Now().Before(t.until) {
		return
	}
	s, err := t.next(ctx)
	if err == nil && s == nil {
		t.gone = true
		return
	}
	if err == nil {
		if text := s.String(); text != t.told {
			t.told, t.tries = text, 0
			progress(text)
		}
		_, err = s.do(ctx, c)
	}
	why := access.Classify(err)
	if err != nil && why.Kind == access.Conflict || why.Kind == access.NotFound {
		return // the next list tells
	}
	// A delete that ends in ERROR is repeated (Octavia removes some things at the second
	// try only), but not for ever.
	t.tries++
	wait := purgePace << min(t.tries-1, 5)
	switch {
	case err != nil && hopeless(why), t.tries > purgeTries:
		t.failed = err
		if err == nil {
			t.failed = fmt.Errorf("load balancer %s is still there after %d times: %s", t.id, purgeTries, t.told)
		}
	case err != nil:
		t.until = time.Now().Add(max(wait, why.RetryAfter))
	case t.tries > 1:
		t.until = time.Now().Add(wait)
	}
}

func (e Estate) removeFloating(ctx context.Context, c *gophercloud.ServiceClient, progress func(string)) error {
	var failed []error
	for _, f := range e.FloatingIPs {
		s := neutron.DeleteFloating{ID: f.ID, Address: f.Address}
		progress(s.String())
		failed = append(failed, persist(ctx, func() error {
			_, err := neutron.ApplyFloating(ctx, c, s, nil)
			return err
		}))
	}
	return errors.Join(failed...)
}

// removePorts deletes VIP ports that no load balancer has any more.
func (e Estate) removePorts(ctx context.Context, c *gophercloud.ServiceClient, progress func(string)) error {
	var ids []string
	for _, l := range e.LoadBalancers {
		if l.VIP.Port != "" {
			ids = append(ids, l.VIP.Port)
		}
	}
	left := slices.Clone(e.Ports)
	if len(ids) > 0 {
		var ports []neutron.Port
		err := persist(ctx, func() (err error) {
			ports, err = neutron.PortsByID(ctx, c, ids)
			return err
		})
		if err != nil {
			return err
		}
		for _, p := range ports {
			// A port with another name is somebody's who gave it to the load balancer.
			made := slices.ContainsFunc(e.LoadBalancers, func(l LoadBalancer) bool {
				id, is := vipPortOf(p.Name)
				return is && id == l.ID && l.VIP.Port == p.ID
			})
			if made {
				left = append(left, p)
			}
		}
	}
	var failed []error
	for _, p := range left {
		progress(fmt.Sprintf("delete port %s (%s)", p.Name, p.ID))
		err := persist(ctx, func() error { return remove(ctx, c, c.ServiceURL("ports", p.ID)) })
		failed = append(failed, wrap(err, "delete port %s", p.ID))
	}
	return errors.Join(failed...)
}

func (e Estate) removeGroups(ctx context.Context, c *Clients, progress func(string)) error {
	if len(e.Groups) == 0 {
		return nil
	}
	names := make([]string, len(e.Groups))
	for i, g := range e.Groups {
		names[i] = g.Name
	}
	return persist(ctx, func() error {
		security := neutron.NewSecurity(c.Network)
		security.Project = e.project
		if err := security.Look(ctx, names...); err != nil {
			return err
		}
		var failed error
		for _, s := range security.Steps(nil, nil) {
			progress(s.String())
			failed = errors.Join(failed, security.Do(ctx, s))
		}
		return failed
	})
}

// persist does something until it works, it is hopeless, or it was tried often.
func persist(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		why := access.Classify(err)
		switch {
		case err == nil, why.Kind == access.NotFound:
			return nil
		case hopeless(why), try == purgeTries, ctx.Err() != nil:
			return err
		}
		if late := sleep(ctx, max(purgePace<<min(try-1, 5), why.RetryAfter)); late != nil {
			return errors.Join(err, late)
		}
	}
}

func hopeless(why access.Failure) bool {
	return why.Kind == access.Denied || why.Kind == access.Invalid
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// strip are the steps that take some Services off a load balancer that stays: w.ours
// are their names, and w.loadBalancer.Tags the tags that are left.
func strip(w *want, l *LoadBalancer) []step {
	var out []step
	pools := make(map[string]bool)
	foreign := l.foreign(strings.TrimPrefix(w.cluster, clusterTagPrefix))
	ours := func(tags []string, name string) bool {
		if slices.Contains(tags, w.cluster) {
			return true
		}
		owner, is := occm.ChildOf(name)
		return !foreign && (slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(w.ours, t) }) || is && slices.Contains(w.ours, owner))
	}
	var listeners []step
	for _, x := range l.Listeners {
		if ours(x.Tags, x.Name) {
			pools[x.Pool] = true
			listeners = append(listeners, deleteListener{ID: x.ID, Name: x.Name, Port: x.Port, Protocol: x.Protocol})
		}
	}
	for _, x := range l.Listeners {
		if !ours(x.Tags, x.Name) {
			delete(pools, x.Pool)
		}
	}
	for _, p := range l.Pools {
		if pools[p.ID] || !l.connected(p.ID) && ours(nil, p.Name) {
			out = append(out, deletePool{ID: p.ID, Name: p.Name})
		}
	}
	// Pools come first: once its listener is gone, a pool may not show whose it is.
	out = append(out, listeners...)
	if !sameTags(l.Tags, w.loadBalancer.Tags) {
		out = append(out, updateLoadBalancer{ID: l.ID, Name: l.Name, Tags: w.loadBalancer.Tags})
	}
	return out
}
