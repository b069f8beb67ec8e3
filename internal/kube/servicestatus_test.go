package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/lb"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestAStatusIsWrittenAsOnePatch(t *testing.T) {
	const ready = `"reason":"Assigned","status":"True","type":"fairlead.dev/Ready"}`
	one := assigned("192.0.2.1")
	for _, c := range []struct {
		name         string
		before, want ServiceStatus
		patch        string
	}{
		{"a first address comes with finalizer and condition", ServiceStatus{}, one,
			`{"metadata":{"finalizers":["service.kubernetes.io/load-balancer-cleanup"],"uid":"u"},"status":{` +
				`"conditions":[{"lastTransitionTime":"2026-06-01T12:00:00Z","message":"192.0.2.1",` + ready + `],` +
				`"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"}]}}}`},
		{"another address leaves the finalizer and the time of transition", one, assigned("192.0.2.2"),
			`{"metadata":{"uid":"u"},"status":{"conditions":[{"message":"192.0.2.2",` + ready + `],` +
				`"loadBalancer":{"ingress":[{"ip":"192.0.2.2","ipMode":"VIP"}]}}}`},
		{"a release takes everything off", one, ServiceStatus{},
			`{"metadata":{"$deleteFromPrimitiveList/finalizers":["service.kubernetes.io/load-balancer-cleanup"],"uid":"u"},` +
				`"status":{"conditions":[{"$patch":"delete","type":"fairlead.dev/Ready"}],"loadBalancer":{"ingress":null}}}`},
		{"a refusal is a condition only", ServiceStatus{}, refused(),
			`{"metadata":{"uid":"u"},"status":{"conditions":[{"lastTransitionTime":"2026-06-01T12:00:00Z","message":"none is free",` +
				`"reason":"PoolExhausted","status":"False","type":"fairlead.dev/Ready"}]}}`},
		{"a cloud's load balancer waits for finalizer and note", ServiceStatus{}, inCloud("public", ""),
			`{"metadata":{"finalizers":["service.kubernetes.io/load-balancer-cleanup"],"uid":"u"},"status":{"conditions":[` +
				`{"lastTransitionTime":"2026-06-01T12:00:00Z","message":"wait","reason":"Building","status":"False","type":"fairlead.dev/Ready"},` +
				`{"lastTransitionTime":"2026-06-01T12:00:00Z","message":"public/","reason":"Octavia","status":"True","type":"fairlead.dev/Cloud"}]}}`},
		{"then its address comes with OCCM's annotations", inCloud("public", ""), inCloud("public", "lb-1", "192.0.2.1"),
			`{"metadata":{"annotations":{"loadbalancer.openstack.org/load-balancer-address":"192.0.2.1","loadbalancer.openstack.org/load-balancer-id":"lb-1"},"uid":"u"},` +
				`"status":{"conditions":[{"lastTransitionTime":"2026-06-01T12:00:00Z","message":"192.0.2.1",` + ready + `,` +
				`{"message":"public/lb-1","reason":"Octavia","status":"True","type":"fairlead.dev/Cloud"}],` +
				`"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"}]}}}`},
		{"and they go with it", inCloud("public", "lb-1", "192.0.2.1"), ServiceStatus{},
			`{"metadata":{"$deleteFromPrimitiveList/finalizers":["service.kubernetes.io/load-balancer-cleanup"],` +
				`"annotations":{"loadbalancer.openstack.org/load-balancer-address":null,"loadbalancer.openstack.org/load-balancer-id":null},"uid":"u"},` +
				`"status":{"conditions":[{"$patch":"delete","type":"fairlead.dev/Ready"},{"$patch":"delete","type":"fairlead.dev/Cloud"}],"loadBalancer":{"ingress":null}}}`},
		{"a name is shown instead of addresses", inCloud("public", "lb-1", "192.0.2.1"), named("lb.example.com"),
			`{"metadata":{"uid":"u"},"status":{"loadBalancer":{"ingress":[{"hostname":"lb.example.com"}]}}}`},
		{"with PROXY protocol the mode is another", inCloud("public", "lb-1", "192.0.2.1"), proxied(),
			`{"metadata":{"uid":"u"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"Proxy"}]}}}`},
		{"foreign ingress is replaced although the addresses are right", ServiceStatus{Addresses: one.Addresses, Foreign: true, Finalizer: true, Condition: one.Condition}, one,
			`{"metadata":{"uid":"u"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"}]}}}`},
	} {
		got, err := c.before.patch(c.want, "u", noon)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.patch, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// named is a cloud's load balancer that is shown by its name.
func named(hostname string) ServiceStatus {
	s := inCloud("public", "lb-1", "192.0.2.1")
	s.Addresses, s.Hostname = nil, hostname
	return s
}

func proxied() ServiceStatus {
	s := inCloud("public", "lb-1", "192.0.2.1")
	s.Proxy = true
	return s
}

// genStatus is a status that a Service may have, or should have.
func genStatus(t *rapid.T, label string) ServiceStatus {
	s := ServiceStatus{Finalizer: rapid.Bool().Draw(t, label+" finalizer")}
	for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "fd00::1"}), 0, 2, rapid.ID).Draw(t, label+" addresses") {
		s.Addresses = append(s.Addresses, addrs(a)...)
	}
	if reason := rapid.SampledFrom([]string{"", ReasonAssigned, "PoolExhausted"}).Draw(t, label+" reason"); reason != "" {
		s.Condition = Condition{True: reason == ReasonAssigned, Reason: reason, Message: rapid.SampledFrom([]string{"", "why"}).Draw(t, label+" message")}
	}
	if rapid.IntRange(0, 2).Draw(t, label+" cloud") == 0 {
		s.Cloud = CloudNote{Provider: lb.ProviderOctavia, Class: rapid.SampledFrom([]string{"public", "edge.v6"}).Draw(t, label+" class"),
			ID: rapid.SampledFrom([]string{"", "lb-1", "lb-2"}).Draw(t, label+" id")}
		s.Cloud.AnnotatedID = s.Cloud.ID
		if len(s.Addresses) > 0 {
			s.Cloud.AnnotatedAddress = s.Addresses[0].String()
		}
		s.Proxy = len(s.Addresses) > 0 && rapid.Bool().Draw(t, label+" proxy")
		if rapid.IntRange(0, 3).Draw(t, label+" hostname") == 0 {
			s.Addresses, s.Proxy, s.Hostname = nil, false, "lb.example.com"
		}
	}
	return s
}

