package doctor

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
)

// balancerQuota reads Octavia's limits, and counts what they are about: Octavia does
// not tell how much is used.
func (o *observer) balancerQuota(ctx context.Context) (map[string]Quota, error) {
	var answer struct {
		Quota map[string]json.RawMessage `json:"quota"`
	}
	if err := get(ctx, o.LoadBalancer, "lbaas/quotas/"+url.PathEscape(o.ProjectID), &answer); err != nil {
		return nil, err
	}
	out := make(map[string]Quota)
	limited := false
	for _, r := range resources {
		raw, told := answer.Quota[r.name]
		if !told {
			// load_balancer and health_monitor are the names of before Rocky.
			raw, told = answer.Quota[strings.ReplaceAll(r.name, "_", "")]
		}
		limit := -1 // where it is null
		if !r.octavia || !told || json.Unmarshal(raw, &limit) != nil {
			continue
		}
		out[r.name] = Quota{Limit: limit, Used: -1}
		limited = limited || limit >= 0
	}
	if !limited {
		return out, nil
	}
	used, err := o.used(ctx)
	for name, q := range out {
		q.Used = used[name]
		out[name] = q
	}
	return out, err
}

// used counts the project's objects of Octavia.
func (o *observer) used(ctx context.Context) (map[string]int, error) {
	used := make(map[string]int)
	balancers, err := listed[struct{}](ctx, o.LoadBalancer, "lbaas/loadbalancers", "loadbalancers", o.ours("fields", "id"))
	if err != nil {
		return nil, err
	}
	listeners, err := listed[struct{}](ctx, o.LoadBalancer, "lbaas/listeners", "listeners", o.ours("fields", "id"))
	if err != nil {
		return nil, err
	}
	pools, err := listed[struct {
		Members []struct{} `json:"members"`
		Monitor string     `json:"healthmonitor_id"`
	}](ctx, o.LoadBalancer, "lbaas/pools", "pools", o.ours())
	if err != nil {
		return nil, err
	}
	used["load_balancer"], used["listener"], used["pool"] = len(balancers), len(listeners), len(pools)
	for _, p := range pools {
		used["member"] += len(p.Members)
		if p.Monitor != "" {
			used["health_monitor"]++
		}
	}
	return used, nil
}

// networkQuota reads Neutron's limits and what is used of them; without the extension
// quota_details, the limits alone.
func (o *observer) networkQuota(ctx context.Context) (map[string]Quota, error) {
	project := "quotas/" + url.PathEscape(o.ProjectID)
	var detailed struct {
		Quota map[string]struct {
			Limit    int `json:"limit"`
			Used     int `json:"used"`
			Reserved int `json:"reserved"`
		} `json:"quota"`
	}
	out := make(map[string]Quota)
	err := get(ctx, o.Network, project+"/details.json", &detailed)
	if err == nil {
		for name, q := range detailed.Quota {
			out[name] = Quota{Limit: q.Limit, Used: q.Used + q.Reserved}
		}
		return out, nil
	}
	if failure := access.Classify(err); failure.Kind != access.NotFound && failure.Kind != access.Denied {
		return nil, failure
	}
	var plain struct {
		Quota map[string]int `json:"quota"`
	}
	if err := get(ctx, o.Network, project, &plain); err != nil {
		return nil, err
	}
	for name, limit := range plain.Quota {
		out[name] = Quota{Limit: limit, Used: -1}
	}
	return out, nil
}
