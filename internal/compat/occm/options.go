package occm

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// draft is what a Service's options are before the last word is said.
type draft struct {
	lb.CloudOptions
	section string          // the [LoadBalancerClass] that is named
	asked   lb.SubnetChoice // by annotation
	nodes   string          // the subnet of the members, where nobody names one
	monitor bool            // whether members are watched
	wishes  map[wish]string // who asks for what not every provider has
	refusal *lb.Refusal     // the first one
}

// wish is something that not every provider can do.
type wish string

const (
	wishFlavor   wish = "flavors"
	wishZone     wish = "availability zones"
	wishMethod   wish = "the method"
	wishProxy    wish = "PROXY protocol"
	wishHeaders  wish = "X-Forwarded-For"
	wishTLS      wish = "ending TLS"
	wishTimeouts wish = "timeouts"
)

// Options are how a Service's load balancer is made. What counts, first to last:
//
//   - for networks and subnets, the [LoadBalancerClass] that the Service's annotation
//     names, or else the class object's field section (so it is in OCCM's manual);
//   - the Service's annotations;
//   - the class object;
//   - [LoadBalancer];
//   - OCCM's defaults.
//
// Three things are stronger: internal-lb = true cannot be taken back by an annotation;
// spec.loadBalancerSourceRanges counts before its annotation; and what cloud.conf sets
// for one provider does not bind a class with another. SecurityGroups is true where
// nobody says anything and there is no [LoadBalancer] section, since without it, and
// without somebody who prepared the nodes' ports for OCCM, no traffic would arrive.
//
// With a Refusal, the options are what could be read. They are good enough to take a
// load balancer away, and must not be used to make or change one.
func (c *Config) Options(class lb.Octavia, service *lb.Service) (lb.CloudOptions, *lb.Refusal) {
	d := draft{CloudOptions: c.configured(), wishes: map[wish]string{}, monitor: c.LoadBalancer.CreateMonitor, section: class.Section, nodes: c.LoadBalancer.Subnet}
	if !c.LoadBalancer.Enabled {
		d.refuse(lb.Refuse(lb.BadOption, "take that line out of the Secret", "cloud.conf switches load balancers off: [LoadBalancer] enabled = false"))
	}
	d.class(class)
	network := d.FloatingNetwork
	d.annotations(service)
	if c.LoadBalancer.Internal {
		d.Internal = true
	}
	d.subnets(c, network)
	if len(service.SourceRanges) > 0 {
		d.SourceRanges = slices.Clone(service.SourceRanges)
	}
	d.check(c)
	d.conclude(c)
	if d.refusal != nil {
		d.refusal.Service = service.Key
	}
	return d.CloudOptions, d.refusal
}

func (d *draft) refuse(r *lb.Refusal) {
	if d.refusal == nil {
		d.refusal = r
	}
}

// configured are the options of [LoadBalancer].
func (c *Config) configured() lb.CloudOptions {
	l := &c.LoadBalancer
	return lb.CloudOptions{
		FloatingNetwork: l.FloatingNetwork, FloatingSubnet: l.FloatingSubnet,
		Network: l.Network, Subnet: l.Subnet,
		MemberSubnet: l.MemberSubnet,
		Provider:     l.Provider, Flavor: l.Flavor, AvailabilityZone: l.AvailabilityZone,
		MonitorDefaults: l.Monitor, ConnectionLimit: -1,
		Timeouts: lb.Timeouts{
			ClientData: 50 * time.Second, MemberConnect: 5 * time.Second, MemberData: 50 * time.Second,
		},
		TLSContainer: l.TLSContainer, TLSUnchecked: l.ContainerStore != barbican,
		NodeSelector:   l.NodeSelector,
		SecurityGroups: l.SecurityGroups || !l.Given,
		Serial:         l.Serial, Cascade: l.Cascade,
	}
}

