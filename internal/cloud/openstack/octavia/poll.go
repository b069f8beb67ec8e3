package octavia

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// deepAudit is how many audits it takes until what is below load balancers is read
// again, too: a change there shows in updated_at, but to the second only.
const deepAudit = 6

// read begins the reads that are due: everything at first and at every audit, the
// nodes' ports when nodes changed, floating IPs after an answer was lost.
func (r *run) read(ctx context.Context, now time.Time, next *deadline) {
	if due := !r.listed || !now.Before(r.audit); due && !r.reading && !r.trouble.waits("read", now, next) {
		r.readAll(ctx)
	} else {
		next.by(r.audit)
	}
	if key := nodesKey(r.input.Nodes); r.listed && key != r.ports && !r.portsBusy && !r.portsFail.waits("ports", now, next) {
		r.readPorts(ctx, key)
	}
	if r.listed && r.floatsStale && !r.floatsBusy && !r.floatsFail.waits("floating IPs", now, next) {
		r.readFloats(ctx)
	}
}

// everything that is read of a project at once.
type everything struct {
	minor         int
	loadBalancers []LoadBalancer
	floats        []neutron.FloatingIP
	networks      []neutron.Network
	subnets       []neutron.Subnet
	ports         map[string]neutron.Port
}

// readProject reads what a plan depends on, below load balancers apart.
func readProject(ctx context.Context, c *Clients, nodes []lb.Node) (e everything, err error) {
	if e.minor, err = apiMinor(ctx, c.LoadBalancer); err != nil {
		return e, err
	}
	if e.loadBalancers, err = list(ctx, c.LoadBalancer, "", c.Project); err != nil {
		return e, err
	}
	if e.floats, err = neutron.FloatingIPs(ctx, c.Network, neutron.FloatingQuery{Project: c.Project}); err != nil {
		return e, err
	}
	if e.networks, err = neutron.ExternalNetworks(ctx, c.Network); err != nil {
		return e, err
	}
	if e.subnets, err = neutron.Subnets(ctx, c.Network); err != nil {
		return e, err
	}
	e.ports, err = neutron.NodePorts(ctx, c.Network, nodes)
	return e, err
}

func (r *run) readAll(ctx context.Context) {
	r.reading = true
	began, clients, nodes := r.turn, r.clients, r.input.Nodes
	var e everything
	r.call(ctx, func(ctx context.Context) (err error) {
		e, err = readProject(ctx, clients, nodes)
		return err
	}, func(err error) {
		r.reading = false
		if err != nil {
			r.failed(&r.trouble, "read", err)
			return
		}
		r.trouble.clear()
		r.scene.Features.Minor = e.minor
		r.scene.Networks, r.scene.Subnets, r.scene.Ports = e.networks, e.subnets, e.ports
		r.ports = nodesKey(nodes)
		r.setFloats(e.floats)
		r.merge(e.loadBalancers, began, "")
		if r.audits++; r.audits%deepAudit == 0 {
			for i := range r.scene.LoadBalancers {
				r.scene.LoadBalancers[i].Known = false
			}
		}
		clear(r.absent)
		r.secured, r.securityFresh = false, true
		r.listed, r.audit = true, time.Now().Add(r.d.o.Pace.Audit)
	})
}

func (r *run) readPorts(ctx context.Context, key string) {
	r.portsBusy = true
	clients, nodes := r.clients, r.input.Nodes
	var ports map[string]neutron.Port
	r.call(ctx, func(ctx context.Context) (err error) {
		ports, err = neutron.NodePorts(ctx, clients.Network, nodes)
		return err
	}, func(err error) {
		r.portsBusy = false
		if err != nil {
			r.failed(&r.portsFail, "ports", err)
			return
		}
		r.portsFail.clear()
		r.scene.Ports, r.ports = ports, key
	})
}

func (r *run) readFloats(ctx context.Context) {
	r.floatsBusy, r.floatsStale = true, false
	clients := r.clients
	var floats []neutron.FloatingIP
	r.call(ctx, func(ctx context.Context) (err error) {
		floats, err = neutron.FloatingIPs(ctx, clients.Network, neutron.FloatingQuery{Project: clients.Project})
		return err
	}, func(err error) {
		r.floatsBusy = false
		if err != nil {
			r.floatsStale = true
			r.failed(&r.floatsFail, "floating IPs", err)
			return
		}
		r.floatsFail.clear()
		r.setFloats(floats)
	})
}

// poll begins the one list that shows the state of all load balancers, when it is due.
func (r *run) poll(ctx context.Context, busy bool, now time.Time, next *deadline) {
	if !busy && !r.requested() {
		return // nobody asks anything of the cloud
	}
	pace := r.d.o.Pace.Idle
	if busy {
		pace = r.d.o.Pace.Busy
	}
	if soon := now.Add(pace); r.nextPoll.After(soon) || r.nextPoll.IsZero() {
		r.nextPoll = soon
	}
	if r.polling {
		return
	}
	if now.Before(r.nextPoll) {
		next.by(r.nextPoll)
		return
	}
	if r.trouble.waits("poll", now, next) {
		return
	}
	r.polling = true
	began, clients, tag := r.turn, r.clients, ClusterTag(r.input.Cluster.UID)
	var seen []LoadBalancer
	r.call(ctx, func(ctx context.Context) (err error) {
		seen, err = list(ctx, clients.LoadBalancer, tag, clients.Project)
		return err
	}, func(err error) {
		r.polling, r.nextPoll = false, time.Time{}
		if err != nil {
			r.failed(&r.trouble, "poll", err)
			return
		}
		r.trouble.clear()
		r.merge(seen, began, tag)
		r.polled = began
	})
}

