package fake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

type listener struct {
	element
	protocol        string
	port            int
	connectionLimit int
	pool            *pool // the default pool
	insertHeaders   map[string]string
	timeouts        [4]int // client data, member connect, member data, TCP inspect; ms
	allowedCIDRs    []string
}

// Octavia's defaults, in ms.
var defaultTimeouts = [4]int{50000, 5000, 50000, 0}

type listenerPOST struct {
	basics
	LoadBalancerID       field[string] `json:"loadbalancer_id"`
	Protocol             field[string]
	ProtocolPort         field[int]               `json:"protocol_port"`
	DefaultPoolID        field[string]            `json:"default_pool_id"`
	DefaultPool          field[poolPOST]          `json:"default_pool"`
	ConnectionLimit      field[int]               `json:"connection_limit"`
	InsertHeaders        field[map[string]string] `json:"insert_headers"`
	TimeoutClientData    field[int]               `json:"timeout_client_data"`
	TimeoutMemberConnect field[int]               `json:"timeout_member_connect"`
	TimeoutMemberData    field[int]               `json:"timeout_member_data"`
	TimeoutTCPInspect    field[int]               `json:"timeout_tcp_inspect"`
	AllowedCIDRs         field[[]string]          `json:"allowed_cidrs"`
	L7Policies           field[[]any]             `json:"l7policies"`
}

// listenerPUT has what can be changed: protocol and port cannot.
type listenerPUT struct {
	basics
	DefaultPoolID        field[string]            `json:"default_pool_id"`
	ConnectionLimit      field[int]               `json:"connection_limit"`
	InsertHeaders        field[map[string]string] `json:"insert_headers"`
	TimeoutClientData    field[int]               `json:"timeout_client_data"`
	TimeoutMemberConnect field[int]               `json:"timeout_member_connect"`
	TimeoutMemberData    field[int]               `json:"timeout_member_data"`
	TimeoutTCPInspect    field[int]               `json:"timeout_tcp_inspect"`
	AllowedCIDRs         field[[]string]          `json:"allowed_cidrs"`
}

func (l *listener) renderListener() object {
	var pool any
	if l.pool != nil {
		pool = l.pool.id
	}
	var cidrs any
	if len(l.allowedCIDRs) > 0 {
		cidrs = l.allowedCIDRs
	}
	headers := l.insertHeaders
	if headers == nil {
		headers = map[string]string{}
	}
	return l.render(map[string]any{
		"protocol": l.protocol, "protocol_port": l.port, "connection_limit": l.connectionLimit, "default_pool_id": pool,
		"insert_headers": headers, "allowed_cidrs": cidrs, "loadbalancers": []idOnly{{l.balancer.id}}, "l7policies": []any{},
		"timeout_client_data": l.timeouts[0], "timeout_member_connect": l.timeouts[1], "timeout_member_data": l.timeouts[2],
		"timeout_tcp_inspect": l.timeouts[3], "default_tls_container_ref": nil, "sni_container_refs": []any{},
		"client_ca_tls_container_ref": nil, "client_authentication": "NONE", "client_crl_container_ref": nil,
		"tls_ciphers": nil, "tls_versions": nil, "alpn_protocols": nil,
	})
}

func (c *Cloud) findListener(id string) *listener {
	for _, b := range c.balancers {
		for _, l := range b.listeners {
			if l.id == id {
				return l
			}
		}
	}
	return nil
}

func (c *Cloud) listenerFor(r *request) (*listener, error) {
	id := r.PathValue("id")
	l := c.findListener(id)
	if l == nil {
		return nil, missing("Listener", id)
	}
	return l, r.may(l.project)
}

// inBalancer is the filter loadbalancer_id of listeners and pools.
func inBalancer(o object, id string) bool {
	of, _ := o.attributes["loadbalancers"].([]idOnly) // rendered so
	return len(of) == 1 && of[0].ID == id
}

func (c *Cloud) listListeners(r *request) (reply, error) {
	var all []object
	for _, b := range c.balancers {
		for _, l := range b.listeners {
			if r.owned(l.project) {
				all = append(all, c.hideNew(l.renderListener()))
			}
		}
	}
	return c.listOctavia(r, "listeners", all, map[string]func(object, string) bool{"loadbalancer_id": inBalancer, "load_balancer_id": inBalancer})
}

