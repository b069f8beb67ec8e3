package deploy

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// speakerWorkload runs a speaker on every node, one restarted at a time, and
// publishes which of them are ready.
func speakerWorkload(o Options) []client.Object {
	labels := podLabels("speaker")
	return []client.Object{
		&appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: Speaker, Labels: labels},
			Spec: appsv1.DaemonSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: scraped(SpeakerPort)},
					Spec:       speakerPod(o),
				},
				UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
					Type: appsv1.RollingUpdateDaemonSetStrategyType,
					// A leaver hands its addresses over; with two at once, one could hand
					// them to the other.
					RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.FromInt32(1))},
				},
			},
		},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: SpeakersService, Labels: labels},
			Spec: corev1.ServiceSpec{
				ClusterIP: corev1.ClusterIPNone,
				Selector:  labels,
				Ports:     []corev1.ServicePort{{Name: "http", Port: SpeakerPort, TargetPort: intstr.FromString("http")}},
				// Ready ones only: that is what its EndpointSlices are read for.
				PublishNotReadyAddresses: false,
			},
		},
	}
}

func speakerPod(o Options) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: Speaker,
		// Above everything that a full node may evict for: without it, addresses leave.
		PriorityClassName:  "system-node-critical",
		EnableServiceLinks: new(false),
		HostNetwork:        true,
		// It resolves no name, and must start before the cluster's DNS does.
		DNSPolicy: corev1.DNSDefault,
		// Time to hand over: the successor announces before the leaver goes silent.
		TerminationGracePeriodSeconds: new(int64(30)),
		// Every taint: a node that is cordoned, full or not ready still answers for what
		// it has; which node should is decided from the Node and not by eviction.
		Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		SecurityContext: &corev1.PodSecurityContext{
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name:            "speaker",
			Image:           o.Image,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Args:            []string{"speaker"},
			Env: []corev1.EnvVar{
				fromPod("FAIRLEAD_NODE_NAME", "spec.nodeName"),
				fromPod("FAIRLEAD_NAMESPACE", "metadata.namespace"),
				{Name: "GOMEMLIMIT", Value: "128MiB"}, // see controllerPod
			},
			// The kubelet probes the node's address, since that is the pod's.
			Ports: []corev1.ContainerPort{
				{Name: "http", ContainerPort: SpeakerPort, HostPort: SpeakerPort},
				// On the host network it is open whether it is named or not; named, two
				// speakers are not put on one node, and people find what to let through.
				{Name: "heartbeat", ContainerPort: HeartbeatPort, HostPort: HeartbeatPort, Protocol: corev1.ProtocolUDP},
			},
			LivenessProbe:   probe("/healthz"),
			ReadinessProbe:  probe("/readyz"),
			Resources:       requests("50m", "64Mi"),
			SecurityContext: speakerPrivileges(),
		}},
	}
}

// speakerPrivileges are raw sockets for ARP and NDP (NET_RAW), settings of interfaces,
// such as which multicast they let in, and rules of nftables (NET_ADMIN), and a filter
// in the kernel that silences a speaker which froze (BPF, of Linux 5.8; it runs without,
// and says so); nothing else of root.
//
// The user is 0 all the same: Kubernetes gives capabilities to a container of
// another user only as a bound, not as ambient ones, so that its process would
// have none after exec (KEP-2763 would change it).
func speakerPrivileges() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsUser:                new(int64(0)),
		RunAsGroup:               new(int64(0)),
		RunAsNonRoot:             new(false),
		AllowPrivilegeEscalation: new(false),
		ReadOnlyRootFilesystem:   new(true),
		Capabilities: &corev1.Capabilities{
			Drop: []corev1.Capability{"ALL"},
			Add:  []corev1.Capability{"NET_RAW", "NET_ADMIN", "BPF"},
		},
	}
}

// scraped are the annotations by which a Prometheus with the usual configuration
// finds a pod's metrics.
func scraped(port int32) map[string]string {
	return map[string]string{
		"prometheus.io/scrape": "true",
		"prometheus.io/path":   "/metrics",
		"prometheus.io/port":   strconv.Itoa(int(port)),
	}
}
