package deploy

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
)

func deadNodes(t *testing.T) []client.Object {
	t.Helper()
	objects, err := DeadNodeEndpoints(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestTheRightsOnPodsAreTwoAndNotInstalledWithTheRest(t *testing.T) {
	objects := deadNodes(t)
	role := of[*rbacv1.ClusterRole](objects)[0]
	want := []string{role.Name + ": get pods", role.Name + ": patch pods/status"}
	if diff := cmp.Diff(want, lines(role.Name, role.Rules)); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	binding := of[*rbacv1.ClusterRoleBinding](objects)[0]
	if binding.RoleRef.Name != role.Name || len(binding.Subjects) != 1 || binding.Subjects[0] != account(DefaultNamespace, Controller) {
		t.Errorf("bound are %+v to %s", binding.Subjects, binding.RoleRef.Name)
	}
	policy := of[*admissionv1.ValidatingAdmissionPolicy](objects)[0]
	bound := of[*admissionv1.ValidatingAdmissionPolicyBinding](objects)[0]
	if bound.Spec.PolicyName != policy.Name || bound.Spec.ValidationActions[0] != admissionv1.Deny || *policy.Spec.FailurePolicy != admissionv1.Fail {
		t.Errorf("%s does not deny", policy.Name)
	}
	if reasonNodeGone != kube.ReasonNodeGone {
		t.Errorf("the policy allows the reason %s, and the controller writes %s", reasonNodeGone, kube.ReasonNodeGone)
	}
}

func TestTheControllerChangesThePodsReadinessOnly(t *testing.T) {
	policy := of[*admissionv1.ValidatingAdmissionPolicy](deadNodes(t))[0]
	controller := user.DefaultInfo{Name: "system:serviceaccount:fairlead-system:fairlead-controller"}
	kubelet := user.DefaultInfo{Name: "system:node:n1"}
	ready := func(status, reason string) map[string]any {
		return map[string]any{"type": "Ready", "status": status, "reason": reason}
	}
	pod := func(condition map[string]any, more ...map[string]any) map[string]any {
		status := map[string]any{"phase": "Running", "podIP": "10.0.0.1",
			"conditions": []any{map[string]any{"type": "ContainersReady", "status": "True"}, condition}}
		for _, m := range more {
			maps.Copy(status, m)
		}
		return map[string]any{"metadata": map[string]any{"name": "web-0"}, "status": status}
	}
	well, gone := pod(ready("True", "")), pod(ready("False", "FairleadNodeGone"))
	labelled := pod(ready("False", "FairleadNodeGone"))
	labelled["metadata"] = map[string]any{"name": "web-0", "labels": map[string]any{"run": "other"}}
	without := map[string]any{"metadata": map[string]any{"name": "web-0"}, "status": map[string]any{"phase": "Running", "podIP": "10.0.0.1",
		"conditions": []any{map[string]any{"type": "ContainersReady", "status": "True"}}}}
	for _, c := range []struct {
		name     string
		by       user.DefaultInfo
		old, new map[string]any
		want     bool
	}{
		{"unready, with our reason", controller, well, gone, true},
		{"ready again", controller, gone, well, true},
		{"unready, with another reason", controller, well, pod(ready("False", "Other")), false},
		{"ready, where another said no", controller, pod(ready("False", "ContainersNotReady")), well, false},
		{"no condition at all", controller, gone, without, false},
		{"an address", controller, well, pod(ready("False", "FairleadNodeGone"), map[string]any{"podIP": "10.9.9.9"}), false},
		{"more addresses", controller, well, pod(ready("False", "FairleadNodeGone"), map[string]any{"podIPs": []any{map[string]any{"ip": "10.9.9.9"}}}), false},
		{"a phase", controller, well, pod(ready("False", "FairleadNodeGone"), map[string]any{"phase": "Failed"}), false},
		{"a container", controller, well, pod(ready("False", "FairleadNodeGone"), map[string]any{"containerStatuses": []any{}}), false},
		{"a label", controller, well, labelled, false},
		{"an address, by its kubelet", kubelet, well, pod(ready("True", ""), map[string]any{"podIP": "10.9.9.9"}), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := admitted(t, policy, request{by: c.by, operation: admission.Update, name: "web-0", old: c.old, new: c.new}); got != c.want {
				t.Errorf("admitted: %v, want %v", got, c.want)
			}
		})
	}
}

func TestDeadNodeEndpointsYAMLIsCurrent(t *testing.T) {
	fresh := filepath.Join(t.TempDir(), "fresh.yaml")
	if out, err := exec.CommandContext(t.Context(), "go", "run", "./render", "-set", "dead-node-endpoints", "-o", fresh).CombinedOutput(); err != nil {
		t.Fatalf("render: %v\n%s", err, out)
	}
	want, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("dead-node-endpoints.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("dead-node-endpoints.yaml is stale: run go generate ./deploy (-generated +committed):\n%s", diff)
	}
}
