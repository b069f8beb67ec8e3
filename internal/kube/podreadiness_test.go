package kube

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"fairlead.dev/fairlead/internal/lb"
)

var (
	podNow   = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	web0     = lb.Pod{Namespace: "shop", Name: "web-0", UID: "uid-0"}
	withdraw = lb.Withdrawal{Pod: web0, Node: "n2", Boot: "b00f", Account: `2 of 3 speakers call node "n2" dead`}
)

// podAPI is an API server with one pod, which refuses patches as a real one does.
type podAPI struct {
	t     *testing.T
	pod   *corev1.Pod
	calls []string
	fake  *kubefake.Clientset
}

func newPodAPI(t *testing.T) *podAPI {
	a := &podAPI{t: t, fake: &kubefake.Clientset{}, pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "uid-0", ResourceVersion: "1"},
		Spec:       corev1.PodSpec{NodeName: "n2"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, Reason: "Old", Message: "old"},
		}},
	}}
	a.fake.AddReactor("get", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		a.calls = append(a.calls, "get")
		if a.pod == nil {
			return true, nil, apierrors.NewNotFound(corev1.Resource("pods"), "web-0")
		}
		return true, a.pod.DeepCopy(), nil
	})
	a.fake.AddReactor("patch", "pods", a.patch)
	return a
}

func (a *podAPI) patch(action clienttesting.Action) (bool, runtime.Object, error) {
	p := action.(clienttesting.PatchAction)
	a.calls = append(a.calls, "patch "+p.GetSubresource())
	if a.pod == nil {
		return true, nil, apierrors.NewNotFound(corev1.Resource("pods"), "web-0")
	}
	if p.GetPatchType() != types.StrategicMergePatchType {
		a.t.Fatalf("a patch of type %s would replace all conditions", p.GetPatchType())
	}
	before, _ := json.Marshal(a.pod)
	after, err := strategicpatch.StrategicMergePatch(before, p.GetPatch(), &corev1.Pod{})
	if err != nil {
		a.t.Fatal(err)
	}
	var next corev1.Pod
	if err := json.Unmarshal(after, &next); err != nil {
		a.t.Fatal(err)
	}
	if next.UID != a.pod.UID || next.ResourceVersion != a.pod.ResourceVersion {
		return true, nil, apierrors.NewConflict(corev1.Resource("pods"), "web-0", errors.New("precondition"))
	}
	a.pod = &next
	a.touch()
	return true, a.pod, nil
}

func (a *podAPI) touch() {
	n, _ := strconv.Atoi(a.pod.ResourceVersion)
	a.pod.ResourceVersion = strconv.Itoa(n + 1)
}

func (a *podAPI) ready() corev1.PodCondition { return *condition(a.pod, corev1.PodReady) }

func TestAWithdrawalChangesTheConditionReadyAndNothingElse(t *testing.T) {
	a := newPodAPI(t)
	want := a.pod.DeepCopy()
	want.ResourceVersion = "2"
	want.Status.Conditions[2] = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "FairleadNodeGone",
		Message: `2 of 3 speakers call node "n2" dead; its speaker was process b00f`, LastTransitionTime: metav1.NewTime(podNow)}
	p := NewPodReadiness(a.fake)
	if err := p.Withdraw(t.Context(), withdraw, podNow); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, a.pod); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"patch status"}, a.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got, ours, err := p.Find(t.Context(), web0); err != nil || !ours || got != withdraw {
		t.Errorf("read back: %+v, %v, %v", got, ours, err)
	}
}

func TestAPodOfTheSameNameIsNotTouched(t *testing.T) {
	p := func(change func(*podAPI)) (*podAPI, *PodReadiness) {
		a := newPodAPI(t)
		change(a)
		return a, NewPodReadiness(a.fake)
	}
	for name, change := range map[string]func(*podAPI){
		"gone":    func(a *podAPI) { a.pod = nil },
		"another": func(a *podAPI) { a.pod.UID = "uid-1" },
	} {
		a, r := p(change)
		if err := r.Withdraw(t.Context(), withdraw, podNow); !errors.Is(err, ErrPodChanged) {
			t.Errorf("%s: withdraw: %v", name, err)
		}
		if err := r.Restore(t.Context(), withdraw, podNow); !errors.Is(err, ErrPodChanged) {
			t.Errorf("%s: restore: %v", name, err)
		}
		if _, ours, err := r.Find(t.Context(), web0); ours || err != nil {
			t.Errorf("%s: found: %v, %v", name, ours, err)
		}
		if a.pod != nil && a.ready().Status != corev1.ConditionTrue {
			t.Errorf("%s: it is %+v", name, a.ready())
		}
	}
}

