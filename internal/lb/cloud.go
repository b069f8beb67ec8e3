package lb

import (
	"net/netip"
	"time"
)

// Octavia is what a LoadBalancerClass with that provider says. An empty field
// leaves the choice to the cloud configuration.
type Octavia struct {
	// Secret with cloud.conf or clouds.yaml, in Fairlead's own namespace.
	Secret string
	// Cloud is an entry of clouds.yaml.
	Cloud string
	// Section is the [LoadBalancerClass "Section"] of cloud.conf that counts.
	Section string
	// SecurityGroups tells whether the nodes' security groups are kept; nil leaves it
	// to the cloud configuration.
	SecurityGroups *bool
	// PublishAtOnce shows the address while the load balancer is still being built.
	PublishAtOnce bool

	LoadBalancerProvider string // amphora, ovn, or another that the cloud has
	FloatingNetwork      string // id
	FloatingSubnet       SubnetChoice
	Network              string // id, of the VIP
	Subnet               string // id, of the VIP
	MemberSubnet         string // id
	Flavor               string // id
	AvailabilityZone     string
	Method               string // ROUND_ROBIN, LEAST_CONNECTIONS, SOURCE_IP, SOURCE_IP_PORT
	Internal             *bool
	NodeSelector         *Selector
	Monitor              *Monitor
}

// SubnetChoice picks subnets of a floating network: the one with the id, or else those
// that Name and Tags both match. All empty is any.
type SubnetChoice struct {
	ID string
	// Name is a shell pattern, or with a leading ~ a regular expression; a leading !
	// turns it round.
	Name string
	// Tags are separated by commas: one of them must be there, or with a leading &
	// all. A leading ! turns it round.
	Tags string
}

// Monitor is how a cloud load balancer finds out which members answer.
type Monitor struct {
	Delay, Timeout             time.Duration
	MaxRetries, MaxRetriesDown int
}

// CloudOptions are how the load balancer of one Service is made: cloud
// configuration, class and annotations in one.
type CloudOptions struct {
	Internal         bool
	FloatingNetwork  string // id; empty is the first external network
	FloatingSubnet   SubnetChoice
	KeepFloatingIP   bool
	Network          string // id, of the VIP; Network and Subnet empty: where the nodes are
	Subnet           string // id, of the VIP
	Port             string // id of a port that is the VIP; empty makes one
	MemberSubnet     string // id; empty is the VIP's subnet
	Provider         string
	Method           string
	Flavor           string
	AvailabilityZone string
	// Monitor is nil where members are not watched; externalTrafficPolicy: Local
	// watches them anyway, with MonitorDefaults.
	Monitor         *Monitor
	MonitorDefaults Monitor
	ConnectionLimit int // -1 is none
	ProxyProtocol   ProxyProtocol
	XForwardedFor   bool
	Timeouts        Timeouts
	TLSContainer    string // reference of the key manager
	// TLSUnchecked: the reference is not looked up before it is used.
	TLSUnchecked   bool
	Hostname       string
	NodeSelector   *Selector
	LoadBalancerID string // the load balancer to share or to adopt
	SourceRanges   []netip.Prefix
	// SecurityGroups tells whether the nodes' ports let the load balancer in by rules
	// of ours.
	SecurityGroups bool
	// Serial providers take one object a call: no fully populated create, no batch of
	// members.
	Serial bool
	// Cascade deletes a load balancer with one call.
	Cascade       bool
	PublishAtOnce bool
}

// ProxyProtocol is the version that members are spoken to with; empty is none.
type ProxyProtocol string

// The two versions.
const (
	ProxyV1 ProxyProtocol = "PROXY"
	ProxyV2 ProxyProtocol = "PROXYV2"
)

// Timeouts of a listener (Octavia API: timeout_*). Unset where Octavia does not
// take them.
type Timeouts struct {
	ClientData, MemberConnect, MemberData, TCPInspect time.Duration
}

// Built is what a cloud's driver says of one Service.
type Built struct {
	Service Key
	// UID of the Service that it is about.
	UID string
	// Addresses and Hostname to show; the ones that the Service holds while nobody
	// knows better.
	Addresses []netip.Addr
	Hostname  string
	// Proxy: the load balancer ends connections and speaks PROXY protocol, so that
	// traffic from inside the cluster must not bypass it (ipMode Proxy, KEP-1860).
	Proxy bool
	// ID of the load balancer, and VIP as it is inside the cloud.
	ID  string
	VIP netip.Addr
	// Trouble is what keeps the load balancer from being as it should; nil is none.
	Trouble *Refusal
	// Gone: nothing of the Service is left in the cloud.
	Gone bool
}
