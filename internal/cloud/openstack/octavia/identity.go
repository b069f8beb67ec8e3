package octavia

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// Tags that tell whose a load balancer is. A cluster's name need not be unique; its
// kube-system UID is. OCCM's own tag, the would-be name of each Service, is kept
// beside them.
const (
	clusterTagPrefix = "kube_cluster_id_"
	serviceTagPrefix = "fairlead_service_"
	// A dual-stack Service whose provider takes one family a load balancer has a
	// second one for its second family.
	secondTagPrefix = "fairlead_service2_"
	secondSuffix    = "_ipv6"
)

// ClusterTag is on everything of a cluster that can carry a tag.
func ClusterTag(uid string) string { return clusterTagPrefix + uid }

// half is the part of a Service that one load balancer serves: all of it, or one
// family of two.
type half struct {
	*Request
	cluster  Cluster
	families []lb.Family
	second   bool
	// surplus: the Service stays, but does not need this half any more.
	surplus bool
	opens   *[]neutron.Rule
}

// name is what OCCM would call the load balancer if it were this half's own.
func (h *half) name() string {
	name := occm.LoadBalancerName(h.cluster.Name, h.Service.Namespace, h.Service.Name)
	if h.second {
		return occm.Cut(name, 250) + secondSuffix
	}
	return name
}

func (h *half) tag() string {
	if h.second {
		return secondTagPrefix + h.Service.UID
	}
	return serviceTagPrefix + h.Service.UID
}

// unit is one load balancer with the Services that it serves, and what to do with it.
type unit struct {
	key     string  // the tag of the half that it began with, or "lb " and an id
	halves  []*half // wanted; the owner first, then by age
	leaving []*half
	have    *LoadBalancer
	// surplus are more load balancers of the same Service, made by a request whose
	// answer was lost.
	surplus []*LoadBalancer
	// sought is an id that was asked for and not found.
	sought string
	want   *want // once it was decided
}

// units finds the load balancer of every half: by our tag, by the id that the
// Service names, by OCCM's name where there is evidence that it is this cluster's, by
// the address that it shares, or none yet.
func (v *view) units() []*unit {
	var out []*unit
	byID := make(map[string]*unit)
	at := func(have *LoadBalancer, key string) *unit {
		if have != nil {
			if u := byID[have.ID]; u != nil {
				return u
			}
		}
		u := &unit{key: key, have: have}
		if have != nil {
			byID[have.ID] = u
		}
		out = append(out, u)
		return u
	}
	var homeless []*half
	for i := range v.in.Requests {
		for _, h := range v.halves(&v.in.Requests[i]) {
			mine := v.tagged(h)
			switch {
			case len(mine) == 0 && h.Wanted && !h.Service.Finalized:
				// Nothing may be made for it, and what is there is not ours to take yet.
			case len(mine) > 0:
				u := at(mine[0], h.tag())
				u.join(h)
				u.surplus = append(u.surplus, mine[1:]...)
			default:
				if l := v.named(h); l != nil {
					at(l, h.tag()).join(h)
				} else {
					homeless = append(homeless, h)
				}
			}
		}
	}
	for _, h := range homeless {
		if u := sharesWith(h, out); u != nil {
			u.join(h)
			continue
		}
		if u := sharedWith(h, out); u != nil {
			u.join(h)
			continue
		}
		u := at(nil, h.tag())
		u.sought = h.Options.LoadBalancerID
		u.join(h)
	}
	for _, u := range out {
		slices.SortFunc(u.halves, func(x, y *half) int {
			return cmp.Or(cmp.Compare(u.rank(x), u.rank(y)), x.Service.Created.Compare(y.Service.Created), x.Service.Key.Compare(y.Service.Key))
		})
	}
	slices.SortFunc(out, func(x, y *unit) int { return cmp.Compare(x.key, y.key) })
	return out
}

