package status

import (
	"fmt"
	"io"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// Explanation is every rule that was looked at for one Service, in order.
type Explanation struct {
	Service string       `json:"service"`
	Checks  []plan.Check `json:"checks"`
	// Change is the first thing to change, empty where all is well.
	Change string `json:"change,omitempty"`
}

// Explain tells why a Service has what it has.
func Explain(w lb.World, service lb.Key) (Explanation, error) {
	known := slices.ContainsFunc(w.Services, func(s lb.Service) bool { return s.Key == service })
	if !known {
		return Explanation{}, fmt.Errorf("there is no Service %s (see kubectl get services -A)", service)
	}
	e := Explanation{Service: service.String(), Checks: plan.Explain(w, service)}
	e.Checks = append(e.Checks, plan.ExplainOwners(w, service)...)
	for _, line := range Take(w).Services {
		if line.Service == e.Service && line.Message != "" && e.Change == "" {
			e.Change = line.Message
		}
	}
	return e, nil
}

// Write prints an explanation as "json", "yaml" or, for "", for reading.
func (e Explanation) Write(w io.Writer, format string) error {
	switch format {
	case "json", "yaml":
		return WriteData(w, e, format)
	case "":
	default:
		return fmt.Errorf("--output %q is unknown: write json or yaml", format)
	}
	fmt.Fprintln(w, "Service", e.Service)
	for _, c := range e.Checks {
		mark := "no "
		if c.OK {
			mark = "yes"
		}
		fmt.Fprintf(w, "  %s  %s: %s\n", mark, c.Rule, c.Detail)
	}
	if e.Change != "" {
		fmt.Fprintln(w, "Change first:", e.Change)
	}
	return nil
}