func (c *Cloud) showListener(r *request) (reply, error) {
	l, err := c.listenerFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "listener", c.hideNew(l.renderListener()))
}

// poolProtocols are those that a listener's pools may have
// (VALID_LISTENER_POOL_PROTOCOL_MAP).
var poolProtocols = map[string][]string{
	"TCP":              {"HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"},
	"HTTP":             {"HTTP", "PROXY", "PROXYV2"},
	"HTTPS":            {"HTTPS", "PROXY", "PROXYV2", "TCP"},
	"TERMINATED_HTTPS": {"HTTP", "PROXY", "PROXYV2"},
	"UDP":              {"UDP"},
	"SCTP":             {"SCTP"},
	"PROMETHEUS":       {},
}

// transportOf is the L4 protocol whose ports a listener takes.
func transportOf(protocol string) string {
	if protocol == "UDP" || protocol == "SCTP" {
		return protocol
	}
	return "TCP"
}

func compatible(listenerProtocol, poolProtocol string) error {
	if slices.Contains(poolProtocols[listenerProtocol], poolProtocol) {
		return nil
	}
	return validation("The pool protocol '%s' is invalid while the listener protocol is '%s'.", poolProtocol, listenerProtocol)
}

// newListener checks a wish and makes a listener of it, which is not in its load
// balancer yet.
func (c *Cloud) newListener(b *loadBalancer, want listenerPOST) (*listener, error) {
	if err := c.checkListenerVersion(want); err != nil {
		return nil, err
	}
	protocol, number := want.Protocol.value, want.ProtocolPort.value
	if _, ok := poolProtocols[protocol]; !ok {
		return nil, invalidInput("protocol", protocol, "Value should be one of: HTTP, HTTPS, PROMETHEUS, SCTP, TCP, TERMINATED_HTTPS, UDP")
	}
	if number < 1 || number > 65535 {
		return nil, invalidInput("protocol_port", fmt.Sprint(number), "Value should be greater or equal to 1")
	}
	if err := checkHeaders(protocol, want.InsertHeaders.value, "does not support TLS."); err != nil {
		return nil, err
	}
	for _, other := range b.listeners {
		if other.port == number && transportOf(other.protocol) == transportOf(protocol) {
			return nil, conflict("", fmt.Sprintf(
				"Another Listener on this Load Balancer is already using protocol %s and protocol_port %d", other.protocol, number))
		}
	}
	l := &listener{
		element: c.newElement(b.project, want.basics), protocol: protocol, port: number, connectionLimit: want.ConnectionLimit.or(-1),
		insertHeaders: want.InsertHeaders.value,
		timeouts: [4]int{
			want.TimeoutClientData.or(defaultTimeouts[0]), want.TimeoutMemberConnect.or(defaultTimeouts[1]),
			want.TimeoutMemberData.or(defaultTimeouts[2]), want.TimeoutTCPInspect.or(defaultTimeouts[3]),
		},
	}
	l.balancer = b
	var err error
	l.allowedCIDRs, err = checkCIDRs(b, want.AllowedCIDRs.value)
	return l, err
}

// forwardingHeaders are those that HTTP listeners can insert.
var forwardingHeaders = []string{"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"}

func checkHeaders(protocol string, headers map[string]string, saysUDP string) error {
	if len(headers) == 0 {
		return nil
	}
	if protocol == "UDP" || protocol == "SCTP" {
		return validation("%s protocol listener %s", protocol, saysUDP)
	}
	if protocol != "HTTP" && protocol != "TERMINATED_HTTPS" {
		return invalidOption("insert-headers", fmt.Sprintf("a %s protocol listener.", protocol))
	}
	for name := range headers {
		if !slices.Contains(forwardingHeaders, name) {
			return invalidOption("['"+name+"']", "insert_headers")
		}
	}
	return nil
}

// checkCIDRs normalizes, and refuses what is not of the VIP's family; additional VIPs
// do not count (_validate_cidr_compatible_with_vip).
func checkCIDRs(b *loadBalancer, cidrs []string) ([]string, error) {
	var normal []string
	for _, text := range cidrs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalidInput("allowed_cidrs", text, "Value should be IPv4 or IPv6 CIDR format")
		}
		if prefix.Addr().Is6() != b.vip.addr.Is6() {
			return nil, validation("CIDR %s IP version incompatible with VIP %s IP version.", prefix.Masked(), b.vip.addr)
		}
		normal = append(normal, prefix.Masked().String())
	}
	return normal, nil
}

