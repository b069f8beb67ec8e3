package octavia

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/lb"
)

// The shapes of Octavia's replies (API reference v2.26), as far as we read them.
// gophercloud's own lack persistence_timeout and cannot send null.

type wireID struct {
	ID string `json:"id"`
}

type wireLoadBalancer struct {
	ID               string         `json:"id"`
	Name             string         `json:"name"`
	Description      string         `json:"description"`
	Tags             []string       `json:"tags"`
	Provider         string         `json:"provider"`
	Flavor           string         `json:"flavor_id"`
	AvailabilityZone string         `json:"availability_zone"`
	Status           Status         `json:"provisioning_status"`
	Address          string         `json:"vip_address"`
	Port             string         `json:"vip_port_id"`
	Subnet           string         `json:"vip_subnet_id"`
	Network          string         `json:"vip_network_id"`
	Created          wireTime       `json:"created_at"`
	Updated          wireTime       `json:"updated_at"`
	Listeners        []wireListener `json:"listeners"`
	Pools            []wirePool     `json:"pools"`
	Additional       []struct {
		Subnet  string `json:"subnet_id"`
		Address string `json:"ip_address"`
	} `json:"additional_vips"`
}

type wireListener struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	Tags            []string          `json:"tags"`
	Protocol        string            `json:"protocol"`
	Port            uint16            `json:"protocol_port"`
	Pool            string            `json:"default_pool_id"`
	ConnectionLimit int               `json:"connection_limit"`
	ClientData      int               `json:"timeout_client_data"`
	MemberConnect   int               `json:"timeout_member_connect"`
	MemberData      int               `json:"timeout_member_data"`
	TCPInspect      int               `json:"timeout_tcp_inspect"`
	AllowedCIDRs    []netip.Prefix    `json:"allowed_cidrs"`
	TLSContainer    string            `json:"default_tls_container_ref"`
	InsertHeaders   map[string]string `json:"insert_headers"`
	Up              bool              `json:"admin_state_up"`
	Status          Status            `json:"provisioning_status"`
}

type wirePool struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Protocol    string `json:"protocol"`
	Method      string `json:"lb_algorithm"`
	Persistence *struct {
		Type    string `json:"type"`
		Timeout int    `json:"persistence_timeout"`
	} `json:"session_persistence"`
	Members   []wireMember `json:"members"`
	MonitorID string       `json:"healthmonitor_id"`
	Monitor   *wireMonitor `json:"healthmonitor"`
	Up        bool         `json:"admin_state_up"`
	Status    Status       `json:"provisioning_status"`
}

type wireMember struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Address     string `json:"address"`
	Port        uint16 `json:"protocol_port"`
	Subnet      string `json:"subnet_id"`
	Weight      int    `json:"weight"`
	MonitorPort uint16 `json:"monitor_port"`
	Up          bool   `json:"admin_state_up"`
	Status      Status `json:"provisioning_status"`
}

type wireMonitor struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Type           string   `json:"type"`
	Delay          int      `json:"delay"`
	Timeout        int      `json:"timeout"`
	MaxRetries     int      `json:"max_retries"`
	MaxRetriesDown int      `json:"max_retries_down"`
	Path           string   `json:"url_path"`
	Up             bool     `json:"admin_state_up"`
	Status         Status   `json:"provisioning_status"`
	Pools          []wireID `json:"pools"`
}

// wireTime is UTC, written without a zone.
type wireTime time.Time

func (t *wireTime) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" || text == "" {
		return nil
	}
	at, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(text, "Z"))
	*t = wireTime(at)
	return err
}

