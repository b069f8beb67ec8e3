package octavia

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// opening is what one Service needs of the nodes' security groups.
type opening struct {
	service     lb.Key
	group       string // that OCCM would have made for it
	description string
	rules       []neutron.Rule
}

// openings are what all Services need. One that goes keeps what it has until its load
// balancer is gone.
func (v *view) openings(units []*unit) []opening {
	byService := make(map[lb.Key]*opening)
	var all []*opening
	for _, u := range units {
		for _, h := range slices.Concat(u.halves, u.leaving) {
			if !h.Options.SecurityGroups || u.have == nil && (!h.Wanted || h.Problem != nil) {
				continue
			}
			s := &h.Service
			o := byService[s.Key]
			if o == nil {
				o = &opening{service: s.Key, group: occm.SecurityGroupName(s.UID, s.Namespace, s.Name),
					description: occm.SecurityGroupDescription(h.cluster.Name, s.Namespace, s.Name)}
				byService[s.Key] = o
				all = append(all, o)
			}
			o.rules = append(o.rules, v.rules(u, h)...)
		}
	}
	slices.SortFunc(all, func(x, y *opening) int { return x.service.Compare(y.service) })
	out := make([]opening, len(all))
	for i, o := range all {
		o.rules = neutron.MergeRules(o.rules)
		out[i] = *o
	}
	return out
}

func (o opening) equal(p opening) bool {
	return o.service == p.service && o.group == p.group && slices.Equal(o.rules, p.rules)
}

// rules let the load balancer of a half in to its node ports.
func (v *view) rules(u *unit, h *half) []neutron.Rule {
	if h.opens == nil {
		rules := v.open(u, h)
		h.opens = &rules
	}
	return *h.opens
}

func (v *view) open(u *unit, h *half) []neutron.Rule {
	var via []netip.Prefix
	for _, f := range h.families {
		subnet := h.Options.MemberSubnet
		if subnet == "" && u.have != nil && f == h.families[0] {
			subnet = u.have.VIP.Subnet
		}
		if subnet == "" {
			subnet, _ = v.place(h.Request, f)
		}
		if n, ok := v.subnet(subnet); ok {
			via = append(via, n.CIDR)
		}
		// A proxy in another subnet may reach the nodes through their own.
		if own := v.nodeSubnets[f].subnet; own != subnet {
			if n, ok := v.subnet(own); ok {
				via = append(via, n.CIDR)
			}
		}
	}
	return neutron.RulesFor(&h.Service, &h.Options, via, u.ability(&h.Options).keepsClient)
}

// groups are the security groups that should be there: one with the rules of all, and
// OCCM's for the Services that it made one for.
func groups(c Cluster, all []opening, has func(name string) bool) []neutron.GroupWant {
	common := neutron.GroupWant{Name: neutron.ClusterGroupName(c.UID), Description: neutron.ClusterGroupDescription(c.Name)}
	var out []neutron.GroupWant
	for _, o := range all {
		if has(o.group) {
			out = append(out, neutron.GroupWant{Name: o.group, Description: o.description, Rules: o.rules, Adopted: true})
			continue
		}
		common.Rules = append(common.Rules, o.rules...)
	}
	if len(common.Rules) > 0 {
		common.Rules = neutron.MergeRules(common.Rules)
		out = append(out, common)
	}
	return out
}

// secure begins what is to do about the nodes' security groups, all of it at once:
// there is one set of them, and the order of its steps is its safety.
func (r *run) secure(ctx context.Context, v *view, units []*unit, now time.Time, next *deadline) (busy bool) {
	all := v.openings(units)
	if r.securityBusy {
		r.securityCurrent = false
		return true
	}
	names := groupNames(r.input)
	// What OCCM made for a Service is looked for when it is ours to take away.
	if r.groupsRead != nil && slices.ContainsFunc(r.input.Requests, func(q Request) bool {
		return !q.Wanted && !q.Options.SecurityGroups && !r.groupsRead[occm.SecurityGroupName(q.Service.UID, q.Service.Namespace, q.Service.Name)]
	}) {
		r.secured, r.securityFresh = false, true
	}
	same := slices.EqualFunc(all, r.openings, opening.equal) && r.portsKey == r.ports
	if r.securityCurrent = r.secured && same; r.securityCurrent {
		return false
	}
	r.secured = false
	if r.ports != r.nodes {
		return true
	}
	const step = "security groups"
	if same && r.securityFail.waits(step, now, next) {
		return false
	}
	if r.security == nil {
		r.security = neutron.NewSecurity(r.clients.Network)
		r.security.Project = r.clients.Project
	}
	r.securityBusy, r.openings, r.portsKey = true, all, r.ports
	security, ports, cluster, fresh := r.security, r.scene.Ports, r.input.Cluster, r.securityFresh
	r.securityFresh = false
	var open map[neutron.Rule]bool
	looked := false
	r.call(ctx, func(ctx context.Context) (err error) {
		if fresh || security.Stale() {
			if err := security.Look(ctx, names...); err != nil {
				return err
			}
			looked = true
		}
		err = r.close(ctx, security, groups(cluster, all, security.Has), ports)
		open = opened(security.Groups())
		return err
	}, func(err error) {
		r.securityBusy = false
		if open != nil {
			r.open = open
		}
		if looked {
			r.groupsRead = make(map[string]bool, len(names))
			for _, n := range names {
				r.groupsRead[n] = true
			}
		}
		if security.Lost() {
			r.ports = "" // a node's port is gone
		}
		if err != nil {
			r.securityFresh = true
			r.failed(&r.securityFail, step, err)
			return
		}
		r.securityFail.clear()
		r.secured = true
	})
	return true
}

// close takes the steps to the wanted groups. One that fails does not keep back others
// that do not rely on it.
func (r *run) close(ctx context.Context, s *neutron.Security, want []neutron.GroupWant, ports map[string]neutron.Port) error {
	var failed error
	for _, step := range s.Steps(want, ports) {
		if failed != nil && (neutron.Careful(step) || s.Stale()) {
			continue
		}
		r.log.Info("step", "step", step.String())
		err := s.Do(ctx, step)
		r.d.figures.stepped(step, err)
		if err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// opened are the rules that there are.
func opened(groups []neutron.Group) map[neutron.Rule]bool {
	out := make(map[neutron.Rule]bool)
	for _, g := range groups {
		for _, rule := range g.Rules {
			out[bare(rule)] = true
		}
	}
	return out
}

// bare is what a rule lets in.
func bare(r neutron.Rule) neutron.Rule {
	r.ID, r.Description = "", ""
	return r
}

// insecure says why the nodes do not let a Service's load balancer in yet.
func (r *run) insecure(v *view, u *unit, h *half) *lb.Refusal {
	if !h.Options.SecurityGroups {
		return nil
	}
	for _, rule := range v.rules(u, h) {
		if !r.open[bare(rule)] && !r.wider(rule) {
			return first(r.securityFail.refusal, building("the nodes' security groups do not let it in yet"))
		}
	}
	return nil
}

// wider tells whether another rule lets in what a rule would.
func (r *run) wider(rule neutron.Rule) bool {
	for bits := range rule.Remote.Bits() {
		rule.Remote = netip.PrefixFrom(rule.Remote.Addr(), bits).Masked()
		if r.open[bare(rule)] {
			return true
		}
	}
	return false
}

// released tells whether nothing is left in security groups of Services that went.
func (r *run) released(h *half) bool {
	// Where nobody is to keep groups, that they cannot be read holds nothing up.
	return r.securityCurrent || !h.Options.SecurityGroups && r.securityFail.count > 0
}
