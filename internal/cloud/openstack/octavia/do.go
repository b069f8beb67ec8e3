package octavia

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/gophercloud/gophercloud/v2"
)

// deed is what a step does: one call. It returns what the call did to the load
// balancer as we know it, so that nothing needs to be read again.
type deed interface {
	do(ctx context.Context, c *gophercloud.ServiceClient) (change, error)
}

// change is applied to the load balancer that a step was about; for a new one, to an
// empty value.
type change func(*LoadBalancer)

type createLoadBalancer struct{ LoadBalancer LoadBalancer }

func (s createLoadBalancer) String() string {
	l := &s.LoadBalancer
	members := 0
	for _, p := range l.Pools {
		members += len(p.Members)
	}
	return fmt.Sprintf("create load balancer %s (provider %s, listeners: %d, members: %d)", l.Name, l.Provider, len(l.Listeners), members)
}

func (s createLoadBalancer) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	var reply struct {
		LoadBalancer wireLoadBalancer `json:"loadbalancer"`
	}
	if err := send(ctx, c, http.MethodPost, []string{"lbaas", "loadbalancers"}, map[string]any{"loadbalancer": createBody(&s.LoadBalancer)}, &reply); err != nil {
		return nil, fmt.Errorf("create load balancer %s: %w", s.LoadBalancer.Name, err)
	}
	made := reply.LoadBalancer.value()
	if !made.complete() || !made.resembles(&s.LoadBalancer) {
		return func(l *LoadBalancer) { *l = made; l.Listeners, l.Pools = nil, nil }, nil
	}
	return func(l *LoadBalancer) { *l = made; l.Known = true }, nil
}

type updateLoadBalancer struct {
	ID, Name string
	Tags     []string
}

func (s updateLoadBalancer) String() string {
	return fmt.Sprintf("tag load balancer %s (%s) with %v", s.Name, s.ID, s.Tags)
}

func (s updateLoadBalancer) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := put(ctx, c, "loadbalancers", s.ID, "loadbalancer", map[string]any{"tags": notNil(s.Tags)})
	return func(l *LoadBalancer) { l.Tags, l.Status = s.Tags, PendingUpdate }, wrap(err, "tag load balancer %s", s.ID)
}

type deleteLoadBalancer struct {
	ID, Name string
	Cascade  bool
	Why      string
}

func (s deleteLoadBalancer) String() string {
	text := fmt.Sprintf("delete load balancer %s (%s)", s.Name, s.ID)
	if s.Cascade {
		text += " with all below it"
	}
	if s.Why != "" {
		text += ": " + s.Why
	}
	return text
}

func (s deleteLoadBalancer) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	url := c.ServiceURL("lbaas", "loadbalancers", s.ID)
	if s.Cascade {
		url += "?cascade=true"
	}
	return func(l *LoadBalancer) { l.Status = PendingDelete }, wrap(remove(ctx, c, url), "delete load balancer %s", s.ID)
}

type failover struct{ ID, Name string }

func (s failover) String() string {
	return fmt.Sprintf("fail load balancer %s (%s) over", s.Name, s.ID)
}

func (s failover) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := send(ctx, c, http.MethodPut, []string{"lbaas", "loadbalancers", s.ID, "failover"}, nil, nil)
	return func(l *LoadBalancer) { l.Status = PendingUpdate }, wrap(err, "fail load balancer %s over", s.ID)
}

type createListener struct {
	LB       string
	Listener Listener
}

func (s createListener) String() string {
	return fmt.Sprintf("create listener %s for port %d/%s", s.Listener.Name, s.Listener.Port, s.Listener.Protocol)
}

func (s createListener) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	var reply struct {
		Listener wireListener `json:"listener"`
	}
	body := listenerBody(&s.Listener)
	body["loadbalancer_id"], body["default_pool_id"] = s.LB, s.Listener.Pool
	err := send(ctx, c, http.MethodPost, []string{"lbaas", "listeners"}, map[string]any{"listener": body}, &reply)
	return func(l *LoadBalancer) {
		made := s.Listener
		made.ID = reply.Listener.ID
		l.Listeners, l.Status = append(l.Listeners, made), PendingUpdate
	}, wrap(err, "create listener %s", s.Listener.Name)
}

type updateListener struct {
	ID         string
	Want, Have Listener
}

func (s updateListener) String() string {
	return fmt.Sprintf("change listener %s (%s): %s", s.Have.Name, s.ID, listed(listenerChanges(&s.Have, &s.Want)))
}

