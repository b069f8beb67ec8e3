package fake

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

type monitor struct {
	element
	pool                        *pool
	kind                        string
	delay, timeout, rise, fall  int
	method, path, codes, domain string
	httpVersion                 *float64
}

type monitorPOST struct {
	basics
	PoolID         field[string] `json:"pool_id"`
	Type           field[string]
	Delay          field[int]
	Timeout        field[int]
	MaxRetries     field[int]     `json:"max_retries"`
	MaxRetriesDown field[int]     `json:"max_retries_down"`
	HTTPMethod     field[string]  `json:"http_method"`
	URLPath        field[string]  `json:"url_path"`
	ExpectedCodes  field[string]  `json:"expected_codes"`
	HTTPVersion    field[float64] `json:"http_version"`
	DomainName     field[string]  `json:"domain_name"`
}

// monitorPUT has what can be changed: the type cannot.
type monitorPUT struct {
	basics
	Delay          field[int]
	Timeout        field[int]
	MaxRetries     field[int]     `json:"max_retries"`
	MaxRetriesDown field[int]     `json:"max_retries_down"`
	HTTPMethod     field[string]  `json:"http_method"`
	URLPath        field[string]  `json:"url_path"`
	ExpectedCodes  field[string]  `json:"expected_codes"`
	HTTPVersion    field[float64] `json:"http_version"`
	DomainName     field[string]  `json:"domain_name"`
}

func (m *monitor) renderMonitor() object {
	var version any
	if m.httpVersion != nil {
		version = *m.httpVersion
	}
	o := m.render(map[string]any{
		"type": m.kind, "delay": m.delay, "timeout": m.timeout, "max_retries": m.rise, "max_retries_down": m.fall,
		"http_method": orNil(m.method), "url_path": orNil(m.path), "expected_codes": orNil(m.codes), "http_version": version,
		"domain_name": orNil(m.domain), "pools": []idOnly{{m.pool.id}},
	})
	delete(o.attributes, "description")
	return o
}

func (c *Cloud) monitorFor(r *request) (*monitor, error) {
	id := r.PathValue("id")
	for _, b := range c.balancers {
		for _, p := range b.pools {
			if p.monitor != nil && p.monitor.id == id {
				return p.monitor, r.may(p.project)
			}
		}
	}
	return nil, missing("Health Monitor", id)
}

func (c *Cloud) listMonitors(r *request) (reply, error) {
	var all []object
	for _, b := range c.balancers {
		for _, p := range b.pools {
			if p.monitor != nil && r.owned(p.project) {
				all = append(all, c.hideNew(p.monitor.renderMonitor()))
			}
		}
	}
	return c.listOctavia(r, "healthmonitors", all, map[string]func(object, string) bool{"pool_id": func(o object, id string) bool {
		of, _ := o.attributes["pools"].([]idOnly) // rendered so
		return len(of) == 1 && of[0].ID == id
	}})
}

func (c *Cloud) showMonitor(r *request) (reply, error) {
	m, err := c.monitorFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "healthmonitor", c.hideNew(m.renderMonitor()))
}

var monitorTypes = []string{"HTTP", "HTTPS", "PING", "SCTP", "TCP", "TLS-HELLO", "UDP-CONNECT"}

// suits checks that a pool can have a monitor of the type.
func (want monitorPOST) suits(protocol string) error {
	kind := want.Type.value
	if !slices.Contains(monitorTypes, kind) {
		return invalidInput("type", kind, "Value should be one of: HTTP, HTTPS, PING, SCTP, TCP, TLS-HELLO, UDP-CONNECT")
	}
	if protocol == "UDP" || protocol == "SCTP" {
		if !slices.Contains([]string{"UDP-CONNECT", "SCTP", "TCP", "HTTP"}, kind) {
			return validation("The associated pool protocol is %s, so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is supported.", protocol)
		}
		if kind == "UDP-CONNECT" && want.Delay.value < 3 {
			return validation("The request delay value %d should be larger than 3 for UDP-CONNECT health monitor type.", want.Delay.value)
		}
		return nil
	}
	if kind == "UDP-CONNECT" || kind == "SCTP" {
		return validation("The %s type is only supported for pools of type UDP/SCTP.", kind)
	}
	return nil
}

