package doctor

import (
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// since are the versions of Octavia's API that something came with
// (octavia/api/root_controller.py), and what cannot be done before.
var since = []struct {
	minor   int
	without string
}{
	{6, "flavors"},
	{12, "source ranges"},
	{14, "availability zones"},
	{16, "externalTrafficPolicy: Local by health checks for UDP"},
	{22, "PROXY protocol v2"},
	{23, "SCTP"},
	{26, "one load balancer for both families (a dual-stack Service gets two)"},
}

// tags came with Octavia API v2.5: without them, nothing could be found again.
const tags = 5

func (j *judge) version() {
	v := j.Cloud.Version.Value
	if j.unread("API version", j.Cloud.Version.Err) {
		return
	}
	if !v.AtLeast(tags) {
		j.add("API version", Problem, "upgrade Octavia (Stein or later)", "Octavia has API %s; tags, by which load balancers are found again, came with v2.%d", v, tags)
		return
	}
	var missing []string
	for _, s := range since {
		if !v.AtLeast(s.minor) {
			missing = append(missing, fmt.Sprintf("%s (v2.%d)", s.without, s.minor))
		}
	}
	if len(missing) == 0 {
		j.ok("API version", "Octavia has API %s: nothing is missing", v)
		return
	}
	j.ok("API version", "Octavia has API %s; what it cannot do: %s", v, strings.Join(missing, ", "))
}

func (j *judge) providers() {
	there := j.Cloud.Providers.Value
	if j.unread("provider", j.Cloud.Providers.Err) {
		return
	}
	var good, seen []string
	for _, u := range j.Uses {
		name := u.Options.Provider
		if name == "" || slices.Contains(seen, name) {
			continue
		}
		seen = append(seen, name)
		if slices.Contains(there, name) {
			good = append(good, name)
			continue
		}
		j.add("provider", Problem, "write one of "+strings.Join(there, ", ")+" as lb-provider in [LoadBalancer], or as loadBalancerProvider in the class",
			"%s asks for the provider %s, which this Octavia does not have", u.Where, name)
	}
	if len(good) > 0 {
		j.ok("provider", "Octavia has %s", strings.Join(good, ", "))
	}
}

// extension is one of Neutron that something needs.
type extension struct {
	alias string
	// needed tells whether it is needed by the uses that there are; nil is always.
	needed  func(*judge) bool
	state   State // where it is missing
	without string
	remedy  string
}

var extensions = []extension{
	{"router", (*judge).floating, Problem, "there are no floating IPs", "make the load balancers internal: internal-lb = true in [LoadBalancer]"},
	{"standard-attr-description", (*judge).floating, Problem, "floating IPs have no description, by which they are found again", "ask the cloud's operator to switch it on"},
	{"security-group", (*judge).managed, Problem, "there are no security groups to let load balancers in", "set manage-security-groups = false in [LoadBalancer]"},
	{"standard-attr-revisions", (*judge).managed, Warning, "somebody else's change of a port's security groups at the same moment could be lost", "ask the cloud's operator to switch it on"},
	{"revision-if-match", (*judge).managed, Warning, "somebody else's change of a port's security groups at the same moment could be lost", "ask the cloud's operator to switch it on"},
	{"standard-attr-tag", (*judge).managed, Warning, "security groups carry no tags", ""},
}

func (j *judge) extensions() {
	there := j.Cloud.Extensions.Value
	if j.unread("extensions", j.Cloud.Extensions.Err) {
		return
	}
	var good []string
	for _, e := range extensions {
		switch {
		case there[e.alias]:
			good = append(good, e.alias)
		case e.needed == nil || e.needed(j):
			j.add("extensions", e.state, e.remedy, "Neutron lacks %s: %s", e.alias, e.without)
		}
	}
	if len(good) > 0 {
		j.ok("extensions", "Neutron has %s", strings.Join(good, ", "))
	}
}

// keepsClient tells whether packets arrive at the nodes with the client's address, as
// the OVN provider sends them: then the nodes' security groups meet all clients.
func keepsClient(o *lb.CloudOptions) bool { return o.Provider == "ovn" }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
