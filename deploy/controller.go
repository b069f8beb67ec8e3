package deploy

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nonRoot is the user "nonroot" of the image (deploy/image writes its passwd).
const nonRoot int64 = 65532

// controllerWorkload runs two controllers, of which one leads: the other takes over
// within a lease, also while the first is upgraded or its node drained.
func controllerWorkload(o Options) []client.Object {
	labels := podLabels("controller")
	selector := &metav1.LabelSelector{MatchLabels: labels}
	meta := metav1.ObjectMeta{Namespace: o.Namespace, Name: Controller, Labels: labels}
	return []client.Object{
		&appsv1.Deployment{
			ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{
				Replicas: new(int32(2)),
				Selector: selector,
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: scraped(ControllerPort)},
					Spec:       controllerPod(o),
				},
			},
		},
		&policyv1.PodDisruptionBudget{
			ObjectMeta: meta,
			Spec: policyv1.PodDisruptionBudgetSpec{
				MinAvailable: new(intstr.FromInt32(1)),
				Selector:     selector,
			},
		},
	}
}

func controllerPod(o Options) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: Controller,
		PriorityClassName:  "system-cluster-critical",
		EnableServiceLinks: new(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			RunAsUser:      new(nonRoot),
			RunAsGroup:     new(nonRoot),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Affinity: apart(podLabels("controller")),
		// A cluster of control plane nodes alone needs addresses too.
		Tolerations: []corev1.Toleration{{
			Key:      "node-role.kubernetes.io/control-plane",
			Operator: corev1.TolerationOpExists,
			Effect:   corev1.TaintEffectNoSchedule,
		}},
		Containers: []corev1.Container{{
			Name:            "controller",
			Image:           o.Image,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Args:            []string{"controller"},
			Env: []corev1.EnvVar{
				fromPod("FAIRLEAD_NAMESPACE", "metadata.namespace"),
				// No limit on memory: a load balancer controller that is killed while a
				// cluster grows helps nobody. This only bounds the garbage between two
				// collections; the aim is 80 MiB in all for 5,000 Services.
				{Name: "GOMEMLIMIT", Value: "256MiB"},
			},
			Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: ControllerPort}},
			LivenessProbe:  probe("/healthz"),
			ReadinessProbe: probe("/readyz"),
			Resources:      requests("50m", "64Mi"),
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false),
				ReadOnlyRootFilesystem:   new(true),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
}

// apart prefers nodes without such a pod. It does not require them: on a cluster of
// one node, two controllers still make an upgrade without a gap.
func apart(labels map[string]string) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 100,
			PodAffinityTerm: corev1.PodAffinityTerm{
				LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
				TopologyKey:   corev1.LabelHostname,
			},
		}},
	}}
}

// probe asks the port named http of the container.
func probe(path string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path,
			Port: intstr.FromString("http"),
		}},
		PeriodSeconds:    5,
		TimeoutSeconds:   3,
		FailureThreshold: 3,
	}
}

// requests are what the scheduler keeps for a container.
func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(cpu),
		corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

// fromPod is an environment variable with a field of the pod.
func fromPod(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: field},
	}}
}