func (w *wireLoadBalancer) value() LoadBalancer {
	out := LoadBalancer{
		ID: w.ID, Name: w.Name, Description: w.Description, Tags: w.Tags, Provider: w.Provider, Flavor: w.Flavor,
		AvailabilityZone: w.AvailabilityZone, Status: w.Status, Created: time.Time(w.Created), Updated: time.Time(w.Updated),
		VIP: VIP{Network: w.Network, Subnet: w.Subnet, Port: w.Port, Address: address(w.Address)},
	}
	for _, a := range w.Additional {
		out.Additional = append(out.Additional, VIP{Subnet: a.Subnet, Address: address(a.Address)})
	}
	for i := range w.Listeners {
		out.Listeners = append(out.Listeners, w.Listeners[i].value(out.families()))
	}
	for i := range w.Pools {
		out.Pools = append(out.Pools, w.Pools[i].value())
	}
	return out
}

// families of the VIPs.
func (l *LoadBalancer) families() []lb.Family {
	var out []lb.Family
	for _, v := range slices.Concat([]VIP{l.VIP}, l.Additional) {
		if v.Address.IsValid() {
			out = append(out, lb.FamilyOf(v.Address))
		}
	}
	return out
}

// complete tells whether a tree has everything by which it can be compared: a reply
// to a create may hold the ids of what is below only.
func (l *LoadBalancer) complete() bool {
	for _, x := range l.Listeners {
		if x.Protocol == "" || x.Pool == "" {
			return false
		}
	}
	return !slices.ContainsFunc(l.Pools, func(p Pool) bool { return p.Protocol == "" })
}

// resembles tells whether a reply to a create has all that was asked for. Octavia 11
// leaves health monitors out.
func (l *LoadBalancer) resembles(want *LoadBalancer) bool {
	if len(l.Listeners) != len(want.Listeners) || len(l.Pools) != len(want.Pools) {
		return false
	}
	for i := range want.Pools {
		p := &want.Pools[i]
		if !slices.ContainsFunc(l.Pools, func(x Pool) bool {
			return x.Name == p.Name && len(x.Members) == len(p.Members) && (x.Monitor == nil) == (p.Monitor == nil)
		}) {
			return false
		}
	}
	return true
}

func (w *wireListener) value(families []lb.Family) Listener {
	_, forwarded := w.InsertHeaders["X-Forwarded-For"]
	return Listener{
		ID: w.ID, Name: w.Name, Tags: w.Tags, Protocol: w.Protocol, Port: w.Port, Pool: w.Pool, ConnectionLimit: w.ConnectionLimit,
		Timeouts:     &Timeouts{w.ClientData, w.MemberConnect, w.MemberData, w.TCPInspect},
		AllowedCIDRs: everybodyButAll(w.AllowedCIDRs, families), TLSContainer: w.TLSContainer, ForwardedFor: forwarded,
		Down: !w.Up, Status: w.Status,
	}
}

func (w *wirePool) value() Pool {
	out := Pool{ID: w.ID, Name: w.Name, Protocol: w.Protocol, Method: w.Method, Down: !w.Up, Status: w.Status}
	if p := w.Persistence; p != nil {
		out.Sticky, out.StickyFor = p.Type == "SOURCE_IP", p.Timeout
	}
	for i := range w.Members {
		out.Members = append(out.Members, w.Members[i].value())
	}
	if w.Monitor != nil && w.Monitor.ID != "" {
		m := w.Monitor.value()
		out.Monitor = &m
	}
	return out
}

func (w *wireMember) value() Member {
	return Member{ID: w.ID, Name: w.Name, Address: address(w.Address), Port: w.Port, Subnet: w.Subnet, Weight: w.Weight,
		MonitorPort: w.MonitorPort, Down: !w.Up, Status: w.Status}
}

func (w *wireMonitor) value() Monitor {
	out := Monitor{ID: w.ID, Name: w.Name, Type: w.Type, Delay: w.Delay, Timeout: w.Timeout, MaxRetries: w.MaxRetries,
		MaxRetriesDown: w.MaxRetriesDown, Down: !w.Up, Status: w.Status}
	if w.Type == "HTTP" {
		out.Path = w.Path
	}
	return out
}

