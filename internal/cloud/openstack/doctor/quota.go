package doctor

import (
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// resource is something that a project may have so much of.
type resource struct {
	name, words string
	octavia     bool // counted by Octavia, not by Neutron
}

var resources = []resource{
	{name: "load_balancer", words: "load balancers", octavia: true},
	{name: "listener", words: "listeners", octavia: true},
	{name: "pool", words: "pools", octavia: true},
	{name: "member", words: "members", octavia: true},
	{name: "health_monitor", words: "health monitors", octavia: true},
	{name: "port", words: "ports"},
	{name: "floatingip", words: "floating IPs"},
	{name: "security_group", words: "security groups"},
	{name: "security_group_rule", words: "security group rules"},
}

// need is how much is needed, by resource.
type need map[string]int

// quotas compares what is left with what the Services without a load balancer need,
// and one more Service.
func (j *judge) quotas() {
	needs, waiting := j.needs()
	for _, of := range []struct {
		answer  Answer[map[string]Quota]
		octavia bool
		service string
	}{{j.Cloud.BalancerQuota, true, "Octavia"}, {j.Cloud.NetworkQuota, false, "Neutron"}} {
		if j.unread(of.service+"'s quota", of.answer.Err) {
			continue
		}
		good := []string{}
		for _, r := range resources {
			q, told := of.answer.Value[r.name]
			if r.octavia != of.octavia || !told || q.Limit < 0 {
				continue
			}
			if q.enough(needs[r.name]) {
				good = append(good, r.words+" "+q.String())
				continue
			}
			j.add("quota", Problem, fmt.Sprintf("have %s's quota %q raised to %d, or delete what is not needed", of.service, r.name, max(q.Used, 0)+needs[r.name]),
				"%s: %s, and %s", r.words, q, wanted(needs[r.name], waiting))
		}
		if len(good) == 0 {
			good = append(good, "nothing else is limited")
		}
		j.ok("quota", "%s: %s", of.service, strings.Join(good, ", "))
	}
}

// enough tells whether n more fit.
func (q Quota) enough(n int) bool { return n == 0 || max(q.Used, 0)+n <= q.Limit }

func (q Quota) String() string {
	if q.Used < 0 {
		return fmt.Sprintf("at most %d", q.Limit)
	}
	return fmt.Sprintf("%d of %d", q.Used, q.Limit)
}

func wanted(n, waiting int) string {
	who := "one more Service"
	switch {
	case waiting == 1:
		who = "the Service that waits and one more"
	case waiting > 1:
		who = fmt.Sprintf("the %d Services that wait and one more", waiting)
	}
	return fmt.Sprintf("%s would need %d more", who, n)
}

// needs are for the Services that have no load balancer yet, and for one more of one
// TCP port as the first use has it.
func (j *judge) needs() (n need, waiting int) {
	n = need{}
	for i := range j.Cluster.Services {
		s := &j.Cluster.Services[i]
		if s.Built || s.Refusal != nil || s.Deleting || !s.LoadBalancer {
			continue
		}
		waiting++
		j.count(n, &s.Service, &s.Options)
	}
	if len(j.Uses) > 0 {
		j.count(n, &lb.Service{Families: []lb.Family{lb.IPv4}, Ports: []lb.Port{{Protocol: "TCP", Number: 80}}, NodePorts: []uint16{30000}}, &j.Uses[0].Options)
	}
	if n["security_group_rule"] > 0 && !j.hasGroup(neutron.ClusterGroupName(j.Cluster.UID)) {
		n["security_group"]++
		n["security_group_rule"] += 2 // that let everything out, which every new group has
	}
	return n, waiting
}

// count adds what one Service needs.
func (j *judge) count(n need, s *lb.Service, o *lb.CloudOptions) {
	nodes := 0
	for i := range j.Cluster.Nodes {
		if o.NodeSelector.Matches(j.Cluster.Nodes[i].Labels) && !j.Cluster.Nodes[i].Excluded {
			nodes++
		}
	}
	n["load_balancer"]++
	n["listener"] += len(s.Ports)
	n["pool"] += len(s.Ports)
	n["member"] += len(s.Ports) * nodes
	if o.Monitor != nil || s.Local && s.HealthCheckNodePort > 0 {
		n["health_monitor"] += len(s.Ports)
	}
	if o.Port == "" {
		n["port"]++
	}
	if !o.Internal && len(s.Families) > 0 && (s.Families[0] == lb.IPv4 || len(s.Families) > 1) && len(s.Request.Addresses) == 0 {
		n["floatingip"]++
	}
	if o.SecurityGroups {
		n["security_group_rule"] += len(neutron.RulesFor(s, o, j.via(s, o), keepsClient(o)))
	}
}

func (j *judge) hasGroup(name string) bool {
	for _, g := range j.Cloud.Groups.Value {
		if g.Name == name {
			return true
		}
	}
	return false
}
