package fake

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Providers the fake knows. octavia is an old name of amphora.
const (
	amphora = "amphora"
	ovn     = "ovn"
)

func (c *Cloud) octaviaRoutes() map[string]handler {
	const v2 = "/v2/lbaas"
	return map[string]handler{
		"GET " + v2 + "/loadbalancers":                c.listBalancers,
		"POST " + v2 + "/loadbalancers":               c.createBalancer,
		"GET " + v2 + "/loadbalancers/{id}":           c.showBalancer,
		"PUT " + v2 + "/loadbalancers/{id}":           c.updateBalancer,
		"DELETE " + v2 + "/loadbalancers/{id}":        c.deleteBalancer,
		"GET " + v2 + "/loadbalancers/{id}/status":    c.showTree,
		"GET " + v2 + "/loadbalancers/{id}/statuses":  c.showTree,
		"GET " + v2 + "/loadbalancers/{id}/stats":     c.showStats,
		"PUT " + v2 + "/loadbalancers/{id}/failover":  c.failover,
		"GET " + v2 + "/listeners":                    c.listListeners,
		"POST " + v2 + "/listeners":                   c.createListener,
		"GET " + v2 + "/listeners/{id}":               c.showListener,
		"PUT " + v2 + "/listeners/{id}":               c.updateListener,
		"DELETE " + v2 + "/listeners/{id}":            c.deleteListener,
		"GET " + v2 + "/pools":                        c.listPools,
		"POST " + v2 + "/pools":                       c.createPool,
		"GET " + v2 + "/pools/{id}":                   c.showPool,
		"PUT " + v2 + "/pools/{id}":                   c.updatePool,
		"DELETE " + v2 + "/pools/{id}":                c.deletePool,
		"GET " + v2 + "/pools/{pool}/members":         c.listMembers,
		"POST " + v2 + "/pools/{pool}/members":        c.createMember,
		"PUT " + v2 + "/pools/{pool}/members":         c.replaceMembers,
		"GET " + v2 + "/pools/{pool}/members/{id}":    c.showMember,
		"PUT " + v2 + "/pools/{pool}/members/{id}":    c.updateMember,
		"DELETE " + v2 + "/pools/{pool}/members/{id}": c.deleteMember,
		"GET " + v2 + "/healthmonitors":               c.listMonitors,
		"POST " + v2 + "/healthmonitors":              c.createMonitor,
		"GET " + v2 + "/healthmonitors/{id}":          c.showMonitor,
		"PUT " + v2 + "/healthmonitors/{id}":          c.updateMonitor,
		"DELETE " + v2 + "/healthmonitors/{id}":       c.deleteMonitor,
		"GET " + v2 + "/providers":                    c.listProviders,
		"GET " + v2 + "/flavors":                      c.listFlavors,
		"GET " + v2 + "/availabilityzones":            c.listZones,
		"GET " + v2 + "/quotas/defaults":              c.defaultLBQuota,
		"GET " + v2 + "/quotas/{project}":             c.showLBQuota,
		"PUT " + v2 + "/quotas/{project}":             c.updateLBQuota,
		"DELETE " + v2 + "/quotas/{project}":          c.deleteLBQuota,
	}
}

// element is what all objects of Octavia have.
type element struct {
	stamp
	id, project, name, description string
	provisioning, operating        string
	adminStateUp                   bool
	tags                           []string
	balancer                       *loadBalancer
}

// Provisioning and operating states.
const (
	active        = "ACTIVE"
	failed        = "ERROR"
	pendingCreate = "PENDING_CREATE"
	pendingUpdate = "PENDING_UPDATE"
	pendingDelete = "PENDING_DELETE"
	online        = "ONLINE"
	offline       = "OFFLINE"
	noMonitor     = "NO_MONITOR"
)

func (c *Cloud) newElement(project string, in basics) element {
	return element{
		stamp: c.newStamp(), id: c.newID(), project: project, name: in.Name.value, description: in.Description.value,
		provisioning: pendingCreate, operating: offline, adminStateUp: in.AdminStateUp.or(true), tags: slices.Clone(in.Tags.value),
	}
}

// basics are the attributes that nearly all requests may have.
type basics struct {
	Name         field[string]
	Description  field[string]
	AdminStateUp field[bool] `json:"admin_state_up"`
	Tags         field[[]string]
	ProjectID    field[string] `json:"project_id"`
	TenantID     field[string] `json:"tenant_id"`
}

func (e *element) apply(in basics) {
	in.Name.update(&e.name)
	in.Description.update(&e.description)
	in.Tags.update(&e.tags)
	if in.AdminStateUp.given() {
		e.adminStateUp = in.AdminStateUp.value
	}
}

func (e *element) render(more map[string]any) object {
	attributes := map[string]any{
		"id": e.id, "project_id": e.project, "tenant_id": e.project, "name": e.name, "description": e.description,
		"provisioning_status": e.provisioning, "operating_status": e.operating, "admin_state_up": e.adminStateUp,
		"tags": list(e.tags), "created_at": octaviaTime(e.created), "updated_at": octaviaTime(e.updated),
	}
	for name, value := range more {
		attributes[name] = value
	}
	return object{attributes: attributes, stamp: e.stamp, tags: e.tags}
}

