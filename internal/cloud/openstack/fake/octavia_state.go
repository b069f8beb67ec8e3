package fake

import (
	"slices"
	"time"
)

// Change is work that Octavia has begun on a load balancer.
type Change struct {
	Kind         string // create, update, delete, failover
	LoadBalancer string // id
	Name         string
	Provider     string
	Object       string // what is changed: loadbalancer, listener, pool, member, members, healthmonitor
}

// Outcome is how a Change ends. The zero value ends well, in the provider's time.
type Outcome struct {
	Result Result
	After  time.Duration // zero is the provider's time
}

// Result is how a Change ends.
type Result int

const (
	// Done ends well.
	Done Result = iota
	// Failed leaves the changed object in ERROR. The load balancer is ACTIVE again,
	// unless it is the load balancer that was changed.
	Failed
	// FailedWhole leaves the load balancer in ERROR too.
	FailedWhole
	// Stuck never ends; only SetStatus helps, as only an operator does in reality.
	Stuck
)

// Outcomes lets f decide how changes end from now on; nil ends it. f must not use the
// Cloud.
func (c *Cloud) Outcomes(f func(Change) Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcome = f
}

// FailNext makes the next change of the kind ("" is any) end in the result.
func (c *Cloud) FailNext(kind string, result Result) {
	used := false
	c.Outcomes(func(ch Change) Outcome {
		if used || kind != "" && ch.Kind != kind {
			return Outcome{}
		}
		used = true
		return Outcome{Result: result}
	})
}

// work is a Change that is under way.
type work struct {
	due     time.Time
	result  Result
	changed []*element // what is in question; the first is the changed object itself
	with    []*element // parents that are locked with it
	heals   bool       // all listeners are reported about, also those that were forgotten
	done    func(at time.Time)
}

// lock checks that a load balancer can be changed: Octavia has one lock for each, and
// it is the provisioning status.
func lock(b *loadBalancer) error {
	if b.provisioning != active {
		return immutable("Load Balancer", b.id)
	}
	return nil
}

// begin starts a change. The caller has checked everything, written the change and set
// the status of what it changed.
func (c *Cloud) begin(r *request, b *loadBalancer, ch Change, w work) {
	ch.LoadBalancer, ch.Name, ch.Provider = b.id, b.name, b.provider
	times := c.options.Times[b.provider]
	took := map[string]time.Duration{"create": times.Create, "update": times.Update, "delete": times.Delete, "failover": times.Failover}[ch.Kind]
	w.result = max(w.result, b.trap(ch))
	if c.outcome != nil {
		wanted := c.outcome(ch)
		if wanted.Result != Done {
			w.result = wanted.Result
		}
		if wanted.After > 0 {
			took = wanted.After
		}
	}
	w.due = r.now.Add(took)
	if b.provisioning == active || b.provisioning == failed {
		b.provisioning = pendingUpdate
		if ch.Kind == "delete" && ch.Object == "loadbalancer" {
			b.provisioning = pendingDelete
		}
	}
	if ch.Kind != "create" || ch.Object != "loadbalancer" {
		b.updated = r.now
	}
	for _, parent := range w.with {
		parent.provisioning, parent.updated = pendingUpdate, r.now
	}
	b.work = &w
}

// settle ends the changes whose time has come. Every call begins with it, so that
// nothing has to run in between.
func (c *Cloud) settle(now time.Time) {
	for _, b := range slices.Clone(c.balancers) {
		if b.work == nil || b.work.result == Stuck || now.Before(b.work.due) {
			continue
		}
		w := b.work
		b.work = nil
		c.end(b, w)
	}
}

func (c *Cloud) end(b *loadBalancer, w *work) {
	own := len(w.changed) > 0 && w.changed[0] == &b.element
	whole := w.result == FailedWhole || w.result == Failed && own
	switch {
	case whole && own && b.provisioning == pendingCreate:
		// The flow marks the load balancer alone; its children stay as they are.
		b.provisioning, b.operating, b.updated = failed, failed, w.due
		return
	case whole:
		b.provisioning, b.updated = failed, w.due
	default:
		b.provisioning, b.updated = active, w.due
	}
	for _, e := range w.with {
		e.provisioning, e.updated = active, w.due
	}
	for _, l := range b.listeners {
		if w.heals && b.provider != ovn && l.provisioning == pendingCreate {
			l.provisioning, l.updated = active, w.due
		}
	}
	if w.result != Done {
		if !own && len(w.changed) > 0 {
			w.changed[0].provisioning, w.changed[0].updated = failed, w.due
			for _, e := range w.changed[1:] {
				e.provisioning, e.updated = active, w.due
			}
		}
		return
	}
	for _, e := range w.changed {
		if e.provisioning != active {
			e.provisioning = active
			if e != &b.element || e.updated.Before(w.due) {
				e.updated = w.due
			}
		}
	}
	if w.done != nil {
		w.done(w.due)
	}
	b.refresh()
}

// refresh sets the operating statuses as heartbeats would.
func (b *loadBalancer) refresh() {
	up := func(e *element) {
		if e.operating == offline && e.adminStateUp && e.provisioning == active {
			e.operating = online
		} else if !e.adminStateUp {
			e.operating = offline
		}
	}
	up(&b.element)
	for _, l := range b.listeners {
		up(&l.element)
	}
	for _, p := range b.pools {
		up(&p.element)
		if p.monitor != nil {
			up(&p.monitor.element)
		}
		for _, m := range p.members {
			switch {
			case p.monitor == nil && m.operating != noMonitor:
				m.operating = noMonitor
			case p.monitor != nil && m.operating == noMonitor:
				m.operating = offline
				up(&m.element)
			case p.monitor != nil:
				up(&m.element)
			}
		}
	}
}
