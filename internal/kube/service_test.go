package kube

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/lb"
)

var compareAddrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

func TestAServiceIsReadAsFarAsBalancingItDependsOnIt(t *testing.T) {
	created := metav1.NewTime(noon)
	class, dual := "fairlead.dev/public", corev1.IPFamilyPolicyRequireDualStack
	mode := corev1.LoadBalancerIPModeVIP
	full := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u", CreationTimestamp: created, DeletionTimestamp: &created,
			Labels: map[string]string{"app": "web"}, Annotations: map[string]string{AnnotationSharingKey: "k"}, Finalizers: []string{Finalizer}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: &class, IPFamilyPolicy: &dual,
			ClusterIPs: []string{"fd97::1", "10.97.0.1"}, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Selector: map[string]string{"b": "2", "a": "1"},
			Ports:    []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}, {Protocol: corev1.ProtocolUDP, Port: 53}},
		},
		Status: corev1.ServiceStatus{
			Conditions:   []metav1.Condition{{Type: ConditionReady, Reason: ReasonAssigned, Status: metav1.ConditionTrue}},
			LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "fd00::1", IPMode: &mode}, {Hostname: "x"}, {IP: "192.0.2.1", IPMode: &mode}}},
		},
	}
	want := lb.Service{
		Key: lb.Key{Namespace: "shop", Name: "web"}, UID: "u", Created: noon, LoadBalancer: true, Deleting: true, Class: class,
		Labels: map[string]string{"app": "web"}, Families: []lb.Family{lb.IPv6, lb.IPv4}, AllFamilies: true,
		Ports: []lb.Port{{Protocol: "TCP", Number: 80}, {Protocol: "UDP", Number: 53}}, Local: true, Selector: "a=1,b=2",
		Request: lb.Request{SharingKey: "k"}, Annotations: map[string]string{AnnotationSharingKey: "k"}, NodePorts: []uint16{30080, 0},
		Held: addrs("fd00::1", "192.0.2.1"), Marked: true, Finalized: true,
	}
	if diff := cmp.Diff(want, ServiceFrom(full), compareAddrs); diff != "" {
		t.Errorf("a Service with everything (-want +got):\n%s", diff)
	}

	headless := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "None", ClusterIPs: []string{"None"}}}
	if got := ServiceFrom(headless); len(got.Families) != 0 || !got.LoadBalancer {
		t.Errorf("a headless Service has families %v", got.Families)
	}
	external := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}}
	if got := ServiceFrom(external); got.LoadBalancer || len(got.Families) != 0 {
		t.Errorf("an ExternalName Service is read as %+v", got)
	}
	for policy, all := range map[corev1.IPFamilyPolicy]bool{corev1.IPFamilyPolicySingleStack: false, corev1.IPFamilyPolicyPreferDualStack: false, corev1.IPFamilyPolicyRequireDualStack: true} {
		s := &corev1.Service{Spec: corev1.ServiceSpec{IPFamilyPolicy: &policy, ClusterIPs: []string{"10.97.0.1", "fd97::1"}}}
		if got := ServiceFrom(s); got.AllFamilies != all || len(got.Families) != 2 {
			t.Errorf("%s: AllFamilies %v, families %v", policy, got.AllFamilies, got.Families)
		}
	}
}

