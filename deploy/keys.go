package deploy

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// heartbeatKeys is the Secret with the keys of heartbeats, which the controller fills
// and every speaker reads.
//
// It is installed, and empty, so that nobody needs a right to create Secrets. That one
// cannot be given for a single name, and would be as good as any other right: a Secret
// of type service-account-token gets the token of the account that it names. The type of
// a Secret that exists cannot be changed.
//
// It has no field data, not even an empty one: kubectl apply, Helm and server-side apply
// leave alone what they never set.
func heartbeatKeys(namespace string) []client.Object {
	return append([]client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: HeartbeatKeys}, Type: corev1.SecretTypeOpaque},
	}, inNamespace(namespace, Speaker, readsSecret(HeartbeatKeys))...)
}

// readsSecret is the right to read and watch one Secret: RBAC sees the name in a list
// or watch that selects metadata.name.
func readsSecret(name string) rbacv1.PolicyRule {
	rule := reads(coreGroup, "secrets")
	rule.ResourceNames = []string{name}
	return rule
}

// writesSecret is the right to change one Secret that exists.
func writesSecret(name string) rbacv1.PolicyRule {
	rule := may(coreGroup, []string{"secrets"}, "patch")
	rule.ResourceNames = []string{name}
	return rule
}
