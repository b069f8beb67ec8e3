package kube

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/lb"
)

// NodeFrom reads a Node. Alive is what Kubernetes thinks: the condition Ready.
func NodeFrom(n *corev1.Node) lb.Node {
	out := lb.Node{Name: n.Name, Labels: n.Labels}
	for _, c := range n.Status.Conditions {
		switch c.Type {
		case corev1.NodeReady:
			out.Alive = c.Status == corev1.ConditionTrue
		case corev1.NodeNetworkUnavailable:
			out.NetworkUnavailable = c.Status == corev1.ConditionTrue
		}
	}
	for _, a := range n.Status.Addresses {
		if addr, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			out.Addresses = append(out.Addresses, addr.Unmap())
		}
	}
	out.ServerID = serverID(n.Spec.ProviderID)
	_, out.Excluded = n.Labels[corev1.LabelNodeExcludeBalancers]
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeOutOfService {
			out.OutOfService = true
		}
	}
	return out
}

// serverID is the OpenStack server in a provider ID: openstack:///ID, or
// openstack://REGION/ID as OCCM writes it with OS_CCM_REGIONAL.
func serverID(providerID string) string {
	rest, ok := strings.CutPrefix(providerID, "openstack://")
	if !ok {
		return ""
	}
	_, id, _ := strings.Cut(rest, "/")
	if strings.Contains(id, "/") {
		return ""
	}
	return id
}

// NamespaceFrom reads a Namespace.
func NamespaceFrom(n *corev1.Namespace) lb.Namespace {
	return lb.Namespace{Name: n.Name, Labels: n.Labels}
}