func (c *Cloud) newMonitor(p *pool, want monitorPOST) (*monitor, error) {
	for name, f := range map[string]field[int]{"delay": want.Delay, "timeout": want.Timeout, "max_retries": want.MaxRetries} {
		if !f.given() {
			return nil, &refusal{http.StatusBadRequest, "", fmt.Sprintf("Invalid input for field/attribute %s. Value: 'None'. Mandatory field missing.", name)}
		}
	}
	for name, n := range map[string]int{"max_retries": want.MaxRetries.value, "max_retries_down": want.MaxRetriesDown.or(3)} {
		if n < 1 || n > 10 {
			return nil, invalidInput(name, fmt.Sprint(n), "Value should be lower or equal to 10")
		}
	}
	m := &monitor{
		element: c.newElement(p.project, want.basics), pool: p, kind: want.Type.value, delay: want.Delay.value, timeout: want.Timeout.value,
		rise: want.MaxRetries.value, fall: want.MaxRetriesDown.or(3), method: want.HTTPMethod.value, path: want.URLPath.value,
		codes: want.ExpectedCodes.value, domain: want.DomainName.value,
	}
	m.balancer = p.balancer
	if want.HTTPVersion.given() {
		m.httpVersion = &want.HTTPVersion.value
	}
	if m.kind != "HTTP" && m.kind != "HTTPS" {
		for name, value := range map[string]string{"http_method": m.method, "url_path": m.path, "expected_codes": m.codes} {
			if value != "" {
				return nil, invalidOption(name, "health monitors of type "+m.kind)
			}
		}
		return m, nil
	}
	if m.method == "" {
		m.method = "GET"
	}
	if m.path == "" {
		m.path = "/"
	}
	if m.codes == "" {
		m.codes = "200"
	}
	return m, nil
}

func (c *Cloud) createMonitor(r *request) (reply, error) {
	var in struct{ HealthMonitor monitorPOST }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	want := in.HealthMonitor
	p, err := c.poolFor(r, want.PoolID.value)
	if err != nil {
		return reply{}, err
	}
	if err := want.suits(p.protocol); err != nil {
		return reply{}, err
	}
	m, err := c.newMonitor(p, want)
	if err != nil {
		return reply{}, err
	}
	if c.lbQuotaMet(c.findProject(p.project, ""), "health_monitor", 1) {
		return reply{}, quotaMet("Health Monitor")
	}
	if err := lockPool(p); err != nil {
		return reply{}, err
	}
	if p.monitor != nil {
		return reply{}, conflict("", "This pool already has a health monitor")
	}
	if err := driverMonitor(p.balancer, m.kind); err != nil {
		return reply{}, err
	}
	p.monitor = m
	c.begin(r, p.balancer, Change{Kind: "update", Object: "healthmonitor"}, work{changed: []*element{&m.element}, with: p.locked(), heals: true})
	answer, err := show(r, "healthmonitor", c.hideNew(m.renderMonitor()))
	answer.status = http.StatusCreated
	return answer, err
}

func (c *Cloud) updateMonitor(r *request) (reply, error) {
	var in struct{ HealthMonitor monitorPUT }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	m, err := c.monitorFor(r)
	if err != nil {
		return reply{}, err
	}
	want := in.HealthMonitor
	if m.kind != "HTTP" && m.kind != "HTTPS" {
		for name, f := range map[string]field[string]{"http_method": want.HTTPMethod, "url_path": want.URLPath, "expected_codes": want.ExpectedCodes} {
			if f.set {
				return reply{}, invalidOption(name, "health monitors of type "+m.kind)
			}
		}
	}
	for name, f := range map[string]field[int]{"delay": want.Delay, "timeout": want.Timeout, "max_retries": want.MaxRetries} {
		if f.null {
			return reply{}, invalidOption("None", name)
		}
	}
	if err := lockPool(m.pool); err != nil {
		return reply{}, err
	}
	m.apply(want.basics)
	want.Delay.update(&m.delay)
	want.Timeout.update(&m.timeout)
	want.MaxRetries.update(&m.rise)
	if want.MaxRetriesDown.set {
		m.fall = want.MaxRetriesDown.or(3)
	}
	for to, f := range map[*string]struct {
		field[string]
		otherwise string
	}{&m.method: {want.HTTPMethod, "GET"}, &m.path: {want.URLPath, "/"}, &m.codes: {want.ExpectedCodes, "200"}, &m.domain: {want.DomainName, ""}} {
		if f.set {
			*to = f.or(f.otherwise)
		}
	}
	m.provisioning, m.updated = pendingUpdate, r.now
	c.begin(r, m.balancer, Change{Kind: "update", Object: "healthmonitor"}, work{changed: []*element{&m.element}, with: m.pool.locked(), heals: true})
	return show(r, "healthmonitor", c.hideNew(m.renderMonitor()))
}

func (c *Cloud) deleteMonitor(r *request) (reply, error) {
	m, err := c.monitorFor(r)
	if err != nil {
		return reply{}, err
	}
	if err := lockPool(m.pool); err != nil {
		return reply{}, err
	}
	m.provisioning, m.updated = pendingDelete, r.now
	c.begin(r, m.balancer, Change{Kind: "update", Object: "healthmonitor"}, work{
		changed: []*element{&m.element}, with: m.pool.locked(), heals: true, done: func(time.Time) { m.pool.monitor = nil }})
	return reply{status: http.StatusNoContent}, nil
}