func TestWhatACloudDependsOnIsRead(t *testing.T) {
	proxy := corev1.LoadBalancerIPModeProxy
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Finalizers: []string{Finalizer}, Annotations: map[string]string{
			"loadbalancer.openstack.org/flavor-id": "f", "service.beta.kubernetes.io/openstack-internal-load-balancer": "true",
			"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8", "fairlead.dev/pool": "lan",
			"service.beta.kubernetes.io/aws-load-balancer-type": "nlb", "kubectl.kubernetes.io/last-applied-configuration": "{}",
		}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, SessionAffinity: corev1.ServiceAffinityClientIP, HealthCheckNodePort: 31000,
			LoadBalancerSourceRanges: []string{" 192.0.2.9/24 ", "fd00::/64"},
			Ports:                    []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}, {Protocol: corev1.ProtocolTCP, Port: 81}},
		},
		Status: corev1.ServiceStatus{
			Conditions:   []metav1.Condition{{Type: ConditionCloud, Status: metav1.ConditionTrue, Reason: "Octavia", Message: "edge.v6/lb-1"}},
			LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "203.0.113.1", IPMode: &proxy}}},
		},
	}
	want := lb.Service{
		LoadBalancer: true, Affinity: 3 * time.Hour, HealthCheckNodePort: 31000, Finalized: true, CloudClass: "edge.v6", Proxy: true,
		Held: addrs("203.0.113.1"), Ports: []lb.Port{{Protocol: "TCP", Number: 80}, {Protocol: "TCP", Number: 81}}, NodePorts: []uint16{30080, 0},
		SourceRanges: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fd00::/64")},
		Request:      lb.Request{Pool: "lan"},
		Annotations: map[string]string{
			"loadbalancer.openstack.org/flavor-id": "f", "service.beta.kubernetes.io/openstack-internal-load-balancer": "true",
			"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8", "fairlead.dev/pool": "lan",
		},
	}
	if diff := cmp.Diff(want, ServiceFrom(s), compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(60))}}
	if got := ServiceFrom(s).Affinity; got != time.Minute {
		t.Errorf("affinity of a minute is %v", got)
	}
	s.Spec.SessionAffinity = corev1.ServiceAffinityNone
	if got := ServiceFrom(s).Affinity; got != 0 {
		t.Errorf("no affinity is %v", got)
	}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}}
	if got := ServiceFrom(s); got.Hostname != "lb.example.com" || got.Held != nil || got.Proxy {
		t.Errorf("a name is read as %q, %v, %v", got.Hostname, got.Held, got.Proxy)
	}
	s.Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24", "192.0.2.1"}
	got := ServiceFrom(s)
	const says = `spec.loadBalancerSourceRanges[1]: "192.0.2.1" is not a CIDR: write it as 192.0.2.0/24 or fd00:1::/64`
	if p := got.Request.Problem; got.SourceRanges != nil || p == nil || p.Reason != lb.BadRequest || p.Message() != says {
		t.Errorf("a bad range is read as %v, %+v", got.SourceRanges, p)
	}
	s.Annotations[AnnotationAddresses] = "web"
	if p := ServiceFrom(s).Request.Problem; p == nil || !strings.Contains(p.Message(), AnnotationAddresses) {
		t.Errorf("of two problems, the first is not told: %+v", p)
	}
}