func (u *unit) join(h *half) {
	if h.Wanted && !h.surplus {
		u.halves = append(u.halves, h)
	} else {
		u.leaving = append(u.leaving, h)
	}
}

// rank puts the Service that the load balancer was made for first.
func (u *unit) rank(h *half) int {
	if u.have != nil && u.have.madeFor(h) || u.have == nil && u.key == h.tag() {
		return 0
	}
	return 1
}

// tagged are the load balancers with the half's tag, the one to keep first: the one
// that the Service names, the one whose address it shows, the oldest.
func (v *view) tagged(h *half) []*LoadBalancer {
	out := slices.Clone(v.byTag[h.tag()])
	if len(out) < 2 {
		return out
	}
	score := func(l *LoadBalancer) int {
		switch {
		case l.Status == PendingDelete:
			return 3
		case l.ID == h.Options.LoadBalancerID:
			return 0
		case v.shows(l, h):
			return 1
		}
		return 2
	}
	slices.SortFunc(out, func(x, y *LoadBalancer) int {
		return cmp.Or(cmp.Compare(score(x), score(y)), x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// shows tells whether the Service's status has an address of the load balancer.
func (v *view) shows(l *LoadBalancer, h *half) bool {
	return slices.ContainsFunc(h.Service.Held, func(a netip.Addr) bool {
		return a == l.VIP.Address || v.leadsTo(a, l.VIP.Port)
	})
}

// named finds a load balancer that does not carry our tag yet: the one that the
// Service names by id, or one with OCCM's name for it. A name alone proves nothing,
// since every cluster called "kubernetes" has the same ones: it counts when the
// Service shows the load balancer's address, or the members are our nodes.
func (v *view) named(h *half) *LoadBalancer {
	if h.second {
		return nil
	}
	if l := v.byID[h.Options.LoadBalancerID]; l != nil {
		return l
	}
	for _, l := range v.candidates(h) {
		if l.Name == occm.LegacyName(h.Service.UID) || v.shows(l, h) || l.serves(v.in.Nodes) {
			return l
		}
	}
	return nil
}

// candidates are load balancers with OCCM's name for the half that no cluster has
// signed.
func (v *view) candidates(h *half) []*LoadBalancer {
	if h.second {
		return nil
	}
	var out []*LoadBalancer
	for _, l := range slices.Concat(v.byName[h.name()], v.byName[occm.LegacyName(h.Service.UID)]) {
		if !slices.ContainsFunc(l.Tags, func(t string) bool { return strings.HasPrefix(t, clusterTagPrefix) }) {
			out = append(out, l)
		}
	}
	return out
}

// madeFor tells whether a load balancer was made for a half of a Service, also under an
// earlier name of the cluster.
func (l *LoadBalancer) madeFor(h *half) bool {
	return l.Name == h.name() || !h.second && l.Name == occm.LegacyName(h.Service.UID) || l.tagged(h.tag()) && strings.HasPrefix(l.Name, occm.LoadBalancerPrefix) &&
		strings.HasSuffix(strings.TrimSuffix(l.Name, secondSuffix), "_"+h.Service.Namespace+"_"+h.Service.Name) && strings.HasSuffix(l.Name, secondSuffix) == h.second
}

// serves tells whether the members are nodes of ours.
func (l *LoadBalancer) serves(nodes []lb.Node) bool {
	ours, others := 0, 0
	for _, p := range l.Pools {
		for _, m := range p.Members {
			if slices.ContainsFunc(nodes, func(n lb.Node) bool {
				return slices.Contains(n.Addresses, m.Address) && (m.Name == "" || strings.Contains(m.Name, n.Name))
			}) {
				ours++
			} else {
				others++
			}
		}
	}
	return ours > others
}

// owned tells whether the load balancer was made for a Service, by us or by OCCM: only
// then may it be deleted. One that a user made and shares is theirs.
func (l *LoadBalancer) owned() bool {
	return strings.HasPrefix(l.Name, occm.LoadBalancerPrefix) || slices.ContainsFunc(l.Tags, func(t string) bool {
		return (strings.HasPrefix(t, serviceTagPrefix) || strings.HasPrefix(t, secondTagPrefix)) && occm.IsLegacyName(l.Name)
	})
}

// sharesWith finds the load balancer of another Service whose address is asked for,
// with the same sharing key: the rule that pools follow.
func sharesWith(h *half, units []*unit) *unit {
	key := h.Service.Request.SharingKey
	if key == "" || len(h.Service.Request.Addresses) == 0 || !h.Wanted || h.second {
		return nil
	}
	for _, u := range units {
		for _, other := range u.halves {
			if other.Service.Request.SharingKey != key || other.Service.Key == h.Service.Key {
				continue
			}
			for _, a := range h.Service.Request.Addresses {
				if slices.Contains(other.Service.Held, a) || slices.Contains(other.Service.Request.Addresses, a) {
					return u
				}
			}
		}
	}
	return nil
}

// sharedWith finds a Service that was on the same load balancer, which is lost: both
// name it, and show the same address. They stay together, since both keep the address.
func sharedWith(h *half, units []*unit) *unit {
	if h.Options.LoadBalancerID == "" || !h.Wanted || h.second {
		return nil
	}
	for _, u := range units {
		if u.have != nil || u.sought != h.Options.LoadBalancerID {
			continue
		}
		for _, other := range u.halves {
			if slices.ContainsFunc(h.Service.Held, func(a netip.Addr) bool { return slices.Contains(other.Service.Held, a) }) {
				return u
			}
		}
	}
	return nil
}

// halves splits a Service where one load balancer cannot serve both its families.
// What exists decides: a Service is never split or joined later, since that would
// change an address.
func (v *view) halves(r *Request) []*half {
	whole := &half{Request: r, cluster: v.in.Cluster, families: r.Service.Families}
	first, second := *whole, *whole
	second.second = true
	has2 := len(v.tagged(&second)) > 0
	if !r.Wanted {
		if has2 {
			return []*half{whole, &second}
		}
		return []*half{whole}
	}
	if len(r.Service.Families) < 2 && has2 {
		second.surplus = true // it was dual-stack
		return []*half{whole, &second}
	}
	if len(r.Service.Families) < 2 {
		return []*half{whole}
	}
	first.families, second.families = r.Service.Families[:1], r.Service.Families[1:]
	if has2 {
		return []*half{&first, &second}
	}
	split := v.additional(r) == "" || len(r.Options.SourceRanges) > 0
	if mine := v.tagged(whole); len(mine) > 0 {
		split = len(mine[0].Additional) == 0
	} else if l := v.named(whole); l != nil {
		split = len(l.Additional) == 0
	}
	if split {
		return []*half{&first, &second}
	}
	return []*half{whole}
}

// additional is the subnet for a second VIP, empty where there cannot be one.
func (v *view) additional(r *Request) string {
	if !abilityOf(r.Options.Provider).additional || v.Features.Minor < minorAdditionalVIPs || r.Options.Port != "" || len(r.Service.Families) < 2 {
		return ""
	}
	_, network := v.place(r, r.Service.Families[0])
	return v.subnetIn(network, r.Service.Families[1])
}

// place is the subnet, or at least the network, of a VIP.
func (v *view) place(r *Request, family lb.Family) (subnet, network string) {
	if id := r.Options.Subnet; id != "" {
		n, known := v.subnet(id)
		if !known || lb.FamilyOf(n.CIDR.Addr()) == family {
			return id, n.NetworkID
		}
		return v.subnetIn(n.NetworkID, family), n.NetworkID
	}
	if id := r.Options.Network; id != "" {
		return v.subnetIn(id, family), id
	}
	at := v.nodeSubnets[family]
	return at.subnet, at.network
}