func TestAPodIsRestoredOnlyAsItsKubeletWould(t *testing.T) {
	set := func(a *podAPI, kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) {
		c := condition(a.pod, kind)
		c.Status, c.Reason = status, reason
		a.touch()
	}
	for name, c := range map[string]struct {
		meanwhile func(*podAPI)
		restored  bool
	}{
		"as it was":                {func(*podAPI) {}, true},
		"its kubelet made it so":   {func(a *podAPI) { set(a, corev1.PodReady, corev1.ConditionTrue, "") }, false},
		"its kubelet gave a cause": {func(a *podAPI) { set(a, corev1.PodReady, corev1.ConditionFalse, "ContainersNotReady") }, false},
		"a container broke":        {func(a *podAPI) { set(a, corev1.ContainersReady, corev1.ConditionFalse, "") }, false},
		"it is being deleted":      {func(a *podAPI) { a.pod.DeletionTimestamp = &metav1.Time{Time: podNow} }, false},
		"it ended":                 {func(a *podAPI) { a.pod.Status.Phase = corev1.PodSucceeded }, false},
		"a gate is shut": {func(a *podAPI) {
			a.pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
		}, false},
		"another death": {func(a *podAPI) {
			condition(a.pod, corev1.PodReady).Message = "2 of 3; its speaker was process other"
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newPodAPI(t)
			p := NewPodReadiness(a.fake)
			if err := p.Withdraw(t.Context(), withdraw, podNow); err != nil {
				t.Fatal(err)
			}
			c.meanwhile(a)
			before := a.ready()
			err := p.Restore(t.Context(), withdraw, podNow.Add(time.Minute))
			want := before
			if c.restored {
				want = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(podNow.Add(time.Minute))}
			} else if !errors.Is(err, ErrPodChanged) {
				t.Errorf("it is %v", err)
			}
			if diff := cmp.Diff(want, a.ready()); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestAKubeletThatSpeaksBetweenReadAndWriteWins(t *testing.T) {
	a := newPodAPI(t)
	p := NewPodReadiness(a.fake)
	if err := p.Withdraw(t.Context(), withdraw, podNow); err != nil {
		t.Fatal(err)
	}
	raced := false
	a.fake.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if !raced {
			raced = true
			c := condition(a.pod, corev1.PodReady)
			c.Reason = "ContainersNotReady"
			a.touch()
		}
		return false, nil, nil
	})
	if err := p.Restore(t.Context(), withdraw, podNow); err == nil || errors.Is(err, ErrPodChanged) {
		t.Errorf("a conflict is %v: it must be looked at again", err)
	}
	if got := a.ready(); got.Status != corev1.ConditionFalse || got.Reason != "ContainersNotReady" {
		t.Errorf("the kubelet's word was overwritten: %+v", got)
	}
}

func TestEndpointsBecomeBackends(t *testing.T) {
	yes, no, node := true, false, "n1"
	pod := &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web-0", UID: "uid-0"}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv6,
		Endpoints: []discoveryv1.Endpoint{
			{NodeName: &node, TargetRef: pod, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no}},
			{NodeName: &node, TargetRef: pod, Conditions: discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}},
			{NodeName: &node, TargetRef: pod, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &no, Terminating: &no}},
			{},
		},
	}
	at := lb.Backend{Service: lb.Key{Namespace: "shop", Name: "web"}, Family: lb.IPv6, Pod: web0, Node: "n1"}
	ready := at
	ready.Ready = true
	want := []lb.Backend{ready, at, at, {Service: at.Service, Family: lb.IPv6, Ready: true}}
	if diff := cmp.Diff(want, backendsFrom(slice)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	slice.Labels = nil
	if got := backendsFrom(slice); got != nil {
		t.Errorf("a slice of no Service has %v", got)
	}
}

func TestAKubeletIsAskedWhereItsNodeSays(t *testing.T) {
	n := &corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "n1"}, {Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeInternalIP, Address: "2001:db8::1"},
	}}}
	if diff := cmp.Diff([]string{"192.0.2.1:10250", "[2001:db8::1]:10250"}, kubeletOf(n)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = 1234
	if got := kubeletOf(n)[0]; got != "192.0.2.1:1234" {
		t.Errorf("it is asked at %s", got)
	}
}

func TestOnlyAKubeletThatSaysSomethingLives(t *testing.T) {
	living := httptest.NewTLSServer(http.NotFoundHandler())
	defer living.Close()
	hostile := httptest.NewServer(http.NotFoundHandler()) // answers, but not as it should
	defer hostile.Close()
	var lc net.ListenConfig
	frozen, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0") // the kernel takes the connection, and nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	refused, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	at := func(s *httptest.Server) string {
		return strings.TrimPrefix(strings.TrimPrefix(s.URL, "https://"), "http://")
	}
	for _, c := range []struct {
		name      string
		addresses []string
		want      bool
	}{
		{"lives", []string{at(living)}, true},
		{"answers nonsense", []string{at(hostile)}, true},
		{"frozen", []string{frozen.Addr().String()}, false},
		{"not there", []string{refused.Addr().String()}, false},
		{"lives at one address of two", []string{frozen.Addr().String(), at(living)}, true},
		{"no address", nil, false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if got := KubeletAnswers(ctx, c.addresses); got != c.want || ctx.Err() != nil {
			t.Errorf("%s: %v (%v)", c.name, got, ctx.Err())
		}
		cancel()
	}
}