func address(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a.Unmap()
}

// createBody is a load balancer with all below it. Pools are named, as Octavia wants
// it of a create that has several, and listeners hold theirs.
func createBody(l *LoadBalancer) map[string]any {
	body := map[string]any{"name": l.Name, "description": l.Description, "tags": notNil(l.Tags), "admin_state_up": true}
	optional := map[string]string{
		"provider": l.Provider, "flavor_id": l.Flavor, "availability_zone": l.AvailabilityZone,
		"vip_port_id": l.VIP.Port, "vip_subnet_id": l.VIP.Subnet,
	}
	if l.VIP.Subnet == "" && l.VIP.Port == "" {
		optional["vip_network_id"] = l.VIP.Network
	}
	if l.VIP.Address.IsValid() {
		optional["vip_address"] = l.VIP.Address.String()
	}
	for key, value := range optional {
		if value != "" {
			body[key] = value
		}
	}
	if len(l.Additional) > 0 {
		var more []map[string]any
		for _, v := range l.Additional {
			more = append(more, map[string]any{"subnet_id": v.Subnet})
		}
		body["additional_vips"] = more
	}
	var listeners []map[string]any
	for i := range l.Listeners {
		listener := listenerBody(&l.Listeners[i])
		pool := poolBody(&l.Pools[i])
		pool["name"], pool["protocol"] = l.Pools[i].Name, l.Pools[i].Protocol
		if pool["session_persistence"] == nil {
			delete(pool, "session_persistence")
		}
		members := make([]map[string]any, 0, len(l.Pools[i].Members))
		for j := range l.Pools[i].Members {
			members = append(members, memberBody(&l.Pools[i].Members[j]))
		}
		pool["members"] = members
		if m := l.Pools[i].Monitor; m != nil {
			monitor := monitorBody(m)
			monitor["type"], monitor["name"] = m.Type, m.Name
			pool["healthmonitor"] = monitor
		}
		listener["default_pool"] = pool
		listeners = append(listeners, listener)
	}
	if len(listeners) > 0 {
		body["listeners"] = listeners
	}
	return body
}

func listenerBody(l *Listener) map[string]any {
	body := listenerChanges(&Listener{ConnectionLimit: -1, Timeouts: &Timeouts{}}, l)
	delete(body, "default_pool_id")
	body["name"], body["tags"], body["protocol"], body["protocol_port"] = l.Name, notNil(l.Tags), l.Protocol, l.Port
	if l.Timeouts != nil {
		maps.Copy(body, timeoutsBody(l.Timeouts))
	}
	return body
}

// listenerChanges are the attributes in which two differ.
func listenerChanges(have, want *Listener) map[string]any {
	body := make(map[string]any)
	if have.ConnectionLimit != want.ConnectionLimit {
		body["connection_limit"] = want.ConnectionLimit
	}
	if want.Timeouts != nil && (have.Timeouts == nil || *have.Timeouts != *want.Timeouts) {
		maps.Copy(body, timeoutsBody(want.Timeouts))
	}
	if !slices.Equal(have.AllowedCIDRs, want.AllowedCIDRs) {
		body["allowed_cidrs"] = want.AllowedCIDRs // nil is null: everybody
	}
	if have.TLSContainer != want.TLSContainer {
		body["default_tls_container_ref"] = want.TLSContainer
	}
	if have.ForwardedFor != want.ForwardedFor {
		headers := map[string]string{}
		if want.ForwardedFor {
			headers = map[string]string{"X-Forwarded-For": "true"}
		}
		body["insert_headers"] = headers
	}
	if have.Name != want.Name {
		body["name"], body["tags"] = want.Name, notNil(want.Tags)
	}
	if have.Pool != want.Pool {
		body["default_pool_id"] = want.Pool
	}
	if have.Down {
		body["admin_state_up"] = true
	}
	if len(body) == 0 {
		// In ERROR, and as it should be otherwise: said once more, it is tried once more.
		body["connection_limit"] = want.ConnectionLimit
	}
	return body
}

