package doctor

import (
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
	// Remedy is what to do first; empty where nothing is to be done.
	Remedy string `json:"remedy,omitempty"`
}

// String is what was found, and what to do.
func (f Finding) String() string {
	if f.Remedy == "" {
		return f.Detail
	}
	return f.Detail + ": " + f.Remedy
}

// State of what was checked.
type State string

// The states, from good to bad.
const (
	OK State = "ok"
	// Unknown could not be looked at.
	Unknown State = "unknown"
	// Warning is something that may be meant, or fails for some only.
	Warning State = "warning"
	// Problem is something that fails, or that a new Service would fail for.
	Problem State = "problem"
)

// Failing counts the problems.
func Failing(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if f.State == Problem {
			n++
		}
	}
	return n
}

// Judge goes through the checks in the order in which they depend on each other, and
// ends where the next ones could not say anything.
func Judge(f *Facts) []Finding {
	j := &judge{Facts: f}
	if !j.configuration() {
		return j.findings
	}
	j.options()
	j.cluster()
	if !j.signIn() {
		return j.findings
	}
	j.roles()
	j.version()
	j.providers()
	j.extensions()
	j.quotas()
	j.floatingIPs()
	j.routers()
	j.named()
	j.nodes()
	j.nodePorts()
	j.services()
	return j.findings
}

// judge collects findings.
type judge struct {
	*Facts
	findings []Finding
}

func (j *judge) add(check string, state State, remedy, detail string, args ...any) {
	j.findings = append(j.findings, Finding{Check: check, State: state, Detail: fmt.Sprintf(detail, args...), Remedy: remedy})
}

func (j *judge) ok(check, detail string, args ...any) { j.add(check, OK, "", detail, args...) }

func (j *judge) refused(check string, r *lb.Refusal, prefix string) {
	j.add(check, Problem, r.Remedy, "%s%s", prefix, r.Detail)
}

// unread tells that the cloud did not answer a question.
func (j *judge) unread(check string, err error) bool {
	if err != nil {
		j.add(check, Unknown, "", "it cannot be read: %s", err)
	}
	return err != nil
}

// any tells whether some use is like that.
func (j *judge) any(is func(*lb.CloudOptions) bool) bool {
	return slices.ContainsFunc(j.Uses, func(u Use) bool { return is(&u.Options) })
}

// floating tells whether some use needs floating IPs.
func (j *judge) floating() bool {
	return j.any(func(o *lb.CloudOptions) bool { return !o.Internal })
}

// managed tells whether some use keeps the nodes' security groups.
func (j *judge) managed() bool {
	return j.any(func(o *lb.CloudOptions) bool { return o.SecurityGroups })
}
