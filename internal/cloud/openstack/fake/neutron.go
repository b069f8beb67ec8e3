package fake

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func (c *Cloud) neutronRoutes() map[string]handler {
	routes := map[string]handler{
		"GET /v2.0/{$}":                           c.neutronResources,
		"GET /v2.0/extensions":                    c.listExtensions,
		"GET /v2.0/extensions/{alias}":            c.showExtension,
		"GET /v2.0/networks":                      c.listNetworks,
		"GET /v2.0/networks/{id}":                 c.showNetwork,
		"GET /v2.0/subnets":                       c.listSubnets,
		"GET /v2.0/subnets/{id}":                  c.showSubnet,
		"GET /v2.0/ports":                         c.listPorts,
		"POST /v2.0/ports":                        c.createPort,
		"GET /v2.0/ports/{id}":                    c.showPort,
		"PUT /v2.0/ports/{id}":                    c.updatePort,
		"DELETE /v2.0/ports/{id}":                 c.deletePort,
		"GET /v2.0/floatingips":                   c.listFloatingIPs,
		"POST /v2.0/floatingips":                  c.createFloatingIP,
		"GET /v2.0/floatingips/{id}":              c.showFloatingIP,
		"PUT /v2.0/floatingips/{id}":              c.updateFloatingIP,
		"DELETE /v2.0/floatingips/{id}":           c.deleteFloatingIP,
		"GET /v2.0/security-groups":               c.listGroups,
		"POST /v2.0/security-groups":              c.createGroup,
		"GET /v2.0/security-groups/{id}":          c.showGroup,
		"PUT /v2.0/security-groups/{id}":          c.updateGroup,
		"DELETE /v2.0/security-groups/{id}":       c.deleteGroup,
		"GET /v2.0/security-group-rules":          c.listRules,
		"POST /v2.0/security-group-rules":         c.createRules,
		"GET /v2.0/security-group-rules/{id}":     c.showRule,
		"DELETE /v2.0/security-group-rules/{id}":  c.deleteRule,
		"GET /v2.0/quotas/{project}":              c.showQuota,
		"GET /v2.0/quotas/{project}/details":      c.showQuotaDetails,
		"GET /v2.0/quotas/{project}/details.json": c.showQuotaDetails,
		"PUT /v2.0/quotas/{project}":              c.updateQuota,
		"DELETE /v2.0/quotas/{project}":           c.deleteQuota,
		"GET /v2.0/{resource}/{id}/tags":          c.showTags,
		"PUT /v2.0/{resource}/{id}/tags":          c.replaceTags,
		"DELETE /v2.0/{resource}/{id}/tags":       c.clearTags,
		"GET /v2.0/{resource}/{id}/tags/{tag}":    c.showTag,
		"PUT /v2.0/{resource}/{id}/tags/{tag}":    c.addTag,
		"DELETE /v2.0/{resource}/{id}/tags/{tag}": c.removeTag,
	}
	return routes
}

// extensions that Neutron announces and a load balancer might look for.
var extensions = []string{
	"address-group", "allowed-address-pairs", "external-net", "fip-port-details", "filter-validation", "net-mtu", "pagination",
	"port-security", "project-id", "quota_details", "quotas", "revision-if-match", "router", "security-group", "sorting",
	"standard-attr-description", "standard-attr-revisions", "standard-attr-tag", "standard-attr-timestamp", "tag-ports-during-bulk-creation",
}

func (c *Cloud) extension(alias string) bool {
	return slices.Contains(extensions, alias) && !slices.Contains(c.options.MissingExtensions, alias)
}

func renderExtension(alias string) map[string]any {
	return map[string]any{"alias": alias, "name": alias, "description": alias, "updated": "2016-01-01T00:00:00-00:00", "links": []any{}}
}

func (c *Cloud) neutronVersions(*request) (reply, error) {
	return reply{body: map[string]any{"versions": []any{map[string]any{
		"id": "v2.0", "status": "CURRENT", "links": []any{map[string]any{"rel": "self", "href": c.base + networkingPrefix + "/v2.0/"}}}}}}, nil
}

func (c *Cloud) neutronResources(*request) (reply, error) {
	return reply{body: map[string]any{"resources": []any{}}}, nil
}

func (c *Cloud) listExtensions(*request) (reply, error) {
	all := []any{}
	for _, alias := range extensions {
		if c.extension(alias) {
			all = append(all, renderExtension(alias))
		}
	}
	return reply{body: map[string]any{"extensions": all}}, nil
}

func (c *Cloud) showExtension(r *request) (reply, error) {
	alias := r.PathValue("alias")
	if !c.extension(alias) {
		return reply{}, notFound("HTTPNotFound", fmt.Sprintf("Extension with alias %s does not exist", alias))
	}
	return reply{body: map[string]any{"extension": renderExtension(alias)}}, nil
}

// standard is what every object of Neutron has.
type standard struct {
	stamp
	id, project, name, description string
	revision                       int
	tags                           []string
}

