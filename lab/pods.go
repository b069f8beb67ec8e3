package lab

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead.dev/fairlead/lab/images"
)

// EchoPod is a pod that answers HTTP on port with its name and the client's
// address. It works on real and on light nodes. node may be empty to leave the
// choice to the scheduler.
func EchoPod(node, name string, labels map[string]string, port int32) *corev1.Pod {
	grace := int64(0)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, Labels: labels},
		Spec: corev1.PodSpec{
			NodeName:                      node,
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "echo", Image: images.Echo, ImagePullPolicy: corev1.PullNever,
				Args:  []string{fmt.Sprintf("--port=%d", port)},
				Ports: []corev1.ContainerPort{{ContainerPort: port}},
				ReadinessProbe: &corev1.Probe{
					PeriodSeconds: 1,
					ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}},
				},
			}},
		},
	}
}

// RunPod creates an EchoPod and waits until it is Ready.
func (l *Lab) RunPod(ctx context.Context, node, name string, labels map[string]string, port int32) (*corev1.Pod, error) {
	clients, err := l.clientset()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	want := EchoPod(node, name, labels, port)
	pods := clients.CoreV1().Pods(want.Namespace)
	// In a new cluster the namespace's service account takes a moment to exist.
	err = poll(ctx, 100*time.Millisecond, "pod "+name+" is accepted", func(ctx context.Context) error {
		_, err := pods.Create(ctx, want, metav1.CreateOptions{})
		return unlessExists(err)
	})
	if err != nil {
		return nil, err
	}
	var pod *corev1.Pod
	err = poll(ctx, 50*time.Millisecond, "pod "+name+" is Ready", func(ctx context.Context) (err error) {
		if pod, err = pods.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it is %s: %v", pod.Status.Phase, pod.Status.ContainerStatuses)
	})
	return pod, err
}
