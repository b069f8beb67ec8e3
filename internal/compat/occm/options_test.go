package occm

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/lb"
)

var (
	shop    = lb.Key{Namespace: "shop", Name: "web"}
	compare = cmp.Options{cmpopts.EquateComparable(netip.Prefix{})}
)

// asked is a Service with annotations: "subnet-id", "s1", ... where a name without a
// slash has OCCM's prefix.
func asked(pairs ...string) *lb.Service {
	s := &lb.Service{Key: shop, Annotations: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		if !strings.Contains(name, "/") {
			name = AnnotationPrefix + name
		}
		s.Annotations[name] = pairs[i+1]
	}
	return s
}

func plainOptions() lb.CloudOptions {
	return lb.CloudOptions{
		Provider: "amphora", Method: "ROUND_ROBIN", ConnectionLimit: -1, Cascade: true,
		MonitorDefaults: lb.Monitor{Delay: 5 * time.Second, Timeout: 3 * time.Second, MaxRetries: 1, MaxRetriesDown: 3},
		Timeouts:        lb.Timeouts{ClientData: 50 * time.Second, MemberConnect: 5 * time.Second, MemberData: 50 * time.Second},
	}
}

func ptr[T any](v T) *T { return &v }

const everything = `
[LoadBalancer]
floating-network-id=cf
floating-subnet-id=cfs
network-id=cn
subnet-id=cs
member-subnet-id=cm
lb-method=LEAST_CONNECTIONS
flavor-id=cfl
availability-zone=caz
node-selector=conf
create-monitor=yes
monitor-delay=10s
default-tls-container-ref=https://b/v1/containers/cc
[LoadBalancerClass "gold"]
floating-network-id=gf
floating-subnet=gold-*
network-id=gn
subnet-id=gs
member-subnet-id=gm
[LoadBalancerClass "silver"]
floating-subnet-tags=silver
`