// serviceWith is a Service with that status, and with things of others on it.
func serviceWith(t *rapid.T, s ServiceStatus) *corev1.Service {
	others := rapid.Bool().Draw(t, "others wrote too")
	out := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u"}}
	if others {
		out.Finalizers = append(out.Finalizers, "example.com/other")
		out.Status.Conditions = append(out.Status.Conditions, metav1.Condition{Type: "example.com/Other", Status: metav1.ConditionTrue, Reason: "Other"})
	}
	if s.Finalizer {
		out.Finalizers = append(out.Finalizers, Finalizer)
	}
	if s.Condition.Reason != "" {
		out.Status.Conditions = append(out.Status.Conditions, metav1.Condition{Type: ConditionReady, Status: conditionStatus(s.Condition.True),
			Reason: s.Condition.Reason, Message: s.Condition.Message, LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour).Local())})
	}
	if n := s.Cloud; n.Class != "" {
		out.Status.Conditions = append(out.Status.Conditions, metav1.Condition{Type: ConditionCloud, Status: metav1.ConditionTrue,
			Reason: string(n.Provider), Message: n.message(), LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour).Local())})
		for key, value := range map[string]string{AnnotationLoadBalancerID: n.AnnotatedID, AnnotationLoadBalancerAddress: n.AnnotatedAddress} {
			if value != "" {
				metav1.SetMetaDataAnnotation(&out.ObjectMeta, key, value)
			}
		}
	}
	if others && rapid.Bool().Draw(t, "others annotate") {
		metav1.SetMetaDataAnnotation(&out.ObjectMeta, AnnotationLoadBalancerID, "mine")
		metav1.SetMetaDataAnnotation(&out.ObjectMeta, "example.com/other", "x")
	}
	mode := corev1.LoadBalancerIPModeVIP
	if s.Proxy {
		mode = corev1.LoadBalancerIPModeProxy
	}
	if s.Hostname != "" {
		out.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: s.Hostname}}
	}
	for _, a := range s.Addresses {
		out.Status.LoadBalancer.Ingress = append(out.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a.String(), IPMode: &mode})
	}
	if rapid.Bool().Draw(t, "foreign ingress") {
		out.Status.LoadBalancer.Ingress = append(out.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{Hostname: "lb.example.com"})
	}
	return out
}