// merge takes a list in that began at a turn: one of all load balancers of the project,
// or of those with our tag.
func (r *run) merge(seen []LoadBalancer, began uint64, tag string) {
	there := make(map[string]bool, len(seen))
	for i := range seen {
		there[seen[i].ID] = true
		r.observe(&seen[i], began)
	}
	r.scene.LoadBalancers = slices.DeleteFunc(r.scene.LoadBalancers, func(l LoadBalancer) bool {
		s := r.state(l.ID)
		switch {
		case there[l.ID]:
			s.missing = 0
			return false
		case tag != "" && !l.tagged(tag), s.touched > began:
			return false
		}
		// A list may be behind, but what is being deleted is the last to come back.
		s.missing++
		if gone := l.Status == PendingDelete || s.missing > 2; gone {
			delete(r.lbs, l.ID)
			r.log.Info("load balancer is gone", "loadbalancer", l.ID, "name", l.Name)
			return true
		}
		return false
	})
	slices.SortFunc(r.scene.LoadBalancers, func(x, y LoadBalancer) int { return cmp.Compare(x.ID, y.ID) })
}

// observe takes in what a list says of one load balancer.
func (r *run) observe(seen *LoadBalancer, began uint64) {
	s := r.state(seen.ID)
	i := slices.IndexFunc(r.scene.LoadBalancers, func(l LoadBalancer) bool { return l.ID == seen.ID })
	if i < 0 {
		r.scene.LoadBalancers = append(r.scene.LoadBalancers, *seen)
		s.note(seen.Status)
		return
	}
	have := &r.scene.LoadBalancers[i]
	if s.touched > began {
		return // older than our last change of it
	}
	fresh := *seen
	fresh.Listeners, fresh.Pools, fresh.Known = have.Listeners, have.Pools, have.Known
	if !seen.Status.Pending() {
		if !seen.Updated.Equal(have.Updated) && !s.own {
			fresh.Known = false // somebody else changed something
		}
		s.own = false
	} else {
		fresh.Updated = have.Updated
	}
	if have.Status != fresh.Status {
		r.log.Debug("load balancer changed state", "loadbalancer", fresh.ID, "from", have.Status, "to", fresh.Status)
	}
	s.note(fresh.Status)
	*have = fresh
}

// note keeps since when a load balancer is PENDING.
func (s *lbState) note(status Status) {
	switch {
	case !status.Pending():
		s.pending = time.Time{}
	case s.pending.IsZero():
		s.pending = time.Now()
	}
}

// look begins reading one load balancer with all below it.
func (r *run) look(ctx context.Context, id string, now time.Time, next *deadline) {
	s := r.state(id)
	if s.busy || s.fail.waits("look", now, next) {
		return
	}
	if now.Before(s.nextLook) {
		next.by(s.nextLook)
		return
	}
	s.busy, s.nextLook = true, now.Add(r.d.o.Pace.Busy)
	began, clients := r.turn, r.clients
	var seen LoadBalancer
	r.call(ctx, func(ctx context.Context) (err error) {
		seen, err = look(ctx, clients.LoadBalancer, id)
		return err
	}, func(err error) {
		s.busy = false
		switch {
		case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
			r.lost(id)
			return
		case err != nil:
			r.failed(&s.fail, "look", err)
			return
		}
		s.fail.clear()
		r.observe(&seen, began)
		if have := r.scene.loadBalancer(id); have != nil && s.touched <= began && !seen.Status.Pending() {
			*have = seen
		}
	})
}

// lost takes a load balancer that does not exist out of the scene.
func (r *run) lost(id string) {
	r.absent[id] = true
	r.scene.LoadBalancers = without(r.scene.LoadBalancers, func(l LoadBalancer) bool { return l.ID == id })
	delete(r.lbs, id)
}

// verify begins asking how what is below a load balancer fared.
func (r *run) verify(ctx context.Context, id string, now time.Time, next *deadline) {
	s := r.state(id)
	if s.busy || s.fail.waits("verify", now, next) {
		return
	}
	s.busy = true
	began, clients := r.turn, r.clients
	var states map[string]Status
	r.call(ctx, func(ctx context.Context) (err error) {
		states, err = statuses(ctx, clients.LoadBalancer, id)
		return err
	}, func(err error) {
		s.busy = false
		switch {
		case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
			r.lost(id)
			return
		case err != nil:
			r.failed(&s.fail, "verify", err)
			return
		}
		s.fail.clear()
		if l := r.scene.loadBalancer(id); l != nil && s.touched <= began {
			l.fared(states)
			s.verify = false
		}
	})
}
