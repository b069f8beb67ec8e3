package kube

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"fairlead.dev/fairlead/internal/lb"
)

// slice is one EndpointSlice as far as it counts.
type slice struct {
	service lb.Key
	nodes   []string // with a serving endpoint, sorted, each once
	silent  []string // with endpoints of which none serves
}

// sliceFrom reads an EndpointSlice. An endpoint serves while it is ready, or
// serving although it terminates (KEP-1669); unknown counts as yes, as in the
// API's own words.
func sliceFrom(s *discoveryv1.EndpointSlice) slice {
	out := slice{service: lb.Key{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}}
	for _, e := range s.Endpoints {
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		serving := e.Conditions.Serving != nil && *e.Conditions.Serving
		switch {
		case e.NodeName == nil:
		case ready || serving:
			out.nodes = append(out.nodes, *e.NodeName)
		default:
			out.silent = append(out.silent, *e.NodeName)
		}
	}
	slices.Sort(out.nodes)
	out.nodes = slices.Compact(out.nodes)
	return out
}

// endpointsOf joins the slices of one Service.
func endpointsOf(service lb.Key, slicesOf map[string]slice) lb.Endpoints {
	out := lb.Endpoints{Service: service}
	for _, s := range slicesOf {
		out.Nodes = append(out.Nodes, s.nodes...)
	}
	slices.Sort(out.Nodes)
	out.Nodes = slices.Compact(out.Nodes)
	return out
}
