package octavia

import (
	"context"
	"net/http"
	"net/netip"
	"slices"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// Foreseen is what a Driver would do about one Service, from what there is now.
type Foreseen struct {
	// Service is empty for what is done for all at once: the nodes' security groups.
	Service lb.Key
	// LoadBalancer is the id of the one that serves the Service; empty while there is
	// none.
	LoadBalancer string
	// Steps in their order. Those of a load balancer that several Services share stand
	// at the first of them.
	Steps []string
	// Refusal is set where something cannot be had.
	Refusal *lb.Refusal
}

// Foresee reads what there is and tells every step that leads to what is wanted, all
// Services in their order and the security groups last. It changes nothing.
func Foresee(ctx context.Context, c *Clients, in Input) ([]Foreseen, error) {
	e, err := readProject(ctx, c, in.Nodes)
	if err != nil {
		return nil, err
	}
	s := &Scene{Features: Features{Minor: e.minor}, LoadBalancers: e.loadBalancers, FloatingIPs: e.floats, Networks: e.networks,
		Subnets: e.subnets, Ports: e.ports}
	// The controller puts the finalizer on first; what comes then is what is asked.
	in.Requests = slices.Clone(in.Requests)
	for i := range in.Requests {
		in.Requests[i].Service.Finalized = true
	}
	v, err := lookedAt(ctx, c, &in, s)
	if err != nil {
		return nil, err
	}
	units := v.units()
	byService := make(map[lb.Key]*Foreseen, len(in.Requests))
	out := make([]Foreseen, len(in.Requests), len(in.Requests)+1)
	for i := range in.Requests {
		out[i].Service = in.Requests[i].Service.Key
		byService[out[i].Service] = &out[i]
	}
	for _, u := range units {
		v.foresee(u, byService)
	}
	groups, err := foreseeGroups(ctx, c, v, units)
	if err != nil {
		return nil, err
	}
	if len(groups) > 0 {
		out = append(out, Foreseen{Steps: groups})
	}
	return out, nil
}

// lookedAt reads what is below the load balancers that matter, until it is clear which
// those are.
func lookedAt(ctx context.Context, c *Clients, in *Input, s *Scene) (*view, error) {
	asked := make(map[string]bool)
	for {
		v := newView(in, s)
		ids := v.unread(asked)
		if len(ids) == 0 {
			return v, nil
		}
		for _, id := range ids {
			asked[id] = true
			seen, err := look(ctx, c.LoadBalancer, id)
			switch have := s.loadBalancer(id); {
			case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
				s.LoadBalancers = without(s.LoadBalancers, func(l LoadBalancer) bool { return l.ID == id })
			case err != nil:
				return nil, err
			case have != nil:
				*have = seen
			default:
				s.LoadBalancers = append(s.LoadBalancers, seen)
			}
		}
	}
}

// unread are the load balancers that have to be looked at, and were not yet.
func (v *view) unread(asked map[string]bool) []string {
	var out []string
	want := func(id string) {
		if id != "" && !asked[id] && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, u := range v.units() {
		if u.have != nil {
			if !u.have.Known {
				want(u.have.ID)
			}
			continue
		}
		for _, h := range slices.Concat(u.halves, u.leaving) {
			if !h.second {
				want(h.Options.LoadBalancerID)
			}
			for _, l := range v.candidates(h) {
				if !l.Known {
					want(l.ID)
				}
			}
		}
	}
	return out
}

// newPort stands for the port of a load balancer that is not there yet.
const newPort = "(of the new load balancer)"

// foresee tells the steps of one load balancer and its floating IP.
func (v *view) foresee(u *unit, byService map[lb.Key]*Foreseen) {
	w := v.wanted(u)
	var at *Foreseen
	for _, h := range slices.Concat(u.halves, u.leaving) {
		f := byService[h.Service.Key]
		if at == nil {
			at = f
		}
		if u.have != nil && f.LoadBalancer == "" {
			f.LoadBalancer = u.have.ID
		}
		f.Refusal = first(f.Refusal, w.refusals[h.Service.Key])
	}
	if at == nil {
		return
	}
	after := *u
	m := &memo{}
	todo := steps(&w, u)
	switch {
	case u.have != nil && u.have.Status == Error && !w.remove:
		todo = repairs(u, 0)
	case u.have == nil && len(w.frontends) > 0:
		after.have = &LoadBalancer{Name: w.loadBalancer.Name, VIP: VIP{Port: newPort}}
		if owner := u.halves[0]; slices.Contains(owner.families, lb.IPv4) {
			after.have.VIP.Address = netip.IPv4Unspecified()
		}
	case u.have != nil && len(u.halves) == 0:
		m.vip, after.have = u.have.VIP, nil
	}
	for _, s := range todo {
		at.Steps = append(at.Steps, s.String())
	}
	floating, refusal := v.floatingWant(&after, m)
	if floating == nil || refusal != nil {
		at.Refusal = first(at.Refusal, refusal)
		return
	}
	if after.have != u.have {
		floating.Fixed = netip.Addr{}
	}
	more, refusal := neutron.FloatingSteps(*floating, v.floats(&after, floating))
	at.Refusal = first(at.Refusal, refusal)
	for _, s := range more {
		at.Steps = append(at.Steps, s.String())
	}
}

// foreseeGroups tells the steps of security groups, as they are when all load balancers
// that go are gone.
func foreseeGroups(ctx context.Context, c *Clients, v *view, units []*unit) ([]string, error) {
	security := neutron.NewSecurity(c.Network)
	security.Project = c.Project
	if err := security.Look(ctx, groupNames(v.in)...); err != nil {
		return nil, err
	}
	for _, u := range units {
		u.leaving = nil
	}
	var out []string
	for _, s := range security.Steps(groups(v.in.Cluster, v.openings(units), security.Has), v.Ports) {
		out = append(out, s.String())
	}
	return out, nil
}

// groupNames are the names of all security groups that may be this cluster's.
func groupNames(in *Input) []string {
	names := []string{neutron.ClusterGroupName(in.Cluster.UID)}
	for i := range in.Requests {
		// While somebody else keeps the groups of a Service that stays, they are none of ours.
		if r := &in.Requests[i]; r.Options.SecurityGroups || !r.Wanted {
			names = append(names, occm.SecurityGroupName(r.Service.UID, r.Service.Namespace, r.Service.Name))
		}
	}
	return names
}
