package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// Check is one rule that was looked at for a Service, and how it came out.
type Check struct {
	Rule   string `json:"rule"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Explain plans the world and returns the checks that decided about one Service,
// in their order.
func Explain(w lb.World, service lb.Key) []Check {
	a := newAllocation(w, service)
	a.desired()
	return a.trace
}

func (a *allocation) tracing(s *lb.Service) bool { return a.traced == s.Key }

func (a *allocation) note(s *lb.Service, rule string, ok bool, detail string, args ...any) {
	if a.tracing(s) {
		a.trace = append(a.trace, Check{Rule: rule, OK: ok, Detail: fmt.Sprintf(detail, args...)})
	}
}

// ExplainOwners tells, for each address that a Service holds, which node announces
// it and why the others do not.
func ExplainOwners(w lb.World, service lb.Key) []Check {
	c := resolveClasses(w)
	e := newElectorate(w)
	var out []Check
	for _, o := range Owners(w) {
		if !slices.Contains(o.Services, service) {
			continue
		}
		rule := "announce " + o.Address.String()
		if o.Refusal != nil {
			out = append(out, Check{Rule: rule, Detail: fmt.Sprintf("%s: %s", o.Refusal.Reason, o.Refusal.Message())})
		} else {
			out = append(out, Check{Rule: rule, OK: true, Detail: fmt.Sprintf("node %q owns it", o.Node)})
		}
		out = append(out, e.verdicts(c, w, o)...)
	}
	return out
}

// verdicts say of each node whether it may own the address.
func (e *electorate) verdicts(c classes, w lb.World, o Ownership) []Check {
	addresses := announced(w, &c)
	i := slices.IndexFunc(addresses, func(v vip) bool { return v.addr == o.Address })
	v := &addresses[i]
	var out []Check
	for _, n := range e.speakers {
		why := e.whyNot(n, v)
		check := Check{Rule: "node " + n.Name, OK: why == "", Detail: cmp.Or(why, "may announce it")}
		for _, claim := range n.speaker.Claims {
			if claim.Address == o.Address {
				check.Detail += fmt.Sprintf("; says %s since %s", claim.State, claim.Since.UTC().Format(time.RFC3339))
				if claim.Detail != "" {
					check.Detail += " (" + claim.Detail + ")"
				}
			}
		}
		out = append(out, check)
	}
	return out
}
