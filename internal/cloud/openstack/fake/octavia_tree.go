package fake

import (
	"fmt"
	"net/http"
)

// showTree is the whole of a load balancer in one answer: names and states.
func (c *Cloud) showTree(r *request) (reply, error) {
	b, err := c.balancerFor(r)
	if err != nil {
		return reply{}, err
	}
	listeners := []any{}
	for _, l := range b.listeners {
		node := l.node()
		pools := []any{}
		if l.pool != nil {
			pools = append(pools, l.pool.tree())
		}
		node["pools"] = pools
		listeners = append(listeners, node)
	}
	tree := b.node()
	// Pools without a listener are not in the tree.
	tree["listeners"] = listeners
	return reply{body: map[string]any{"statuses": map[string]any{"loadbalancer": tree}}}, nil
}

func (e *element) node() map[string]any {
	return map[string]any{"id": e.id, "name": e.name, "provisioning_status": e.provisioning, "operating_status": e.operating}
}

func (p *pool) tree() map[string]any {
	node := p.node()
	members := []any{}
	for _, m := range p.members {
		leaf := m.node()
		leaf["address"], leaf["protocol_port"] = m.address.String(), m.port
		members = append(members, leaf)
	}
	node["members"] = members
	if p.monitor != nil {
		leaf := p.monitor.node()
		leaf["type"] = p.monitor.kind
		node["health_monitor"] = leaf
	}
	return node
}

func (c *Cloud) showStats(r *request) (reply, error) {
	if _, err := c.balancerFor(r); err != nil {
		return reply{}, err
	}
	return reply{body: map[string]any{"stats": map[string]any{
		"active_connections": 0, "bytes_in": 0, "bytes_out": 0, "request_errors": 0, "total_connections": 0}}}, nil
}

func (c *Cloud) listProviders(*request) (reply, error) {
	all := []any{}
	for _, name := range c.options.Providers {
		all = append(all, map[string]any{"name": name, "description": "The " + name + " driver."})
	}
	return reply{body: map[string]any{"providers": all}}, nil
}

type flavor struct{ id, name string }

// flavors: both are of the amphora provider.
func (c *Cloud) flavors() []flavor {
	return []flavor{{c.ids.FlavorSingle, "single"}, {c.ids.FlavorHA, "ha"}}
}

func (c *Cloud) listFlavors(*request) (reply, error) {
	all := []any{}
	for _, f := range c.flavors() {
		all = append(all, map[string]any{"id": f.id, "name": f.name, "description": "", "enabled": true})
	}
	return reply{body: map[string]any{"flavors": all, "flavors_links": []any{}}}, nil
}

const zoneName = "az1"

func (c *Cloud) listZones(*request) (reply, error) {
	zone := map[string]any{"name": zoneName, "description": "", "enabled": true}
	return reply{body: map[string]any{"availability_zones": []any{zone}, "availability_zones_links": []any{}}}, nil
}

// lbQuotas are the resources that Octavia counts.
var lbQuotas = []string{"load_balancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule"}

// lbQuotaMet tells whether count more would be too many.
func (c *Cloud) lbQuotaMet(p *project, resource string, count int) bool {
	limit := limitOf(p, resource)
	return limit >= 0 && c.lbUsage(p)[resource]+count > limit
}

func (c *Cloud) lbUsage(p *project) map[string]int {
	used := map[string]int{}
	for _, b := range c.balancers {
		if b.project != p.id {
			continue
		}
		used["load_balancer"]++
		used["listener"] += len(b.listeners)
		used["pool"] += len(b.pools)
		for _, pool := range b.pools {
			used["member"] += len(pool.members)
			if pool.monitor != nil {
				used["health_monitor"]++
			}
		}
	}
	return used
}

func renderLBQuota(limit func(string) int) reply {
	quota := map[string]any{}
	for _, resource := range lbQuotas {
		quota[resource] = limit(resource)
	}
	// These two are the new names; the old ones are told all the same.
	quota["loadbalancer"], quota["healthmonitor"] = quota["load_balancer"], quota["health_monitor"]
	return reply{body: map[string]any{"quota": quota}}
}

func (c *Cloud) defaultLBQuota(*request) (reply, error) {
	return renderLBQuota(func(string) int { return -1 }), nil
}

func (c *Cloud) showLBQuota(r *request) (reply, error) {
	id := r.PathValue("project")
	if err := r.may(id); err != nil {
		return reply{}, err
	}
	p := c.findProject(id, "")
	if p == nil {
		return c.defaultLBQuota(r)
	}
	return renderLBQuota(func(resource string) int { return limitOf(p, resource) }), nil
}

func (c *Cloud) updateLBQuota(r *request) (reply, error) {
	if !r.token.admin() {
		return reply{}, policyForbidden()
	}
	var in struct{ Quota map[string]*int }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	p := c.findProject(r.PathValue("project"), "")
	if p == nil {
		return reply{}, missing("Project", r.PathValue("project"))
	}
	for resource, limit := range in.Quota {
		if right, ok := map[string]string{"loadbalancer": "load_balancer", "healthmonitor": "health_monitor"}[resource]; ok {
			resource = right
		}
		switch {
		case limit == nil:
			delete(p.quota, resource)
		case *limit < -1:
			return reply{}, invalidInput(resource, fmt.Sprint(*limit), "Value should be greater or equal to -1")
		default:
			p.quota[resource] = *limit
		}
	}
	answer, err := c.showLBQuota(r)
	answer.status = http.StatusAccepted
	return answer, err
}

func (c *Cloud) deleteLBQuota(r *request) (reply, error) {
	if !r.token.admin() {
		return reply{}, policyForbidden()
	}
	if p := c.findProject(r.PathValue("project"), ""); p != nil {
		for _, resource := range lbQuotas {
			delete(p.quota, resource)
		}
	}
	return reply{status: http.StatusNoContent}, nil
}
