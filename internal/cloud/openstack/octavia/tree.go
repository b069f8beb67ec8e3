package octavia

import (
	"net/netip"
	"slices"
	"time"
)

// Status is Octavia's provisioning_status.
type Status string

// The provisioning statuses (Octavia API reference, "Provisioning Status Codes").
const (
	Active        Status = "ACTIVE"
	Error         Status = "ERROR"
	PendingCreate Status = "PENDING_CREATE"
	PendingUpdate Status = "PENDING_UPDATE"
	PendingDelete Status = "PENDING_DELETE"
	Deleted       Status = "DELETED"
)

// Pending tells whether the cloud is at work: every change would be answered by 409.
func (s Status) Pending() bool {
	return s == PendingCreate || s == PendingUpdate || s == PendingDelete
}

// LoadBalancer is one with all below it, as wanted (without ids) or as found.
type LoadBalancer struct {
	ID               string
	Name             string
	Description      string
	Tags             []string
	Provider         string
	Flavor           string
	AvailabilityZone string
	Status           Status
	VIP              VIP
	Additional       []VIP
	Created, Updated time.Time
	// Known tells that Listeners and Pools are what is there, rather than not read yet.
	Known     bool
	Listeners []Listener
	Pools     []Pool
}

// VIP is where a load balancer takes connections. As wanted, Address and Port may be
// empty: the cloud chooses.
type VIP struct {
	Network string
	Subnet  string
	Port    string
	Address netip.Addr
}

// Listener takes the connections of one port.
type Listener struct {
	ID              string
	Name            string
	Tags            []string
	Protocol        string // TCP, UDP, SCTP, HTTP, TERMINATED_HTTPS
	Port            uint16
	Pool            string // id of the default pool
	ConnectionLimit int
	Timeouts        *Timeouts // nil where the provider has none
	AllowedCIDRs    []netip.Prefix
	TLSContainer    string
	ForwardedFor    bool
	Down            bool // administratively
	Status          Status
}

// Timeouts in milliseconds, as the API has them.
type Timeouts struct {
	ClientData, MemberConnect, MemberData, TCPInspect int
}

// Pool spreads connections over members.
type Pool struct {
	ID       string
	Name     string
	Protocol string // TCP, UDP, SCTP, HTTP, PROXY, PROXYV2
	Method   string
	// Sticky keeps a client at one member, for StickyFor seconds where the protocol
	// knows a time (UDP and SCTP); 0 leaves it to the cloud.
	Sticky    bool
	StickyFor int
	Members   []Member // by address and port
	Monitor   *Monitor
	Down      bool
	Status    Status
}

// Member is a node's port.
type Member struct {
	ID          string
	Name        string
	Address     netip.Addr
	Port        uint16
	Subnet      string
	Weight      int
	MonitorPort uint16
	Down        bool
	Status      Status
}

// memberKey is what Octavia tells members of a pool apart by.
type memberKey struct {
	address netip.Addr
	port    uint16
}

func (m *Member) key() memberKey { return memberKey{m.Address, m.Port} }

// Monitor asks members whether they serve. Times are seconds.
type Monitor struct {
	ID             string
	Name           string
	Type           string // TCP, UDP-CONNECT, SCTP, HTTP
	Delay, Timeout int
	MaxRetries     int
	MaxRetriesDown int
	Path           string // HTTP only
	Down           bool
	Status         Status
}

// listener finds one by what Octavia tells listeners apart by.
func (l *LoadBalancer) listener(protocol string, port uint16) *Listener {
	for i := range l.Listeners {
		if l.Listeners[i].Port == port && transport(l.Listeners[i].Protocol) == transport(protocol) {
			return &l.Listeners[i]
		}
	}
	return nil
}

func (l *LoadBalancer) pool(id string) *Pool {
	if i := slices.IndexFunc(l.Pools, func(p Pool) bool { return p.ID == id }); i >= 0 && id != "" {
		return &l.Pools[i]
	}
	return nil
}

func (l *LoadBalancer) tagged(tag string) bool { return slices.Contains(l.Tags, tag) }

// transport is the protocol of a listener on the wire. Two listeners may have one
// port only when it differs.
func transport(protocol string) string {
	switch protocol {
	case "UDP", "SCTP":
		return protocol
	default:
		return "TCP"
	}
}

// clone copies all that a step may change.
func (l *LoadBalancer) clone() *LoadBalancer {
	out := *l
	out.Tags = slices.Clone(l.Tags)
	out.Additional = slices.Clone(l.Additional)
	out.Listeners = slices.Clone(l.Listeners)
	out.Pools = slices.Clone(l.Pools)
	for i := range out.Pools {
		out.Pools[i].Members = slices.Clone(l.Pools[i].Members)
		if m := l.Pools[i].Monitor; m != nil {
			monitor := *m
			out.Pools[i].Monitor = &monitor
		}
	}
	return &out
}
