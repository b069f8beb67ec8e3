package octavia

import (
	"slices"

	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// InputOf is what a world wants of the cloud that some classes are served by. Config
// is that cloud's configuration; without one, problem says why, and what exists stays.
func InputOf(c Cluster, w *lb.World, services []plan.CloudService, config *occm.Config, problem *lb.Refusal) Input {
	in := Input{Cluster: c, Nodes: w.Nodes, Endpoints: w.Endpoints, Living: make([]string, len(w.Services))}
	for i := range w.Services {
		in.Living[i] = w.Services[i].UID
	}
	slices.Sort(in.Living)
	for i := range services {
		s := &services[i]
		r := Request{Service: s.Service, Wanted: s.Wanted, Problem: problem}
		if config != nil && s.Class.Octavia != nil {
			r.Options, r.Problem = config.Options(*s.Class.Octavia, &s.Service)
		}
		if s.Problem != nil {
			r.Problem = s.Problem
		}
		in.Requests = append(in.Requests, r)
	}
	return in
}
