package occm

import (
	"strings"
	"unicode/utf8"

	"fairlead.dev/fairlead/internal/lb"
)

// Descriptions are read by others: Magnum deletes with a cluster the load balancers
// that match "Kubernetes .+ from cluster <uuid>" and the floating IPs that match
// "Floating IP for Kubernetes .+ from cluster <uuid>$" (magnum/common/octavia.py,
// neutron.py); OCCM deletes with a Service the floating IP whose description contains
// floatingIPPrefix. Octavia and Neutron take 255 characters.
const (
	loadBalancerPrefix  = "Kubernetes external service "
	floatingIPPrefix    = "Floating IP for Kubernetes external service "
	securityGroupPrefix = "Security Group for "
	clusterInfix        = " from cluster "
	uidInfix            = " of "
	keptSuffix          = " (kept)"
	// cutMark ends a Service's name that did not fit; no name in Kubernetes has it.
	cutMark = "~"
)

// describe puts the parts together, and shortens the Service's name where that is too
// long: what stands at the end is what others match. The cluster's name gives way
// only where nothing is left of the Service's.
func describe(before, service, between, cluster, after string) string {
	room := limit - utf8.RuneCountInString(before+between+cluster+after)
	switch n := utf8.RuneCountInString(service); {
	case n <= room:
	case room < 1:
		service = cutMark
		cluster = firstRunes(cluster, limit-utf8.RuneCountInString(before+service+between+after))
	default:
		service = firstRunes(service, room-1) + cutMark
	}
	return before + service + between + cluster + after
}

func firstRunes(s string, n int) string {
	r := []rune(s)
	return string(r[:max(0, min(n, len(r)))])
}

// LoadBalancerDescription is OCCM's.
func LoadBalancerDescription(cluster, namespace, name string) string {
	return describe(loadBalancerPrefix, namespace+"/"+name, clusterInfix, cluster, "")
}

// SecurityGroupDescription is OCCM's.
func SecurityGroupDescription(cluster, namespace, name string) string {
	return describe(securityGroupPrefix, namespace+"/"+name, " Service LoadBalancer in cluster ", cluster, "")
}

// FloatingIP is what the description of a floating IP tells.
type FloatingIP struct {
	// Cluster is its name, which need not be unique.
	Cluster string
	// ClusterUID is the UID of the namespace kube-system; empty where OCCM wrote the
	// description.
	ClusterUID string
	// Service is its namespace and name; the end is missing where there was no room.
	Service string
	// Kept is set where the floating IP outlives its Service: nobody deletes it but a
	// person.
	Kept bool
}

// Description is what the floating IP carries. It contains OCCM's words, so that OCCM
// could take over again, and the cluster's UID, since many clusters have the same
// name.
func (f FloatingIP) Description() string {
	between, after := clusterInfix, ""
	if f.ClusterUID != "" {
		between = uidInfix + f.ClusterUID + clusterInfix
	}
	if f.Kept {
		after = keptSuffix // Magnum's "$" does not match any more
	}
	return describe(floatingIPPrefix, f.Service, between, f.Cluster, after)
}

// FloatingIPDescription is the description of a Service's floating IP in the cluster
// with that name and kube-system UID.
func FloatingIPDescription(cluster, uid, namespace, name string) string {
	return FloatingIP{Cluster: cluster, ClusterUID: uid, Service: namespace + "/" + name}.Description()
}

// KeptFloatingIPDescription is FloatingIPDescription for one that is kept when its
// Service goes.
func KeptFloatingIPDescription(cluster, uid, namespace, name string) string {
	return FloatingIP{Cluster: cluster, ClusterUID: uid, Service: namespace + "/" + name, Kept: true}.Description()
}

// IsOurFloatingIP tells whether a floating IP was made for a Service, by Fairlead or
// by OCCM: any other is a user's, and never deleted.
func IsOurFloatingIP(description string) bool {
	return strings.Contains(description, strings.TrimSuffix(floatingIPPrefix, " "))
}

// ParseFloatingIP reads a description back; ok is false where nothing but a user
// wrote it.
func ParseFloatingIP(description string) (f FloatingIP, ok bool) {
	_, rest, ok := strings.Cut(description, floatingIPPrefix)
	if !ok {
		return FloatingIP{}, false
	}
	rest, f.Kept = strings.CutSuffix(rest, keptSuffix)
	// No name in Kubernetes has a space; a cluster's may have anything.
	head, cluster, ok := strings.Cut(rest, clusterInfix)
	if !ok {
		return FloatingIP{}, false
	}
	f.Cluster = cluster
	f.Service, f.ClusterUID, _ = strings.Cut(head, uidInfix)
	return f, f.Service != "" && !strings.Contains(f.Service+f.ClusterUID, " ")
}

// Of tells whether the floating IP was made for the Service, in the cluster with that
// kube-system UID or, where OCCM wrote the description, with that name.
func (f FloatingIP) Of(service lb.Key, cluster, uid string) bool {
	if f.ClusterUID != "" && f.ClusterUID != uid || f.ClusterUID == "" && f.Cluster != cluster {
		return false
	}
	if begin, cut := strings.CutSuffix(f.Service, cutMark); cut {
		return strings.HasPrefix(service.String(), begin)
	}
	return f.Service == service.String()
}