func (c *Cloud) newStandard(project, name, description string) standard {
	return standard{stamp: c.newStamp(), id: c.newID(), project: project, name: name, description: description, revision: 1}
}

// touch counts a change.
func (c *Cloud) touch(s *standard, r *request) {
	s.revision++
	s.updated = r.now
}

func (s *standard) render(more map[string]any) object {
	created, updated := s.neutron()
	attributes := map[string]any{
		"id": s.id, "project_id": s.project, "tenant_id": s.project, "name": s.name, "description": s.description,
		"revision_number": s.revision, "tags": list(s.tags), "created_at": created, "updated_at": updated,
	}
	for name, value := range more {
		attributes[name] = value
	}
	return object{attributes: attributes, stamp: s.stamp, tags: s.tags}
}

// checkRevision honours If-Match: revision_number=N.
func (s *standard) checkRevision(r *request) error {
	wanted, ok := strings.CutPrefix(r.Header.Get("If-Match"), "revision_number=")
	if !ok {
		return nil
	}
	if n, err := strconv.Atoi(wanted); err != nil || n != s.revision {
		return &refusal{http.StatusPreconditionFailed, "RevisionNumberConstraintFailed",
			fmt.Sprintf("Constrained to %s, but current revision is %d", wanted, s.revision)}
	}
	return nil
}

// visible tells whether a token sees an object of a project.
func (r *request) visible(project string) bool {
	return r.token.admin() || r.token.project.id == project
}

// decodeNeutron reads {"port": {...}}.
func decodeNeutron(r *request, into any) error {
	return decode(r.body, into, func(what string) error {
		if name, ok := strings.CutPrefix(what, "unknown field "); ok {
			return badRequest("HTTPBadRequest", fmt.Sprintf("Unrecognized attribute(s) '%s'", strings.Trim(name, `"`)))
		}
		return badRequest("HTTPBadRequest", "Invalid input: "+what)
	})
}

// listNeutron filters, cuts and renders a list. special are filters that are no
// attribute; they tell whether they match.
func (c *Cloud) listNeutron(r *request, plural string, all []object, special map[string]func(object, []string) bool) (reply, error) {
	var chosen []object
	for _, o := range all {
		match, err := c.matchNeutron(r, plural, o, special)
		if err != nil {
			return reply{}, err
		}
		if match && c.listed(o.stamp, r.now) {
			chosen = append(chosen, o)
		}
	}
	p, err := paging{
		url: c.base + networkingPrefix + "/v2.0/" + strings.ReplaceAll(plural, "_", "-"), limit: c.options.PageLimit, keepFilters: true,
		order: func(a, b object) int { return cmp.Compare(text(a.attributes["id"]), text(b.attributes["id"])) },
		refuse: func(what, value string) error {
			if what == "marker" {
				return notFound(what, fmt.Sprintf("%s with id %s not found", plural, value))
			}
			return badRequest("HTTPBadRequest", fmt.Sprintf("Invalid input for operation: '%s' is not an integer.", value))
		},
	}.cut(chosen, r.query)
	if err != nil {
		return reply{}, err
	}
	rendered := []any{}
	for _, o := range p.objects {
		rendered = append(rendered, selectFields(o.attributes, r.query))
	}
	body := map[string]any{plural: rendered}
	if p.links != nil {
		body[plural+"_links"] = p.links
	}
	return reply{body: body}, nil
}

// notFilters are parameters of lists that filter nothing.
var notFilters = []string{"fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse"}

func (c *Cloud) matchNeutron(r *request, plural string, o object, special map[string]func(object, []string) bool) (bool, error) {
	for name, values := range r.query {
		if slices.Contains(notFilters, name) || slices.Contains(tagFilters, name) {
			continue
		}
		if match, ok := special[name]; ok {
			if !match(o, values) {
				return false, nil
			}
			continue
		}
		value, known := o.attributes[name]
		if !known {
			// Extension filter-validation: an unknown filter is an error, not everything.
			return false, badRequest("HTTPBadRequest", fmt.Sprintf("[%s] is invalid attribute for filtering", name))
		}
		if !slices.ContainsFunc(values, func(v string) bool { return sameText(v, value) }) {
			return false, nil
		}
	}
	return matchTags(o.tags, r.query), nil
}

// show answers with one object.
func show(r *request, singular string, o object) (reply, error) {
	return reply{body: map[string]any{singular: selectFields(o.attributes, r.query)}}, nil
}

// checkQuota refuses what would be too many.
func (c *Cloud) checkQuota(p *project, resource string, used, more int) error {
	limit, limited := p.quota[resource]
	if limited && limit >= 0 && used+more > limit {
		return conflict("OverQuota", fmt.Sprintf("Quota exceeded for resources: ['%s'].", resource))
	}
	return nil
}