func TestOptions(t *testing.T) {
	const bare = "[LoadBalancer]\n"
	for _, tc := range []struct {
		name    string
		conf    string
		class   lb.Octavia
		service *lb.Service
		want    func(*lb.CloudOptions)
	}{
		{"OCCM's defaults", bare, lb.Octavia{}, asked(), func(*lb.CloudOptions) {}},
		{"security groups where there is no [LoadBalancer] at all", "[Global]\nregion=x", lb.Octavia{}, asked(), func(o *lb.CloudOptions) { o.SecurityGroups = true }},
		{"a class takes the security groups away", "", lb.Octavia{SecurityGroups: ptr(false)}, asked(), func(*lb.CloudOptions) {}},
		{"a class adds the security groups", bare, lb.Octavia{SecurityGroups: ptr(true)}, asked(), func(o *lb.CloudOptions) { o.SecurityGroups = true }},
		{"cloud.conf alone", everything, lb.Octavia{}, asked(), func(o *lb.CloudOptions) {
			o.FloatingNetwork, o.FloatingSubnet.ID = "cf", "cfs"
			o.Network, o.Subnet, o.MemberSubnet = "cn", "cs", "cm"
			o.Method, o.Flavor, o.AvailabilityZone = "LEAST_CONNECTIONS", "cfl", "caz"
			o.NodeSelector = &lb.Selector{Requirements: []lb.Requirement{{Key: "conf", Operator: lb.Exists}}}
			o.MonitorDefaults.Delay = 10 * time.Second
			o.Monitor = ptr(o.MonitorDefaults)
			o.TLSContainer = "https://b/v1/containers/cc"
		}},
		{"the class object before cloud.conf", everything, lb.Octavia{
			FloatingNetwork: "kf", Subnet: "ks", MemberSubnet: "km", Method: "SOURCE_IP", Flavor: "kfl", AvailabilityZone: "kaz",
			NodeSelector: &lb.Selector{}, Monitor: &lb.Monitor{MaxRetries: 4}, PublishAtOnce: true, Internal: ptr(true), LoadBalancerProvider: "f5",
		}, asked(), func(o *lb.CloudOptions) {
			o.FloatingNetwork = "kf" // and a subnet of cf would not be in it
			o.Subnet, o.MemberSubnet = "ks", "km"
			o.Method, o.Flavor, o.AvailabilityZone = "SOURCE_IP", "kfl", "kaz"
			o.NodeSelector = &lb.Selector{}
			o.MonitorDefaults.Delay, o.MonitorDefaults.MaxRetries = 10*time.Second, 4
			o.Monitor = ptr(o.MonitorDefaults)
			o.TLSContainer = "https://b/v1/containers/cc"
			o.PublishAtOnce, o.Internal, o.Provider = true, true, "f5"
		}},
		{"annotations before the class object", everything, lb.Octavia{FloatingNetwork: "kf", Network: "kn", Method: "SOURCE_IP", Flavor: "kfl", Internal: ptr(true), Monitor: &lb.Monitor{Delay: time.Minute}},
			asked("floating-network-id", "af", "floating-subnet", "a*", "network-id", "an", "subnet-id", "as", "member-subnet-id", "am",
				"lb-method", "round_robin", "flavor-id", "afl", AnnotationInternal, "false", "enable-health-monitor", "false", "health-monitor-delay", "7"),
			func(o *lb.CloudOptions) {
				o.FloatingNetwork, o.FloatingSubnet.Name = "af", "a*"
				o.Network, o.Subnet, o.MemberSubnet = "an", "as", "am"
				o.Flavor, o.AvailabilityZone = "afl", "caz"
				o.NodeSelector = &lb.Selector{Requirements: []lb.Requirement{{Key: "conf", Operator: lb.Exists}}}
				o.MonitorDefaults.Delay = 7 * time.Second
				o.TLSContainer = "https://b/v1/containers/cc"
			}},
		{"the section before annotations and class object", everything, lb.Octavia{FloatingNetwork: "kf", Subnet: "ks"},
			asked("class", "gold", "floating-network-id", "af", "floating-subnet-id", "afs", "network-id", "an", "subnet-id", "as", "member-subnet-id", "am",
				"flavor-id", "", "availability-zone", "", "default-tls-container-ref", "", "node-selector", "", "enable-health-monitor", "false"),
			func(o *lb.CloudOptions) {
				o.FloatingNetwork, o.FloatingSubnet.Name = "gf", "gold-*"
				o.Network, o.Subnet, o.MemberSubnet = "gn", "gs", "gm"
				o.Method = "LEAST_CONNECTIONS"
				o.MonitorDefaults.Delay = 10 * time.Second
			}},
		{"the class object names the section, the annotation another", everything, lb.Octavia{Section: "gold"}, asked("class", "silver", "enable-health-monitor", "false",
			"flavor-id", "", "availability-zone", "", "default-tls-container-ref", "", "node-selector", ""),
			func(o *lb.CloudOptions) {
				o.FloatingNetwork, o.FloatingSubnet.Tags = "cf", "silver"
				o.Network, o.Subnet, o.MemberSubnet = "cn", "cs", "cm"
				o.Method = "LEAST_CONNECTIONS"
				o.MonitorDefaults.Delay = 10 * time.Second
			}},
		{"a floating subnet by id stays when the network is found by itself", bare + "floating-subnet-id=s", lb.Octavia{}, asked("floating-network-id", "n"),
			func(o *lb.CloudOptions) { o.FloatingNetwork, o.FloatingSubnet.ID = "n", "s" }},
		{"name and tags of a floating subnet count together, an id alone", bare, lb.Octavia{}, asked("floating-subnet", "a", "floating-subnet-tags", "b"),
			func(o *lb.CloudOptions) { o.FloatingSubnet = lb.SubnetChoice{Name: "a", Tags: "b"} }},
		{"an id of a floating subnet leaves name and tags out", bare, lb.Octavia{}, asked("floating-subnet", "a", "floating-subnet-id", "i"),
			func(o *lb.CloudOptions) { o.FloatingSubnet = lb.SubnetChoice{ID: "i"} }},
		{"an empty floating network is found by itself", bare + "floating-network-id=n", lb.Octavia{}, asked("floating-network-id", ""), func(*lb.CloudOptions) {}},
		{"an empty annotation is none", bare + "subnet-id=s", lb.Octavia{}, asked("subnet-id", "", "connection-limit", " ", "keep-floatingip", "", "lb-method", ""),
			func(o *lb.CloudOptions) { o.Subnet, o.MemberSubnet = "s", "s" }},
		{"members stay in the configured subnet when the VIP goes elsewhere", bare + "subnet-id=s", lb.Octavia{}, asked("subnet-id", "t"),
			func(o *lb.CloudOptions) { o.Subnet, o.MemberSubnet = "t", "s" }},
		{"members are in the VIP's subnet", bare, lb.Octavia{}, asked("subnet-id", "t"), func(o *lb.CloudOptions) { o.Subnet = "t" }},
		{"a class with a network forgets the configured subnet", bare + "subnet-id=s", lb.Octavia{Network: "n"}, asked(), func(o *lb.CloudOptions) { o.Network = "n" }},
		{"internal-lb cannot be taken back", bare + "internal-lb=yes", lb.Octavia{Internal: ptr(false)}, asked(AnnotationInternal, "false"), func(o *lb.CloudOptions) { o.Internal = true }},
		{"proxy protocol and a name for the address", bare + "enable-ingress-hostname=yes", lb.Octavia{}, asked("proxy-protocol", "true"),
			func(o *lb.CloudOptions) { o.ProxyProtocol, o.Hostname = lb.ProxyV1, ".nip.io" }},
		{"no name without proxy protocol", bare + "enable-ingress-hostname=yes", lb.Octavia{}, asked("proxy-protocol", "false"), func(*lb.CloudOptions) {}},
		{"a name that is asked for", bare + "enable-ingress-hostname=yes", lb.Octavia{}, asked("proxy-protocol", "v2", "hostname", "shop.example.org"),
			func(o *lb.CloudOptions) { o.ProxyProtocol, o.Hostname = lb.ProxyV2, "shop.example.org" }},
		{"proxy protocol v1", bare, lb.Octavia{}, asked("proxy-protocol", "v1"), func(o *lb.CloudOptions) { o.ProxyProtocol = lb.ProxyV1 }},
		{"a reference into another key manager", bare + "container-store=external", lb.Octavia{}, asked("default-tls-container-ref", "vault/x"),
			func(o *lb.CloudOptions) { o.TLSContainer, o.TLSUnchecked = "vault/x", true }},
		{"serial calls, no cascade", bare + "provider-requires-serial-api-calls\ncascade-delete=no", lb.Octavia{}, asked(), func(o *lb.CloudOptions) { o.Serial, o.Cascade = true, false }},
		{"a fraction of a second is no second", bare + "monitor-delay=2500ms", lb.Octavia{}, asked(), func(o *lb.CloudOptions) { o.MonitorDefaults.Delay = 2 * time.Second }},
		{"ovn has a method of its own, and no timeouts", bare + "lb-provider=ovn", lb.Octavia{}, asked(), func(o *lb.CloudOptions) {
			o.Provider, o.Method, o.Timeouts = "ovn", "SOURCE_IP_PORT", lb.Timeouts{}
		}},
		{"what cloud.conf sets for amphora does not bind a class with ovn", bare + "lb-method=LEAST_CONNECTIONS\nflavor-id=f\navailability-zone=z", lb.Octavia{LoadBalancerProvider: "ovn"}, asked("lb-method", "source_ip_port"), func(o *lb.CloudOptions) {
			o.Provider, o.Method, o.Timeouts = "ovn", "SOURCE_IP_PORT", lb.Timeouts{}
		}},
		{"nor the other way round", bare + "lb-provider=ovn\nlb-method=SOURCE_IP_PORT", lb.Octavia{LoadBalancerProvider: "amphora"}, asked(), func(*lb.CloudOptions) {}},
		{"nobody knows what other providers can do", bare + "lb-provider=f5\nlb-method=SOURCE_IP_PORT", lb.Octavia{}, asked(), func(o *lb.CloudOptions) {
			o.Provider, o.Method = "f5", "SOURCE_IP_PORT"
		}},
		{"the annotation for source ranges", bare, lb.Octavia{}, asked(AnnotationSourceRanges, "192.0.2.9/24, 0.0.0.0/0 ::/0"), func(o *lb.CloudOptions) {
			o.SourceRanges = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := mustParse(t, tc.conf)
			got, refusal := c.Options(tc.class, tc.service)
			if refusal != nil {
				t.Fatalf("refused: %s", refusal.Message())
			}
			want := plainOptions()
			tc.want(&want)
			if diff := cmp.Diff(want, got, compare); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSourceRangesOfTheSpecCountBeforeTheAnnotation(t *testing.T) {
	c, _ := mustParse(t, "")
	s := asked(AnnotationSourceRanges, "192.0.2.0/24")
	s.SourceRanges = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("::/0")}
	got, refusal := c.Options(lb.Octavia{}, s)
	if diff := cmp.Diff(s.SourceRanges, got.SourceRanges, compare); diff != "" || refusal != nil {
		t.Errorf("ranges (-want +got):\n%s\nrefusal %v", diff, refusal)
	}
	if got.SourceRanges[0] = netip.MustParsePrefix("::/0"); s.SourceRanges[0] == got.SourceRanges[0] {
		t.Error("the options share the Service's ranges")
	}
}

func TestRefusals(t *testing.T) {
	const bare = "[LoadBalancer]\n"
	const ovnConf = bare + "lb-provider=ovn\n"
	const cannot = ": take it out, or use a class with another provider"
	for _, tc := range []struct {
		conf    string
		class   lb.Octavia
		service *lb.Service
		reason  lb.Reason
		want    string
	}{
		{bare, lb.Octavia{}, asked("connection-limit", "many"), lb.BadOption, `annotation loadbalancer.openstack.org/connection-limit is "many": write a whole number, or -1 for no limit`},
		{bare, lb.Octavia{}, asked("connection-limit", "-2"), lb.BadOption, `annotation loadbalancer.openstack.org/connection-limit is "-2": write a whole number, or -1 for no limit`},
		{bare, lb.Octavia{}, asked(AnnotationInternal, "yes"), lb.BadOption, `annotation service.beta.kubernetes.io/openstack-internal-load-balancer is "yes": write "true" or "false"`},
		{bare, lb.Octavia{}, asked("keep-floatingip", "True"), lb.BadOption, `annotation loadbalancer.openstack.org/keep-floatingip is "True": write "true" or "false"`},
		{bare, lb.Octavia{}, asked("timeout-client-data", "50s"), lb.BadOption, `annotation loadbalancer.openstack.org/timeout-client-data is "50s": write milliseconds, such as 50000`},
		{bare, lb.Octavia{}, asked("health-monitor-delay", "5s"), lb.BadOption, `annotation loadbalancer.openstack.org/health-monitor-delay is "5s": write whole seconds, such as 5`},
		{bare, lb.Octavia{}, asked("health-monitor-max-retries", "0"), lb.BadOption, `annotation loadbalancer.openstack.org/health-monitor-max-retries is "0": write a number from 1 to 10`},
		{bare, lb.Octavia{}, asked("proxy-protocol", "v3"), lb.BadOption, `annotation loadbalancer.openstack.org/proxy-protocol is "v3": write "v1" (or "true"), "v2" or "false"`},
		{bare, lb.Octavia{}, asked("lb-method", "RANDOM"), lb.BadOption, `annotation loadbalancer.openstack.org/lb-method is "RANDOM": write ROUND_ROBIN, LEAST_CONNECTIONS or SOURCE_IP; with the provider ovn SOURCE_IP_PORT`},
		{bare, lb.Octavia{}, asked("load-balancer-id", "../../networks"), lb.BadOption, `annotation loadbalancer.openstack.org/load-balancer-id is "../../networks": write the id, which has letters, digits and hyphens only`},
		{bare, lb.Octavia{}, asked("hostname", "192.0.2.1"), lb.BadOption, `annotation loadbalancer.openstack.org/hostname is "192.0.2.1": write a DNS name in lower case, such as shop.example.org`},
		{bare, lb.Octavia{}, asked("node-selector", "=x"), lb.BadOption, `annotation loadbalancer.openstack.org/node-selector is "=x": write labels of nodes, such as "zone=a, gateway"`},
		{bare, lb.Octavia{}, asked("floating-subnet", "!~["), lb.BadOption, `annotation loadbalancer.openstack.org/floating-subnet is "!~[": write a regular expression after the ~, such as ~public-.*`},
		{bare, lb.Octavia{}, asked("default-tls-container-ref", "my-cert"), lb.BadOption, `annotation loadbalancer.openstack.org/default-tls-container-ref is "my-cert": write Barbican's reference, such as https://barbican.example.org/v1/containers/<id>, or container-store = external in cloud.conf for another key manager`},
		{bare, lb.Octavia{}, asked(AnnotationSourceRanges, "192.0.2.7"), lb.BadOption, `annotation service.beta.kubernetes.io/load-balancer-source-ranges is "192.0.2.7": write a range, such as 192.0.2.7/32 for this address alone`},
		{bare, lb.Octavia{}, asked(AnnotationSourceRanges, "office"), lb.BadOption, `annotation service.beta.kubernetes.io/load-balancer-source-ranges is "office": write ranges, such as "192.0.2.0/24, 2001:db8::/64"`},
		{bare, lb.Octavia{}, asked("proxy-protocol", "v2", "x-forwarded-for", "true"), lb.BadOption, `annotations loadbalancer.openstack.org/proxy-protocol and loadbalancer.openstack.org/x-forwarded-for exclude each other: an HTTP header and PROXY protocol tell the same: keep one of them`},
		{bare, lb.Octavia{}, asked("class", "gold"), lb.BadOption, `cloud.conf has no section [LoadBalancerClass "gold"]: there is none; take the name out`},
		{everything, lb.Octavia{Section: "bronze"}, asked(), lb.BadOption, `cloud.conf has no section [LoadBalancerClass "bronze"]: name one of gold, silver`},
		{bare + "enabled=no", lb.Octavia{}, asked(), lb.BadOption, `cloud.conf switches load balancers off: [LoadBalancer] enabled = false: take that line out of the Secret`},
		{bare, lb.Octavia{}, asked("lb-method", "SOURCE_IP_PORT"), lb.Unsupported, `the provider amphora cannot do the method SOURCE_IP_PORT, which annotation loadbalancer.openstack.org/lb-method asks for` + cannot},
		{ovnConf, lb.Octavia{}, asked("lb-method", "ROUND_ROBIN"), lb.Unsupported, `the provider ovn cannot do the method ROUND_ROBIN, which annotation loadbalancer.openstack.org/lb-method asks for` + cannot},
		{ovnConf, lb.Octavia{Method: "SOURCE_IP"}, asked(), lb.Unsupported, `the provider ovn cannot do the method SOURCE_IP, which the class asks for` + cannot},
		{ovnConf, lb.Octavia{}, asked("flavor-id", "f"), lb.Unsupported, `the provider ovn cannot do flavors, which annotation loadbalancer.openstack.org/flavor-id asks for` + cannot},
		{ovnConf, lb.Octavia{Flavor: "f"}, asked(), lb.Unsupported, `the provider ovn cannot do flavors, which the class asks for` + cannot},
		{ovnConf, lb.Octavia{}, asked("availability-zone", "z"), lb.Unsupported, `the provider ovn cannot do availability zones, which annotation loadbalancer.openstack.org/availability-zone asks for` + cannot},
		{ovnConf, lb.Octavia{}, asked("x-forwarded-for", "true"), lb.Unsupported, `the provider ovn cannot do X-Forwarded-For, which annotation loadbalancer.openstack.org/x-forwarded-for asks for` + cannot},
		{ovnConf, lb.Octavia{}, asked("proxy-protocol", "true"), lb.Unsupported, `the provider ovn cannot do PROXY protocol, which annotation loadbalancer.openstack.org/proxy-protocol asks for` + cannot},
		{ovnConf, lb.Octavia{}, asked("timeout-tcp-inspect", "0"), lb.Unsupported, `the provider ovn cannot do timeouts, which annotation loadbalancer.openstack.org/timeout-tcp-inspect asks for` + cannot},
		{ovnConf, lb.Octavia{}, asked("default-tls-container-ref", "https://b/v1/secrets/x"), lb.Unsupported, `the provider ovn cannot do ending TLS, which annotation loadbalancer.openstack.org/default-tls-container-ref asks for` + cannot},
		{ovnConf + "default-tls-container-ref=https://b/v1/secrets/x", lb.Octavia{}, asked(), lb.Unsupported, `the provider ovn cannot do ending TLS, which [LoadBalancer] default-tls-container-ref in cloud.conf asks for` + cannot},
	} {
		c, _ := mustParse(t, tc.conf)
		_, refusal := c.Options(tc.class, tc.service)
		if refusal == nil || refusal.Reason != tc.reason || refusal.Message() != tc.want || refusal.Service != shop {
			t.Errorf("%v\n got %+v\nwant %s %s", tc.service.Annotations, refusal, tc.reason, tc.want)
		}
	}
}

func TestOvnIsNotAskedForWhatAnAnnotationTakesBack(t *testing.T) {
	c, _ := mustParse(t, "[LoadBalancer]\nlb-provider=ovn\ndefault-tls-container-ref=https://b/v1/secrets/x")
	_, refusal := c.Options(lb.Octavia{Flavor: "f"}, asked("flavor-id", "", "availability-zone", "", "default-tls-container-ref", "", "x-forwarded-for", "false", "proxy-protocol", "false"))
	if refusal != nil {
		t.Errorf("refused: %s", refusal.Message())
	}
}

// What a Service that is deleted gets must not lose what its owner wanted to keep.
func TestARefusalComesWithWhatCouldBeRead(t *testing.T) {
	c, _ := mustParse(t, "[LoadBalancer]\ncascade-delete=no\n")
	got, refusal := c.Options(lb.Octavia{}, asked("connection-limit", "many", "keep-floatingip", "yes", "load-balancer-id", "l0"))
	if refusal == nil || !got.KeepFloatingIP || got.Cascade || got.LoadBalancerID != "l0" || got.Provider != "amphora" {
		t.Errorf("options %+v, refusal %v", got, refusal)
	}
}

// The table is what is read: every annotation of it changes the options.
func TestEveryAnnotationIsRead(t *testing.T) {
	c, _ := mustParse(t, "[LoadBalancer]\n[LoadBalancerClass \"fast\"]\nnetwork-id=n\n")
	without, _ := c.Options(lb.Octavia{}, asked())
	for _, a := range Annotations() {
		t.Run(a.Name, func(t *testing.T) {
			got, refusal := c.Options(lb.Octavia{}, asked(a.Name, a.Example))
			if refusal != nil {
				t.Fatalf("the example %q is refused: %s", a.Example, refusal.Message())
			}
			if changed := !cmp.Equal(without, got, compare); changed != (a.Honoured != No) {
				t.Errorf("%q changes something: %v, want %v", a.Example, changed, !changed)
			}
			if a.Meaning == "" || a.Honoured == "" || (a.Honoured != Yes) != (a.Remark != "") {
				t.Errorf("the reference misses something of %+v", a)
			}
			if a.Default != "" && a.Default != configured {
				if got, refusal := c.Options(lb.Octavia{}, asked(a.Name, a.Default)); refusal != nil || !cmp.Equal(without, got, compare) {
					t.Errorf("the default is not %q: %v\n%s", a.Default, refusal, cmp.Diff(without, got, compare))
				}
			}
		})
	}
}

func TestUnknownAnnotationsAreFound(t *testing.T) {
	got := UnknownAnnotations(asked("floatin-network-id", "f", "subnet-id", "s", "load-balancer-address", "192.0.2.1", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "", AnnotationInternal, "true", "example.org/x", "").Annotations)
	want := []string{
		"loadbalancer.openstack.org/floatin-network-id; did you mean loadbalancer.openstack.org/floating-network-id?",
		"loadbalancer.openstack.org/zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
}

func TestHostname(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	for _, tc := range []struct {
		option  string
		address netip.Addr
		want    string
	}{
		{"", four, ""}, {"shop.example.org", four, "shop.example.org"}, {"shop.example.org", six, "shop.example.org"},
		{".nip.io", four, "192.0.2.7.nip.io"}, {".nip.io", six, ""},
	} {
		if got := Hostname(&lb.CloudOptions{Hostname: tc.option}, tc.address); got != tc.want {
			t.Errorf("Hostname(%q, %s) = %q, want %q", tc.option, tc.address, got, tc.want)
		}
	}
}

func TestNodeSelector(t *testing.T) {
	in := func(key, value string) lb.Requirement {
		return lb.Requirement{Key: key, Operator: lb.In, Values: []string{value}}
	}
	exists := func(key string) lb.Requirement { return lb.Requirement{Key: key, Operator: lb.Exists} }
	for _, tc := range []struct {
		text string
		want []lb.Requirement
	}{
		{"", nil}, {" , ", nil},
		{"zone=a, gateway", []lb.Requirement{exists("gateway"), in("zone", "a")}},
		{"gateway=", []lb.Requirement{exists("gateway")}},
		{"zone = a", []lb.Requirement{in("zone", "a")}},
		{"zone=a,zone=b", []lb.Requirement{in("zone", "b")}},
		{"topology.kubernetes.io/zone=az-1", []lb.Requirement{in("topology.kubernetes.io/zone", "az-1")}},
	} {
		got, err := ParseNodeSelector(tc.text)
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
		}
		var requirements []lb.Requirement
		if got != nil {
			requirements = got.Requirements
		}
		if diff := cmp.Diff(tc.want, requirements); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.text, diff)
		}
	}
	for _, text := range []string{"=a", "a b", "a=b/c", "a=b=c", "-a", "x/y/z"} {
		if got, err := ParseNodeSelector(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