func TestARequestIsReadFromAnnotationsAndTheDeprecatedField(t *testing.T) {
	const how = ": write it as 192.0.2.1, or as 192.0.2.1,fd00:1::1 for both families"
	type annotations = map[string]string
	for _, c := range []struct {
		name        string
		annotations annotations
		ip          string
		want        lb.Request
		problem     string // reason and message
	}{
		{name: "nothing"},
		{name: "one address", annotations: annotations{AnnotationAddresses: "192.0.2.1"}, want: lb.Request{Addresses: addrs("192.0.2.1")}},
		{name: "both families, with blanks", annotations: annotations{AnnotationAddresses: " 192.0.2.1 ,\tfd00::1"}, want: lb.Request{Addresses: addrs("192.0.2.1", "fd00::1")}},
		{name: "IPv4 written as IPv6", annotations: annotations{AnnotationAddresses: "::ffff:192.0.2.1"}, want: lb.Request{Addresses: addrs("192.0.2.1")}},
		{name: "the deprecated field", ip: "192.0.2.1", want: lb.Request{Addresses: addrs("192.0.2.1")}},
		{name: "both, agreeing", annotations: annotations{AnnotationAddresses: "fd00::1,192.0.2.1"}, ip: "192.0.2.1", want: lb.Request{Addresses: addrs("fd00::1", "192.0.2.1")}},
		{name: "both, agreeing in another spelling", annotations: annotations{AnnotationAddresses: "192.0.2.1"}, ip: " ::ffff:192.0.2.1", want: lb.Request{Addresses: addrs("192.0.2.1")}},
		{name: "pool and key", annotations: annotations{AnnotationPool: " lan ", AnnotationSharingKey: "k"}, want: lb.Request{Pool: "lan", SharingKey: "k"}},
		{name: "annotations of others", annotations: annotations{"metallb.io/address-pool": "lan"}},
		{name: "an empty annotation", annotations: annotations{AnnotationAddresses: " "},
			problem: "BadRequest annotation fairlead.dev/addresses is empty: write an address, or take the annotation out"},
		{name: "an empty annotation beside the field", annotations: annotations{AnnotationAddresses: ""}, ip: "192.0.2.1",
			problem: "BadRequest annotation fairlead.dev/addresses is empty: write an address, or take the annotation out"},
		{name: "no address", annotations: annotations{AnnotationAddresses: "192.0.2"}, problem: `BadRequest fairlead.dev/addresses: "192.0.2" is not an IP address` + how},
		{name: "an entry too many", annotations: annotations{AnnotationAddresses: "192.0.2.1,"}, want: lb.Request{Addresses: addrs("192.0.2.1")},
			problem: `BadRequest fairlead.dev/addresses: "" is not an IP address` + how},
		{name: "a prefix", annotations: annotations{AnnotationAddresses: "192.0.2.0/28"}, problem: `BadRequest fairlead.dev/addresses: "192.0.2.0/28" is not an IP address` + how},
		{name: "an interface", annotations: annotations{AnnotationAddresses: "fe80::1%eth0"}, problem: `BadRequest fairlead.dev/addresses: "fe80::1%eth0" is not an IP address` + how},
		{name: "no address in the field", ip: "web", problem: `BadRequest spec.loadBalancerIP: "web" is not an IP address` + how},
		{name: "both, contradicting", annotations: annotations{AnnotationAddresses: "192.0.2.1"}, ip: "192.0.2.2", want: lb.Request{Addresses: addrs("192.0.2.1")},
			problem: "ContradictoryRequest annotation fairlead.dev/addresses asks for 192.0.2.1, and spec.loadBalancerIP for 192.0.2.2: keep the annotation, and clear the deprecated field"},
		{name: "both, the field unreadable", annotations: annotations{AnnotationAddresses: "192.0.2.1"}, ip: "web", want: lb.Request{Addresses: addrs("192.0.2.1")},
			problem: "ContradictoryRequest annotation fairlead.dev/addresses asks for 192.0.2.1, and spec.loadBalancerIP for web: keep the annotation, and clear the deprecated field"},
	} {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}, Spec: corev1.ServiceSpec{LoadBalancerIP: c.ip}}
		got := ServiceFrom(s).Request
		problem := ""
		if p := got.Problem; p != nil {
			problem = string(p.Reason) + " " + p.Message()
		}
		if problem != c.problem {
			t.Errorf("%s:\n got %s\nwant %s", c.name, problem, c.problem)
		}
		got.Problem = nil
		if diff := cmp.Diff(c.want, got, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{"", ",", "192.0.2.1", " 192.0.2.1 , fd00::1", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3.4-5", "10.0.0.0/8", "\x00", "€,%d%s", strings.Repeat("9", 300)} {
		f.Add(seed, "", "lan")
		f.Add("192.0.2.1", seed, seed)
	}
	f.Fuzz(func(t *testing.T, text, ip, pool string) {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationAddresses: text, AnnotationPool: pool}}, Spec: corev1.ServiceSpec{LoadBalancerIP: ip}}
		r := ServiceFrom(s).Request
		for _, a := range r.Addresses {
			if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
				t.Fatalf("%q asks for %v", text, a)
			}
		}
		if r.Problem == nil && len(r.Addresses) != 1+strings.Count(text, ",") {
			t.Fatalf("%q is read as %v without a problem", text, r.Addresses)
		}
		if r.Problem == nil {
			return
		}
		status := StatusOfRefused(r.Problem)
		m := status.Condition.Message
		if r.Problem.Detail == "" || r.Problem.Remedy == "" || len(m) > maxMessage {
			t.Fatalf("%q is refused with %+v", text, r.Problem)
		}
		if utf8.ValidString(text) && utf8.ValidString(ip) && !utf8.ValidString(m) {
			t.Fatalf("%q and %q make the message %q", text, ip, m)
		}
	})
}
