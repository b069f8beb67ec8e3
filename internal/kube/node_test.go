package kube

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/lb"
)

func endpoint(node string, ready, serving, terminating *bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ready, Serving: serving, Terminating: terminating}}
	if node != "" {
		e.NodeName = &node
	}
	return e
}

func sliceOf(service, name string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Endpoints:  endpoints,
	}
}

func TestServingCountsAlsoWhileTerminating(t *testing.T) {
	yes, no := new(true), new(false)
	for _, c := range []struct {
		name           string
		endpoint       discoveryv1.Endpoint
		serves, silent bool
	}{
		{"ready", endpoint("n1", yes, yes, no), true, false},
		{"ready unknown counts as yes", endpoint("n1", nil, nil, nil), true, false},
		{"not ready", endpoint("n1", no, no, no), false, true},
		{"not ready, serving unknown", endpoint("n1", no, nil, nil), false, true},
		{"terminating, still serving", endpoint("n1", no, yes, yes), true, false},
		{"terminating, not serving", endpoint("n1", no, no, yes), false, true},
		{"without a node", endpoint("", yes, yes, no), false, false},
	} {
		got := sliceFrom(sliceOf("web", "web-1", c.endpoint))
		want := slice{service: lb.Key{Namespace: "default", Name: "web"}}
		if c.serves {
			want.nodes = []string{"n1"}
		}
		if c.silent {
			want.silent = []string{"n1"}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(slice{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestEndpointsOfSeveralSlicesAreOneSortedList(t *testing.T) {
	o := newObserver(lb.Key{})
	key := lb.Key{Namespace: "default", Name: "web"}
	nodes := func() []string { return o.endpoints.rows[key].Nodes }
	local := func(policy corev1.ServiceExternalTrafficPolicy) {
		o.setService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u"}, Spec: corev1.ServiceSpec{ExternalTrafficPolicy: policy}})
	}
	local(corev1.ServiceExternalTrafficPolicyCluster)
	if o.setSlice(sliceOf("web", "4", endpoint("n4", nil, nil, nil))) || !slices.Equal(nodes(), []string{"n4"}) {
		t.Errorf("where a Service without Local traffic is served is a change, or is lost: %v", nodes())
	}
	if o.removeSlice(sliceOf("web", "4")) {
		t.Error("that it is served nowhere is a change")
	}
	local(corev1.ServiceExternalTrafficPolicyLocal)
	if !o.setSlice(sliceOf("web", "4", endpoint("n3", nil, nil, nil), endpoint("n1", nil, nil, nil), endpoint("n3", nil, nil, nil))) {
		t.Error("the first slice is no change")
	}
	if !o.setSlice(sliceOf("web", "6", endpoint("n2", nil, nil, nil), endpoint("n1", nil, nil, nil))) {
		t.Error("a node more is no change")
	}
	if want := []string{"n1", "n2", "n3"}; !slices.Equal(nodes(), want) {
		t.Errorf("nodes %v, want %v", nodes(), want)
	}
	if o.setSlice(sliceOf("web", "6", endpoint("n2", nil, nil, nil), endpoint("n2", nil, nil, nil))) {
		t.Error("the same nodes are a change")
	}
	if !o.removeSlice(sliceOf("web", "4")) || !slices.Equal(nodes(), []string{"n2"}) {
		t.Errorf("after one slice went: %v", nodes())
	}
	if !o.removeSlice(sliceOf("web", "6")) || nodes() != nil || len(o.slices) != 0 {
		t.Errorf("after both went: %v, %v", nodes(), o.slices)
	}
}

func TestANodeIsReadFromItsConditionsLabelsAndTaints(t *testing.T) {
	node := func(edit func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"rack": "a"}},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
		edit(n)
		return n
	}
	ready := func(s corev1.ConditionStatus) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Status.Conditions[0].Status = s }
	}
	labels := map[string]string{"rack": "a"}
	for _, c := range []struct {
		name string
		node *corev1.Node
		want lb.Node
	}{
		{"ready", node(func(*corev1.Node) {}), lb.Node{Name: "n1", Labels: labels, Alive: true}},
		{"not ready", node(ready(corev1.ConditionFalse)), lb.Node{Name: "n1", Labels: labels}},
		{"unknown", node(ready(corev1.ConditionUnknown)), lb.Node{Name: "n1", Labels: labels}},
		{"that never said anything", node(func(n *corev1.Node) { n.Status.Conditions = nil }), lb.Node{Name: "n1", Labels: labels}},
		{"cordoned is not drained", node(func(n *corev1.Node) { n.Spec.Unschedulable = true }), lb.Node{Name: "n1", Labels: labels, Alive: true}},
		{"excluded by a label, whatever its value", node(func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""} }),
			lb.Node{Name: "n1", Labels: map[string]string{corev1.LabelNodeExcludeBalancers: ""}, Alive: true, Excluded: true}},
		{"out of service", node(func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "x"}, {Key: corev1.TaintNodeOutOfService}} }),
			lb.Node{Name: "n1", Labels: labels, Alive: true, OutOfService: true}},
		{"without network", node(func(n *corev1.Node) {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue})
		}), lb.Node{Name: "n1", Labels: labels, Alive: true, NetworkUnavailable: true}},
		{"with addresses of both families", node(func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "10.0.0.9"}, {Type: corev1.NodeInternalIP, Address: "fd00::1"},
				{Type: corev1.NodeExternalIP, Address: "203.0.113.1"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.1"}, {Type: corev1.NodeInternalIP, Address: "n1"}}
		}), lb.Node{Name: "n1", Labels: labels, Alive: true, Addresses: addrs("fd00::1", "10.0.0.1")}},
		{"a server", node(func(n *corev1.Node) { n.Spec.ProviderID = "openstack:///6e7f0a3c" }), lb.Node{Name: "n1", Labels: labels, Alive: true, ServerID: "6e7f0a3c"}},
		{"a server of a region", node(func(n *corev1.Node) { n.Spec.ProviderID = "openstack://west-1/6e7f0a3c" }), lb.Node{Name: "n1", Labels: labels, Alive: true, ServerID: "6e7f0a3c"}},
		{"a server of another cloud", node(func(n *corev1.Node) { n.Spec.ProviderID = "aws:///eu-west-1a/i-1" }), lb.Node{Name: "n1", Labels: labels, Alive: true}},
		{"a server that cannot be read", node(func(n *corev1.Node) { n.Spec.ProviderID = "openstack://a/b/c" }), lb.Node{Name: "n1", Labels: labels, Alive: true}},
	} {
		if diff := cmp.Diff(c.want, NodeFrom(c.node), compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestANodeWhoseSpeakerPodIsNotReadyIsNotAlive(t *testing.T) {
	speakers := lb.Key{Namespace: "default", Name: "fairlead-speakers"}
	o := newObserver(speakers)
	for _, name := range []string{"n1", "n2", "n3", "n4"} {
		status := corev1.ConditionTrue
		if name == "n4" {
			status = corev1.ConditionFalse
		}
		o.setNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}}})
	}
	alive := func() (out []string) {
		for _, n := range o.World().Nodes {
			if n.Alive {
				out = append(out, n.Name)
			}
		}
		return out
	}
	check := func(what string, want ...string) {
		t.Helper()
		if got := alive(); !slices.Equal(got, want) {
			t.Errorf("%s: alive are %v, want %v", what, got, want)
		}
	}
	yes, no := new(true), new(false)
	check("speakers are not pods", "n1", "n2", "n3")
	o.setSlice(sliceOf("web", "web", endpoint("n1", no, no, no)))
	check("pods of others do not count", "n1", "n2", "n3")
	if !o.setSlice(sliceOf("fairlead-speakers", "a", endpoint("n1", yes, yes, no), endpoint("n2", no, no, no), endpoint("n4", yes, yes, no))) {
		t.Error("speaker pods are no change")
	}
	check("n2's is not ready, n3 has none, n4 is not ready itself", "n1", "n3")
	o.setSlice(sliceOf("fairlead-speakers", "a", endpoint("n1", yes, yes, no), endpoint("n2", no, no, yes), endpoint("n2", yes, yes, no)))
	check("n2's old pod goes, its new one is ready", "n1", "n2", "n3")
	o.setSlice(sliceOf("fairlead-speakers", "a", endpoint("n1", no, yes, yes)))
	check("n1's terminates and still serves", "n1", "n2", "n3")
	if !o.setSlice(sliceOf("fairlead-speakers", "b", endpoint("n3", no, no, no))) {
		t.Error("a silent speaker pod is no change")
	}
	check("n3's is in another slice", "n1", "n2")
	if !o.removeSlice(sliceOf("fairlead-speakers", "b")) {
		t.Error("that the slice of a silent speaker went is no change")
	}
	check("that slice went", "n1", "n2", "n3")
}
