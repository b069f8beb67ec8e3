package kube

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

func poolOf(spec v1alpha1.AddressPoolSpec) *v1alpha1.AddressPool {
	return &v1alpha1.AddressPool{ObjectMeta: metav1.ObjectMeta{Name: "lan", Generation: 3}, Spec: spec}
}

func TestAPoolIsReadWithItsDefaults(t *testing.T) {
	p := poolOf(v1alpha1.AddressPoolSpec{
		Addresses: []string{"192.0.2.0/30", " fd00::1 - fd00::9 "}, Priority: 2, AvoidBuggyIPs: true, Namespaces: []string{"shop"},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"b": "2", "a": "1"}},
		ServiceSelector:   &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpExists}}},
		Quota:             &v1alpha1.Quota{PerNamespace: 4},
		Reservations:      []v1alpha1.Reservation{{Service: "shop/web", Address: "192.0.2.1"}},
	})
	p.CreationTimestamp = metav1.NewTime(noon)
	p.Annotations = map[string]string{v1alpha1.ConfirmAnnotation: "3"}
	p.Status.Addresses = []string{"192.0.2.0-192.0.2.3"}
	r4, _ := lb.ParseRange("192.0.2.0/30")
	r6, _ := lb.ParseRange("fd00::1-fd00::9")
	want := lb.Pool{
		Name: "lan", Created: noon, Generation: 3, Ranges: []lb.Range{r4, r6}, InForce: []lb.Range{r4},
		AutoAssign: true, AvoidBuggyIPs: true, Priority: 2, Namespaces: []string{"shop"},
		NamespaceSelector: &lb.Selector{Requirements: []lb.Requirement{{Key: "a", Operator: lb.In, Values: []string{"1"}}, {Key: "b", Operator: lb.In, Values: []string{"2"}}}},
		ServiceSelector:   &lb.Selector{Requirements: []lb.Requirement{{Key: "app", Operator: lb.Exists}}},
		QuotaPerNamespace: 4, Confirmed: true,
		Reservations: []lb.Reservation{{Service: lb.Key{Namespace: "shop", Name: "web"}, Address: addrs("192.0.2.1")[0]}},
	}
	if diff := cmp.Diff(want, PoolFrom(p), compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	p.Annotations[v1alpha1.ConfirmAnnotation] = "2"
	p.Status.Addresses = []string{"mangled"}
	p.Spec.AutoAssign = new(false)
	now := metav1.NewTime(noon)
	p.DeletionTimestamp = &now
	if got := PoolFrom(p); got.Confirmed || got.InForce != nil || got.AutoAssign || !got.Deleting || got.Problem != nil {
		t.Errorf("an older confirmation, a mangled status, autoAssign false and a deletion are read as %+v", got)
	}
}

