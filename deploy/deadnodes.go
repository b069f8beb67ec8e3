package deploy

import (
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

//go:generate go run ./render -set dead-node-endpoints -o dead-node-endpoints.yaml

// DeadNodeEndpoints are the rights that the controller needs for --dead-node-endpoints,
// apart from an installation: nobody should have them who does not use them.
//
// The right to write pods/status is a strong one, since a pod's addresses are in its
// status. RBAC cannot say "the condition Ready, and with our reason"; a policy can.
func DeadNodeEndpoints(o Options) ([]client.Object, error) {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	name := Controller + "-dead-nodes"
	objects := []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
			// To see whether our reason is on it still. No list and no watch: which pods
			// there are is in the EndpointSlices.
			may(coreGroup, []string{"pods"}, "get"),
			may(coreGroup, []string{"pods/status"}, "patch"),
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{account(o.Namespace, Controller)},
		},
	}
	objects = append(objects, readinessOnly(o.Namespace)...)
	return finish(objects)
}

// reasonNodeGone is kube.ReasonNodeGone: what is installed imports no program.
const reasonNodeGone = "FairleadNodeGone"

// readinessOnly lets the controller change nothing of a pod but its condition Ready, and
// that only to False with our reason, or from there to True.
func readinessOnly(namespace string) []client.Object {
	var same []string
	for _, field := range []string{"labels", "annotations", "finalizers"} {
		same = append(same, unchanged("metadata", field))
	}
	for _, field := range []string{"phase", "podIP", "podIPs", "hostIP", "hostIPs", "reason", "message", "nominatedNodeName", "qosClass", "startTime",
		"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"} {
		same = append(same, unchanged("status", field))
	}
	const others = ".status.conditions.filter(c, c.type != 'Ready')"
	const ready = ".status.conditions.exists(c, c.type == 'Ready' && "
	const gone = "c.status == 'False' && c.?reason.orValue('') == '" + reasonNodeGone + "')"
	objects := policy("fairlead-controller-readiness-only", namespace, Controller,
		[]admissionv1.OperationType{admissionv1.Update}, []string{"pods/status"},
		admissionv1.Validation{
			Expression: strings.Join(same, " && "),
			Message:    "the controller may change the condition Ready of a pod and nothing else",
			Reason:     new(metav1.StatusReasonForbidden),
		})
	p := objects[0].(*admissionv1.ValidatingAdmissionPolicy)
	p.Spec.MatchConstraints.ResourceRules[0].APIGroups = []string{coreGroup}
	p.Spec.Validations = append(p.Spec.Validations, admissionv1.Validation{
		Expression: "object" + others + " == oldObject" + others +
			" && (object" + ready + gone + " || oldObject" + ready + gone + " && object" + ready + "c.status == 'True'))",
		Message: "the controller may make a pod unready with the reason " + reasonNodeGone + ", and ready again only from there",
		Reason:  new(metav1.StatusReasonForbidden),
	})
	return objects
}

// unchanged says that an optional field is as it was, in CEL.
func unchanged(part, field string) string {
	of := func(object string) string { return object + "." + part + ".?" + field }
	return of("object") + " == " + of("oldObject")
}