func invalidInput(attribute, value, why string) error {
	return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Invalid input for field/attribute %s. Value: '%s'. %s", attribute, value, why)}
}

func (c *Cloud) createListener(r *request) (reply, error) {
	var in struct{ Listener listenerPOST }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	want := in.Listener
	b := c.findBalancer(want.LoadBalancerID.value)
	if b == nil {
		return reply{}, missing("Load Balancer", want.LoadBalancerID.value)
	}
	if err := r.may(b.project); err != nil {
		return reply{}, err
	}
	if c.lbQuotaMet(c.findProject(b.project, ""), "listener", 1) {
		return reply{}, quotaMet("Listener")
	}
	pool, err := b.defaultPool(want.Protocol.value, want.DefaultPoolID.value)
	if err != nil {
		return reply{}, err
	}
	if err := lock(b); err != nil {
		return reply{}, err
	}
	l, err := c.newListener(b, want)
	if err != nil {
		return reply{}, err
	}
	if err := driverListener(b, l); err != nil {
		return reply{}, err
	}
	l.pool = pool
	b.listeners = append(b.listeners, l)
	c.begin(r, b, Change{Kind: "update", Object: "listener"}, work{changed: []*element{&l.element}, heals: true})
	answer, err := show(r, "listener", c.hideNew(l.renderListener()))
	answer.status = http.StatusCreated
	return answer, err
}

// defaultPool finds the pool that a listener asks for.
func (b *loadBalancer) defaultPool(protocol, id string) (*pool, error) {
	if id == "" {
		return nil, nil
	}
	for _, p := range b.pools {
		if p.id == id {
			return p, compatible(protocol, p.protocol)
		}
	}
	return nil, missing("Pool", id)
}

func (c *Cloud) updateListener(r *request) (reply, error) {
	var in struct{ Listener listenerPUT }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	l, err := c.listenerFor(r)
	if err != nil {
		return reply{}, err
	}
	want, b := in.Listener, l.balancer
	if err := checkHeaders(l.protocol, want.InsertHeaders.value, "does not support TLS or header insertion."); err != nil {
		return reply{}, err
	}
	cidrs, err := checkCIDRs(b, want.AllowedCIDRs.value)
	if err != nil {
		return reply{}, err
	}
	pool, err := b.defaultPool(l.protocol, want.DefaultPoolID.value)
	if err != nil {
		return reply{}, err
	}
	if err := lock(b); err != nil {
		return reply{}, err
	}
	if b.provider == ovn && len(cidrs) > 0 {
		return reply{}, unsupported(ovn, "OVN provider does not support allowed_cidrs option")
	}
	l.apply(want.basics)
	if want.DefaultPoolID.set {
		l.pool = pool
	}
	if want.AllowedCIDRs.set {
		l.allowedCIDRs = cidrs
	}
	want.InsertHeaders.update(&l.insertHeaders)
	if want.ConnectionLimit.set {
		l.connectionLimit = want.ConnectionLimit.or(-1)
	}
	for i, f := range []field[int]{want.TimeoutClientData, want.TimeoutMemberConnect, want.TimeoutMemberData, want.TimeoutTCPInspect} {
		if f.set {
			l.timeouts[i] = f.or(defaultTimeouts[i])
		}
	}
	l.provisioning, l.updated = pendingUpdate, r.now
	c.begin(r, b, Change{Kind: "update", Object: "listener"}, work{changed: []*element{&l.element}})
	return show(r, "listener", c.hideNew(l.renderListener()))
}

func (c *Cloud) deleteListener(r *request) (reply, error) {
	l, err := c.listenerFor(r)
	if err != nil {
		return reply{}, err
	}
	b := l.balancer
	if err := lock(b); err != nil {
		return reply{}, err
	}
	l.provisioning, l.updated = pendingDelete, r.now
	c.begin(r, b, Change{Kind: "update", Object: "listener"}, work{
		changed: []*element{&l.element}, done: func(time.Time) { b.removeListener(l) }})
	return reply{status: http.StatusNoContent}, nil
}

func (b *loadBalancer) removeListener(l *listener) {
	b.listeners = slices.DeleteFunc(b.listeners, func(other *listener) bool { return other == l })
}
