package v1alpha1_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
)

func TestASpeakerThatTheTypeWritesIsTakenAndReadBack(t *testing.T) {
	want := v1alpha1.Speaker{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Speaker"},
		ObjectMeta: metav1.ObjectMeta{Name: "node-a"},
		Status: v1alpha1.SpeakerStatus{
			Announced:  1,
			Interfaces: []v1alpha1.Interface{{Name: "eth0", MAC: "02:00:5e:10:00:01"}},
			Claims: []v1alpha1.Claim{
				{Address: "192.0.2.1", State: v1alpha1.ClaimAnnounced, Interfaces: []string{"eth0"}, Since: metav1.NewMicroTime(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC))},
				{Address: "fd00::1", State: v1alpha1.ClaimConflict, Since: metav1.NewMicroTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), Detail: "02:00:5e:10:00:09 answers on eth0"},
			},
			Version: "v0.1.0",
		},
	}
	object := written(t, &want)
	if got := writtenTo(t, "speakers", object); got != nil {
		t.Errorf("the API server says %q to:\n%v", got, object)
	}
	var got v1alpha1.Speaker
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestASpeakerInAnUnknownStateIsRefused(t *testing.T) {
	object := parse(t, `{apiVersion: fairlead.dev/v1alpha1, kind: Speaker, metadata: {name: a}, status: {claims: [{address: 192.0.2.1, state: Away, since: "2026-01-02T03:04:05.000006Z"}]}}`)
	want := []string{`status.claims[0].state: Unsupported value: "Away": supported values: "Probing", "Announced", "Conflict", "NoInterface"`}
	if diff := cmp.Diff(want, writtenTo(t, "speakers", object)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPoolStatusThatTheTypeWritesIsTaken(t *testing.T) {
	object := written(t, &v1alpha1.AddressPool{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AddressPool"},
		ObjectMeta: metav1.ObjectMeta{Name: "lan"},
		Spec:       v1alpha1.AddressPoolSpec{Addresses: []string{"fd00::/64"}},
		Status: v1alpha1.AddressPoolStatus{
			Addresses: []string{"fd00::-fd00::ffff:ffff:ffff:ffff"},
			IPv6:      &v1alpha1.Usage{Total: math.MaxInt64, InUse: 1, Free: math.MaxInt64},
			Conditions: []metav1.Condition{{
				Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: "Accepted",
				LastTransitionTime: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
			}},
			ObservedGeneration: 3,
		},
	})
	if got := writtenTo(t, "addresspools", object); got != nil {
		t.Errorf("the API server says %q to:\n%v", got, object)
	}
}

func TestEveryKindIsInTheScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"AddressPool", "AddressPoolList", "LoadBalancerClass", "LoadBalancerClassList", "Speaker", "SpeakerList"} {
		if !scheme.Recognizes(v1alpha1.GroupVersion.WithKind(kind)) {
			t.Errorf("%s is missing", kind)
		}
	}
}

// written is what a client sends for an object: its JSON.
func written(t *testing.T, object any) map[string]any {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func writtenTo(t *testing.T, plural string, object map[string]any) []string {
	t.Helper()
	return serverFor(t, plural).create(object)
}
