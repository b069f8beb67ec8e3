package octavia

import (
	"context"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
)

// What a Service leaves behind goes with the Service, which its finalizer holds until
// then. A finalizer can be taken off by hand, and a cluster restored from a copy that
// is older: then something stays that carries our signature, and no Service.

// deserted is how many audits in a row must find something without its Service: one
// may have looked while a Service was being made.
const deserted = 2

// count notes what an audit found without a Service.
func (r *run) count() {
	before := r.orphans
	r.orphans = make(map[string]int)
	if r.input.Living == nil {
		return
	}
	living := newCensus(r.input)
	ports := make(map[string]bool)
	for i := range r.scene.LoadBalancers {
		if l := &r.scene.LoadBalancers[i]; living.orphan(l) {
			r.orphans[l.ID] = before[l.ID] + 1
			ports[l.VIP.Port] = true
		}
	}
	for i := range r.scene.FloatingIPs {
		if f := &r.scene.FloatingIPs[i]; living.orphanFloating(f, ports) {
			r.orphans[f.ID] = before[f.ID] + 1
		}
	}
}

// census is who is alive.
type census struct {
	in   *Input
	uids map[string]bool
	keys map[string]bool
}

func newCensus(in *Input) *census {
	c := &census{in: in, uids: make(map[string]bool, len(in.Living)), keys: make(map[string]bool, len(in.Requests))}
	for _, uid := range in.Living {
		c.uids[uid] = true
	}
	for i := range in.Requests {
		s := &in.Requests[i].Service
		c.uids[s.UID], c.keys[s.Key.String()] = true, true
	}
	return c
}

// orphan tells whether a load balancer was made for Services of this cluster that are
// all gone, and nobody else has put something on it.
func (c *census) orphan(l *LoadBalancer) bool {
	if !l.tagged(ClusterTag(c.in.Cluster.UID)) || !l.owned() || l.foreign(c.in.Cluster.UID) || l.Status == PendingDelete {
		return false
	}
	services, names := l.services(), 0
	for _, t := range l.Tags {
		if strings.HasPrefix(t, occm.LoadBalancerPrefix) {
			names++
		}
	}
	// A name more than Services is one that OCCM put there.
	return len(services) > 0 && names <= len(services) && !slices.ContainsFunc(services, func(uid string) bool { return c.uids[uid] })
}

// orphanFloating tells whether a floating IP was made for a Service of this cluster
// that is gone, and leads nowhere but to load balancers that go. Its description names
// the Service, not its UID.
func (c *census) orphanFloating(f *neutron.FloatingIP, ports map[string]bool) bool {
	told, ok := occm.ParseFloatingIP(f.Description)
	if !ok || told.Kept || told.ClusterUID != c.in.Cluster.UID || told.ClusterUID == "" {
		return false
	}
	if f.PortID != "" && !f.PortGone && !ports[f.PortID] || c.keys[told.Service] {
		return false
	}
	return !slices.ContainsFunc(c.in.Requests, func(r Request) bool {
		return told.Of(r.Service.Key, c.in.Cluster.Name, c.in.Cluster.UID)
	})
}

// deserted are units that nobody asks for: load balancers that are to go.
func (r *run) deserted(v *view) []*unit {
	if len(r.orphans) == 0 || r.input.Living == nil {
		return nil
	}
	living := newCensus(r.input)
	var out []*unit
	for i := range v.LoadBalancers {
		if l := &v.LoadBalancers[i]; r.orphans[l.ID] >= deserted && living.orphan(l) {
			out = append(out, &unit{key: "lb " + l.ID, have: l})
		}
	}
	return out
}

// sweep deletes floating IPs whose Service is gone, one after another.
func (r *run) sweep(ctx context.Context, now time.Time, next *deadline) (busy bool) {
	if r.clearingBusy {
		return true
	}
	if len(r.orphans) == 0 || r.input.Living == nil {
		return false
	}
	living := newCensus(r.input)
	for i := range r.scene.FloatingIPs {
		f := r.scene.FloatingIPs[i]
		if r.orphans[f.ID] < deserted || !living.orphanFloating(&f, nil) {
			continue
		}
		step := neutron.DeleteFloating{ID: f.ID, Address: f.Address}
		if r.clearing.waits(step.String(), now, next) {
			return false
		}
		r.clearingBusy = true
		clients := r.clients
		r.log.Info("step", "step", step.String(), "reason", "its Service does not exist")
		r.call(ctx, func(ctx context.Context) error {
			_, err := neutron.ApplyFloating(ctx, clients.Network, step, nil)
			return err
		}, func(err error) {
			r.clearingBusy = false
			r.d.figures.stepped(step, err)
			if err != nil {
				r.failed(&r.clearing, step.String(), err)
				return
			}
			r.clearing.clear()
			r.setFloats(without(r.scene.FloatingIPs, func(x neutron.FloatingIP) bool { return x.ID == f.ID }))
		})
		return true
	}
	return false
}

// names are the would-be names of all Services on a load balancer that is to go.
func (l *LoadBalancer) names() []string {
	out := []string{l.Name}
	for _, t := range l.Tags {
		if strings.HasPrefix(t, occm.LoadBalancerPrefix) {
			out = append(out, t)
		}
	}
	return out
}
