package kube

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
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
	// Proxy: ipMode is Proxy instead, so that traffic from inside the cluster goes to
	// the load balancer too (KEP-1860).
	Proxy bool
	// Hostname is in status.loadBalancer instead of addresses.
	Hostname string
	// Foreign tells that status.loadBalancer holds something we would not write.
	Foreign bool
	// Finalizer tells that the clean-up finalizer is on.
	Finalizer bool
	// Condition is ours; its Reason is empty where it is not there.
	Condition Condition
	// Cloud is our note of a cloud's load balancer.
	Cloud CloudNote
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
	out := ServiceStatus{Addresses: heldBy(s), Finalizer: slices.Contains(s.Finalizers, Finalizer), Cloud: cloudNoteFrom(s)}
	out.readIngress(s.Status.LoadBalancer.Ingress)
	if i := slices.IndexFunc(s.Status.Conditions, isReady); i >= 0 {
		c := s.Status.Conditions[i]
		out.Condition = Condition{True: c.Status == metav1.ConditionTrue, Reason: c.Reason, Message: c.Message}
	}
	return out
}

// readIngress tells what else than addresses is in status.loadBalancer. We write one
// name, or addresses of one mode.
func (s *ServiceStatus) readIngress(ingress []corev1.LoadBalancerIngress) {
	if len(ingress) == 1 && ingress[0].IP == "" && ingress[0].Hostname != "" {
		s.Hostname = ingress[0].Hostname
		return
	}
	proxies := 0
	for _, i := range ingress {
		switch {
		case i.IP == "" || i.Hostname != "" || i.IPMode == nil:
			s.Foreign = true
		case *i.IPMode == corev1.LoadBalancerIPModeProxy:
			proxies++
		case *i.IPMode != corev1.LoadBalancerIPModeVIP:
			s.Foreign = true
		}
	}
	s.Proxy = proxies > 0
	s.Foreign = s.Foreign || proxies > 0 && proxies < len(ingress)
}

// shown is what clients see, for a log.
func (s ServiceStatus) shown() any {
	if s.Hostname != "" {
		return s.Hostname
	}
	return s.Addresses
}

func isReady(c metav1.Condition) bool { return c.Type == ConditionReady }

// Equal tells whether nothing needs to be written.
func (s ServiceStatus) Equal(o ServiceStatus) bool {
	return slices.Equal(s.Addresses, o.Addresses) && s.Proxy == o.Proxy && s.Hostname == o.Hostname && s.Foreign == o.Foreign &&
		s.Finalizer == o.Finalizer && s.Condition == o.Condition && s.Cloud == o.Cloud
}

// says tells whether s has all that is wanted.
func (s ServiceStatus) says(want ServiceStatus) bool { return s.Equal(want.over(s)) }

// over completes a wanted status with what it leaves as it is.
func (s ServiceStatus) over(seen ServiceStatus) ServiceStatus {
	s.Cloud = s.Cloud.over(seen.Cloud)
	return s
}

// unready are the Reasons that keep clients away although there is an address;
// everything else that is missing does not.
var unready = []lb.Reason{lb.AddressConflict, lb.Building, lb.Deleting, lb.NoNodes}

