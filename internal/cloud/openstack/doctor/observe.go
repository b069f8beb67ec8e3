package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// atOnce is how many questions are on their way at a time.
const atOnce = 6

// Observe reads what Judge needs of a cloud. It makes no call that changes anything.
// What cannot be read is told in its answer; there is no other error.
func Observe(ctx context.Context, c *access.Cloud, f *Facts) *Cloud {
	o := observer{Cloud: c, asked: f.All()}
	out := &Cloud{Name: c.String(), Network: c.Network.Endpoint, LoadBalancer: c.LoadBalancer.Endpoint, Roles: rolesOf(c)}
	var g errgroup.Group
	g.SetLimit(atOnce)
	ask(ctx, &g, &out.Version, c.APIVersion)
	ask(ctx, &g, &out.Extensions, c.Extensions)
	ask(ctx, &g, &out.Providers, o.providers)
	ask(ctx, &g, &out.Balancers, func(ctx context.Context) (int, error) {
		all, err := listed[struct{}](ctx, c.LoadBalancer, "lbaas/loadbalancers", "loadbalancers", o.ours("fields", "id"))
		return len(all), err
	})
	ask(ctx, &g, &out.BalancerQuota, o.balancerQuota)
	ask(ctx, &g, &out.NetworkQuota, o.networkQuota)
	ask(ctx, &g, &out.External, func(ctx context.Context) ([]neutron.Network, error) { return neutron.ExternalNetworks(ctx, c.Network) })
	ask(ctx, &g, &out.Subnets, func(ctx context.Context) ([]neutron.Subnet, error) { return neutron.Subnets(ctx, c.Network) })
	ask(ctx, &g, &out.Routers, o.routers)
	if names := o.named(func(u *lb.CloudOptions) string { return u.Flavor }); len(names) > 0 {
		ask(ctx, &g, &out.Flavors, func(ctx context.Context) (map[string]bool, error) { return o.enabled(ctx, "flavors", "flavors", "id") })
	}
	if names := o.named(func(u *lb.CloudOptions) string { return u.AvailabilityZone }); len(names) > 0 {
		ask(ctx, &g, &out.Zones, func(ctx context.Context) (map[string]bool, error) {
			return o.enabled(ctx, "availabilityzones", "availability_zones", "name")
		})
	}
	if ids := o.named(func(u *lb.CloudOptions) string { return u.Network }); len(ids) > 0 {
		ask(ctx, &g, &out.Networks, func(ctx context.Context) ([]string, error) { return o.there(ctx, "networks", ids) })
	}
	if ids := o.named(func(u *lb.CloudOptions) string { return u.Port }); len(ids) > 0 {
		ask(ctx, &g, &out.Ports, func(ctx context.Context) ([]string, error) { return o.there(ctx, "ports", ids) })
	}
	g.Go(func() error {
		ask(ctx, nil, &out.NodePorts, func(ctx context.Context) (map[string]neutron.Port, error) {
			return neutron.NodePorts(ctx, c.Network, f.Cluster.Nodes)
		})
		ask(ctx, nil, &out.Groups, func(ctx context.Context) ([]Group, error) { return o.groups(ctx, out.NodePorts.Value) })
		return nil
	})
	_ = g.Wait() // none of them returns an error
	return out
}

// ask keeps an answer, or the failure in its place: at once, or by a group.
func ask[T any](ctx context.Context, g *errgroup.Group, into *Answer[T], question func(context.Context) (T, error)) {
	one := func() error {
		value, err := question(ctx)
		if err != nil {
			*into = Answer[T]{Err: access.Classify(err)}
			return nil
		}
		*into = Answer[T]{Value: value}
		return nil
	}
	if g == nil {
		_ = one() // keeps its error in the answer
		return
	}
	g.Go(one)
}

type observer struct {
	*access.Cloud
	asked []Use
}

// named are the values of an option, each once.
func (o *observer) named(of func(*lb.CloudOptions) string) []string {
	var out []string
	for i := range o.asked {
		if v := of(&o.asked[i].Options); v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// ours are the filters of a list, narrowed to the project: an administrator would see
// everybody's.
func (o *observer) ours(pairs ...string) url.Values {
	q := url.Values{"project_id": {o.ProjectID}}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return q
}

// rolesOf are the user's roles in the project, as the token tells them: that is no
// call.
func rolesOf(c *access.Cloud) []string {
	token, ok := c.Network.GetAuthResult().(interface {
		ExtractRoles() ([]tokens.Role, error)
	})
	if !ok {
		return nil
	}
	roles, err := token.ExtractRoles()
	if err != nil {
		return nil
	}
	var out []string
	for _, r := range roles {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return out
}

func (o *observer) providers(ctx context.Context) ([]string, error) {
	all, err := listed[struct {
		Name string `json:"name"`
	}](ctx, o.LoadBalancer, "lbaas/providers", "providers", nil)
	var out []string
	for _, p := range all {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out, err
}

// enabled reads a list of what is there, and whether it may be used.
func (o *observer) enabled(ctx context.Context, path, key, name string) (map[string]bool, error) {
	all, err := listed[map[string]any](ctx, o.LoadBalancer, "lbaas/"+path, key, nil)
	out := make(map[string]bool, len(all))
	for _, thing := range all {
		if id, is := thing[name].(string); is {
			out[id] = thing["enabled"] != false
		}
	}
	return out, err
}

// there are those of the ids that exist.
func (o *observer) there(ctx context.Context, collection string, ids []string) ([]string, error) {
	all, err := listed[struct {
		ID string `json:"id"`
	}](ctx, o.Network, collection, collection, url.Values{"id": ids, "fields": {"id"}})
	var out []string
	for _, x := range all {
		out = append(out, x.ID)
	}
	return out, err
}

// get reads one object.
func get(ctx context.Context, c *gophercloud.ServiceClient, path string, into any) error {
	_, err := c.Get(ctx, c.ServiceURL(path), into, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}}) //nolint:bodyclose // gophercloud reads and closes it
	return err
}

// listed reads a collection to its end.
func listed[T any](ctx context.Context, c *gophercloud.ServiceClient, path, key string, filters url.Values) ([]T, error) {
	var out []T
	for query := filters.Encode(); ; {
		at := path
		if query != "" {
			at += "?" + query
		}
		var page map[string]json.RawMessage
		if err := get(ctx, c, at, &page); err != nil {
			return nil, err
		}
		var some []T
		if err := json.Unmarshal(page[key], &some); err != nil {
			return nil, fmt.Errorf("the answer has no list of %s", key)
		}
		out = append(out, some...)
		next := follow(page[key+"_links"])
		if next == "" || next == query || len(some) == 0 {
			return out, nil
		}
		query = next
	}
}

// follow is the query of the link to the next page: behind a proxy, the host in it is
// often wrong.
func follow(links json.RawMessage) string {
	var all []gophercloud.Link
	if len(links) == 0 || json.Unmarshal(links, &all) != nil {
		return ""
	}
	for _, l := range all {
		if u, err := url.Parse(l.Href); l.Rel == "next" && err == nil {
			return u.RawQuery
		}
	}
	return ""
}
