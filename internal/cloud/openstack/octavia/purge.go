package octavia

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
)

// Estate is everything that a project has of one cluster.
type Estate struct {
	ClusterUID, ClusterName string
	// LoadBalancers were made for Services, and go with all below them.
	LoadBalancers []LoadBalancer
	// Visited are load balancers that others made, with listeners, pools and tags of the
	// cluster's Services, which go.
	Visited []LoadBalancer
	// FloatingIPs go. Kept ones stay, since somebody asked for that.
	FloatingIPs []neutron.FloatingIP
	Kept        []neutron.FloatingIP
	// Groups are security groups. They are taken off all ports first.
	Groups []neutron.GroupRef
	// Ports are left over from load balancers that are gone.
	Ports []neutron.Port
	// ByName are the ids of those above for which nothing but the cluster's name speaks,
	// which other clusters may have, too.
	ByName []string

	project string
}

// Find reads what a project has of a cluster. What Fairlead made it knows by the UID of
// the namespace kube-system. What OCCM made it knows by the cluster's name only; with an
// empty name that is left out.
func Find(ctx context.Context, c *Clients, clusterUID, clusterName string) (Estate, error) {
	e := Estate{ClusterUID: clusterUID, ClusterName: clusterName, project: c.Project}
	if clusterUID == "" && clusterName == "" {
		return e, fmt.Errorf("purge: neither the cluster's UID nor its name is given")
	}
	all, err := list(ctx, c.LoadBalancer, "", c.Project)
	if err != nil {
		return e, err
	}
	services, err := e.findLoadBalancers(ctx, c, all)
	if err != nil {
		return e, err
	}
	if err := e.findFloating(ctx, c); err != nil {
		return e, err
	}
	if err := e.findGroups(ctx, c, services); err != nil {
		return e, err
	}
	return e, e.findPorts(ctx, c, all)
}

// findLoadBalancers gives the UIDs of the Services that they were made for.
func (e *Estate) findLoadBalancers(ctx context.Context, c *Clients, all []LoadBalancer) (services []string, _ error) {
	for _, l := range all {
		if l.Status == Deleted {
			continue
		}
		signed := slices.ContainsFunc(l.Tags, func(t string) bool { return strings.HasPrefix(t, clusterTagPrefix) })
		switch ours := e.ClusterUID != "" && l.tagged(ClusterTag(e.ClusterUID)); {
		case ours:
			services = append(services, l.services()...)
			if l.owned() && !l.foreign(e.ClusterUID) {
				e.LoadBalancers = append(e.LoadBalancers, l)
				continue
			}
			full, err := look(ctx, c.LoadBalancer, l.ID)
			if err != nil {
				return nil, err
			}
			e.Visited = append(e.Visited, full)
		case !signed && e.named(&l):
			e.LoadBalancers = append(e.LoadBalancers, l)
			e.ByName = append(e.ByName, l.ID)
		}
	}
	return services, nil
}

// services are the UIDs of the Services whose tags a load balancer carries.
func (l *LoadBalancer) services() []string {
	var out []string
	for _, t := range l.Tags {
		for _, prefix := range []string{serviceTagPrefix, secondTagPrefix} {
			if uid, is := strings.CutPrefix(t, prefix); is {
				out = append(out, uid)
			}
		}
	}
	return out
}

// foreign tells whether another cluster uses a load balancer, too.
func (l *LoadBalancer) foreign(uid string) bool {
	return slices.ContainsFunc(l.Tags, func(t string) bool { return strings.HasPrefix(t, clusterTagPrefix) && t != ClusterTag(uid) })
}

// named tells whether OCCM made a load balancer for a cluster of that name. The name of
// a load balancer begins alike for the clusters "a" and "a_b"; the description tells
// them apart.
func (e *Estate) named(l *LoadBalancer) bool {
	if e.ClusterName == "" || !strings.HasPrefix(l.Name, occm.ClusterPrefix(e.ClusterName)) {
		return false
	}
	_, cluster, told := strings.Cut(l.Description, " from cluster ")
	return !told || cluster == e.ClusterName
}

func (e *Estate) findFloating(ctx context.Context, c *Clients) error {
	all, err := neutron.FloatingIPs(ctx, c.Network, neutron.FloatingQuery{Project: c.Project})
	if err != nil {
		return err
	}
	for _, f := range all {
		told, ok := occm.ParseFloatingIP(f.Description)
		byUID := told.ClusterUID != "" && told.ClusterUID == e.ClusterUID
		byName := told.ClusterUID == "" && e.ClusterName != "" && told.Cluster == e.ClusterName
		switch {
		case !ok || !byUID && !byName:
		case told.Kept:
			e.Kept = append(e.Kept, f)
		default:
			e.FloatingIPs = append(e.FloatingIPs, f)
			if byName {
				e.ByName = append(e.ByName, f.ID)
			}
		}
	}
	return nil
}