// class lays the class object over the configuration.
func (d *draft) class(o lb.Octavia) {
	set := func(to *string, from string) bool {
		if from != "" {
			*to = from
		}
		return from != ""
	}
	wanted := func(w wish, is bool) {
		if is {
			d.wishes[w] = "the class"
		}
	}
	set(&d.Provider, o.LoadBalancerProvider)
	wanted(wishMethod, set(&d.Method, o.Method))
	wanted(wishFlavor, set(&d.Flavor, o.Flavor))
	wanted(wishZone, set(&d.AvailabilityZone, o.AvailabilityZone))
	if before := d.FloatingNetwork; set(&d.FloatingNetwork, o.FloatingNetwork) {
		d.elsewhere(before)
	}
	if o.FloatingSubnet != (lb.SubnetChoice{}) {
		d.FloatingSubnet = o.FloatingSubnet
	}
	if o.Network != "" || o.Subnet != "" {
		// The class says where its VIPs are: what cloud.conf says is another place.
		d.Network, d.Subnet, d.nodes = o.Network, o.Subnet, o.Subnet
	}
	set(&d.MemberSubnet, o.MemberSubnet)
	if o.SecurityGroups != nil {
		d.SecurityGroups = *o.SecurityGroups
	}
	if o.Internal != nil {
		d.Internal = *o.Internal
	}
	if o.NodeSelector != nil {
		d.NodeSelector = o.NodeSelector
	}
	if m := o.Monitor; m != nil {
		d.monitor = true
		over(&d.MonitorDefaults, *m)
	}
	d.PublishAtOnce = o.PublishAtOnce
}

// over lays what is set over a monitor.
func over(m *lb.Monitor, by lb.Monitor) {
	if by.Delay > 0 {
		m.Delay = by.Delay
	}
	if by.Timeout > 0 {
		m.Timeout = by.Timeout
	}
	if by.MaxRetries > 0 {
		m.MaxRetries = by.MaxRetries
	}
	if by.MaxRetriesDown > 0 {
		m.MaxRetriesDown = by.MaxRetriesDown
	}
}

// elsewhere forgets a floating subnet that is in the network before the one now.
func (d *draft) elsewhere(before string) {
	if before != "" && before != d.FloatingNetwork {
		d.FloatingSubnet.ID = ""
	}
}

func (d *draft) annotations(service *lb.Service) {
	for _, a := range annotations {
		value, there := service.Annotations[a.Name]
		value = strings.TrimSpace(value)
		if !there || a.read == nil || value == "" && !a.blank {
			continue
		}
		if err := a.read(d, value); err != nil {
			d.refuse(badAnnotation(a.Name, value, err))
		}
	}
	if d.ProxyProtocol != "" {
		d.wishes[wishProxy] = "annotation " + annotationProxy
	}
	if d.XForwardedFor {
		d.wishes[wishHeaders] = "annotation " + annotationForwardedFor
	}
	if d.ProxyProtocol != "" && d.XForwardedFor {
		d.refuse(lb.Refuse(lb.BadOption, "keep one of them", "annotations %s and %s exclude each other: an HTTP header and PROXY protocol tell the same", annotationProxy, annotationForwardedFor))
	}
}

func badAnnotation(name, value string, err error) *lb.Refusal {
	return lb.Refuse(lb.BadOption, "write "+err.Error(), "annotation %s is %s", name, quoted(value))
}

// subnets decides about networks, where the [LoadBalancerClass] counts most.
func (d *draft) subnets(c *Config, network string) {
	d.elsewhere(network)
	if d.asked != (lb.SubnetChoice{}) {
		d.FloatingSubnet = d.asked
	}
	section := &Class{}
	if d.section != "" {
		if section = c.Classes[d.section]; section == nil {
			section = &Class{}
			d.refuse(c.noSection(d.section))
		}
	}
	before := d.FloatingNetwork
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&d.FloatingNetwork, section.FloatingNetwork}, {&d.Network, section.Network},
		{&d.Subnet, section.Subnet}, {&d.MemberSubnet, section.MemberSubnet},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	d.elsewhere(before)
	if section.FloatingSubnet != (lb.SubnetChoice{}) {
		d.FloatingSubnet = section.FloatingSubnet
	}
	if d.FloatingSubnet.ID != "" {
		d.FloatingSubnet = lb.SubnetChoice{ID: d.FloatingSubnet.ID}
	}
}