func TestAPoolThatCannotBeReadSaysWhereAndWhatToWrite(t *testing.T) {
	good := []string{"192.0.2.0/28"}
	reserved := func(service, address string) v1alpha1.AddressPoolSpec {
		return v1alpha1.AddressPoolSpec{Addresses: good, Reservations: []v1alpha1.Reservation{{Service: "a/b", Address: "192.0.2.1"}, {Service: service, Address: address}}}
	}
	badSelector := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like", Values: []string{"web"}}}}
	for _, c := range []struct {
		name   string
		spec   v1alpha1.AddressPoolSpec
		reason lb.Reason
		says   string
	}{
		{"an address", v1alpha1.AddressPoolSpec{Addresses: []string{"192.0.2.0/28", "nope"}}, lb.BadAddresses,
			`spec.addresses of AddressPool "lan", entry 2: "nope" is not an IP address: write it as 192.0.2.1 or fd00:1::1`},
		{"an overlap within", v1alpha1.AddressPoolSpec{Addresses: []string{"192.0.2.0/28", "192.0.2.9"}}, lb.BadAddresses,
			`spec.addresses of AddressPool "lan", entries 1 and 2, "192.0.2.0/28" and "192.0.2.9", overlap: write each address once`},
		{"a reservation for nobody", reserved("web", "192.0.2.2"), lb.BadReservation,
			`spec.reservations[1] of AddressPool "lan": service "web" does not name a Service: write it as "shop/web"`},
		{"a reservation with a path", reserved("a/b/c", "192.0.2.2"), lb.BadReservation,
			`spec.reservations[1] of AddressPool "lan": service "a/b/c" does not name a Service: write it as "shop/web"`},
		{"a reservation of a namespace", reserved("a/", "192.0.2.2"), lb.BadReservation,
			`spec.reservations[1] of AddressPool "lan": service "a/" does not name a Service: write it as "shop/web"`},
		{"a reservation of no address", reserved("a/c", "192.0.2"), lb.BadReservation,
			`spec.reservations[1] of AddressPool "lan": address "192.0.2" is not an IP address: write it as 192.0.2.1 or fd00:1::1`},
		{"a reservation on an interface", reserved("a/c", "fe80::1%eth0"), lb.BadReservation,
			`spec.reservations[1] of AddressPool "lan": address fe80::1%eth0 is not in the pool: reserve an address of spec.addresses`},
		{"a reservation outside", reserved("a/c", "192.0.2.99"), lb.BadReservation,
			`spec.reservations[1] of AddressPool "lan": address 192.0.2.99 is not in the pool: reserve an address of spec.addresses`},
		{"a reservation twice", reserved("a/c", "192.0.2.1"), lb.BadReservation,
			`spec.reservations[1] of AddressPool "lan": address 192.0.2.1 is there twice: reserve it once`},
		{"a namespace selector", v1alpha1.AddressPoolSpec{Addresses: good, NamespaceSelector: badSelector}, lb.BadSelector,
			`spec.namespaceSelector of AddressPool "lan": "Like" is not a valid label selector operator: see kubectl explain for the form of a label selector`},
		{"a service selector", v1alpha1.AddressPoolSpec{Addresses: good, ServiceSelector: badSelector}, lb.BadSelector,
			`spec.serviceSelector of AddressPool "lan": "Like" is not a valid label selector operator: see kubectl explain for the form of a label selector`},
		{"the first of two", v1alpha1.AddressPoolSpec{Addresses: []string{"nope"}, ServiceSelector: badSelector}, lb.BadAddresses,
			`spec.addresses of AddressPool "lan", entry 1: "nope" is not an IP address: write it as 192.0.2.1 or fd00:1::1`},
	} {
		got := PoolFrom(poolOf(c.spec))
		if got.Problem == nil {
			t.Errorf("%s: no problem", c.name)
			continue
		}
		if got.Problem.Reason != c.reason || got.Problem.Message() != c.says {
			t.Errorf("%s:\n got %s %s\nwant %s %s", c.name, got.Problem.Reason, got.Problem.Message(), c.reason, c.says)
		}
	}
}

func TestAClassThatCannotBeReadSaysWhereAndWhatToWrite(t *testing.T) {
	class := func(spec v1alpha1.LoadBalancerClassSpec) *v1alpha1.LoadBalancerClass {
		return &v1alpha1.LoadBalancerClass{ObjectMeta: metav1.ObjectMeta{Name: "public"}, Spec: spec}
	}
	if got := ClassFrom(class(v1alpha1.LoadBalancerClassSpec{Provider: "L2"})); got.Problem != nil || got.L2.NodeSelector != nil {
		t.Errorf("a plain class: %+v", got)
	}
	for _, c := range []struct {
		spec   v1alpha1.LoadBalancerClassSpec
		reason lb.Reason
		parts  []string
	}{
		{v1alpha1.LoadBalancerClassSpec{Provider: "Octopus"}, lb.UnknownProvider, []string{"spec.provider", `"public"`, `"Octopus"`, "write L2 or Octavia"}},
		{v1alpha1.LoadBalancerClassSpec{Provider: "Octavia", Octavia: &v1alpha1.Octavia{Monitor: &v1alpha1.Monitor{Timeout: "3"}}}, lb.BadOption,
			[]string{"spec.octavia.monitor", `"public"`, `timeout "3"`, "write it as 5s"}},
		{v1alpha1.LoadBalancerClassSpec{Provider: "Octavia", Octavia: &v1alpha1.Octavia{NodeSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}}},
			lb.BadSelector, []string{"spec.octavia.nodeSelector", `"public"`, "kubectl explain"}},
		{v1alpha1.LoadBalancerClassSpec{Provider: "L2", L2: &v1alpha1.L2{Interfaces: []string{"eth0", "["}}}, lb.BadSelector,
			[]string{"spec.l2.interfaces[1]", `"public"`, `"["`, `write a name ("eth0")`}},
		{v1alpha1.LoadBalancerClassSpec{Provider: "L2", L2: &v1alpha1.L2{NodeSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}}},
			lb.BadSelector, []string{"spec.l2.nodeSelector", `"public"`, "kubectl explain"}},
	} {
		got := ClassFrom(class(c.spec)).Problem
		if got == nil || got.Reason != c.reason {
			t.Errorf("%+v: %+v, want %s", c.spec, got, c.reason)
			continue
		}
		for _, part := range c.parts {
			if !strings.Contains(got.Message(), part) {
				t.Errorf("%q does not say %s", got.Message(), part)
			}
		}
	}
}
