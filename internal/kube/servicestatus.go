package kube

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/lb"
)

// ServiceStatus is the part of a Service that is ours to write.
type ServiceStatus struct {
	// Addresses in status.loadBalancer, each with ipMode VIP.
	Addresses []netip.Addr
	// Foreign tells that status.loadBalancer holds something we would not write.
	Foreign bool
	// Finalizer tells that the clean-up finalizer is on.
	Finalizer bool
	// Condition is ours; its Reason is empty where it is not there.
	Condition Condition
}

// Condition is a metav1.Condition as far as we decide about it.
type Condition struct {
	True    bool
	Reason  string
	Message string
}

// maxMessage is what metav1.Condition grants to a message.
const maxMessage = 32768

// clip cuts text to at most limit bytes, between two characters.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// ReasonAssigned is the reason of a ConditionReady that has nothing to complain of.
const ReasonAssigned = "Assigned"

// StatusFrom reads our part of a Service.
func StatusFrom(s *corev1.Service) ServiceStatus {
	out := ServiceStatus{Addresses: heldBy(s), Finalizer: slices.Contains(s.Finalizers, Finalizer)}
	out.Foreign = slices.ContainsFunc(s.Status.LoadBalancer.Ingress, func(i corev1.LoadBalancerIngress) bool {
		return i.IP == "" || i.Hostname != "" || i.IPMode == nil || *i.IPMode != corev1.LoadBalancerIPModeVIP
	})
	if i := slices.IndexFunc(s.Status.Conditions, isReady); i >= 0 {
		c := s.Status.Conditions[i]
		out.Condition = Condition{True: c.Status == metav1.ConditionTrue, Reason: c.Reason, Message: c.Message}
	}
	return out
}

func isReady(c metav1.Condition) bool { return c.Type == ConditionReady }

// Equal tells whether nothing needs to be written.
func (s ServiceStatus) Equal(o ServiceStatus) bool {
	return slices.Equal(s.Addresses, o.Addresses) && s.Foreign == o.Foreign && s.Finalizer == o.Finalizer && s.Condition == o.Condition
}

// StatusOf is what the Service of a balancer should say.
func StatusOf(b *lb.Balancer) ServiceStatus {
	s := ServiceStatus{Addresses: b.Addresses(), Finalizer: true}
	if r := b.Shortfall; r != nil {
		// A conflict keeps clients away; everything else that is missing does not.
		s.Condition = Condition{True: r.Reason != lb.AddressConflict, Reason: string(r.Reason), Message: clip(r.Message(), maxMessage)}
		return s
	}
	message := ""
	for i, g := range b.Grants {
		if i > 0 {
			message += ", "
		}
		message += g.Address.String() + ` from pool "` + g.Pool + `"`
	}
	s.Condition = Condition{True: true, Reason: ReasonAssigned, Message: message}
	return s
}

// StatusOfRefused is what a Service without any address should say. It carries no
// finalizer: nothing of it would be left behind.
func StatusOfRefused(r *lb.Refusal) ServiceStatus {
	return ServiceStatus{Condition: Condition{Reason: string(r.Reason), Message: clip(r.Message(), maxMessage)}}
}

// patch is the strategic merge patch that makes a Service say want. The uid makes
// it fail on a Service of the same name that came after.
//
// It goes to the status subresource, which takes metadata along: the finalizer
// and the address arrive in one write, or neither does.
func (s ServiceStatus) patch(want ServiceStatus, uid string, now time.Time) ([]byte, error) {
	metadata := map[string]any{"uid": uid}
	switch {
	case want.Finalizer && !s.Finalizer:
		metadata["finalizers"] = []string{Finalizer}
	case !want.Finalizer && s.Finalizer:
		metadata["$deleteFromPrimitiveList/finalizers"] = []string{Finalizer}
	}
	status := map[string]any{}
	if s.Foreign || !slices.Equal(s.Addresses, want.Addresses) {
		status["loadBalancer"] = map[string]any{"ingress": ingress(want.Addresses)}
	}
	switch {
	case want.Condition == s.Condition:
	case want.Condition.Reason == "":
		status["conditions"] = []any{map[string]any{"$patch": "delete", "type": ConditionReady}}
	default:
		condition := map[string]any{"type": ConditionReady, "status": conditionStatus(want.Condition.True),
			"reason": want.Condition.Reason, "message": want.Condition.Message}
		if want.Condition.True != s.Condition.True || s.Condition.Reason == "" {
			condition["lastTransitionTime"] = now.UTC().Format(time.RFC3339)
		}
		status["conditions"] = []any{condition}
	}
	return json.Marshal(map[string]any{"metadata": metadata, "status": status})
}

// unlike differs from s in every part: a patch from it says all of s.
func (s ServiceStatus) unlike() ServiceStatus {
	out := ServiceStatus{Foreign: true, Finalizer: !s.Finalizer}
	if s.Condition.Reason == "" {
		out.Condition.Reason = "Unlike"
	}
	return out
}

func ingress(addrs []netip.Addr) []map[string]string {
	if len(addrs) == 0 {
		return nil
	}
	out := make([]map[string]string, len(addrs))
	for i, a := range addrs {
		out[i] = map[string]string{"ip": a.String(), "ipMode": string(corev1.LoadBalancerIPModeVIP)}
	}
	return out
}

func conditionStatus(ok bool) metav1.ConditionStatus {
	if ok {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
