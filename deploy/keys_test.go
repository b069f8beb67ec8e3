package deploy

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/managedfields/managedfieldstest"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/liveness"
)

func TestTheProgramsLookForTheKeysWhereTheyAre(t *testing.T) {
	if HeartbeatKeys != kube.HeartbeatKeysSecret {
		t.Errorf("the Secret is %q, and %q is read", HeartbeatKeys, kube.HeartbeatKeysSecret)
	}
	if HeartbeatPort != liveness.DefaultPort {
		t.Errorf("port %d is documented, and %d is used", HeartbeatPort, liveness.DefaultPort)
	}
}

// keysAsInstalled is the Secret as install.yaml has it.
func keysAsInstalled(t *testing.T) map[string]any {
	t.Helper()
	for _, s := range of[*corev1.Secret](manifests(t)) {
		if s.Name == HeartbeatKeys {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
			if err != nil {
				t.Fatal(err)
			}
			return fields
		}
	}
	t.Fatal("there is no Secret with the keys")
	return nil
}

// filled is what the controller and a person write into it.
func filled(secret map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(secret)
	_ = unstructured.SetNestedField(out, "a2V5cw==", "data", "keyring")
	for name, value := range map[string]string{"fairlead.dev/keyring-since": "2026-11-21T13:00:00Z", "fairlead.dev/rotate": "1", "fairlead.dev/rotated": "1"} {
		_ = unstructured.SetNestedField(out, value, "metadata", "annotations", name)
	}
	return out
}

func TestApplyingTheManifestsAgainKeepsTheKeys(t *testing.T) {
	installed := keysAsInstalled(t)
	live := filled(installed)
	// What kubectl apply does: a patch from what was applied before and what is now.
	text := func(fields map[string]any) []byte {
		out, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(&corev1.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(text(installed), text(installed), text(live), schema, true)
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(text(live), patch, &corev1.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(after, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, got); diff != "" {
		t.Errorf("kubectl apply changed the Secret (-before +after):\n%s", diff)
	}
}

func TestServerSideApplyKeepsTheKeys(t *testing.T) {
	server := managedfieldstest.NewTestFieldManager(managedfields.NewDeducedTypeConverter(), corev1.SchemeGroupVersion.WithKind("Secret"))
	apply := func() {
		t.Helper()
		if err := server.Apply(&unstructured.Unstructured{Object: keysAsInstalled(t)}, "kubectl", true); err != nil {
			t.Fatal(err)
		}
	}
	live := func() map[string]any {
		fields := runtime.DeepCopyJSON(server.Live().(*unstructured.Unstructured).Object)
		unstructured.RemoveNestedField(fields, "metadata", "managedFields")
		return fields
	}
	apply()
	if err := server.Update(&unstructured.Unstructured{Object: filled(live())}, "fairlead"); err != nil {
		t.Fatal(err)
	}
	before := live()
	apply()
	if diff := cmp.Diff(before, live()); diff != "" {
		t.Errorf("kubectl apply --server-side changed the Secret (-before +after):\n%s", diff)
	}
	if _, there, _ := unstructured.NestedString(before, "data", "keyring"); !there {
		t.Error("the keys were never there: this shows nothing")
	}
}
