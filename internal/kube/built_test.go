package kube

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/lb"
)

func TestAClusterIsKnownByItsKubeSystem(t *testing.T) {
	o := newObserver(lb.Key{})
	o.setNamespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "d"}})
	if got := o.ClusterUID(); got != "" {
		t.Errorf("before kube-system was seen: %q", got)
	}
	o.setNamespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "k"}})
	if got := o.ClusterUID(); got != "k" {
		t.Errorf("%q, want the UID of kube-system", got)
	}
}

func TestACommandKnowsWhatWasBuiltFromTheServices(t *testing.T) {
	var clock uint64
	o := newObserver(lb.Key{})
	for name, status := range map[string]ServiceStatus{
		"nodes": assigned("192.0.2.1"), "active": inCloud("public", "lb-1", "203.0.113.1"), "waits": inCloud("public", ""), "named": named("lb.example.com"),
	} {
		s := newStored(name, &clock)
		patch, err := ServiceStatus{}.patch(status, "uid-"+name, noon)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.patch(patch); err != nil {
			t.Fatal(err)
		}
		o.setService(s.service)
	}
	key := func(name string) lb.Key { return lb.Key{Namespace: "default", Name: name} }
	want := []lb.Built{
		{Service: key("active"), UID: "uid-active", ID: "lb-1", Addresses: addrs("203.0.113.1")},
		{Service: key("named"), UID: "uid-named", ID: "lb-1", Hostname: "lb.example.com"},
		{Service: key("waits"), UID: "uid-waits", Trouble: &lb.Refusal{Service: key("waits"), Reason: lb.Building, Detail: "wait"}},
	}
	if diff := cmp.Diff(want, o.builtAsWritten(), compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