func TestAPatchMakesAServiceSayExactlyWhatItShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := serviceWith(t, genStatus(t, "before"))
		from := StatusFrom(before)
		want := genStatus(t, "want").over(from)
		base := from
		whole := rapid.Bool().Draw(t, "whole")
		if whole {
			base = want.unlike(from) // as after a write that may have been done
		}
		patch, err := base.patch(want, "u", noon)
		if err != nil {
			t.Fatal(err)
		}
		after, err := patched(before, patch)
		if err != nil {
			t.Fatalf("%s: %v", patch, err)
		}
		if diff := cmp.Diff(want.over(StatusFrom(after)), StatusFrom(after), compareAddrs); diff != "" {
			t.Fatalf("after %s (-want +got):\n%s", patch, diff)
		}
		checkOthers(t, before, after, patch)
		checkAnnotations(t, before, after, want, patch)
		for _, c := range after.Status.Conditions {
			if c.Type != ConditionReady {
				continue
			}
			kept := from.Condition.Reason != "" && from.Condition.True == want.Condition.True && !whole
			if c.LastTransitionTime.IsZero() || kept == c.LastTransitionTime.Time.Equal(noon) {
				t.Fatalf("condition %+v after %+v by %s: the time of transition is wrong", c, from.Condition, patch)
			}
		}
		again, err := StatusFrom(after).patch(want.over(StatusFrom(after)), "u", noon)
		if err != nil || string(again) != `{"metadata":{"uid":"u"},"status":{}}` {
			t.Fatalf("a second patch says %s, %v", again, err)
		}
	})
}

// checkOthers: what is not ours stays.
func checkOthers(t *rapid.T, before, after *corev1.Service, patch []byte) {
	strip := func(s *corev1.Service) (finalizers []string, conditions []metav1.Condition) {
		for _, f := range s.Finalizers {
			if f != Finalizer {
				finalizers = append(finalizers, f)
			}
		}
		for _, c := range s.Status.Conditions {
			if c.Type != ConditionReady && c.Type != ConditionCloud {
				conditions = append(conditions, c)
			}
		}
		return finalizers, conditions
	}
	beforeFinalizers, beforeConditions := strip(before)
	afterFinalizers, afterConditions := strip(after)
	if diff := cmp.Diff(beforeFinalizers, afterFinalizers) + cmp.Diff(beforeConditions, afterConditions); diff != "" {
		t.Fatalf("%s changed what is not ours (-before +after):\n%s", patch, diff)
	}
}

// checkAnnotations: an ID that somebody else wrote stays, and nothing of ours stays
// without our note.
func checkAnnotations(t *rapid.T, before, after *corev1.Service, want ServiceStatus, patch []byte) {
	from := StatusFrom(before)
	was, is := before.Annotations[AnnotationLoadBalancerID], after.Annotations[AnnotationLoadBalancerID]
	others := was != "" && (from.Cloud.Class == "" && want.Cloud.ID == "" || from.Cloud.Class != "" && was != from.Cloud.ID)
	switch {
	case others && is != was:
		t.Fatalf("%s changed the ID %q, which somebody else wrote, into %q", patch, was, is)
	case !others && from.Cloud.Class != "" && want.Cloud.Class == "" && is != "":
		t.Fatalf("%s left the ID %q behind", patch, is)
	case from.Cloud.Class != "" && want.Cloud.Class == "" && after.Annotations[AnnotationLoadBalancerAddress] != "":
		t.Fatalf("%s left the address behind", patch)
	case after.Annotations["example.com/other"] != before.Annotations["example.com/other"]:
		t.Fatalf("%s changed an annotation of others", patch)
	}
}

