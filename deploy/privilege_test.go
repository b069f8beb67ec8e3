package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// rights is every right that is given, one line each. Whoever adds one adds it here
// as well, and thinks of it twice.
const rights = `
fairlead-controller: get,list,watch services,nodes,namespaces
fairlead-controller: get,list,watch discovery.k8s.io/endpointslices
fairlead-controller: get,list,watch fairlead.dev/addresspools,loadbalancerclasses,speakers
fairlead-controller: patch services/status
fairlead-controller: patch,update fairlead.dev/addresspools/status,loadbalancerclasses/status
fairlead-controller: patch fairlead.dev/addresspools
fairlead-controller: create,patch events.k8s.io/events
fairlead-controller: create,patch events
fairlead-controller in fairlead-system: get,update,patch coordination.k8s.io/leases named fairlead-controller
fairlead-controller in fairlead-system: create coordination.k8s.io/leases
fairlead-controller in fairlead-system: get,list,watch secrets named cloud-config
fairlead-controller in fairlead-system: get,list,watch secrets named fairlead-heartbeat-keys
fairlead-controller in fairlead-system: patch secrets named fairlead-heartbeat-keys
fairlead-speaker: get,list,watch services,nodes
fairlead-speaker: get,list,watch discovery.k8s.io/endpointslices
fairlead-speaker: get,list,watch fairlead.dev/addresspools,loadbalancerclasses,speakers
fairlead-speaker: create fairlead.dev/speakers
fairlead-speaker: patch fairlead.dev/speakers/status
fairlead-view: get,list,watch fairlead.dev/addresspools,loadbalancerclasses,speakers
fairlead-speaker in fairlead-system: get,list,watch secrets named fairlead-heartbeat-keys
`

func TestRightsAreTheseAndNoMore(t *testing.T) {
	var got []string
	for _, object := range manifests(t) {
		switch role := object.(type) {
		case *rbacv1.ClusterRole:
			got = append(got, lines(role.Name, role.Rules)...)
		case *rbacv1.Role:
			got = append(got, lines(role.Name+" in "+role.Namespace, role.Rules)...)
		}
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(rights), "\n"), got); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}

func TestNoRightIsForEverythingOrForSecretsButTwo(t *testing.T) {
	objects := manifests(t)
	var rules []rbacv1.PolicyRule
	for _, role := range of[*rbacv1.ClusterRole](objects) {
		rules = append(rules, role.Rules...)
	}
	for _, role := range of[*rbacv1.Role](objects) {
		for _, rule := range role.Rules {
			if role.Namespace != DefaultNamespace || !forOneOfOurSecrets(rule) {
				rules = append(rules, rule)
			}
		}
	}
	for _, rule := range rules {
		for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs) {
			if strings.Contains(word, "*") || word == "secrets" || word == "escalate" || word == "bind" || word == "impersonate" {
				t.Errorf("%q is in %v", word, rule)
			}
		}
	}
}

// forOneOfOurSecrets tells a right to read one of two Secrets, or to change the one
// whose content is made by us.
func forOneOfOurSecrets(rule rbacv1.PolicyRule) bool {
	if !slices.Equal(rule.Resources, []string{"secrets"}) || len(rule.ResourceNames) != 1 {
		return false
	}
	name, reads := rule.ResourceNames[0], slices.Equal(rule.Verbs, []string{"get", "list", "watch"})
	return reads && name == "cloud-config" ||
		(reads || slices.Equal(rule.Verbs, []string{"patch"})) && name == "fairlead-heartbeat-keys"
}

func TestEveryRoleIsBoundToItsOwnAccount(t *testing.T) {
	objects := manifests(t)
	for _, binding := range of[*rbacv1.ClusterRoleBinding](objects) {
		want := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: DefaultNamespace, Name: binding.RoleRef.Name}}
		if diff := cmp.Diff(want, binding.Subjects); diff != "" {
			t.Errorf("ClusterRoleBinding %s (-want +got):\n%s", binding.Name, diff)
		}
	}
	for _, binding := range of[*rbacv1.RoleBinding](objects) {
		want := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: binding.Namespace, Name: binding.RoleRef.Name}}
		if diff := cmp.Diff(want, binding.Subjects); diff != "" {
			t.Errorf("RoleBinding %s (-want +got):\n%s", binding.Name, diff)
		}
	}
}

func TestTheControllerHasNoPrivilege(t *testing.T) {
	pod := of[*appsv1.Deployment](manifests(t))[0].Spec.Template.Spec
	if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Volumes) > 0 {
		t.Errorf("the controller uses the host's network, processes or files: %+v", pod)
	}
	if s := pod.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser == 0 || *s.RunAsGroup == 0 {
		t.Errorf("the controller may be root: %+v", s)
	}
	confined(t, pod, nil)
}

func TestTheSpeakerHasThreeCapabilitiesAndNoOther(t *testing.T) {
	pod := of[*appsv1.DaemonSet](manifests(t))[0].Spec.Template.Spec
	if pod.HostPID || pod.HostIPC || len(pod.Volumes) > 0 {
		t.Errorf("the speaker uses the host's processes or files: %+v", pod)
	}
	confined(t, pod, []corev1.Capability{"NET_RAW", "NET_ADMIN", "BPF"})
}

// confined checks what both roles have in common.
func confined(t *testing.T, pod corev1.PodSpec, capabilities []corev1.Capability) {
	t.Helper()
	if len(pod.InitContainers) > 0 || len(pod.Containers) != 1 {
		t.Fatalf("want one container, got %d and %d", len(pod.InitContainers), len(pod.Containers))
	}
	if pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("seccomp is %v", pod.SecurityContext.SeccompProfile)
	}
	s := pod.Containers[0].SecurityContext
	if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem {
		t.Errorf("the container is not confined: %+v", s)
	}
	want := &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: capabilities}
	if diff := cmp.Diff(want, s.Capabilities); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if len(pod.Containers[0].Resources.Requests) != 2 {
		t.Errorf("requests are %v, want cpu and memory", pod.Containers[0].Resources.Requests)
	}
}

// lines writes rules as rights has them.
func lines(who string, rules []rbacv1.PolicyRule) []string {
	var out []string
	for _, rule := range rules {
		group := strings.Join(rule.APIGroups, ",")
		if group != "" {
			group += "/"
		}
		line := fmt.Sprintf("%s: %s %s%s", who, strings.Join(rule.Verbs, ","), group, strings.Join(rule.Resources, ","))
		if len(rule.ResourceNames) > 0 {
			line += " named " + strings.Join(rule.ResourceNames, ",")
		}
		out = append(out, line)
	}
	return out
}