func (s updateListener) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := put(ctx, c, "listeners", s.ID, "listener", listenerChanges(&s.Have, &s.Want))
	return func(l *LoadBalancer) {
		for i := range l.Listeners {
			if have := &l.Listeners[i]; have.ID == s.ID {
				want := s.Want
				want.ID, want.Status = have.ID, PendingUpdate
				*have = want
			}
		}
		l.Status = PendingUpdate
	}, wrap(err, "change listener %s", s.ID)
}

type deleteListener struct {
	ID, Name, Protocol string
	Port               uint16
}

func (s deleteListener) String() string {
	return fmt.Sprintf("delete listener %s (%s) of port %d/%s", s.Name, s.ID, s.Port, s.Protocol)
}

func (s deleteListener) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := remove(ctx, c, c.ServiceURL("lbaas", "listeners", s.ID))
	return func(l *LoadBalancer) {
		l.Listeners = without(l.Listeners, func(x Listener) bool { return x.ID == s.ID })
		l.Status = PendingUpdate
	}, wrap(err, "delete listener %s", s.ID)
}

type createPool struct {
	LB   string
	Pool Pool
}

func (s createPool) String() string {
	return fmt.Sprintf("create pool %s (%s, %s)", s.Pool.Name, s.Pool.Protocol, s.Pool.Method)
}

func (s createPool) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	var reply struct {
		Pool wirePool `json:"pool"`
	}
	body := poolBody(&s.Pool)
	body["loadbalancer_id"], body["name"], body["protocol"] = s.LB, s.Pool.Name, s.Pool.Protocol
	err := send(ctx, c, http.MethodPost, []string{"lbaas", "pools"}, map[string]any{"pool": body}, &reply)
	return func(l *LoadBalancer) {
		made := s.Pool
		made.ID, made.Members, made.Monitor = reply.Pool.ID, nil, nil
		l.Pools, l.Status = append(l.Pools, made), PendingUpdate
	}, wrap(err, "create pool %s", s.Pool.Name)
}

type updatePool struct {
	ID         string
	Want, Have Pool
	Rename     bool
}

func (s updatePool) String() string {
	return fmt.Sprintf("change pool %s (%s): %s", s.Have.Name, s.ID, listed(poolBody(&s.Want)))
}

func (s updatePool) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	body := poolBody(&s.Want)
	if s.Rename {
		body["name"] = s.Want.Name
	}
	err := put(ctx, c, "pools", s.ID, "pool", body)
	return inPool(s.ID, func(p *Pool) {
		if s.Rename {
			p.Name = s.Want.Name
		}
		p.Method, p.Sticky, p.StickyFor, p.Down, p.Status = s.Want.Method, s.Want.Sticky, s.Want.StickyFor, false, PendingUpdate
	}), wrap(err, "change pool %s", s.ID)
}

type deletePool struct{ ID, Name string }

func (s deletePool) String() string { return fmt.Sprintf("delete pool %s (%s)", s.Name, s.ID) }

func (s deletePool) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := remove(ctx, c, c.ServiceURL("lbaas", "pools", s.ID))
	return func(l *LoadBalancer) {
		l.Pools = without(l.Pools, func(x Pool) bool { return x.ID == s.ID })
		l.Status = PendingUpdate
	}, wrap(err, "delete pool %s", s.ID)
}

type setMembers struct {
	Pool, PoolName          string
	Members                 []Member
	Added, Changed, Removed int
}

func (s setMembers) String() string {
	return fmt.Sprintf("set the %d members of pool %s (%s): %d new, %d changed, %d gone", len(s.Members), s.PoolName, s.Pool, s.Added, s.Changed, s.Removed)
}

func (s setMembers) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	bodies := make([]map[string]any, len(s.Members))
	for i := range s.Members {
		bodies[i] = memberBody(&s.Members[i])
		if s.Changed > 0 && s.Members[i].MonitorPort == 0 {
			bodies[i]["monitor_port"] = nil // left out, it would stay
		}
	}
	err := send(ctx, c, http.MethodPut, []string{"lbaas", "pools", s.Pool, "members"}, map[string]any{"members": bodies}, nil)
	return inPool(s.Pool, func(p *Pool) {
		known := make(map[memberKey]string, len(p.Members))
		for _, m := range p.Members {
			known[m.key()] = m.ID
		}
		p.Members = make([]Member, len(s.Members))
		for i, m := range s.Members {
			m.ID = known[m.key()]
			p.Members[i] = m
		}
	}), wrap(err, "set the members of pool %s", s.Pool)
}