type idOnly struct {
	ID string `json:"id"`
}

// The refusals of octavia/basics/exceptions.py.

func validation(format string, a ...any) error {
	return &refusal{http.StatusBadRequest, "", "Validation failure: " + fmt.Sprintf(format, a...)}
}

func invalidOption(value, option string) error {
	return &refusal{http.StatusBadRequest, "", fmt.Sprintf("%s is not a valid option for %s", value, option)}
}

func missing(resource, id string) error {
	return &refusal{http.StatusNotFound, "", fmt.Sprintf("%s %s not found.", resource, id)}
}

func immutable(resource, id string) error {
	return conflict("", fmt.Sprintf("%s %s is immutable and cannot be updated.", resource, id))
}

func quotaMet(resource string) error {
	return &refusal{http.StatusForbidden, "", "Quota has been met for resources: " + resource}
}

func unsupported(provider, what string) error {
	return &refusal{http.StatusNotImplemented, "", fmt.Sprintf("Provider '%s' does not support a requested option: %s", provider, what)}
}

// decodeOctavia reads {"loadbalancer": {...}}.
func decodeOctavia(r *request, into any) error {
	return decode(r.body, into, func(what string) error {
		if name, ok := strings.CutPrefix(what, "unknown field "); ok {
			return unknownTo(strings.Trim(name, `"`))
		}
		return &refusal{http.StatusBadRequest, "", "Invalid input for field/attribute. " + what}
	})
}

// notOctaviaFilters are parameters of lists that filter nothing. All others must be
// attributes, or the request is refused.
var notOctaviaFilters = []string{"fields", "limit", "marker", "sort", "sort_key", "sort_dir", "page_reverse"}

// listOctavia filters, cuts and renders a list.
func (c *Cloud) listOctavia(r *request, plural string, all []object, special map[string]func(object, string) bool) (reply, error) {
	var chosen []object
	for name := range r.query {
		known := special[name] != nil || slices.Contains(notOctaviaFilters, name) || slices.Contains(octaviaFilters[plural], name)
		tagged := slices.Contains(tagFilters, name) && c.octaviaHas(withTags)
		if !known && !tagged {
			return reply{}, &refusal{http.StatusBadRequest, "", "One or more arguments are either duplicate or invalid"}
		}
	}
	for _, o := range all {
		if c.listed(o.stamp, r.now) && matchOctavia(r, o, special) {
			chosen = append(chosen, o)
		}
	}
	p, err := paging{
		url: c.base + r.URL.Path, limit: c.options.PageLimit, order: byCreation,
		refuse: func(what, value string) error {
			return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Supplied pagination %s '%s' is not valid.", what, value)}
		},
	}.cut(chosen, r.query)
	if err != nil {
		return reply{}, err
	}
	rendered := []any{}
	for _, o := range p.objects {
		rendered = append(rendered, selectFields(o.attributes, r.query))
	}
	return reply{body: map[string]any{plural: rendered, plural + "_links": list(p.links)}}, nil
}

// byCreation sorts by created_at, which has seconds, and then by id.
func byCreation(a, b object) int {
	if n := cmp.Compare(text(a.attributes["created_at"]), text(b.attributes["created_at"])); n != 0 {
		return n
	}
	return cmp.Compare(text(a.attributes["id"]), text(b.attributes["id"]))
}

// octaviaFilters are the attributes that each list takes as a filter.
var octaviaFilters = map[string][]string{
	"loadbalancers": append([]string{"vip_address", "vip_port_id", "vip_subnet_id", "vip_network_id", "provider", "flavor_id", "availability_zone"}, everyFilter...),
	"listeners":     append([]string{"protocol", "protocol_port", "default_pool_id", "connection_limit"}, everyFilter...),
	"pools":         append([]string{"protocol", "lb_algorithm"}, everyFilter...),
	"members":       append([]string{"address", "protocol_port", "weight", "subnet_id", "backup", "monitor_address", "monitor_port"}, everyFilter...),
	"healthmonitors": append([]string{"type", "delay", "timeout", "max_retries", "max_retries_down", "pool_id", "url_path", "http_method", "expected_codes"},
		everyFilter...),
}

var everyFilter = []string{
	"id", "name", "description", "project_id", "tenant_id", "provisioning_status", "operating_status", "admin_state_up", "created_at", "updated_at",
}

func matchOctavia(r *request, o object, special map[string]func(object, string) bool) bool {
	for name, values := range r.query {
		if slices.Contains(notOctaviaFilters, name) || slices.Contains(tagFilters, name) {
			continue
		}
		if match := special[name]; match != nil {
			if !match(o, values[0]) {
				return false
			}
			continue
		}
		if !sameText(values[0], o.attributes[name]) {
			return false
		}
	}
	return matchTags(o.tags, r.query)
}

// owned lists what is of the token's project, or of all for an administrator.
func (r *request) owned(project string) bool { return r.token.admin() || project == r.token.project.id }

// may checks Octavia's policy for one object: of another project is 403, not 404.
func (r *request) may(project string) error {
	if r.owned(project) {
		return nil
	}
	return policyForbidden()
}
