package fake

import (
	"net/http"
	"slices"
	"time"
)

type pool struct {
	element
	protocol, algorithm string
	persistence         map[string]any
	members             []*member
	monitor             *monitor
}

type poolPOST struct {
	basics
	LoadBalancerID     field[string] `json:"loadbalancer_id"`
	ListenerID         field[string] `json:"listener_id"`
	Protocol           field[string]
	LBAlgorithm        field[string]          `json:"lb_algorithm"`
	SessionPersistence field[persistencePOST] `json:"session_persistence"`
	Members            field[[]memberPOST]
	HealthMonitor      field[monitorPOST]
	TLSEnabled         field[bool] `json:"tls_enabled"`
}

// poolPUT has what can be changed: the protocol cannot.
type poolPUT struct {
	basics
	LBAlgorithm        field[string]          `json:"lb_algorithm"`
	SessionPersistence field[persistencePOST] `json:"session_persistence"`
	TLSEnabled         field[bool]            `json:"tls_enabled"`
}

type persistencePOST struct {
	Type                   field[string]
	CookieName             field[string] `json:"cookie_name"`
	PersistenceTimeout     field[int]    `json:"persistence_timeout"`
	PersistenceGranularity field[string] `json:"persistence_granularity"`
}

func (p *pool) renderPool() object {
	listeners, members := []idOnly{}, []idOnly{}
	for _, l := range p.balancer.listeners {
		if l.pool == p {
			listeners = append(listeners, idOnly{l.id})
		}
	}
	for _, m := range p.members {
		members = append(members, idOnly{m.id})
	}
	var monitor any
	if p.monitor != nil {
		monitor = p.monitor.id
	}
	var persistence any
	if p.persistence != nil {
		persistence = p.persistence
	}
	return p.render(map[string]any{
		"protocol": p.protocol, "lb_algorithm": p.algorithm, "session_persistence": persistence, "listeners": listeners,
		"loadbalancers": []idOnly{{p.balancer.id}}, "members": members, "healthmonitor_id": monitor,
		"tls_container_ref": nil, "ca_tls_container_ref": nil, "crl_container_ref": nil, "tls_enabled": false,
		"tls_ciphers": nil, "tls_versions": nil, "alpn_protocols": nil,
	})
}

func (p *pool) renderFull() map[string]any {
	full := p.renderPool().attributes
	delete(full, "loadbalancers")
	members := []any{}
	for _, m := range p.members {
		members = append(members, m.renderMember().attributes)
	}
	full["members"] = members
	if p.monitor != nil {
		monitor := p.monitor.renderMonitor().attributes
		delete(monitor, "pools")
		full["healthmonitor"] = monitor
	}
	return full
}

func (c *Cloud) findPool(id string) *pool {
	for _, b := range c.balancers {
		for _, p := range b.pools {
			if p.id == id {
				return p
			}
		}
	}
	return nil
}

func (c *Cloud) poolFor(r *request, id string) (*pool, error) {
	p := c.findPool(id)
	if p == nil {
		return nil, missing("Pool", id)
	}
	return p, r.may(p.project)
}

func (c *Cloud) listPools(r *request) (reply, error) {
	var all []object
	for _, b := range c.balancers {
		for _, p := range b.pools {
			if r.owned(p.project) {
				all = append(all, c.hideNew(p.renderPool()))
			}
		}
	}
	return c.listOctavia(r, "pools", all, map[string]func(object, string) bool{"loadbalancer_id": inBalancer, "load_balancer_id": inBalancer})
}

