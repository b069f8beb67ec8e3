package deploy

import (
	"testing"

	celgo "github.com/google/cel-go/cel"
	celtypes "github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
)

const nodeName = "authentication.kubernetes.io/node-name"

// request is a write, and who writes.
type request struct {
	by        user.DefaultInfo
	operation admission.Operation
	name      string
	old, new  map[string]any
}

func speakerOn(nodes ...string) user.DefaultInfo {
	return user.DefaultInfo{
		Name:  "system:serviceaccount:fairlead-system:fairlead-speaker",
		Extra: map[string][]string{nodeName: append([]string{}, nodes...)},
	}
}

func TestASpeakerWritesItsOwnNodeOnly(t *testing.T) {
	policy := policyNamed(t, "fairlead-speaker-own-node")
	without := speakerOn()
	without.Extra = nil
	for _, c := range []struct {
		name    string
		request request
		want    bool
	}{
		{"its own, new", request{by: speakerOn("a"), operation: admission.Create, name: "a"}, true},
		{"its own, changed", request{by: speakerOn("a"), operation: admission.Update, name: "a"}, true},
		{"another, new", request{by: speakerOn("a"), operation: admission.Create, name: "b"}, false},
		{"another, changed", request{by: speakerOn("a"), operation: admission.Update, name: "b"}, false},
		{"another, deleted", request{by: speakerOn("a"), operation: admission.Delete, name: "b"}, false},
		{"a token that names no node", request{by: speakerOn(), operation: admission.Update, name: "a"}, false},
		{"a token that says nothing of nodes", request{by: without, operation: admission.Update, name: "a"}, false},
		{"a person", request{by: user.DefaultInfo{Name: "kubernetes-admin"}, operation: admission.Update, name: "b"}, true},
		{"the speaker of another installation", request{by: user.DefaultInfo{Name: "system:serviceaccount:other:fairlead-speaker"}, operation: admission.Update, name: "b"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := admitted(t, policy, c.request); got != c.want {
				t.Errorf("admitted: %v, want %v", got, c.want)
			}
		})
	}
}

func TestTheControllerChangesThePoolsFinalizersOnly(t *testing.T) {
	policy := policyNamed(t, "fairlead-controller-finalizers-only")
	pool := func(address string, metadata map[string]any) map[string]any {
		metadata["name"] = "lan"
		return map[string]any{"metadata": metadata, "spec": map[string]any{"addresses": []any{address}}}
	}
	old := pool("192.0.2.1", map[string]any{})
	controller := user.DefaultInfo{Name: "system:serviceaccount:fairlead-system:fairlead-controller"}
	for _, c := range []struct {
		name string
		by   user.DefaultInfo
		new  map[string]any
		want bool
	}{
		{"a finalizer", controller, pool("192.0.2.1", map[string]any{"finalizers": []any{"fairlead.dev/in-use"}}), true},
		{"the addresses", controller, pool("192.0.2.2", map[string]any{}), false},
		{"the confirmation", controller, pool("192.0.2.1", map[string]any{"annotations": map[string]any{"fairlead.dev/confirm": "1"}}), false},
		{"a label", controller, pool("192.0.2.1", map[string]any{"labels": map[string]any{"a": "b"}}), false},
		{"the addresses, by a person", user.DefaultInfo{Name: "kubernetes-admin"}, pool("192.0.2.2", map[string]any{}), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := admitted(t, policy, request{by: c.by, operation: admission.Update, name: "lan", old: old, new: c.new}); got != c.want {
				t.Errorf("admitted: %v, want %v", got, c.want)
			}
		})
	}
}

func TestEveryPolicyIsBoundAndDenies(t *testing.T) {
	objects := manifests(t)
	bound := map[string]bool{}
	for _, b := range of[*admissionv1.ValidatingAdmissionPolicyBinding](objects) {
		bound[b.Spec.PolicyName] = len(b.Spec.ValidationActions) == 1 && b.Spec.ValidationActions[0] == admissionv1.Deny
	}
	for _, p := range of[*admissionv1.ValidatingAdmissionPolicy](objects) {
		if !bound[p.Name] || *p.Spec.FailurePolicy != admissionv1.Fail {
			t.Errorf("%s does not deny", p.Name)
		}
	}
}

func policyNamed(t *testing.T, name string) *admissionv1.ValidatingAdmissionPolicy {
	t.Helper()
	for _, p := range of[*admissionv1.ValidatingAdmissionPolicy](manifests(t)) {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no policy %s", name)
	return nil
}

// admitted evaluates a policy as the API server does: it does not concern a request
// that a match condition excludes; otherwise every validation must hold, and an
// expression that cannot be evaluated denies.
func admitted(t *testing.T, policy *admissionv1.ValidatingAdmissionPolicy, r request) bool {
	t.Helper()
	var conditions, validations []plugincel.ExpressionAccessor
	for _, c := range policy.Spec.MatchConditions {
		conditions = append(conditions, expression(c.Expression))
	}
	for _, v := range policy.Spec.Validations {
		validations = append(validations, expression(v.Expression))
	}
	return !holds(t, conditions, r) || holds(t, validations, r)
}

// expression is CEL that gives a truth value.
type expression string

func (e expression) GetExpression() string      { return string(e) }
func (e expression) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.BoolType} }

func holds(t *testing.T, expressions []plugincel.ExpressionAccessor, r request) bool {
	t.Helper()
	kind := schema.GroupVersionKind{Group: ourGroup, Version: "v1alpha1", Kind: "Any"}
	attributes := admission.NewAttributesRecord(object(r.new), object(r.old), kind, "", r.name,
		schema.GroupVersionResource{Group: ourGroup, Version: "v1alpha1", Resource: "any"}, "", r.operation, nil, false, &r.by)
	versioned := &admission.VersionedAttributes{
		Attributes:         attributes,
		VersionedObject:    admission.NewLazyObject(object(r.new)),
		VersionedOldObject: admission.NewLazyObject(object(r.old)),
		VersionedKind:      kind,
	}
	// 1.31 is the oldest Kubernetes that the CRDs need.
	evaluator := plugincel.NewConditionCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, 31))).
		CompileCondition(expressions, plugincel.OptionalVariableDeclarations{}, environment.NewExpressions)
	admissionRequest := plugincel.CreateAdmissionRequest(attributes, metav1.GroupVersionResource(attributes.GetResource()), metav1.GroupVersionKind(kind))
	results, _, err := evaluator.ForInput(t.Context(), versioned, admissionRequest, plugincel.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudget)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if result.Error != nil {
			t.Errorf("%s: %v", result.ExpressionAccessor.GetExpression(), result.Error)
		}
		if result.EvalResult != celtypes.True {
			return false
		}
	}
	return true
}

func object(fields map[string]any) *unstructured.Unstructured {
	if fields == nil {
		fields = map[string]any{}
	}
	return &unstructured.Unstructured{Object: fields}
}
