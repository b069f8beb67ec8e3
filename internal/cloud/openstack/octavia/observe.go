package octavia

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
)

// pollFields are what a poll reads of each load balancer: what has changed shows in
// updated_at, since every change of anything below a load balancer locks and unlocks
// it.
var pollFields = []string{"id", "name", "description", "tags", "provider", "flavor_id", "availability_zone", "provisioning_status",
	"vip_address", "vip_port_id", "vip_subnet_id", "vip_network_id", "additional_vips", "created_at", "updated_at"}

// list reads the load balancers with a tag, or all of the project where tag is empty,
// without what is below them. It is one call for as many as fit into the server's
// page.
func list(ctx context.Context, c *gophercloud.ServiceClient, tag, project string) ([]LoadBalancer, error) {
	query := url.Values{"fields": pollFields}
	if tag != "" {
		query.Set("tags", tag)
	}
	if project != "" {
		query.Set("project_id", project)
	}
	var out []LoadBalancer
	err := pages(ctx, c, c.ServiceURL("lbaas", "loadbalancers")+"?"+query.Encode(), "loadbalancers", func(l *wireLoadBalancer) {
		out = append(out, l.value())
	})
	if err != nil {
		return nil, fmt.Errorf("list load balancers: %w", err)
	}
	return out, nil
}

// look reads one load balancer with all below it: a call for the load balancer, two
// for listeners and pools, and one or two for each pool. A load balancer that does not exist
// is gophercloud's 404.
func look(ctx context.Context, c *gophercloud.ServiceClient, id string) (LoadBalancer, error) {
	var reply struct {
		LoadBalancer wireLoadBalancer `json:"loadbalancer"`
	}
	if err := send(ctx, c, http.MethodGet, []string{"lbaas", "loadbalancers", id}, nil, &reply); err != nil {
		return LoadBalancer{}, fmt.Errorf("read load balancer %s: %w", id, err)
	}
	out := reply.LoadBalancer.value()
	// Lists may be behind: they must have all that the load balancer itself names.
	named := make(map[string]bool)
	for _, l := range out.Listeners {
		named[l.ID] = true
	}
	for _, p := range out.Pools {
		named[p.ID] = true
	}
	out.Listeners, out.Pools = nil, nil
	of := "?" + url.Values{"loadbalancer_id": {id}}.Encode()
	err := pages(ctx, c, c.ServiceURL("lbaas", "listeners")+of, "listeners", func(l *wireListener) {
		out.Listeners = append(out.Listeners, l.value(out.families()))
		delete(named, l.ID)
	})
	if err != nil {
		return LoadBalancer{}, below("read the listeners of load balancer %s", id, err)
	}
	monitored := make(map[string]bool)
	err = pages(ctx, c, c.ServiceURL("lbaas", "pools")+of, "pools", func(p *wirePool) {
		out.Pools = append(out.Pools, p.value())
		monitored[p.ID] = p.MonitorID != ""
		delete(named, p.ID)
		for _, m := range p.Members {
			named[m.ID] = true
		}
	})
	if err != nil {
		return LoadBalancer{}, below("read the pools of load balancer %s", id, err)
	}
	for i := range out.Pools {
		p := &out.Pools[i]
		p.Members = nil
		err := pages(ctx, c, c.ServiceURL("lbaas", "pools", p.ID, "members"), "members", func(m *wireMember) {
			p.Members = append(p.Members, m.value())
			delete(named, m.ID)
		})
		if err != nil {
			return LoadBalancer{}, below("read the members of pool %s", p.ID, err)
		}
		if !monitored[p.ID] {
			continue
		}
		err = pages(ctx, c, c.ServiceURL("lbaas", "healthmonitors")+"?"+url.Values{"pool_id": {p.ID}}.Encode(), "healthmonitors", func(m *wireMonitor) {
			monitor := m.value()
			p.Monitor = &monitor
		})
		if err != nil {
			return LoadBalancer{}, below("read the monitor of pool %s", p.ID, err)
		}
	}
	out.Known = len(named) == 0 && !slices.ContainsFunc(out.Pools, func(p Pool) bool { return monitored[p.ID] && p.Monitor == nil })
	return out, nil
}

