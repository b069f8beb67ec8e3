package occm

import (
	"fmt"
	"strings"
)

// LoadBalancerPrefix begins the name, and the tag, of every load balancer that was
// made for a Service. What has another name is its user's and is never deleted.
const LoadBalancerPrefix = "kube_service_"

// limit is the most bytes that OCCM lets a name have.
const limit = 255

// Cut shortens a name to n bytes, as OCCM does: in the middle of a character if need
// be, since the name must come out the same.
func Cut(name string, n int) string {
	if len(name) > n {
		return name[:n]
	}
	return name
}

// LoadBalancerName is the name, and the tag, of a Service's load balancer.
func LoadBalancerName(cluster, namespace, name string) string {
	return Cut(LoadBalancerPrefix+cluster+"_"+namespace+"_"+name, limit)
}

// ClusterPrefix begins the names of all load balancers of a cluster, and of those
// whose name is longer by an underscore and more.
func ClusterPrefix(cluster string) string { return Cut(LoadBalancerPrefix+cluster+"_", limit) }

// LegacyName is the name that Kubernetes itself gave a Service's load balancer
// before OCCM (k8s.io/cloud-provider, DefaultLoadBalancerName).
func LegacyName(uid string) string { return Cut("a"+strings.ReplaceAll(uid, "-", ""), 32) }

// IsLegacyName tells whether a name can be one of LegacyName's.
func IsLegacyName(name string) bool {
	return len(name) == 32 && name[0] == 'a' && strings.Trim(name[1:], "0123456789abcdef") == ""
}

// ListenerName is the name of the listener of the i-th port.
func ListenerName(i int, loadBalancer string) string { return childName("listener", i, loadBalancer) }

// PoolName is the name of the pool of the i-th port.
func PoolName(i int, loadBalancer string) string { return childName("pool", i, loadBalancer) }

// MonitorName is the name of the health monitor of the i-th port.
func MonitorName(i int, loadBalancer string) string { return childName("monitor", i, loadBalancer) }

func childName(kind string, i int, loadBalancer string) string {
	return Cut(fmt.Sprintf("%s_%d_%s", kind, i, loadBalancer), limit)
}

// ChildOf tells by its name which load balancer a listener, pool or monitor was made
// for: kind_<i>_<load balancer>, or kind_<load balancer>_<i> as before OCCM.
func ChildOf(name string) (loadBalancer string, ok bool) {
	kind, rest, ok := strings.Cut(name, "_")
	if !ok || kind != "listener" && kind != "pool" && kind != "monitor" {
		return "", false
	}
	if i, owner, ok := strings.Cut(rest, "_"); ok && isNumber(i) && owner != "" {
		return owner, true
	}
	if at := strings.LastIndexByte(rest, '_'); at > 0 && isNumber(rest[at+1:]) {
		return rest[:at], true
	}
	return "", false
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// MemberName is what OCCM calls a member: the node. Where it adds members one by one
// (provider-requires-serial-api-calls) it is SerialMemberName.
func MemberName(node string) string { return node }

// SerialMemberName is the name of a member that was added by itself.
func SerialMemberName(node, address string, nodePort uint16) string {
	return Cut(fmt.Sprintf("member_%s_%s_%d", node, address, nodePort), limit)
}

// SecurityGroupName is the name of the group that lets a Service's load balancer in.
func SecurityGroupName(uid, namespace, name string) string {
	return Cut("lb-sg-"+uid+"-"+namespace+"-"+name, limit)
}
