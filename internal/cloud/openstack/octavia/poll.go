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

// deepAudit is how many audits it takes until what is below every load balancer was
// read again, too, some at each: a change there shows in updated_at, but to the second
// only.
const deepAudit = 6

// read begins the reads that are due: everything at first and at every audit, the
// nodes' ports when nodes changed, floating IPs after an answer was lost.
func (r *run) read(ctx context.Context, now time.Time, next *deadline) {
	switch due := !r.listed || !now.Before(r.audit); {
	case !due:
		next.by(r.audit)
	case !r.listed && !r.requested() && r.input.Living == nil:
		// Nobody asks anything of the cloud.
	case !r.reading && !r.trouble.waits("read", now, next):
		r.readAll(ctx)
	}
	if r.ports == r.nodes && len(r.scene.Ports) < len(r.input.Nodes) && r.listed {
		// The ports of new servers may come late; those of machines elsewhere never come.
		if next.by(r.portsLate); !now.Before(r.portsLate) {
			r.ports = ""
		}
	}
	if r.listed && r.nodes != r.ports && !r.portsBusy && !r.portsFail.waits("ports", now, next) {
		r.readPorts(ctx, r.nodes)
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
		if r.ports = nodesKey(nodes); len(e.ports) < len(nodes) {
			r.later()
		}
		r.setFloats(e.floats)
		r.merge(e.loadBalancers, began, "")
		r.audits++
		for i := range r.scene.LoadBalancers {
			if r.audits > 1 && (i+r.audits)%deepAudit == 0 {
				r.scene.LoadBalancers[i].Known = false
			}
		}
		r.count()
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
		if r.scene.Ports, r.ports = ports, key; len(ports) < len(nodes) {
			r.later()
		}
	})
}

// later puts the next search for ports that were not found off, each time for longer.
func (r *run) later() {
	r.portsWait = min(max(2*r.portsWait, 5*r.d.o.Pace.Retry), r.d.o.Pace.Audit)
	r.portsLate = time.Now().Add(r.portsWait)
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
	r.quietly(ctx, func(ctx context.Context) (err error) {
		seen, err = list(ctx, clients.LoadBalancer, tag, clients.Project)
		return err
	}, func(err error) {
		r.polling, r.nextPoll = false, time.Time{}
		if err != nil {
			r.failed(&r.trouble, "poll", err)
			r.stale = true
			return
		}
		r.stale = r.stale || r.trouble.count > 0
		r.trouble.clear()
		r.merge(seen, began, tag)
		r.polled = began
	})
}

// merge takes a list in that began at a turn: one of all load balancers of the project,
// or of those with our tag.
func (r *run) merge(seen []LoadBalancer, began uint64, tag string) {
	there := make(map[string]bool, len(seen))
	at := r.places()
	for i := range seen {
		there[seen[i].ID] = true
		r.observe(&seen[i], began, at)
	}
	var gone []string
	for i := range r.scene.LoadBalancers {
		l := &r.scene.LoadBalancers[i]
		s := r.state(l.ID)
		switch {
		case there[l.ID]:
			s.missing = false
		case tag != "" && !l.tagged(tag), s.touched > began:
		case l.Status != PendingDelete && s.used:
			// A list may be behind: whoever has it asks for it by its id.
			s.missing, r.stale = true, true
		default:
			gone = append(gone, l.ID)
		}
	}
	for _, id := range gone {
		r.lost(id)
	}
	if len(at) > len(r.scene.LoadBalancers) || !slices.IsSortedFunc(r.scene.LoadBalancers, byID) {
		slices.SortFunc(r.scene.LoadBalancers, byID)
	}
}

func byID(x, y LoadBalancer) int { return cmp.Compare(x.ID, y.ID) }

// places are the indices of load balancers, by id.
func (r *run) places() map[string]int {
	at := make(map[string]int, len(r.scene.LoadBalancers))
	for i := range r.scene.LoadBalancers {
		at[r.scene.LoadBalancers[i].ID] = i
	}
	return at
}

// observe takes in what a list says of one load balancer.
func (r *run) observe(seen *LoadBalancer, began uint64, at map[string]int) {
	s := r.state(seen.ID)
	i, known := at[seen.ID]
	if !known {
		at[seen.ID] = len(r.scene.LoadBalancers)
		r.scene.LoadBalancers = append(r.scene.LoadBalancers, *seen)
		r.stale = true
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
	r.stale = r.stale || !have.looksLike(&fresh)
	*have = fresh
}

// looksLike tells whether two lists say the same of a load balancer.
func (l *LoadBalancer) looksLike(o *LoadBalancer) bool {
	return l.Status == o.Status && l.Known == o.Known && l.Updated.Equal(o.Updated) && l.VIP == o.VIP && slices.Equal(l.Additional, o.Additional) &&
		slices.Equal(l.Tags, o.Tags) && l.Name == o.Name && l.Provider == o.Provider
}

// note keeps since when a load balancer is PENDING.
func (s *lbState) note(status Status) {
	s.sick = status == Error || s.sick && status != Active
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
		s.missing = false
		r.observe(&seen, began, r.places())
		if have := r.scene.loadBalancer(id); have != nil && s.touched <= began && !seen.Status.Pending() {
			*have = seen
		}
	})
}

// lost takes a load balancer that does not exist out of the scene. With its port, what
// led there was detached, unless the port is its user's.
func (r *run) lost(id string) {
	r.absent[id], r.stale = true, true
	if l := r.scene.loadBalancer(id); l != nil {
		r.log.Info("load balancer is gone", "loadbalancer", id, "name", l.Name)
		port := l.VIP.Port
		if slices.ContainsFunc(r.scene.FloatingIPs, func(f neutron.FloatingIP) bool { return f.PortID == port && port != "" }) {
			r.floatsStale = true
		}
		if m := r.memos[r.state(id).key]; m != nil && l.VIP.Address.IsValid() && !m.vip.Address.IsValid() {
			m.vip = l.VIP
		}
	}
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
