package deploy

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownSpeakerOnly keeps a node that is taken over from speaking for the others: RBAC
// cannot tell the speakers apart, for they share a ServiceAccount, but the token of
// a pod says on which node it runs (Kubernetes 1.30 and later put that into the
// user's extra). A token that does not say so is refused.
//
// It concerns that ServiceAccount alone: a person with the right may edit a Speaker,
// and a speaker that is started on a host has the name that its kubeconfig gives it.
func ownSpeakerOnly(namespace string) []client.Object {
	return policy("fairlead-speaker-own-node", namespace, Speaker,
		[]admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
		[]string{"speakers", "speakers/status"},
		admissionv1.Validation{
			Expression: "request.userInfo.?extra[?'authentication.kubernetes.io/node-name'].orValue([]).exists(node, node == request.name)",
			Message:    "a speaker may write only the Speaker that is named as its node, and its token must say which node that is",
			Reason:     new(metav1.StatusReasonForbidden),
		})
}

// poolSpecIsTheOwners keeps the controller from changing what a pool's owner wrote.
// The controller needs to patch a pool for its finalizer (see controllerRights);
// RBAC cannot say "the finalizers only". Annotations are the owner's as well: with
// one of them he confirms that addresses may be taken from Services.
func poolSpecIsTheOwners(namespace string) []client.Object {
	return policy("fairlead-controller-finalizers-only", namespace, Controller,
		[]admissionv1.OperationType{admissionv1.Update},
		[]string{"addresspools"},
		admissionv1.Validation{
			Expression: "object.spec == oldObject.spec" +
				" && object.metadata.?annotations.orValue({}) == oldObject.metadata.?annotations.orValue({})" +
				" && object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({})",
			Message: "the controller may change the finalizers of an AddressPool and nothing else",
			Reason:  new(metav1.StatusReasonForbidden),
		})
}

// policy is a rule on what one of our ServiceAccounts writes, and its binding.
func policy(name, namespace, serviceAccount string, on []admissionv1.OperationType, resources []string, rule admissionv1.Validation) []client.Object {
	return []client.Object{
		&admissionv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				FailurePolicy: new(admissionv1.Fail),
				MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
					RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: on,
						Rule: admissionv1.Rule{
							APIGroups:   []string{ourGroup},
							APIVersions: []string{"*"},
							Resources:   resources,
						},
					},
				}}},
				MatchConditions: []admissionv1.MatchCondition{{
					Name:       "by-" + serviceAccount,
					Expression: "request.userInfo.username == 'system:serviceaccount:" + namespace + ":" + serviceAccount + "'",
				}},
				Validations: []admissionv1.Validation{rule},
			},
		},
		&admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName:        name,
				ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			},
		},
	}
}
