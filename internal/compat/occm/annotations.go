package occm

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// AnnotationPrefix begins most of OCCM's annotations.
const AnnotationPrefix = "loadbalancer.openstack.org/"

// Annotations that others read too.
const (
	AnnotationInternal       = "service.beta.kubernetes.io/openstack-internal-load-balancer"
	AnnotationSourceRanges   = "service.beta.kubernetes.io/load-balancer-source-ranges"
	AnnotationClass          = AnnotationPrefix + "class"
	AnnotationKeepFloatingIP = AnnotationPrefix + "keep-floatingip"
	AnnotationID             = AnnotationPrefix + "load-balancer-id"
	AnnotationAddress        = AnnotationPrefix + "load-balancer-address"
)

const (
	annotationProxy        = AnnotationPrefix + "proxy-protocol"
	annotationForwardedFor = AnnotationPrefix + "x-forwarded-for"
	annotationMethod       = AnnotationPrefix + "lb-method"
	annotationFlavor       = AnnotationPrefix + "flavor-id"
	annotationZone         = AnnotationPrefix + "availability-zone"
	annotationTLS          = AnnotationPrefix + "default-tls-container-ref"
)

// Annotation is one that OCCM knows, or Kubernetes for it: what Options reads, and
// what the reference shows.
type Annotation struct {
	Name     string
	Default  string
	Example  string
	Meaning  string
	Honoured Honoured
	Remark   string

	// read changes the draft; its error stands after "write". An empty value comes
	// here only where it means something: see blank.
	read func(*draft, string) error
	// blank: an empty value takes the configuration's away, rather than being no value.
	blank bool
}

// Annotations are all of them, in the order of the reference.
func Annotations() []Annotation { return slices.Clone(annotations) }

// configured is the default of what cloud.conf or the class sets.
const configured = "as configured"

// with reads a value with a function of value.go.
func with[T any](parse func(string) (T, error), at func(*draft) *T) func(*draft, string) error {
	return func(d *draft, s string) error {
		v, err := parse(s)
		if err == nil {
			*at(d) = v
		}
		return err
	}
}

// feature notes that a Service asks for what not every provider has.
func feature(f wish, name string, read func(*draft, string) error) func(*draft, string) error {
	return func(d *draft, s string) error {
		err := read(d, s)
		if s == "" {
			delete(d.wishes, f)
		} else if err == nil {
			d.wishes[f] = "annotation " + name
		}
		return err
	}
}

func plain(s string) (string, error) { return s, nil }

func milliseconds(at func(*lb.Timeouts) *time.Duration) func(*draft, string) error {
	return func(d *draft, s string) error {
		const year = 365 * 24 * 3600 * 1000 // Octavia's limit
		n, err := parseNumber(s, 0, year, "milliseconds, such as 50000")
		if err == nil {
			*at(&d.Timeouts) = time.Duration(n) * time.Millisecond
		}
		return err
	}
}

func seconds(at func(*lb.Monitor) *time.Duration) func(*draft, string) error {
	return func(d *draft, s string) error {
		n, err := parseNumber(s, 1, 24*3600, "whole seconds, such as 5")
		if err == nil {
			*at(&d.MonitorDefaults) = time.Duration(n) * time.Second
		}
		return err
	}
}

func tries(at func(*lb.Monitor) *int) func(*draft, string) error {
	return func(d *draft, s string) error {
		n, err := parseNumber(s, 1, 10, "a number from 1 to 10")
		if err == nil {
			*at(&d.MonitorDefaults) = int(n)
		}
		return err
	}
}

func timeout(name, standard, example, meaning string, at func(*lb.Timeouts) *time.Duration) Annotation {
	name = AnnotationPrefix + name
	return Annotation{Name: name, Default: standard, Example: example, Meaning: meaning, Honoured: Differently,
		Remark: notWithOVN, read: feature(wishTimeouts, name, milliseconds(at))}
}

const notWithOVN = "With the provider ovn, which cannot do it, the Service is refused."