func (e *Estate) findGroups(ctx context.Context, c *Clients, services []string) error {
	type wire struct{ ID, Name, Description string }
	query := url.Values{"fields": {"id", "name", "description"}}
	if c.Project != "" {
		query.Set("project_id", c.Project)
	}
	err := pages(ctx, c.Network, c.Network.ServiceURL("security-groups")+"?"+query.Encode(), "security_groups", func(g *wire) {
		rest, is := strings.CutPrefix(g.Name, "lb-sg-")
		_, cluster, _ := strings.Cut(g.Description, " Service LoadBalancer in cluster ")
		byUID := e.ClusterUID != "" && (g.Name == neutron.ClusterGroupName(e.ClusterUID) ||
			slices.ContainsFunc(services, func(uid string) bool { return strings.HasPrefix(rest, uid+"-") }))
		byName := e.ClusterName != "" && cluster == e.ClusterName && !strings.HasPrefix(rest, "fairlead-")
		if !is || !byUID && !byName {
			return
		}
		e.Groups = append(e.Groups, neutron.GroupRef{ID: g.ID, Name: g.Name})
		if !byUID {
			e.ByName = append(e.ByName, g.ID)
		}
	})
	if err != nil {
		return fmt.Errorf("list security groups: %w", err)
	}
	slices.SortFunc(e.Groups, func(x, y neutron.GroupRef) int { return cmp.Compare(x.Name, y.Name) })
	return nil
}

// findPorts finds the VIP ports that load balancers left behind: ports that a floating
// IP of the cluster leads to, and whose name says that Octavia made them for a load
// balancer that is gone.
func (e *Estate) findPorts(ctx context.Context, c *Clients, all []LoadBalancer) error {
	var ids []string
	for _, f := range slices.Concat(e.FloatingIPs, e.Kept) {
		if f.PortID != "" {
			ids = append(ids, f.PortID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	ports, err := neutron.PortsByID(ctx, c.Network, ids)
	if err != nil {
		return err
	}
	for _, p := range ports {
		id, is := vipPortOf(p.Name)
		if is && !slices.ContainsFunc(all, func(l LoadBalancer) bool { return l.ID == id }) {
			e.Ports = append(e.Ports, p)
		}
	}
	return nil
}

// vipPortOf tells the load balancer that a port was made for, by what Octavia's
// drivers call it.
func vipPortOf(name string) (loadBalancer string, ok bool) {
	for _, prefix := range []string{"octavia-lb-vip-", "octavia-lb-", "ovn-lb-vip-"} {
		if id, is := strings.CutPrefix(name, prefix); is {
			return id, true
		}
	}
	return "", false
}

// Empty tells whether there is nothing to remove.
func (e Estate) Empty() bool {
	return len(e.LoadBalancers)+len(e.Visited)+len(e.FloatingIPs)+len(e.Groups)+len(e.Ports) == 0
}

// Steps are what Remove will do, in its order.
func (e Estate) Steps() []string {
	var out []string
	add := func(id, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if slices.Contains(e.ByName, id) {
			text += " (known by its name only)"
		}
		out = append(out, text)
	}
	for _, l := range e.Visited {
		for _, s := range e.visited(&l) {
			add(l.ID, "%s", s)
		}
	}
	for _, l := range e.LoadBalancers {
		add(l.ID, "%s", deleteLoadBalancer{ID: l.ID, Name: l.Name, Cascade: true})
	}
	for _, f := range e.FloatingIPs {
		add(f.ID, "%s", neutron.DeleteFloating{ID: f.ID, Address: f.Address})
	}
	for _, p := range e.Ports {
		add(p.ID, "delete port %s (%s)", p.Name, p.ID)
	}
	for _, g := range e.Groups {
		add(g.ID, "take security group %s off all ports and delete it", g)
	}
	return out
}

// visited are the steps that take the cluster's Services off somebody else's load
// balancer.
func (e Estate) visited(l *LoadBalancer) []step {
	w := want{remove: true, cluster: ClusterTag(e.ClusterUID)}
	for _, t := range l.Tags {
		switch {
		case t == w.cluster:
		case l.foreign(e.ClusterUID):
			// Which Services are whose, nobody can tell.
			w.loadBalancer.Tags = append(w.loadBalancer.Tags, t)
		case strings.HasPrefix(t, serviceTagPrefix), strings.HasPrefix(t, secondTagPrefix):
		case strings.HasPrefix(t, occm.LoadBalancerPrefix):
			w.ours = append(w.ours, t)
		default:
			w.loadBalancer.Tags = append(w.loadBalancer.Tags, t)
		}
	}
	return strip(&w, l)
}
