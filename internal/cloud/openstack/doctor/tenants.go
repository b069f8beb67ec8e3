package doctor

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
	"fairlead.dev/fairlead/internal/compat/occm"
)

// Tenant is a Kubernetes cluster that has something in a project.
type Tenant struct {
	// UID of its Namespace kube-system; empty for what OCCM made, which knows the
	// cluster's name only.
	UID string
	// Name is empty where nothing tells it. Several clusters may have the same.
	Name string

	LoadBalancers, FloatingIPs, SecurityGroups int
}

// Tenants finds the clusters that have something in a project, by UID, and those that
// only a name is known of, by name.
func Tenants(ctx context.Context, c *access.Cloud) ([]Tenant, error) {
	o := observer{Cloud: c}
	found := tenants{}
	balancers, err := listed[struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Tags        []string `json:"tags"`
	}](ctx, c.LoadBalancer, "lbaas/loadbalancers", "loadbalancers", o.ours("fields", "name", "fields", "description", "fields", "tags"))
	if err != nil {
		return nil, access.Classify(err)
	}
	for _, l := range balancers {
		found.balancer(l.Name, l.Description, l.Tags)
	}
	floating, err := neutron.FloatingIPs(ctx, c.Network, neutron.FloatingQuery{Project: c.ProjectID})
	if err != nil {
		return nil, access.Classify(err)
	}
	for _, f := range floating {
		if told, ok := occm.ParseFloatingIP(f.Description); ok {
			found.at(told.ClusterUID, told.Cluster).FloatingIPs++
		}
	}
	groups, err := listed[struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}](ctx, c.Network, "security-groups", "security_groups", url.Values{"project_id": {c.ProjectID}, "fields": {"name", "description"}})
	if err != nil {
		return nil, access.Classify(err)
	}
	for _, g := range groups {
		found.group(g.Name, g.Description)
	}
	return found.sorted(), nil
}

// tenants by UID, or by name where there is none.
type tenants map[[2]string]*Tenant

func (t tenants) at(uid, name string) *Tenant {
	key := [2]string{uid, name}
	if uid != "" {
		key[1] = "" // the UID tells enough
	}
	if t[key] == nil {
		t[key] = &Tenant{UID: uid}
	}
	t[key].Name = cmp.Or(t[key].Name, name)
	return t[key]
}

func (t tenants) balancer(name, description string, tags []string) {
	_, cluster, told := strings.Cut(description, " from cluster ")
	signed := false
	for _, tag := range tags {
		if uid, is := strings.CutPrefix(tag, octavia.ClusterTag("")); is {
			t.at(uid, cluster).LoadBalancers++
			signed = true
		}
	}
	if !signed && told && strings.HasPrefix(name, occm.LoadBalancerPrefix) {
		t.at("", cluster).LoadBalancers++
	}
}

func (t tenants) group(name, description string) {
	_, cluster, told := strings.Cut(description, " Service LoadBalancer in cluster ")
	uid, ours := strings.CutPrefix(name, neutron.ClusterGroupName(""))
	switch {
	case ours:
		t.at(uid, cluster).SecurityGroups++
	case told && strings.HasPrefix(name, "lb-sg-"):
		// One that OCCM made, and that a cluster with this name and a UID may have taken
		// over: the group does not tell.
		for _, tenant := range t {
			if tenant.Name == cluster && tenant.UID != "" {
				return
			}
		}
		t.at("", cluster).SecurityGroups++
	}
}

func (t tenants) sorted() []Tenant {
	var out []Tenant
	for tenant := range maps.Values(t) {
		out = append(out, *tenant)
	}
	slices.SortFunc(out, func(x, y Tenant) int {
		// Those without a UID come last.
		return cmp.Or(cmp.Compare(len(y.UID), len(x.UID)), cmp.Compare(x.UID, y.UID), cmp.Compare(x.Name, y.Name))
	})
	return out
}