// StatusOf is what the Service of a balancer should say.
func StatusOf(b *lb.Balancer) ServiceStatus {
	s := ServiceStatus{Addresses: b.Addresses(), Finalizer: true}
	if b.Built != nil {
		s.show(b)
	}
	if r := b.Shortfall; r != nil {
		there := b.Built == nil || len(s.Addresses) > 0 || s.Hostname != ""
		s.Condition = Condition{True: there && !slices.Contains(unready, r.Reason), Reason: string(r.Reason), Message: clip(r.Message(), maxMessage)}
		return s
	}
	if b.Built != nil {
		s.Condition = Condition{True: true, Reason: ReasonAssigned, Message: builtMessage(b.Built)}
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

// show makes s show what a cloud made.
func (s *ServiceStatus) show(b *lb.Balancer) {
	s.Cloud = cloudNoteOf(b)
	if b.Built.Hostname != "" {
		s.Addresses, s.Hostname = nil, b.Built.Hostname
		return
	}
	s.Proxy = b.Built.Proxy && len(s.Addresses) > 0
}

// builtMessage is such as "192.0.2.1, fd00::1 of load balancer ID".
func builtMessage(b *lb.Built) string {
	texts := make([]string, len(b.Addresses))
	for i, a := range b.Addresses {
		texts[i] = a.String()
	}
	message := strings.Join(texts, ", ")
	if b.Hostname != "" {
		message = b.Hostname + " (" + message + ")"
	}
	if b.ID != "" {
		message += " of load balancer " + b.ID
	}
	return message
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
	if annotations := s.Cloud.annotations(want.Cloud); len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	status := map[string]any{}
	if s.Foreign || !slices.Equal(s.Addresses, want.Addresses) || s.Proxy != want.Proxy || s.Hostname != want.Hostname {
		status["loadBalancer"] = map[string]any{"ingress": want.ingress()}
	}
	if conditions := s.conditions(want, now.UTC().Format(time.RFC3339)); len(conditions) > 0 {
		status["conditions"] = conditions
	}
	return json.Marshal(map[string]any{"metadata": metadata, "status": status})
}

// conditions are the changes that make s say want.
func (s ServiceStatus) conditions(want ServiceStatus, now string) (out []any) {
	switch {
	case want.Condition == s.Condition:
	case want.Condition.Reason == "":
		out = append(out, map[string]any{"$patch": "delete", "type": ConditionReady})
	default:
		condition := map[string]any{"type": ConditionReady, "status": conditionStatus(want.Condition.True),
			"reason": want.Condition.Reason, "message": want.Condition.Message}
		if want.Condition.True != s.Condition.True || s.Condition.Reason == "" {
			condition["lastTransitionTime"] = now
		}
		out = append(out, condition)
	}
	switch {
	case want.Cloud.Provider == s.Cloud.Provider && want.Cloud.Class == s.Cloud.Class && want.Cloud.ID == s.Cloud.ID:
	case want.Cloud.Class == "":
		out = append(out, map[string]any{"$patch": "delete", "type": ConditionCloud})
	default:
		condition := map[string]any{"type": ConditionCloud, "status": metav1.ConditionTrue,
			"reason": string(want.Cloud.Provider), "message": want.Cloud.message()}
		if s.Cloud.Class == "" {
			condition["lastTransitionTime"] = now
		}
		out = append(out, condition)
	}
	return out
}

// unlike differs from s in every part: a patch from it says all of s. Of seen it
// keeps what a patch may not guess: whether annotations are ours to take off.
func (s ServiceStatus) unlike(seen ServiceStatus) ServiceStatus {
	out := ServiceStatus{Foreign: true, Finalizer: !s.Finalizer}
	if s.Condition.Reason == "" {
		out.Condition.Reason = "Unlike"
	}
	if s.Cloud.Class == "" {
		out.Cloud = seen.Cloud
		out.Cloud.Class = "unlike"
	}
	return out
}

func (s ServiceStatus) ingress() []map[string]string {
	if s.Hostname != "" {
		return []map[string]string{{"hostname": s.Hostname}}
	}
	if len(s.Addresses) == 0 {
		return nil
	}
	mode := corev1.LoadBalancerIPModeVIP
	if s.Proxy {
		mode = corev1.LoadBalancerIPModeProxy
	}
	out := make([]map[string]string, len(s.Addresses))
	for i, a := range s.Addresses {
		out[i] = map[string]string{"ip": a.String(), "ipMode": string(mode)}
	}
	return out
}

func conditionStatus(ok bool) metav1.ConditionStatus {
	if ok {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