func timeoutsBody(t *Timeouts) map[string]any {
	return map[string]any{"timeout_client_data": t.ClientData, "timeout_member_connect": t.MemberConnect,
		"timeout_member_data": t.MemberData, "timeout_tcp_inspect": t.TCPInspect}
}

func poolBody(p *Pool) map[string]any {
	body := map[string]any{"lb_algorithm": p.Method, "admin_state_up": true, "session_persistence": nil}
	if p.Sticky {
		persistence := map[string]any{"type": "SOURCE_IP"}
		if p.StickyFor > 0 {
			persistence["persistence_timeout"] = p.StickyFor
		}
		body["session_persistence"] = persistence
	}
	return body
}

func memberBody(m *Member) map[string]any {
	body := map[string]any{"name": m.Name, "address": m.Address.String(), "protocol_port": m.Port, "weight": m.Weight,
		"admin_state_up": true}
	if m.Subnet != "" {
		body["subnet_id"] = m.Subnet
	}
	if m.MonitorPort > 0 {
		body["monitor_port"] = m.MonitorPort
	}
	return body
}

func monitorBody(m *Monitor) map[string]any {
	body := map[string]any{"delay": m.Delay, "timeout": m.Timeout, "max_retries": m.MaxRetries, "max_retries_down": m.MaxRetriesDown,
		"admin_state_up": true}
	if m.Type == "HTTP" {
		body["http_method"], body["url_path"], body["expected_codes"] = http.MethodGet, m.Path, "200"
	}
	return body
}

// send makes a call and reads its reply. A reply that is no JSON is an error after
// which nobody knows what was done.
func send(ctx context.Context, c *gophercloud.ServiceClient, method string, path []string, body, reply any) error {
	opts := &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}}
	if body != nil {
		opts.JSONBody = body
	}
	if reply != nil {
		opts.JSONResponse = reply
	}
	_, err := c.Request(ctx, method, c.ServiceURL(path...), opts) //nolint:bodyclose // gophercloud has read and closed it
	return err
}

func put(ctx context.Context, c *gophercloud.ServiceClient, collection, id, name string, body map[string]any) error {
	return send(ctx, c, http.MethodPut, []string{"lbaas", collection, id}, map[string]any{name: body}, nil)
}

// remove deletes; what is gone already is fine.
func remove(ctx context.Context, c *gophercloud.ServiceClient, url string) error {
	_, err := c.Delete(ctx, url, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusAccepted, http.StatusNoContent, http.StatusNotFound}}) //nolint:bodyclose // gophercloud has read and closed it
	return err
}

func wrap(err error, doing string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(doing+": %w", append(args, err)...)
}

func notNil(tags []string) []string {
	if tags == nil {
		return []string{}
	}
	return tags
}

func without[T any](from []T, gone func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(from), gone)
}

// listed shows a request's attributes, sorted.
func listed(body map[string]any) string {
	keys := slices.SortedFunc(maps.Keys(body), cmp.Compare[string])
	for i, k := range keys {
		value, err := json.Marshal(body[k])
		if err != nil {
			continue
		}
		keys[i] = k + "=" + string(value)
	}
	return strings.Join(keys, " ")
}

// inPool makes a change of one pool; the load balancer is locked by it.
func inPool(id string, f func(*Pool)) change {
	return func(l *LoadBalancer) {
		for i := range l.Pools {
			if l.Pools[i].ID == id {
				f(&l.Pools[i])
			}
		}
		l.Status = PendingUpdate
	}
}

func withMonitor(id string, f func(*Pool)) change {
	return func(l *LoadBalancer) {
		for i := range l.Pools {
			if m := l.Pools[i].Monitor; m != nil && m.ID == id {
				f(&l.Pools[i])
			}
		}
		l.Status = PendingUpdate
	}
}
