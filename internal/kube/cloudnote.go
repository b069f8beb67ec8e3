package kube

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/lb"
)

// ConditionCloud is the type of the condition that tells by which class a cloud makes,
// or made, a load balancer for the Service: its reason is the provider, its message
// CLASS/ID. It is how the Service is found to be the cloud's when its class, or the
// default, is another one by now. It is in the status, where whoever replaces the
// Service cannot lose it, as annotations are lost.
const ConditionCloud = "fairlead.dev/Cloud"

// CloudNote is what a Service says of its load balancer in a cloud; the zero value is
// none.
type CloudNote struct {
	Provider lb.Provider
	Class    string
	// ID of the load balancer, once there is one.
	ID string
	// AnnotatedID and AnnotatedAddress are the annotations that OCCM writes. They are
	// read where there is a note: what else is annotated is not ours. Wanted empty,
	// they stay as they are.
	AnnotatedID, AnnotatedAddress string
}

// cloudNoteFrom reads our note.
func cloudNoteFrom(s *corev1.Service) CloudNote {
	for _, c := range s.Status.Conditions {
		if c.Type != ConditionCloud {
			continue
		}
		class, id, _ := strings.Cut(c.Message, "/")
		return CloudNote{Provider: lb.Provider(c.Reason), Class: class, ID: id,
			AnnotatedID: s.Annotations[AnnotationLoadBalancerID], AnnotatedAddress: s.Annotations[AnnotationLoadBalancerAddress]}
	}
	return CloudNote{}
}

// cloudNoteOf is what to say of a balancer that a cloud makes.
func cloudNoteOf(b *lb.Balancer) CloudNote {
	n := CloudNote{Provider: b.Provider, Class: b.Class, ID: b.Built.ID, AnnotatedID: b.Built.ID}
	if address := realAddress(b.Built); address.IsValid() {
		n.AnnotatedAddress = address.String()
	}
	return n
}

// realAddress is the one that clients reach the load balancer at, also where a name
// is shown instead: OCCM annotates one address.
func realAddress(b *lb.Built) netip.Addr {
	if len(b.Addresses) == 0 {
		return netip.Addr{}
	}
	return b.Addresses[0]
}

// over completes a wanted note with what it leaves as it is. Who wrote another ID
// asks for that load balancer: the driver says what becomes of it, and the annotation
// stays.
func (n CloudNote) over(seen CloudNote) CloudNote {
	if n.Class == "" {
		return n
	}
	if n.ID == "" && n.Class == seen.Class {
		n.ID = seen.ID
	}
	if n.AnnotatedID == "" || seen.AnnotatedID != "" && seen.AnnotatedID != seen.ID {
		n.AnnotatedID = seen.AnnotatedID
	}
	if n.AnnotatedAddress == "" {
		n.AnnotatedAddress = seen.AnnotatedAddress
	}
	return n
}

func (n CloudNote) message() string { return n.Class + "/" + n.ID }

// annotations are the changes that make n say want: nil takes one off. With the note
// goes what it says we wrote. An ID that somebody else wrote stays.
func (n CloudNote) annotations(want CloudNote) map[string]any {
	out := make(map[string]any, 2)
	switch {
	case want.Class != "":
		if want.AnnotatedID != n.AnnotatedID {
			out[AnnotationLoadBalancerID] = want.AnnotatedID
		}
		if want.AnnotatedAddress != n.AnnotatedAddress {
			out[AnnotationLoadBalancerAddress] = want.AnnotatedAddress
		}
	case n.Class != "":
		if n.AnnotatedID != "" && n.AnnotatedID == n.ID {
			out[AnnotationLoadBalancerID] = nil
		}
		if n.AnnotatedAddress != "" {
			out[AnnotationLoadBalancerAddress] = nil
		}
	}
	return out
}
