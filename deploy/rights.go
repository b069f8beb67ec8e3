package deploy

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

const (
	ourGroup  = "fairlead.dev"
	coreGroup = ""
	discovery = "discovery.k8s.io"
)

// controllerRights are what the controller may do: read what its decisions depend
// on, write what it decided into statuses, tell, and lead. It reads two Secrets, by
// name and in its own namespace: the cloud's, and the one with the keys of heartbeats
// (see heartbeatKeys).
func controllerRights(namespace string) []client.Object {
	return append(bound(namespace, Controller, []rbacv1.PolicyRule{
		reads(coreGroup, "services", "nodes", "namespaces"),
		reads(discovery, "endpointslices"),
		reads(ourGroup, "addresspools", "loadbalancerclasses", "speakers"),

		// The one write to Services. It carries the finalizer too, and the annotations
		// of a cloud's load balancer: the status subresource of a Service keeps what a
		// patch says of metadata and drops what it says of spec, so that not even a
		// mistake of ours can change a Service.
		may(coreGroup, []string{"services/status"}, "patch"),

		may(ourGroup, []string{"addresspools/status", "loadbalancerclasses/status"}, "patch", "update"),

		// For the finalizer of a pool that is in use: unlike a Service's, the status
		// subresource of a custom resource drops what is said of metadata. That the
		// rest of the pool stays its owner's is held by poolSpecIsTheOwners.
		may(ourGroup, []string{"addresspools"}, "patch"),

		// Two groups: the events library of today, and the one of old.
		may("events.k8s.io", []string{"events"}, "create", "patch"),
		may(coreGroup, []string{"events"}, "create", "patch"),
	}), ownNamespace(namespace)...)
}

// ownNamespace lets the controllers agree, by one Lease in their own namespace, on who
// of them writes, and lets them read the cloud configuration there and keep the keys of
// heartbeats. Whoever names another Secret in a LoadBalancerClass adds it here.
func ownNamespace(namespace string) []client.Object {
	named := may("coordination.k8s.io", []string{"leases"}, "get", "update", "patch")
	named.ResourceNames = []string{Controller}
	return inNamespace(namespace, Controller,
		named,
		// RBAC sees no name in a create, so it cannot be restricted to one.
		may("coordination.k8s.io", []string{"leases"}, "create"),
		readsSecret(v1alpha1.DefaultConfigSecret),
		readsSecret(HeartbeatKeys),
		writesSecret(HeartbeatKeys),
	)
}

// speakerRights are what every node gets: to read, and to say how it is itself.
// That it says so of its own node only is held by ownSpeakerOnly. It deletes
// nothing and writes no Event: a node that is taken over must not matter to others.
func speakerRights(namespace string) []client.Object {
	return bound(namespace, Speaker, []rbacv1.PolicyRule{
		reads(coreGroup, "services", "nodes"),
		reads(discovery, "endpointslices"),
		reads(ourGroup, "addresspools", "loadbalancerclasses", "speakers"),
		may(ourGroup, []string{"speakers"}, "create"),
		may(ourGroup, []string{"speakers/status"}, "patch"),
	})
}

// readerRights let whoever may view a whole cluster also view our objects. For
// fairlead status and fairlead explain a reader needs Nodes besides, which view
// leaves out; that is for the cluster's owner to give.
func readerRights() client.Object {
	return &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{
			Name:   "fairlead-view",
			Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"},
		},
		Rules: []rbacv1.PolicyRule{reads(ourGroup, "addresspools", "loadbalancerclasses", "speakers")},
	}
}

// bound makes a ServiceAccount and gives it rules in the whole cluster.
func bound(namespace, name string, rules []rbacv1.PolicyRule) []client.Object {
	return []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{account(namespace, name)},
		},
	}
}

// inNamespace gives a ServiceAccount rules in the namespace alone that it is in.
func inNamespace(namespace, name string, rules ...rbacv1.PolicyRule) []client.Object {
	return []client.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Rules: rules},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{account(namespace, name)},
		},
	}
}

func account(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
}

func reads(group string, resources ...string) rbacv1.PolicyRule {
	return may(group, resources, "get", "list", "watch")
}

func may(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}
