package kube

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"fairlead.dev/fairlead/internal/lb"
)

// stored is a Service as an API server keeps it.
type stored struct {
	service *corev1.Service
	// clock gives the next version; it belongs to all Services of the server.
	clock *uint64
}

func newStored(name string, clock *uint64) *stored {
	s := &stored{clock: clock, service: &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIPs: []string{"10.0.0.1"}},
	}}
	s.change(func(*corev1.Service) {})
	return s
}

// change is a write of anybody.
func (s *stored) change(f func(*corev1.Service)) {
	next := s.service.DeepCopy()
	f(next)
	*s.clock++
	next.ResourceVersion = strconv.FormatUint(*s.clock, 10)
	s.service = next
}

// patch does what the API server does with a strategic merge patch of the status
// subresource: a patch that changes nothing makes no version, and no event.
func (s *stored) patch(patch []byte) (changed bool, err error) {
	next, err := patched(s.service, patch)
	if err != nil {
		return false, err
	}
	if next.UID != s.service.UID {
		return false, fmt.Errorf("uid %s, not %s", s.service.UID, next.UID)
	}
	before, _ := json.Marshal(s.service)
	if after, _ := json.Marshal(next); string(before) == string(after) {
		return false, nil
	}
	s.change(func(into *corev1.Service) { *into = *next })
	return true, nil
}

func patched(s *corev1.Service, patch []byte) (*corev1.Service, error) {
	before, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, &corev1.Service{})
	if err != nil {
		return nil, err
	}
	var next corev1.Service
	return &next, json.Unmarshal(after, &next)
}

func (s *stored) version() uint64 { return versionOf(s.service) }

func (s *stored) key() lb.Key { return lb.Key{Namespace: s.service.Namespace, Name: s.service.Name} }

// addrs reads addresses; nil for none.
func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

// assigned is the status of a Service that got what it asked for.
func assigned(addresses ...string) ServiceStatus {
	return ServiceStatus{Addresses: addrs(addresses...), Finalizer: true,
		Condition: Condition{True: true, Reason: ReasonAssigned, Message: strings.Join(addresses, ", ")}}
}

// inCloud is the status of a Service that a cloud serves; without an id it waits.
func inCloud(class, id string, addresses ...string) ServiceStatus {
	s := ServiceStatus{Addresses: addrs(addresses...), Finalizer: true, Cloud: CloudNote{Provider: lb.ProviderOctavia, Class: class, ID: id, AnnotatedID: id},
		Condition: Condition{True: true, Reason: ReasonAssigned, Message: strings.Join(addresses, ", ")}}
	if id == "" {
		s.Condition = Condition{Reason: string(lb.Building), Message: "wait"}
	}
	if len(addresses) > 0 {
		s.Cloud.AnnotatedAddress = addresses[0]
	}
	return s
}

// refused is the status of a Service without an address.
func refused() ServiceStatus {
	return ServiceStatus{Condition: Condition{Reason: string(lb.PoolExhausted), Message: "none is free"}}
}

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// checkIndex compares the index of shown addresses with the records.
func checkIndex(t fatal, o *Observer) {
	t.Helper()
	want := make(map[netip.Addr]map[lb.Key]bool)
	for key, r := range o.services.rows {
		for _, a := range r.shown() {
			if want[a] == nil {
				want[a] = make(map[lb.Key]bool)
			}
			want[a][key] = true
		}
	}
	for a, keys := range o.shown {
		if len(keys) != len(want[a]) {
			t.Fatalf("index of %s has %v, the records %v", a, keys, want[a])
		}
		for _, key := range keys {
			if !want[a][key] {
				t.Fatalf("index of %s has %v, the records %v", a, keys, want[a])
			}
		}
	}
	if len(o.shown) != len(want) {
		t.Fatalf("index %v, records %v", o.shown, want)
	}
}