// below is an error of what is below a load balancer. That a pool is gone by the time
// its members are read says nothing of the load balancer: it must not look like 404.
func below(doing, id string, err error) error {
	doing = fmt.Sprintf(doing, id)
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return fmt.Errorf("%s: it changed while it was read: %s", doing, access.Classify(err).Message)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// statuses reads how all below a load balancer fared, in one call. After a create
// Octavia may call the load balancer ACTIVE with a listener in ERROR.
func statuses(ctx context.Context, c *gophercloud.ServiceClient, id string) (map[string]Status, error) {
	type pool struct {
		ID      string       `json:"id"`
		Status  Status       `json:"provisioning_status"`
		Members []wireMember `json:"members"`
		Monitor *wireMonitor `json:"health_monitor"`
	}
	var reply struct {
		Statuses struct {
			LoadBalancer struct {
				Listeners []struct {
					ID     string `json:"id"`
					Status Status `json:"provisioning_status"`
					Pools  []pool `json:"pools"`
				} `json:"listeners"`
				Pools []pool `json:"pools"`
			} `json:"loadbalancer"`
		} `json:"statuses"`
	}
	if err := send(ctx, c, http.MethodGet, []string{"lbaas", "loadbalancers", id, "status"}, nil, &reply); err != nil {
		return nil, fmt.Errorf("read the states of load balancer %s: %w", id, err)
	}
	out := make(map[string]Status)
	top := reply.Statuses.LoadBalancer
	pools := top.Pools
	for _, l := range top.Listeners {
		out[l.ID] = l.Status
		pools = append(pools, l.Pools...)
	}
	for _, p := range pools {
		out[p.ID] = p.Status
		for _, m := range p.Members {
			out[m.ID] = m.Status
		}
		if p.Monitor != nil {
			out[p.Monitor.ID] = p.Monitor.Status
		}
	}
	return out, nil
}

// fared notes the states that were read of what is below a load balancer.
func (l *LoadBalancer) fared(states map[string]Status) {
	for i := range l.Listeners {
		l.Listeners[i].Status = states[l.Listeners[i].ID]
	}
	for i := range l.Pools {
		p := &l.Pools[i]
		p.Status = states[p.ID]
		for j := range p.Members {
			p.Members[j].Status = states[p.Members[j].ID]
		}
		if p.Monitor != nil {
			p.Monitor.Status = states[p.Monitor.ID]
		}
	}
}

// apiMinor reads N of the newest API version v2.N.
func apiMinor(ctx context.Context, c *gophercloud.ServiceClient) (int, error) {
	root := strings.TrimSuffix(c.ResourceBaseURL(), "/")
	for _, version := range []string{"/v2.0", "/v2"} {
		root = strings.TrimSuffix(root, version)
	}
	var reply struct {
		Versions []struct {
			ID string `json:"id"`
		} `json:"versions"`
	}
	opts := &gophercloud.RequestOpts{JSONResponse: &reply, OkCodes: []int{http.StatusOK, http.StatusMultipleChoices}}
	if _, err := c.Request(ctx, http.MethodGet, root+"/", opts); err != nil { //nolint:bodyclose // gophercloud has read and closed it
		return 0, fmt.Errorf("read the versions of the load balancer API: %w", err)
	}
	newest := 0
	for _, v := range reply.Versions {
		if n, err := strconv.Atoi(strings.TrimPrefix(v.ID, "v2.")); err == nil {
			newest = max(newest, n)
		}
	}
	return newest, nil
}

// pages reads a list to its end. Of the links that OpenStack gives to the next page only
// the marker counts: Octavia's leave the filters out (api/common/pagination.py,
// _make_links), and behind a proxy hosts and schemes in them are often wrong.
func pages[T any](ctx context.Context, c *gophercloud.ServiceClient, address, name string, take func(*T)) error {
	for {
		var reply map[string]json.RawMessage
		opts := &gophercloud.RequestOpts{JSONResponse: &reply, OkCodes: []int{http.StatusOK}}
		if _, err := c.Request(ctx, http.MethodGet, address, opts); err != nil { //nolint:bodyclose // gophercloud has read and closed it
			return err
		}
		var items []T
		if err := json.Unmarshal(reply[name], &items); err != nil {
			return fmt.Errorf("a list without %q: %w", name, err)
		}
		for i := range items {
			take(&items[i])
		}
		var links []gophercloud.Link
		if raw, ok := reply[name+"_links"]; ok {
			if err := json.Unmarshal(raw, &links); err != nil {
				return fmt.Errorf("the links of a list of %s: %w", name, err)
			}
		}
		i := slices.IndexFunc(links, func(l gophercloud.Link) bool { return l.Rel == "next" })
		if i < 0 || len(items) == 0 {
			return nil
		}
		next, err := following(address, links[i].Href)
		if err != nil {
			return fmt.Errorf("the links of a list of %s: %w", name, err)
		}
		if next == address {
			return nil
		}
		address = next
	}
}

// following is the address of the page after another one.
func following(address, link string) (string, error) {
	here, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	there, err := url.Parse(link)
	if err != nil {
		return "", err
	}
	query, next := here.Query(), there.Query()
	for _, key := range []string{"marker", "limit"} {
		if value := next.Get(key); value != "" {
			query.Set(key, value)
		}
	}
	here.RawQuery = query.Encode()
	return here.String(), nil
}