var annotations = []Annotation{
	{Name: AnnotationInternal, Default: "false", Example: "true", Meaning: "No floating IP: the VIP itself is the address.", Honoured: Yes,
		read: with(parseSwitch, func(d *draft) *bool { return &d.Internal })},
	{Name: AnnotationSourceRanges, Example: "192.0.2.0/24", Meaning: "Who may connect. It counts where spec.loadBalancerSourceRanges is empty; empty too, everybody may.", Honoured: Yes,
		read: with(parseRanges, func(d *draft) *[]netip.Prefix { return &d.SourceRanges })},
	{Name: AnnotationClass, Example: "fast", Meaning: "A [LoadBalancerClass] of cloud.conf. Its networks count before the annotations below.", Honoured: Yes,
		read: with(plain, func(d *draft) *string { return &d.section })},
	{Name: AnnotationPrefix + "floating-network-id", Default: configured, Example: "f0", Meaning: "The external network that the floating IP comes from.", Honoured: Yes,
		read: with(parseID, func(d *draft) *string { return &d.FloatingNetwork }), blank: true},
	{Name: AnnotationPrefix + "floating-subnet-id", Default: configured, Example: "f1", Meaning: "The subnet of it.", Honoured: Yes,
		read: with(parseID, func(d *draft) *string { return &d.asked.ID })},
	{Name: AnnotationPrefix + "floating-subnet", Default: configured, Example: "public-*", Meaning: "The same by name; a pattern as in cloud.conf.", Honoured: Yes,
		read: with(parseSubnetName, func(d *draft) *string { return &d.asked.Name })},
	{Name: AnnotationPrefix + "floating-subnet-tags", Default: configured, Example: "fast", Meaning: "The same by tags; as in cloud.conf.", Honoured: Yes,
		read: with(plain, func(d *draft) *string { return &d.asked.Tags })},
	{Name: AnnotationPrefix + "network-id", Default: configured, Example: "n0", Meaning: "The network of the VIP.", Honoured: Yes,
		read: with(parseID, func(d *draft) *string { return &d.Network })},
	{Name: AnnotationPrefix + "subnet-id", Default: configured, Example: "s0", Meaning: "The subnet of the VIP.", Honoured: Yes,
		read: with(parseID, func(d *draft) *string { return &d.Subnet })},
	{Name: AnnotationPrefix + "member-subnet-id", Default: configured, Example: "m0", Meaning: "The subnet in which members are reached.", Honoured: Yes,
		read: with(parseID, func(d *draft) *string { return &d.MemberSubnet })},
	{Name: AnnotationPrefix + "port-id", Example: "p0", Meaning: "A port of yours that becomes the VIP.", Honoured: Yes,
		read: with(parseID, func(d *draft) *string { return &d.Port })},
	{Name: AnnotationKeepFloatingIP, Default: "false", Example: "true", Meaning: "The floating IP stays in the project when the Service goes.", Honoured: Yes,
		read: keepFloatingIP},
	{Name: AnnotationPrefix + "connection-limit", Default: "-1", Example: "1000", Meaning: "Connections at once, for each port; -1 is no limit.", Honoured: Yes,
		read: with(parseLimit, func(d *draft) *int { return &d.ConnectionLimit })},
	{Name: annotationMethod, Default: configured, Example: leastConnections, Meaning: "How a member is chosen; as in cloud.conf.", Honoured: Yes,
		read: feature(wishMethod, annotationMethod, with(parseMethod, func(d *draft) *string { return &d.Method }))},
	{Name: annotationProxy, Default: "false", Example: "v2", Meaning: "Speak PROXY protocol to the members: true or v1, or v2. Not together with x-forwarded-for.", Honoured: Differently, Remark: notWithOVN,
		read: with(parseProxy, func(d *draft) *lb.ProxyProtocol { return &d.ProxyProtocol })},
	{Name: annotationForwardedFor, Default: "false", Example: "true", Meaning: "Take the traffic as HTTP and add the header X-Forwarded-For.", Honoured: Differently, Remark: notWithOVN,
		read: with(parseSwitch, func(d *draft) *bool { return &d.XForwardedFor })},
	timeout("timeout-client-data", "50000", "60000", "Milliseconds without a byte from the client until the connection ends.", func(t *lb.Timeouts) *time.Duration { return &t.ClientData }),
	timeout("timeout-member-connect", "5000", "2000", "Milliseconds to wait for a connection to a member.", func(t *lb.Timeouts) *time.Duration { return &t.MemberConnect }),
	timeout("timeout-member-data", "50000", "60000", "Milliseconds without a byte from the member until the connection ends.", func(t *lb.Timeouts) *time.Duration { return &t.MemberData }),
	timeout("timeout-tcp-inspect", "0", "100", "Milliseconds to wait for more bytes where a rule looks at them.", func(t *lb.Timeouts) *time.Duration { return &t.TCPInspect }),
	{Name: annotationFlavor, Default: configured, Example: "fl", Meaning: "Octavia's flavor.", Honoured: Differently, Remark: notWithOVN,
		read: feature(wishFlavor, annotationFlavor, with(parseID, func(d *draft) *string { return &d.Flavor })), blank: true},
	{Name: annotationZone, Default: configured, Example: "az1", Meaning: "Octavia's availability zone.", Honoured: Differently, Remark: notWithOVN,
		read: feature(wishZone, annotationZone, with(plain, func(d *draft) *string { return &d.AvailabilityZone })), blank: true},
	{Name: AnnotationPrefix + "enable-health-monitor", Default: configured, Example: "true", Meaning: "Whether members are watched.", Honoured: Differently, Remark: "With externalTrafficPolicy: Local they always are.",
		read: with(parseSwitch, func(d *draft) *bool { return &d.monitor })},
	{Name: AnnotationPrefix + "health-monitor-delay", Default: configured, Example: "7", Meaning: "Seconds between two checks of a member.", Honoured: Yes,
		read: seconds(func(m *lb.Monitor) *time.Duration { return &m.Delay })},
	{Name: AnnotationPrefix + "health-monitor-timeout", Default: configured, Example: "2", Meaning: "Seconds that a check waits for its answer.", Honoured: Yes,
		read: seconds(func(m *lb.Monitor) *time.Duration { return &m.Timeout })},
	{Name: AnnotationPrefix + "health-monitor-max-retries", Default: configured, Example: "4", Meaning: "Good checks until a member gets traffic again.", Honoured: Yes,
		read: tries(func(m *lb.Monitor) *int { return &m.MaxRetries })},
	{Name: AnnotationPrefix + "health-monitor-max-retries-down", Default: configured, Example: "5", Meaning: "Bad checks until it gets none.", Honoured: Yes,
		read: tries(func(m *lb.Monitor) *int { return &m.MaxRetriesDown })},
	{Name: annotationTLS, Default: configured, Example: "https://barbican.example.org/v1/secrets/c0", Meaning: "The certificate with which the load balancer ends TLS.", Honoured: Differently, Remark: notWithOVN,
		read: feature(wishTLS, annotationTLS, with(plain, func(d *draft) *string { return &d.TLSContainer })), blank: true},
	{Name: AnnotationPrefix + "hostname", Example: "shop.example.org", Meaning: "A name to show in place of the address.", Honoured: Yes,
		read: with(parseHostname, func(d *draft) *string { return &d.Hostname })},
	{Name: AnnotationPrefix + "node-selector", Default: configured, Example: "zone=a, gateway", Meaning: "Labels that a node must have to be a member.", Honoured: Yes,
		read: with(ParseNodeSelector, func(d *draft) **lb.Selector { return &d.NodeSelector }), blank: true},
	{Name: AnnotationID, Example: "lb0", Meaning: "The load balancer to use: one of yours, or one to share. It is also written, as OCCM does.", Honoured: Yes,
		read: with(parseID, func(d *draft) *string { return &d.LoadBalancerID })},
	{Name: AnnotationAddress, Example: "10.0.0.5", Meaning: "The address that clients use. It is written, as OCCM does.", Honoured: No,
		Remark: "It is no option: fairlead.dev/addresses asks for an address."},
}

// keepFloatingIP is on the safe side: what cannot be read keeps an address that
// somebody may want back.
func keepFloatingIP(d *draft, s string) error {
	keep, err := parseSwitch(s)
	d.KeepFloatingIP = keep || err != nil
	return err
}

func parseLimit(s string) (int, error) {
	n, err := parseNumber(s, -1, 1<<31-1, "a whole number, or -1 for no limit")
	return int(n), err
}

func parseProxy(s string) (lb.ProxyProtocol, error) {
	switch s {
	case "true", "v1":
		return lb.ProxyV1, nil
	case "v2":
		return lb.ProxyV2, nil
	case "false":
		return "", nil
	}
	return "", errors.New(`"v1" (or "true"), "v2" or "false"`)
}

// UnknownAnnotations are those with OCCM's prefix that nobody knows, sorted, each
// with what was most likely meant: they have no effect.
func UnknownAnnotations(of map[string]string) []string {
	var names, out []string
	for _, a := range annotations {
		names = append(names, a.Name)
	}
	for name := range of {
		if !strings.HasPrefix(name, AnnotationPrefix) || slices.Contains(names, name) {
			continue
		}
		out = append(out, name+didYouMean(nearest(name, names)))
	}
	slices.Sort(out)
	return out
}
