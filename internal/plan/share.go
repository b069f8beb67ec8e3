package plan

import (
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// mayShare tells whether two Services may have one address. The rules are
// MetalLB's: one non-empty key, no port in common, and traffic to the same pods
// where externalTrafficPolicy makes the node depend on them.
func mayShare(x, y *lb.Service) bool {
	return whyNotShare(x, y) == ""
}

// whyNotShare is the first rule that forbids sharing, empty if none does.
func whyNotShare(x, y *lb.Service) string {
	switch {
	case x.Request.SharingKey == "" || y.Request.SharingKey == "":
		return "sharing needs the annotation fairlead.dev/sharing-key on both"
	case x.Request.SharingKey != y.Request.SharingKey:
		return "their sharing keys differ"
	case slices.ContainsFunc(x.Ports, func(p lb.Port) bool { return slices.Contains(y.Ports, p) }):
		return "both have the same port"
	case backends(x) != backends(y):
		return "their traffic goes to different pods by externalTrafficPolicy: Local"
	}
	return ""
}

// backends is what must be equal for two Services to be announced from one node.
func backends(s *lb.Service) string {
	if s.Local {
		return s.Selector
	}
	return ""
}
