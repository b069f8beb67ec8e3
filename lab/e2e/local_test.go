//go:build lab

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/lab"
)

const (
	// followBound is how long the announcement may lag behind the EndpointSlice. A quiet
	// machine needs less than 100 ms.
	followBound = time.Second
	// freshBound is that of an address that nobody announced: the segment is asked for
	// 0.4 s whether somebody else has it.
	freshBound = 2 * time.Second
)

// localService is a Service with externalTrafficPolicy: Local and a pod on every node,
// whose EndpointSlice the test writes: a change is one moment.
type localService struct {
	*cluster
	vip   netip.Addr
	pods  map[string]string // addresses by node
	macs  map[string]string // nodes by MAC
	slice *discoveryv1.EndpointSlice
	asked *newcomer
}

func newLocalService(t *testing.T) *localService {
	c := newCluster(t, lab.Options{})
	c.controller("controller", "--leader-elect=false")
	c.speakers("--mend-every=0")
	c.pool("lan", "172.31.0.200-172.31.0.250")
	port, http := int32(8080), "http"
	l := &localService{cluster: c, pods: make(map[string]string), macs: make(map[string]string), slice: &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: "web-by-hand", Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &http, Port: &port}},
	}}
	for _, n := range c.Nodes() {
		pod, err := c.RunPod(t.Context(), n.Name(), "web-"+n.Name(), nil, port)
		if err != nil {
			t.Fatal(err)
		}
		l.pods[n.Name()], l.macs[c.macOf(n)] = pod.Status.PodIP, n.Name()
	}
	if err := c.api.Create(t.Context(), l.slice); err != nil {
		t.Fatal(err)
	}
	c.service("web", func(s *corev1.Service) {
		s.Spec.Selector, s.Spec.ExternalTrafficPolicy = nil, corev1.ServiceExternalTrafficPolicyLocal
	})
	l.vip = c.addresses("web", 1)[0]
	l.asked = c.newcomer(c.Client(), l.vip)
	return l
}

// change is when an EndpointSlice was sent to the API server, and when a watch saw it.
type change struct{ sent, seen time.Time }

// serve makes these nodes' pods all endpoints that there are.
func (l *localService) serve(nodes ...string) change {
	l.t.Helper()
	w, err := l.api.Watch(l.t.Context(), &discoveryv1.EndpointSliceList{}, client.InNamespace(metav1.NamespaceDefault),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: l.slice.ResourceVersion}})
	if err != nil {
		l.t.Fatal(err)
	}
	defer w.Stop()
	ready := true
	before := l.slice.DeepCopy()
	l.slice.Endpoints = nil
	for _, node := range nodes {
		l.slice.Endpoints = append(l.slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{l.pods[node]}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	if equality.Semantic.DeepEqual(before.Endpoints, l.slice.Endpoints) {
		l.t.Fatalf("%v serve already: there is no change to see", nodes)
	}
	sent := time.Now()
	if err := l.api.Update(l.t.Context(), l.slice); err != nil {
		l.t.Fatal(err)
	}
	for e := range w.ResultChan() {
		if s, ok := e.Object.(*discoveryv1.EndpointSlice); ok && s.Name == l.slice.Name && s.ResourceVersion == l.slice.ResourceVersion {
			return change{sent, time.Now()}
		}
	}
	l.t.Fatal("the watch ended before it saw the change")
	return change{}
}

// follows waits until one of these nodes announces, and returns which, and how long
// after the change was seen it was first heard; 0 if it was heard before that.
func (l *localService) follows(c change, bound time.Duration, nodes ...string) (string, time.Duration) {
	l.t.Helper()
	var first word
	l.eventually(5*time.Second, fmt.Sprintf("one of %v announces", nodes), func() error {
		for _, w := range l.asked.since(c.sent, l.vip) {
			if slices.Contains(nodes, l.macs[w.mac.String()]) {
				first = w
				return nil
			}
		}
		return fmt.Errorf("%v do", l.asked.now(l.vip))
	})
	took := max(first.at.Sub(c.seen), 0)
	if took > bound {
		l.t.Errorf("%s announces %s after the change, want at most %s", l.macs[first.mac.String()], took, bound)
	}
	return l.macs[first.mac.String()], took
}

// alone fails the test if another node than this one answers.
func (l *localService) alone(node string) {
	l.t.Helper()
	l.steady(20 * askEvery)
	for _, mac := range l.asked.now(l.vip) {
		if l.macs[mac] != node {
			l.t.Errorf("%s answers, besides %s", l.macs[mac], node)
		}
	}
}

func TestTheAnnouncementOfALocalServiceFollowsItsEndpoints(t *testing.T) {
	l := newLocalService(t)
	owner, took := l.follows(l.serve("n1", "n2"), freshBound, "n1", "n2")
	t.Logf("announced first %s after the first endpoint", took.Round(time.Millisecond))
	l.alone(owner)
	l.answers(l.Client(), l.vip)

	// Each starts with what the one before left.
	t.Run("an endpoint elsewhere moves nothing", func(t *testing.T) {
		l.serve("n1", "n2", "n3")
		l.steady(500 * time.Millisecond)
		l.alone(owner)
	})
	t.Run("an address leaves with its node's endpoint", func(t *testing.T) {
		var all []time.Duration
		for range 10 {
			var others []string
			for node := range l.pods {
				if node != owner {
					others = append(others, node)
				}
			}
			l.steady(20 * askEvery)
			successor, took := l.follows(l.serve(others...), followBound, others...)
			all = append(all, took)
			l.alone(successor)
			owner = successor
			l.serve("n1", "n2", "n3")
		}
		slices.Sort(all)
		t.Logf("10 moves: median %s, longest %s after the EndpointSlice", all[5].Round(time.Millisecond), all[9].Round(time.Millisecond))
	})
	t.Run("an address goes with the only endpoint", func(t *testing.T) {
		var all []time.Duration
		for _, node := range []string{"n1", "n2", "n3", "n1", "n2", "n3"} {
			l.steady(20 * askEvery)
			_, took := l.follows(l.serve(node), followBound, node)
			all = append(all, took)
			l.alone(node)
			l.answers(l.Client(), l.vip)
		}
		t.Logf("moves took %v after the EndpointSlice", all)
	})
	t.Run("without an endpoint nobody answers", func(t *testing.T) {
		changed := l.serve()
		l.steady(followBound + 20*askEvery)
		var last time.Duration
		for _, w := range l.asked.since(changed.seen, l.vip) {
			last = max(last, w.at.Sub(changed.seen))
		}
		t.Logf("last heard %s after the EndpointSlice", last.Round(time.Millisecond))
		if last > followBound {
			t.Errorf("%v answer without an endpoint", l.asked.now(l.vip))
		}
	})
}
