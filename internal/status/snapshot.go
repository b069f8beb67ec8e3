// Package status shows the world as it is and why: one Snapshot for tables, JSON
// and YAML. It asks plan, so that a command never tells another story than the
// controller.
package status

import (
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// Snapshot is everything that fairlead status shows.
type Snapshot struct {
	Services []Service `json:"services"`
	Pools    []Pool    `json:"pools"`
}

// Service is one line for each address of a Service, or one for a Service without.
type Service struct {
	Service string `json:"service"` // namespace/name
	VIP     string `json:"vip,omitempty"`
	Class   string `json:"class,omitempty"`
	Pool    string `json:"pool,omitempty"`
	// Node that owns the address.
	Node string `json:"node,omitempty"`
	// Interfaces it is announced on.
	Interfaces []string `json:"interfaces,omitempty"`
	// LoadBalancer is the cloud's id of it.
	LoadBalancer string `json:"loadBalancer,omitempty"`
	State        State  `json:"state"`
	Reason       string `json:"reason,omitempty"`
	Message      string `json:"message,omitempty"`
}

// State of an address.
type State string

// The states of an address.
const (
	// Announced: a node answers for it.
	Announced State = "announced"
	// Assigned: the Service has it, and no node answers yet.
	Assigned State = "assigned"
	// Pending: the controller has not written it yet.
	Pending State = "pending"
	// Refused: there is none; Reason and Message say why.
	Refused State = "refused"
	// Building: a cloud makes the load balancer, or cannot; then Reason says why.
	Building State = "building"
	// Active: the cloud's load balancer has the address.
	Active State = "active"
	// Deleting: the cloud takes the load balancer away.
	Deleting State = "deleting"
)

// Pool is one line for each family of a pool.
type Pool struct {
	Pool      string `json:"pool"`
	Family    string `json:"family,omitempty"`
	Addresses string `json:"addresses"`
	InUse     int64  `json:"inUse"`
	Total     int64  `json:"total"`
	Free      int64  `json:"free"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
}

// Take makes a Snapshot of a world.
func Take(w lb.World) Snapshot {
	d := plan.Plan(w)
	owners := make(map[netip.Addr]plan.Ownership)
	for _, o := range plan.Owners(w) {
		owners[o.Address] = o
	}
	says := claims(w.Speakers)
	var s Snapshot
	for i := range d.Balancers {
		if b := &d.Balancers[i]; b.Built != nil {
			s.Services = append(s.Services, built(b)...)
		} else {
			s.Services = append(s.Services, balanced(w, b, owners, says)...)
		}
	}
	for _, r := range d.Refusals {
		s.Services = append(s.Services, Service{Service: r.Service.String(), State: Refused, Reason: string(r.Reason), Message: r.Message()})
	}
	slices.SortStableFunc(s.Services, func(x, y Service) int { return strings.Compare(x.Service, y.Service) })
	for _, p := range d.Pools {
		s.Pools = append(s.Pools, poolLines(p)...)
	}
	return s
}

// claimKey is an address on a node.
type claimKey struct {
	node string
	addr netip.Addr
}

func claims(speakers []lb.Speaker) map[claimKey]lb.Claim {
	out := make(map[claimKey]lb.Claim)
	for _, s := range speakers {
		for _, c := range s.Claims {
			out[claimKey{s.Node, c.Address}] = c
		}
	}
	return out
}

func balanced(w lb.World, b *lb.Balancer, owners map[netip.Addr]plan.Ownership, says map[claimKey]lb.Claim) []Service {
	i, _ := slices.BinarySearchFunc(w.Services, b.Service, func(s lb.Service, k lb.Key) int { return s.Key.Compare(k) })
	var out []Service
	for _, g := range b.Grants {
		line := Service{Service: b.Service.String(), VIP: g.Address.String(), Class: b.Class, Pool: g.Pool, State: Pending}
		if b.Shortfall != nil {
			line.Reason, line.Message = string(b.Shortfall.Reason), b.Shortfall.Message()
		}
		if slices.Contains(w.Services[i].Held, g.Address) {
			line.State = Assigned
		}
		o := owners[g.Address]
		line.Node = o.Node
		if o.Refusal != nil && b.Shortfall == nil {
			line.Reason, line.Message = string(o.Refusal.Reason), o.Refusal.Message()
		}
		if c := says[claimKey{o.Node, g.Address}]; c.State == lb.Announced {
			line.State, line.Interfaces = Announced, c.Interfaces
		}
		out = append(out, line)
	}
	return out
}

// built are the lines of a Service that a cloud serves.
func built(b *lb.Balancer) []Service {
	line := Service{Service: b.Service.String(), Class: b.Class, LoadBalancer: b.Built.ID, State: Building}
	if b.Shortfall != nil {
		line.Reason, line.Message = string(b.Shortfall.Reason), b.Shortfall.Message()
	}
	shown := []string{b.Built.Hostname}
	if b.Built.Hostname == "" && len(b.Built.Addresses) > 0 {
		shown = shown[:0]
		for _, a := range b.Built.Addresses {
			shown = append(shown, a.String())
		}
	}
	switch {
	case line.Reason == string(lb.Deleting):
		line.State = Deleting
	case shown[0] != "" && line.Reason != string(lb.Building):
		line.State = Active
	}
	out := make([]Service, len(shown))
	for i, vip := range shown {
		out[i] = line
		out[i].VIP = vip
	}
	return out
}

func poolLines(p lb.PoolState) []Pool {
	base := Pool{Pool: p.Name}
	if p.Refusal != nil {
		base.Reason, base.Message = string(p.Refusal.Reason), p.Refusal.Message()
	}
	if len(p.Usage) == 0 {
		return []Pool{base}
	}
	var out []Pool
	for _, u := range p.Usage {
		line := base
		line.Family, line.InUse, line.Total, line.Free = u.Family.String(), u.InUse, u.Total, u.Free
		var ranges []string
		for _, r := range p.InForce {
			if r.Family() == u.Family {
				ranges = append(ranges, r.String())
			}
		}
		line.Addresses = strings.Join(ranges, ",")
		out = append(out, line)
	}
	return out
}