func (c *Cloud) showPool(r *request) (reply, error) {
	p, err := c.poolFor(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	return show(r, "pool", c.hideNew(p.renderPool()))
}

// above are the listeners that are locked with a pool.
func (p *pool) above() []*element {
	var locked []*element
	for _, l := range p.balancer.listeners {
		if l.pool == p {
			locked = append(locked, &l.element)
		}
	}
	return locked
}

var algorithms = []string{"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"}

func (c *Cloud) newPool(b *loadBalancer, want poolPOST) (*pool, error) {
	if err := c.checkPoolVersion(want); err != nil {
		return nil, err
	}
	protocol, algorithm := want.Protocol.value, want.LBAlgorithm.value
	if !slices.Contains([]string{"HTTP", "HTTPS", "PROXY", "PROXYV2", "SCTP", "TCP", "UDP"}, protocol) {
		return nil, invalidInput("protocol", protocol, "Value should be one of: HTTP, HTTPS, PROXY, PROXYV2, SCTP, TCP, UDP")
	}
	if !slices.Contains(algorithms, algorithm) {
		return nil, invalidInput("lb_algorithm", algorithm, "Value should be one of: LEAST_CONNECTIONS, ROUND_ROBIN, SOURCE_IP, SOURCE_IP_PORT")
	}
	p := &pool{element: c.newElement(b.project, want.basics), protocol: protocol, algorithm: algorithm}
	p.balancer = b
	var err error
	p.persistence, err = persistenceOf(protocol, want.SessionPersistence)
	return p, err
}

func persistenceOf(protocol string, want field[persistencePOST]) (map[string]any, error) {
	if !want.given() {
		return nil, nil
	}
	w := want.value
	kind := w.Type.value
	datagram := protocol == "UDP" || protocol == "SCTP"
	switch {
	case !slices.Contains([]string{"SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"}, kind):
		return nil, invalidInput("type", kind, "Value should be one of: APP_COOKIE, HTTP_COOKIE, SOURCE_IP")
	case datagram && kind != "SOURCE_IP":
		return nil, validation("Session persistence of type %s is not supported for UDP/SCTP protocol pools.", kind)
	case !datagram && (w.PersistenceTimeout.value != 0 || w.PersistenceGranularity.value != ""):
		return nil, validation("persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools.")
	case kind == "APP_COOKIE" && w.CookieName.value == "":
		return nil, validation(`Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.`)
	case kind != "APP_COOKIE" && w.CookieName.value != "":
		return nil, validation(`Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".`)
	}
	result := map[string]any{"type": kind, "cookie_name": orNil(w.CookieName.value), "persistence_timeout": nil, "persistence_granularity": orNil(w.PersistenceGranularity.value)}
	if w.PersistenceTimeout.given() {
		result["persistence_timeout"] = w.PersistenceTimeout.value
	}
	return result, nil
}

func (c *Cloud) createPool(r *request) (reply, error) {
	var in struct{ Pool poolPOST }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	want := in.Pool
	b, l, err := c.poolParent(want)
	if err != nil {
		return reply{}, err
	}
	if err := r.may(b.project); err != nil {
		return reply{}, err
	}
	if l != nil {
		if err := compatible(l.protocol, want.Protocol.value); err != nil {
			return reply{}, err
		}
	}
	if c.lbQuotaMet(c.findProject(b.project, ""), "pool", 1) {
		return reply{}, quotaMet("Pool")
	}
	if l != nil && l.pool != nil {
		return reply{}, conflict("", "This listener already has a default pool")
	}
	if err := lock(b); err != nil {
		return reply{}, err
	}
	p, err := c.newPool(b, want)
	if err != nil {
		return reply{}, err
	}
	if err := driverPool(b, p.protocol, p.algorithm); err != nil {
		return reply{}, err
	}
	b.pools = append(b.pools, p)
	if l != nil {
		l.pool = p
	}
	c.begin(r, b, Change{Kind: "update", Object: "pool"}, work{changed: []*element{&p.element}, with: p.above(), heals: true})
	answer, err := show(r, "pool", c.hideNew(p.renderPool()))
	answer.status = http.StatusCreated
	return answer, err
}

func (c *Cloud) poolParent(want poolPOST) (*loadBalancer, *listener, error) {
	switch {
	case want.LoadBalancerID.given():
		b := c.findBalancer(want.LoadBalancerID.value)
		if b == nil {
			return nil, nil, missing("Load Balancer", want.LoadBalancerID.value)
		}
		if l := c.findListener(want.ListenerID.value); l != nil {
			return b, l, nil
		}
		return b, nil, nil
	case want.ListenerID.given():
		l := c.findListener(want.ListenerID.value)
		if l == nil {
			return nil, nil, missing("Listener", want.ListenerID.value)
		}
		return l.balancer, l, nil
	}
	return nil, nil, validation("Must provide at least one of: loadbalancer_id, listener_id")
}

func (c *Cloud) updatePool(r *request) (reply, error) {
	var in struct{ Pool poolPUT }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	p, err := c.poolFor(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	want, b := in.Pool, p.balancer
	persistence, err := persistenceOf(p.protocol, want.SessionPersistence)
	if err != nil {
		return reply{}, err
	}
	algorithm := want.LBAlgorithm.or(p.algorithm)
	if !slices.Contains(algorithms, algorithm) {
		return reply{}, invalidInput("lb_algorithm", algorithm, "Value should be one of: LEAST_CONNECTIONS, ROUND_ROBIN, SOURCE_IP, SOURCE_IP_PORT")
	}
	if err := lock(b); err != nil {
		return reply{}, err
	}
	if err := driverPool(b, p.protocol, algorithm); err != nil {
		return reply{}, err
	}
	p.apply(want.basics)
	p.algorithm = algorithm
	if want.SessionPersistence.set {
		p.persistence = persistence
	}
	p.provisioning, p.updated = pendingUpdate, r.now
	if b.provider == ovn {
		// The driver does not report about the listeners, which stay PENDING_UPDATE
		// below an ACTIVE load balancer and can be changed all the same.
		for _, e := range p.above() {
			e.provisioning, e.updated = pendingUpdate, r.now
		}
		c.begin(r, b, Change{Kind: "update", Object: "pool"}, work{changed: []*element{&p.element}})
		return show(r, "pool", c.hideNew(p.renderPool()))
	}
	c.begin(r, b, Change{Kind: "update", Object: "pool"}, work{changed: []*element{&p.element}, with: p.above(), heals: true})
	return show(r, "pool", c.hideNew(p.renderPool()))
}

func (c *Cloud) deletePool(r *request) (reply, error) {
	p, err := c.poolFor(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	b := p.balancer
	if err := lock(b); err != nil {
		return reply{}, err
	}
	p.provisioning, p.updated = pendingDelete, r.now
	c.begin(r, b, Change{Kind: "update", Object: "pool"}, work{
		changed: []*element{&p.element}, with: p.above(), heals: true, done: func(time.Time) { b.removePool(p) }})
	return reply{status: http.StatusNoContent}, nil
}

func (b *loadBalancer) removePool(p *pool) {
	b.pools = slices.DeleteFunc(b.pools, func(other *pool) bool { return other == p })
	for _, l := range b.listeners {
		if l.pool == p {
			l.pool = nil
		}
	}
}