func TestAStatusIsReadFromItsService(t *testing.T) {
	vip, proxy := corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy
	for _, c := range []struct {
		name    string
		service corev1.Service
		want    ServiceStatus
	}{
		{"nothing", corev1.Service{}, ServiceStatus{}},
		{"ours, dual stack", ingressOf(corev1.LoadBalancerIngress{IP: "192.0.2.1", IPMode: &vip}, corev1.LoadBalancerIngress{IP: "fd00::1", IPMode: &vip}),
			ServiceStatus{Addresses: addrs("192.0.2.1", "fd00::1")}},
		{"without ipMode it is another's, and its address counts", ingressOf(corev1.LoadBalancerIngress{IP: "192.0.2.1"}),
			ServiceStatus{Addresses: addrs("192.0.2.1"), Foreign: true}},
		{"ipMode Proxy", ingressOf(corev1.LoadBalancerIngress{IP: "192.0.2.1", IPMode: &proxy}, corev1.LoadBalancerIngress{IP: "fd00::1", IPMode: &proxy}),
			ServiceStatus{Addresses: addrs("192.0.2.1", "fd00::1"), Proxy: true}},
		{"two modes are another's", ingressOf(corev1.LoadBalancerIngress{IP: "192.0.2.1", IPMode: &proxy}, corev1.LoadBalancerIngress{IP: "fd00::1", IPMode: &vip}),
			ServiceStatus{Addresses: addrs("192.0.2.1", "fd00::1"), Proxy: true, Foreign: true}},
		{"a host name", ingressOf(corev1.LoadBalancerIngress{Hostname: "lb.example.com"}), ServiceStatus{Hostname: "lb.example.com"}},
		{"two host names are another's", ingressOf(corev1.LoadBalancerIngress{Hostname: "a"}, corev1.LoadBalancerIngress{Hostname: "b"}), ServiceStatus{Foreign: true}},
		{"a host name beside an address is another's", ingressOf(corev1.LoadBalancerIngress{IP: "192.0.2.1", IPMode: &vip, Hostname: "lb.example.com"}),
			ServiceStatus{Addresses: addrs("192.0.2.1"), Foreign: true}},
		{"IPv4 written as IPv6", ingressOf(corev1.LoadBalancerIngress{IP: "::ffff:192.0.2.1", IPMode: &vip}), ServiceStatus{Addresses: addrs("192.0.2.1")}},
		{"finalizers and conditions of others do not count", corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"example.com/other"}},
			Status:     corev1.ServiceStatus{Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Other"}}},
		}, ServiceStatus{}},
		{"finalizer and condition", corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"example.com/other", Finalizer}},
			Status: corev1.ServiceStatus{Conditions: []metav1.Condition{{Type: "Ready"},
				{Type: ConditionReady, Status: metav1.ConditionFalse, Reason: "NoPool", Message: "none"}}},
		}, ServiceStatus{Finalizer: true, Condition: Condition{Reason: "NoPool", Message: "none"}}},
	} {
		if diff := cmp.Diff(c.want, StatusFrom(&c.service), compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func ingressOf(i ...corev1.LoadBalancerIngress) corev1.Service {
	return corev1.Service{Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: i}}}
}

