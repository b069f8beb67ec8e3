package link

import (
	"fmt"
	"path"
	"slices"
)

// DefaultExclude are patterns (path.Match) of interfaces that lead to pods and
// overlays, not to the network that clients are in.
func DefaultExclude() []string {
	return []string{
		"lo", "docker*", "cbr*", "dummy*", "virbr*", "lxcbr*", "veth*", "cali*", "vxlan.calico", "vxlan-v6.calico",
		"tunl*", "flannel*", "kube-ipvs*", "cni*", "nodelocaldns*", "lxc*", "cilium_*", "antrea-*", "ovs-system",
		"ovn-k8s-*", "br-int", "genev_sys_*", "vxlan_sys_*", "weave*",
	}
}

// checkPatterns finds patterns that would silently match nothing.
func checkPatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("exclude interfaces %q: %w (a shell pattern such as docker*)", p, err)
		}
	}
	return nil
}

func excluded(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}