// neutronQuotas are the resources of Neutron, with the limits that are its defaults.
var neutronQuotas = map[string]int{
	"network": 100, "subnet": 100, "port": 500, "router": 10, "floatingip": 50, "security_group": 10, "security_group_rule": 100,
	"subnetpool": -1, "rbac_policy": 10, "trunk": -1,
}

func (c *Cloud) quotaProject(r *request) (*project, error) {
	id := r.PathValue("project")
	if !r.visible(id) {
		return nil, &refusal{http.StatusForbidden, "AdminRequired", "User does not have admin privileges: Cannot get resource of another tenant."}
	}
	p := c.findProject(id, "")
	if p == nil {
		return nil, notFound("HTTPNotFound", "The resource could not be found.")
	}
	return p, nil
}

func limitOf(p *project, resource string) int {
	if limit, ok := p.quota[resource]; ok {
		return limit
	}
	return -1
}

func (c *Cloud) showQuota(r *request) (reply, error) {
	p, err := c.quotaProject(r)
	if err != nil {
		return reply{}, err
	}
	quota := map[string]any{}
	for resource := range neutronQuotas {
		quota[resource] = limitOf(p, resource)
	}
	return reply{body: map[string]any{"quota": quota}}, nil
}

func (c *Cloud) showQuotaDetails(r *request) (reply, error) {
	p, err := c.quotaProject(r)
	if err != nil {
		return reply{}, err
	}
	used := c.usage(p)
	quota := map[string]any{}
	for resource := range neutronQuotas {
		quota[resource] = map[string]any{"limit": limitOf(p, resource), "used": used[resource], "reserved": 0}
	}
	return reply{body: map[string]any{"quota": quota}}, nil
}

func (c *Cloud) usage(p *project) map[string]int {
	used := map[string]int{}
	for _, g := range c.groups {
		if g.project == p.id {
			used["security_group"]++
			used["security_group_rule"] += len(g.rules)
		}
	}
	for _, port := range c.ports {
		if port.project == p.id {
			used["port"]++
		}
	}
	for _, f := range c.floatingIPs {
		if f.project == p.id {
			used["floatingip"]++
		}
	}
	for _, n := range c.networks {
		if n.project == p.id {
			used["network"]++
		}
	}
	for _, s := range c.subnets {
		if s.project == p.id {
			used["subnet"]++
		}
	}
	return used
}

func (c *Cloud) updateQuota(r *request) (reply, error) {
	if !r.token.admin() {
		return reply{}, &refusal{http.StatusForbidden, "AdminRequired", "User does not have admin privileges: Cannot get resource of another tenant."}
	}
	p, err := c.quotaProject(r)
	if err != nil {
		return reply{}, err
	}
	var in struct{ Quota map[string]int }
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	for resource, limit := range in.Quota {
		p.quota[resource] = limit
	}
	return c.showQuota(r)
}

func (c *Cloud) deleteQuota(r *request) (reply, error) {
	if !r.token.admin() {
		return reply{}, &refusal{http.StatusForbidden, "AdminRequired", "User does not have admin privileges: Cannot get resource of another tenant."}
	}
	p, err := c.quotaProject(r)
	if err != nil {
		return reply{}, err
	}
	for resource := range neutronQuotas {
		delete(p.quota, resource)
	}
	return reply{status: http.StatusNoContent}, nil
}

// SetQuota limits a resource in the demo project: one of Neutron's (floatingip,
// security_group, security_group_rule, port) or of Octavia's (load_balancer, listener,
// pool, member, health_monitor). Negative is no limit.
func (c *Cloud) SetQuota(resource string, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findProject(c.credentials.ProjectID, "").quota[resource] = limit
}

// fixedIPFilter is fixed_ips=ip_address=10.0.0.5, or subnet_id=, or ip_address_substr=.
func fixedIPFilter(o object, values []string) bool {
	ips, _ := o.attributes["fixed_ips"].([]map[string]any) // rendered by port.render
	byKey := map[string][]string{}
	for _, v := range values {
		key, value, _ := strings.Cut(v, "=")
		byKey[key] = append(byKey[key], value)
	}
	for key, wanted := range byKey {
		if !slices.ContainsFunc(ips, func(ip map[string]any) bool {
			return slices.ContainsFunc(wanted, func(w string) bool { return sameIP(key, w, ip) })
		}) {
			return false
		}
	}
	return true
}

func sameIP(key, wanted string, ip map[string]any) bool {
	if key == "ip_address_substr" {
		return strings.Contains(text(ip["ip_address"]), wanted)
	}
	if key == "ip_address" {
		a, err1 := netip.ParseAddr(wanted)
		b, err2 := netip.ParseAddr(text(ip["ip_address"]))
		return err1 == nil && err2 == nil && a == b
	}
	return text(ip[key]) == wanted
}

// contains is a filter on an attribute that is a list.
func contains(attribute string) func(object, []string) bool {
	return func(o object, values []string) bool {
		have, _ := o.attributes[attribute].([]string) // rendered so
		return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(have, v) })
	}
}