func TestABalancerSaysWhatItGotAndWhatItMisses(t *testing.T) {
	grants := []lb.Grant{{Address: addrs("192.0.2.1")[0], Pool: "lan"}, {Address: addrs("fd00::1")[0], Pool: "six"}}
	for _, c := range []struct {
		name string
		b    lb.Balancer
		want Condition
	}{
		{"all", lb.Balancer{Grants: grants}, Condition{True: true, Reason: "Assigned", Message: `192.0.2.1 from pool "lan", fd00::1 from pool "six"`}},
		{"less than asked for still works", lb.Balancer{Grants: grants[:1], Shortfall: lb.Refuse(lb.FamilyUnavailable, "add some", "no IPv6")},
			Condition{True: true, Reason: "FamilyUnavailable", Message: "no IPv6: add some"}},
		{"a conflict does not work", lb.Balancer{Grants: grants[:1], Shortfall: lb.Refuse(lb.AddressConflict, "remove it", "02:00:00:00:00:01 answers")},
			Condition{Reason: "AddressConflict", Message: "02:00:00:00:00:01 answers: remove it"}},
	} {
		got := StatusOf(&c.b)
		if got.Condition != c.want || !got.Finalizer || got.Foreign || len(got.Addresses) != len(c.b.Grants) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	got := StatusOfRefused(lb.Refuse(lb.NoPool, "create one", "there is no pool"))
	if diff := cmp.Diff(ServiceStatus{Condition: Condition{Reason: "NoPool", Message: "there is no pool: create one"}}, got); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func TestWhatACloudBuiltIsSaidWithItsTrouble(t *testing.T) {
	both := addrs("192.0.2.1", "fd00::1")
	trouble := func(r lb.Reason) *lb.Refusal { return lb.Refuse(r, "do this", "it is so") }
	note := CloudNote{Provider: lb.ProviderOctavia, Class: "public", ID: "lb-1", AnnotatedID: "lb-1", AnnotatedAddress: "192.0.2.1"}
	for _, c := range []struct {
		name      string
		built     lb.Built
		shortfall *lb.Refusal
		want      ServiceStatus
	}{
		{"all", lb.Built{ID: "lb-1", Addresses: both}, nil,
			ServiceStatus{Addresses: both, Cloud: note, Condition: Condition{True: true, Reason: "Assigned", Message: "192.0.2.1, fd00::1 of load balancer lb-1"}}},
		{"with PROXY protocol", lb.Built{ID: "lb-1", Addresses: both, Proxy: true}, nil,
			ServiceStatus{Addresses: both, Proxy: true, Cloud: note, Condition: Condition{True: true, Reason: "Assigned", Message: "192.0.2.1, fd00::1 of load balancer lb-1"}}},
		{"by name, the address is annotated all the same", lb.Built{ID: "lb-1", Addresses: both, Hostname: "lb.example.com", Proxy: true}, nil,
			ServiceStatus{Hostname: "lb.example.com", Cloud: note, Condition: Condition{True: true, Reason: "Assigned", Message: "lb.example.com (192.0.2.1, fd00::1) of load balancer lb-1"}}},
		{"nothing yet", lb.Built{}, trouble(lb.Building),
			ServiceStatus{Cloud: CloudNote{Provider: lb.ProviderOctavia, Class: "public"}, Condition: Condition{Reason: "Building", Message: "it is so: do this"}}},
		{"no address, for another trouble", lb.Built{Proxy: true}, trouble(lb.CloudQuota),
			ServiceStatus{Cloud: CloudNote{Provider: lb.ProviderOctavia, Class: "public"}, Condition: Condition{Reason: "CloudQuota", Message: "it is so: do this"}}},
		{"an address that works in spite of trouble", lb.Built{ID: "lb-1", Addresses: both}, trouble(lb.CloudUnreachable),
			ServiceStatus{Addresses: both, Cloud: note, Condition: Condition{True: true, Reason: "CloudUnreachable", Message: "it is so: do this"}}},
		{"a name that works in spite of trouble", lb.Built{ID: "lb-1", Hostname: "lb.example.com"}, trouble(lb.BadOption),
			ServiceStatus{Hostname: "lb.example.com", Cloud: CloudNote{Provider: lb.ProviderOctavia, Class: "public", ID: "lb-1", AnnotatedID: "lb-1"},
				Condition: Condition{True: true, Reason: "BadOption", Message: "it is so: do this"}}},
		{"an address that does not work yet", lb.Built{ID: "lb-1", Addresses: both}, trouble(lb.Building),
			ServiceStatus{Addresses: both, Cloud: note, Condition: Condition{Reason: "Building", Message: "it is so: do this"}}},
		{"an address that goes", lb.Built{ID: "lb-1", Addresses: both}, trouble(lb.Deleting),
			ServiceStatus{Addresses: both, Cloud: note, Condition: Condition{Reason: "Deleting", Message: "it is so: do this"}}},
		{"an address that nobody answers", lb.Built{ID: "lb-1", Addresses: both}, trouble(lb.NoNodes),
			ServiceStatus{Addresses: both, Cloud: note, Condition: Condition{Reason: "NoNodes", Message: "it is so: do this"}}},
	} {
		c.want.Finalizer = true
		got := StatusOf(&lb.Balancer{Class: "public", Provider: lb.ProviderOctavia, Built: &c.built, Shortfall: c.shortfall})
		if diff := cmp.Diff(c.want, got, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestALongMessageIsCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"abc", "abc"}, {"abcd", "abcd"}, {"abcde", "abcd"},
		{"abcé", "abc"}, {"éé", "éé"}, {"é€x", "é"}, {"€€", "€"}, {"😀", "😀"}, {"a😀", "a"},
	} {
		if got := clip(c.text, 4); got != c.want {
			t.Errorf("clip(%q, 4) = %q, want %q", c.text, got, c.want)
		}
	}
	long := StatusOfRefused(lb.Refuse(lb.BadRequest, "write it right", "x%s", strings.Repeat("€", maxMessage))).Condition.Message
	if len(long) > maxMessage || len(long) < maxMessage-3 || !utf8.ValidString(long) {
		t.Errorf("a message of %d bytes, valid: %v", len(long), utf8.ValidString(long))
	}
	condition := accepted(lb.Refuse(lb.BadAddresses, "", "x%s", strings.Repeat("€", maxMessage)), "", 1)
	if m := condition.Message; len(m) > maxMessage || !utf8.ValidString(m) {
		t.Errorf("a pool's message of %d bytes, valid: %v", len(m), utf8.ValidString(m))
	}
}

func TestAnotherServiceIsAwaitedWhileItShowsAnAddressThatItLoses(t *testing.T) {
	key := func(name string) lb.Key { return lb.Key{Namespace: "default", Name: name} }
	for _, c := range []struct {
		name string
		old  ServiceStatus // of Service "old", at the API server
		sent *ServiceStatus
		want map[lb.Key]ServiceStatus
		is   bool
	}{
		{name: "it shows the address and should lose it", old: assigned("192.0.2.1"), want: map[lb.Key]ServiceStatus{key("old"): {}}, is: true},
		{name: "it shows the address and should move", old: assigned("192.0.2.1"), want: map[lb.Key]ServiceStatus{key("old"): assigned("192.0.2.2")}, is: true},
		{name: "they share it", old: assigned("192.0.2.1"), want: map[lb.Key]ServiceStatus{key("old"): assigned("192.0.2.1")}},
		{name: "it shows another address", old: assigned("192.0.2.2"), want: map[lb.Key]ServiceStatus{key("old"): {}}},
		{name: "it is not ours: nothing would ever take the address off", old: assigned("192.0.2.1"), want: nil},
		{name: "its release is on its way", old: assigned("192.0.2.1"), sent: &ServiceStatus{}, want: map[lb.Key]ServiceStatus{key("old"): {}}, is: true},
		{name: "its release is on its way, and a plan has forgotten it", old: assigned("192.0.2.1"), sent: &ServiceStatus{}, want: nil, is: true},
		{name: "it is given the address right now, and should not be any more", sent: new(assigned("192.0.2.1")), want: map[lb.Key]ServiceStatus{key("old"): refused()}, is: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var clock uint64
			o := newObserver(lb.Key{})
			old, young := newStored("old", &clock), newStored("new", &clock)
			patch, err := ServiceStatus{}.patch(c.old, "uid-old", noon)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := old.patch(patch); err != nil {
				t.Fatal(err)
			}
			o.setService(old.service)
			o.setService(young.service)
			if c.sent != nil {
				o.begin(key("old"), *c.sent)
			}
			want := map[lb.Key]ServiceStatus{key("new"): assigned("192.0.2.1")}
			for k, s := range c.want {
				want[k] = s
			}
			if got := o.blocked(key("new"), addrs("192.0.2.1"), want); got != c.is {
				t.Errorf("blocked: %v, want %v; shown %v", got, c.is, fmt.Sprint(o.shown))
			}
			if o.blocked(key("new"), nil, want) {
				t.Error("a Service that gets nothing waits for somebody")
			}
		})
	}
}
