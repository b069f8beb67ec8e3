package kube

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"fairlead.dev/fairlead/internal/lb"
)

// Annotations that users put on a Service.
const (
	// AnnotationAddresses asks for addresses: one a family, separated by commas.
	AnnotationAddresses = "fairlead.dev/addresses"
	// AnnotationPool asks for any address of an AddressPool.
	AnnotationPool = "fairlead.dev/pool"
	// AnnotationSharingKey lets Services with the same key share an address.
	AnnotationSharingKey = "fairlead.dev/sharing-key"
)

// Annotations that OCCM (kubernetes/cloud-provider-openstack) writes on a Service, and
// that people and scripts read: which load balancer it has, and its address. The first
// may also ask for one.
const (
	AnnotationLoadBalancerID      = openStackPrefix + "load-balancer-id"
	AnnotationLoadBalancerAddress = openStackPrefix + "load-balancer-address"
)

const (
	ourPrefix       = "fairlead.dev/"
	openStackPrefix = "loadbalancer.openstack.org/"
)

// ConditionReady is the type of the condition that a Service of ours carries. It
// also tells, after a restart, which Services are ours.
const ConditionReady = "fairlead.dev/Ready"

// Finalizer keeps a Service until its load balancer is cleaned up. It is the one
// that every Kubernetes load balancer uses (k8s.io/cloud-provider
// LoadBalancerCleanupFinalizer).
const Finalizer = "service.kubernetes.io/load-balancer-cleanup"

// ServiceFrom reads a Service.
func ServiceFrom(s *corev1.Service) lb.Service {
	out := lb.Service{
		Key:          lb.Key{Namespace: s.Namespace, Name: s.Name},
		UID:          string(s.UID),
		Created:      s.CreationTimestamp.Time,
		LoadBalancer: s.Spec.Type == corev1.ServiceTypeLoadBalancer,
		Deleting:     s.DeletionTimestamp != nil,
		Labels:       s.Labels,
		Local:        s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		Selector:     labels.Set(s.Spec.Selector).String(),
		Request:      requestFrom(s),
		Annotations:  balancing(s.Annotations),
		Affinity:     affinityOf(s),
	}
	out.HealthCheckNodePort = uint16(s.Spec.HealthCheckNodePort)
	status := StatusFrom(s)
	out.Held, out.Hostname, out.Proxy = status.Addresses, status.Hostname, status.Proxy
	out.Marked = slices.ContainsFunc(s.Status.Conditions, isReady)
	out.Finalized, out.CloudClass = status.Finalizer, status.Cloud.Class
	if s.Spec.LoadBalancerClass != nil {
		out.Class = *s.Spec.LoadBalancerClass
	}
	if p := s.Spec.IPFamilyPolicy; p != nil {
		out.AllFamilies = *p == corev1.IPFamilyPolicyRequireDualStack
	}
	for _, ip := range s.Spec.ClusterIPs {
		if addr, err := netip.ParseAddr(ip); err == nil {
			out.Families = append(out.Families, lb.FamilyOf(addr))
		}
	}
	for _, p := range s.Spec.Ports {
		out.Ports = append(out.Ports, lb.Port{Protocol: string(p.Protocol), Number: uint16(p.Port)})
		out.NodePorts = append(out.NodePorts, uint16(p.NodePort))
	}
	var problem *lb.Refusal
	if out.SourceRanges, problem = sourceRangesOf(s); out.Request.Problem == nil {
		out.Request.Problem = problem
	}
	return out
}

// balancing are the annotations that say how a load balancer is made. The others are
// left out: they may be long, and an edit of them is no news.
func balancing(annotations map[string]string) map[string]string {
	var out map[string]string
	for key, value := range annotations {
		if !strings.HasPrefix(key, ourPrefix) && !strings.HasPrefix(key, openStackPrefix) && !slices.Contains(otherAnnotations, key) {
			continue
		}
		if out == nil {
			out = make(map[string]string)
		}
		out[key] = value
	}
	return out
}

var otherAnnotations = []string{
	"service.beta.kubernetes.io/openstack-internal-load-balancer",
	"service.beta.kubernetes.io/load-balancer-source-ranges",
}

// affinityOf is how long a client stays at one endpoint. The API server fills the
// time in; 3 hours is its default (DefaultClientIPServiceAffinitySeconds).
func affinityOf(s *corev1.Service) time.Duration {
	if s.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
}

// sourceRangesOf reads spec.loadBalancerSourceRanges. One that cannot be read is no
// reason to let everybody in, so nothing is decided from the rest.
func sourceRangesOf(s *corev1.Service) ([]netip.Prefix, *lb.Refusal) {
	var out []netip.Prefix
	for i, text := range s.Spec.LoadBalancerSourceRanges {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, lb.Refuse(lb.BadRequest, "write it as 192.0.2.0/24 or fd00:1::/64",
				"spec.loadBalancerSourceRanges[%d]: %q is not a CIDR", i, text)
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}

func heldBy(s *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for _, i := range s.Status.LoadBalancer.Ingress {
		if addr, err := netip.ParseAddr(i.IP); err == nil {
			out = append(out, addr.Unmap())
		}
	}
	return out
}

// requestFrom reads what the Service asks for. The annotation goes before the
// deprecated spec.loadBalancerIP; that both are there and differ is a mistake that
// nobody but its writer can resolve.
func requestFrom(s *corev1.Service) lb.Request {
	r := lb.Request{
		Pool:       strings.TrimSpace(s.Annotations[AnnotationPool]),
		SharingKey: s.Annotations[AnnotationSharingKey],
	}
	text, annotated := s.Annotations[AnnotationAddresses]
	field := AnnotationAddresses
	if !annotated {
		text, field = s.Spec.LoadBalancerIP, "spec.loadBalancerIP"
	}
	if strings.TrimSpace(text) == "" {
		if annotated {
			r.Problem = lb.Refuse(lb.BadRequest, "write an address, or take the annotation out", "annotation %s is empty", field)
		}
		return r
	}
	for entry := range strings.SplitSeq(text, ",") {
		addr, err := netip.ParseAddr(strings.TrimSpace(entry))
		if err != nil || addr.Zone() != "" {
			r.Problem = lb.Refuse(lb.BadRequest, `write it as 192.0.2.1, or as 192.0.2.1,fd00:1::1 for both families`,
				"%s: %q is not an IP address", field, strings.TrimSpace(entry))
			return r
		}
		r.Addresses = append(r.Addresses, addr.Unmap())
	}
	if annotated && s.Spec.LoadBalancerIP != "" {
		if addr, err := netip.ParseAddr(strings.TrimSpace(s.Spec.LoadBalancerIP)); err != nil || !slices.Contains(r.Addresses, addr.Unmap()) {
			r.Problem = lb.Refuse(lb.ContradictoryRequest, "keep the annotation, and clear the deprecated field",
				"annotation %s asks for %s, and spec.loadBalancerIP for %s", field, text, s.Spec.LoadBalancerIP)
		}
	}
	return r
}