type createMember struct {
	Pool, PoolName string
	Member         Member
}

func (s createMember) String() string {
	return fmt.Sprintf("add member %s to pool %s", netip.AddrPortFrom(s.Member.Address, s.Member.Port), s.PoolName)
}

func (s createMember) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	var reply struct {
		Member wireMember `json:"member"`
	}
	err := send(ctx, c, http.MethodPost, []string{"lbaas", "pools", s.Pool, "members"}, map[string]any{"member": memberBody(&s.Member)}, &reply)
	return inPool(s.Pool, func(p *Pool) {
		made := s.Member
		made.ID = reply.Member.ID
		p.Members = append(p.Members, made)
	}), wrap(err, "add a member to pool %s", s.Pool)
}

type updateMember struct {
	Pool, PoolName, ID string
	Member             Member
}

func (s updateMember) String() string {
	return fmt.Sprintf("change member %s (%s) of pool %s", netip.AddrPortFrom(s.Member.Address, s.Member.Port), s.ID, s.PoolName)
}

func (s updateMember) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	body := memberBody(&s.Member)
	delete(body, "address")
	delete(body, "protocol_port")
	delete(body, "subnet_id")
	if s.Member.MonitorPort == 0 {
		body["monitor_port"] = nil
	}
	err := send(ctx, c, http.MethodPut, []string{"lbaas", "pools", s.Pool, "members", s.ID}, map[string]any{"member": body}, nil)
	return inPool(s.Pool, func(p *Pool) {
		for i := range p.Members {
			if p.Members[i].ID == s.ID {
				p.Members[i] = s.Member
				p.Members[i].ID = s.ID
			}
		}
	}), wrap(err, "change member %s", s.ID)
}

type deleteMember struct {
	Pool, PoolName string
	Member         Member
}

func (s deleteMember) String() string {
	return fmt.Sprintf("remove member %s (%s) from pool %s", netip.AddrPortFrom(s.Member.Address, s.Member.Port), s.Member.ID, s.PoolName)
}

func (s deleteMember) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := remove(ctx, c, c.ServiceURL("lbaas", "pools", s.Pool, "members", s.Member.ID))
	return inPool(s.Pool, func(p *Pool) {
		p.Members = without(p.Members, func(m Member) bool { return m.key() == s.Member.key() })
	}), wrap(err, "remove member %s", s.Member.ID)
}

type createMonitor struct {
	Pool, PoolName string
	Monitor        Monitor
}

func (s createMonitor) String() string {
	return fmt.Sprintf("create %s monitor %s of pool %s", s.Monitor.Type, s.Monitor.Name, s.PoolName)
}

func (s createMonitor) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	var reply struct {
		Monitor wireMonitor `json:"healthmonitor"`
	}
	body := monitorBody(&s.Monitor)
	body["pool_id"], body["type"], body["name"] = s.Pool, s.Monitor.Type, s.Monitor.Name
	err := send(ctx, c, http.MethodPost, []string{"lbaas", "healthmonitors"}, map[string]any{"healthmonitor": body}, &reply)
	return inPool(s.Pool, func(p *Pool) {
		made := s.Monitor
		made.ID = reply.Monitor.ID
		p.Monitor = &made
	}), wrap(err, "create monitor %s", s.Monitor.Name)
}

type updateMonitor struct {
	ID, PoolName string
	Monitor      Monitor
}

func (s updateMonitor) String() string {
	return fmt.Sprintf("change the monitor (%s) of pool %s: %s", s.ID, s.PoolName, listed(monitorBody(&s.Monitor)))
}

func (s updateMonitor) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := put(ctx, c, "healthmonitors", s.ID, "healthmonitor", monitorBody(&s.Monitor))
	return withMonitor(s.ID, func(p *Pool) {
		made := s.Monitor
		made.ID = s.ID
		p.Monitor = &made
	}), wrap(err, "change monitor %s", s.ID)
}

type deleteMonitor struct{ ID, PoolName string }

func (s deleteMonitor) String() string {
	return fmt.Sprintf("delete the monitor (%s) of pool %s", s.ID, s.PoolName)
}

func (s deleteMonitor) do(ctx context.Context, c *gophercloud.ServiceClient) (change, error) {
	err := remove(ctx, c, c.ServiceURL("lbaas", "healthmonitors", s.ID))
	return withMonitor(s.ID, func(p *Pool) { p.Monitor = nil }), wrap(err, "delete monitor %s", s.ID)
}
