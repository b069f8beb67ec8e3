package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"fairlead.dev/fairlead/internal/lb"
)

// ReasonNodeGone is the reason of a pod's condition Ready that we set to False. It is
// our memory: nobody else writes it, and the kubelet takes it away when it speaks.
const ReasonNodeGone = "FairleadNodeGone"

// ErrPodChanged tells that a pod is gone, is another one by now, or is not to be made
// ready by us any more.
var ErrPodChanged = errors.New("the pod changed")

// PodReadiness takes pods of dead nodes out of service by their condition Ready, and
// puts them back.
//
// That is what Kubernetes does itself when a node has been silent for long
// (MarkPodsNotReady of its node lifecycle controller). The condition is the least that
// holds: what is written into an EndpointSlice is made undone at once by its
// controller, and a taint or the node's own condition would lead to evictions.
type PodReadiness struct {
	client kubernetes.Interface
}

// NewPodReadiness writes through a client that may get pods and patch pods/status.
func NewPodReadiness(c kubernetes.Interface) *PodReadiness { return &PodReadiness{client: c} }

// Permitted tells what right is missing, nil where none is.
func (p *PodReadiness) Permitted(ctx context.Context) error {
	for _, need := range []authorizationv1.ResourceAttributes{
		{Verb: "get", Resource: "pods"},
		{Verb: "patch", Resource: "pods", Subresource: "status"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &need}}
		answer, err := p.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("ask for the right to %s pods: %w", need.Verb, err)
		}
		if !answer.Status.Allowed {
			return fmt.Errorf("no right to %s %s (apply deploy/dead-node-endpoints.yaml)", need.Verb, strings.TrimSuffix("pods/"+need.Subresource, "/"))
		}
	}
	return nil
}

// Withdraw makes a pod unready. It is ErrPodChanged where the pod is another by now.
func (p *PodReadiness) Withdraw(ctx context.Context, w lb.Withdrawal, now time.Time) error {
	err := p.patch(ctx, w.Pod, withdrawal(w, now))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		err = ErrPodChanged
	}
	if err != nil {
		return fmt.Errorf("take pod %s out of service: %w", w.Pod, err)
	}
	return nil
}

// Restore makes a pod ready again that still carries our reason, as its kubelet would:
// where its containers were ready, and its readiness gates are. It is ErrPodChanged
// where that is not so. A pod that changes while it is looked at is another error: look
// again.
func (p *PodReadiness) Restore(ctx context.Context, w lb.Withdrawal, now time.Time) error {
	pod, err := p.get(ctx, w.Pod)
	if err != nil {
		return fmt.Errorf("put pod %s back into service: %w", w.Pod, err)
	}
	if seen, ours := WithdrawalFrom(pod); !ours || seen.Boot != w.Boot || !restorable(pod) {
		return fmt.Errorf("put pod %s back into service: %w", w.Pod, ErrPodChanged)
	}
	if err := p.patch(ctx, w.Pod, restoral(pod, now)); err != nil {
		return fmt.Errorf("put pod %s back into service: %w", w.Pod, err)
	}
	return nil
}

// Find reads what we wrote on a pod; false where we did not, or another did since.
func (p *PodReadiness) Find(ctx context.Context, pod lb.Pod) (lb.Withdrawal, bool, error) {
	found, err := p.get(ctx, pod)
	if errors.Is(err, ErrPodChanged) {
		return lb.Withdrawal{}, false, nil
	}
	if err != nil {
		return lb.Withdrawal{}, false, fmt.Errorf("read pod %s: %w", pod, err)
	}
	w, ours := WithdrawalFrom(found)
	return w, ours, nil
}

func (p *PodReadiness) get(ctx context.Context, pod lb.Pod) (*corev1.Pod, error) {
	found, err := p.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && string(found.UID) != pod.UID {
		return nil, ErrPodChanged
	}
	return found, err
}

func (p *PodReadiness) patch(ctx context.Context, pod lb.Pod, patch podPatch) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = p.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	return err
}

// podPatch is a strategic merge patch of one condition; the others are merged by type.
type podPatch struct {
	Metadata podIdentity `json:"metadata"`
	Status   struct {
		Conditions []conditionPatch `json:"conditions"`
	} `json:"status"`
}

// podIdentity makes the API server refuse a patch of another pod (a UID), or of one
// that anybody changed since we looked (a resource version).
type podIdentity struct {
	UID             types.UID `json:"uid"`
	ResourceVersion string    `json:"resourceVersion,omitempty"`
}

// conditionPatch says all of a condition: what is left out would stay.
type conditionPatch struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	Reason             string                  `json:"reason"`
	Message            string                  `json:"message"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

func withdrawal(w lb.Withdrawal, now time.Time) podPatch {
	out := podPatch{Metadata: podIdentity{UID: types.UID(w.Pod.UID)}}
	out.Status.Conditions = []conditionPatch{{
		Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: ReasonNodeGone,
		Message: w.Account + processMark + w.Boot, LastTransitionTime: metav1.NewTime(now),
	}}
	return out
}

// restoral is refused when the pod changed since it was read: then its kubelet spoke.
func restoral(pod *corev1.Pod, now time.Time) podPatch {
	out := podPatch{Metadata: podIdentity{UID: pod.UID, ResourceVersion: pod.ResourceVersion}}
	out.Status.Conditions = []conditionPatch{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now)}}
	return out
}

// processMark stands in the message between its sentence and the process of the
// node's speaker.
const processMark = "; its speaker was process "

// WithdrawalFrom reads what we wrote on a pod; false where its condition Ready is not ours.
func WithdrawalFrom(pod *corev1.Pod) (lb.Withdrawal, bool) {
	c := condition(pod, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionFalse || c.Reason != ReasonNodeGone {
		return lb.Withdrawal{}, false
	}
	account, boot, _ := strings.Cut(c.Message, processMark)
	return lb.Withdrawal{Pod: lb.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}, Node: pod.Spec.NodeName, Boot: boot, Account: account}, true
}

// restorable tells whether a pod would be ready but for us (as the kubelet's
// GeneratePodReadyCondition has it).
func restorable(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return false
	}
	need := []corev1.PodConditionType{corev1.ContainersReady}
	for _, gate := range pod.Spec.ReadinessGates {
		need = append(need, gate.ConditionType)
	}
	for _, kind := range need {
		if c := condition(pod, kind); c == nil || c.Status != corev1.ConditionTrue {
			return false
		}
	}
	return true
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}