func (c *Config) noSection(name string) *lb.Refusal {
	remedy := "there is none; take the name out"
	if len(c.Classes) > 0 {
		remedy = "name one of " + strings.Join(slices.Sorted(maps.Keys(c.Classes)), ", ")
	}
	return lb.Refuse(lb.BadOption, remedy, "cloud.conf has no section [LoadBalancerClass %s]", quoted(name))
}

// Octavia's own providers, whose abilities are known.
const ovn = "ovn"

func builtIn(provider string) bool {
	return slices.Contains([]string{ovn, "amphora", "octavia", "amphorav2"}, provider)
}

// methodFor is a configured method, or the provider's default where it has not that
// one.
func methodFor(provider, method string) string {
	switch {
	case provider == ovn:
		return sourceIPPort
	case method == "" || builtIn(provider) && method == sourceIPPort:
		return roundRobin
	}
	return method
}

// check finds what the provider cannot do. What a person asked for in the Service or
// the class is refused; what cloud.conf sets for all providers is left out, as OCCM
// does, but for TLS: without it, what was meant to be secret would be readable.
func (d *draft) check(c *Config) {
	if _, ok := d.wishes[wishTLS]; !ok && d.TLSContainer != "" {
		d.wishes[wishTLS] = "[LoadBalancer] default-tls-container-ref in cloud.conf"
	}
	if !d.TLSUnchecked && d.TLSContainer != "" {
		if err := checkContainer(d.TLSContainer); err != nil {
			d.refuse(badAnnotation(annotationTLS, d.TLSContainer, err))
		}
	}
	if d.Method == "" {
		d.Method = methodFor(d.Provider, c.LoadBalancer.Method)
	}
	if methodFor(d.Provider, d.Method) == d.Method {
		delete(d.wishes, wishMethod)
	}
	lacks := []wish{wishMethod}
	if d.Provider == ovn {
		lacks = []wish{wishFlavor, wishZone, wishMethod, wishProxy, wishHeaders, wishTLS, wishTimeouts}
	}
	for _, w := range lacks {
		if who, wanted := d.wishes[w]; wanted {
			what := string(w)
			if w == wishMethod {
				what += " " + d.Method
			}
			d.refuse(lb.Refuse(lb.Unsupported, "take it out, or use a class with another provider", "the provider %s cannot do %s, which %s asks for", d.Provider, what, who))
		}
	}
	if d.Provider == ovn {
		d.Method, d.Flavor, d.AvailabilityZone, d.Timeouts = sourceIPPort, "", "", lb.Timeouts{}
	}
}

// conclude fills in what follows from the rest.
func (d *draft) conclude(c *Config) {
	if d.MemberSubnet == "" {
		// As OCCM does: the configured subnet, also where an annotation puts the VIP
		// into another.
		d.MemberSubnet = d.nodes
	}
	d.MonitorDefaults.Delay = d.MonitorDefaults.Delay.Truncate(time.Second) // Octavia counts seconds
	d.MonitorDefaults.Timeout = d.MonitorDefaults.Timeout.Truncate(time.Second)
	if d.monitor {
		m := d.MonitorDefaults
		d.Monitor = &m
	}
	if d.Hostname == "" && d.ProxyProtocol != "" && c.LoadBalancer.IngressHostname && c.LoadBalancer.HostnameSuffix != "" {
		d.Hostname = "." + c.LoadBalancer.HostnameSuffix
	}
}

// Hostname is the name to show for an address: the one of the options, or the address
// with their suffix where they have a leading dot. An IPv6 address has colons, which
// no name has: it is shown itself, and the name is empty.
func Hostname(options *lb.CloudOptions, address netip.Addr) string {
	suffix, is := strings.CutPrefix(options.Hostname, ".")
	switch {
	case !is:
		return options.Hostname
	case !address.Is4():
		return ""
	}
	return fmt.Sprintf("%s.%s", address, suffix)
}
