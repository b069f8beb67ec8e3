package kube

import (
	"path"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// ClassFrom reads a LoadBalancerClass. What cannot be read becomes its Problem.
func ClassFrom(c *v1alpha1.LoadBalancerClass) lb.Class {
	out := lb.Class{
		Name:     c.Name,
		Created:  c.CreationTimestamp.Time,
		Default:  c.Spec.Default,
		Provider: lb.Provider(c.Spec.Provider),
		Pools:    c.Spec.Pools,
	}
	switch {
	case out.Provider.Cloud():
		out.Octavia, out.Problem = octaviaFrom(c)
		return out
	case out.Provider != lb.ProviderL2:
		out.Problem = lb.Refuse(lb.UnknownProvider, "write L2 or Octavia", "spec.provider of LoadBalancerClass %q: this version has no provider %q", c.Name, c.Spec.Provider)
		return out
	}
	if c.Spec.L2 == nil {
		return out
	}
	out.L2.Interfaces = c.Spec.L2.Interfaces
	for i, pattern := range out.L2.Interfaces {
		if _, err := path.Match(pattern, ""); err != nil {
			out.Problem = lb.Refuse(lb.BadSelector, `write a name ("eth0") or a shell pattern ("eth*")`,
				"spec.l2.interfaces[%d] of LoadBalancerClass %q: %q is neither", i, c.Name, pattern)
		}
	}
	var err error
	if out.L2.NodeSelector, err = selectorFrom(c.Spec.L2.NodeSelector); err != nil {
		out.Problem = lb.Refuse(lb.BadSelector, "", "spec.l2.nodeSelector of LoadBalancerClass %q: %v", c.Name, err)
	}
	return out
}
