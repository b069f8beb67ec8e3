package doctor

import (
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// nodes tells which of them have a port in Neutron.
func (j *judge) nodes() {
	if j.Cluster.Unread != nil || j.unread("nodes", j.Cloud.NodePorts.Err) {
		return
	}
	var missing, open []string
	all := 0
	for _, n := range j.Cluster.Nodes {
		if n.Excluded {
			continue // load balancers send nothing there
		}
		all++
		p, found := j.Cloud.NodePorts.Value[n.Name]
		switch {
		case !found:
			missing = append(missing, n.Name)
		case !p.PortSecurity:
			open = append(open, n.Name)
		}
	}
	found := all - len(missing)
	const remedy = "look whether their spec.providerID is openstack:///SERVER-ID, or whether their InternalIP is a port's address in this project"
	switch {
	case all == 0:
		j.add("nodes", Problem, "look at kubectl get nodes, and at the label node.kubernetes.io/exclude-from-external-load-balancers", "the cluster has none that may take connections")
	case found == 0 && j.need():
		j.add("nodes", Problem, remedy, "no node is a port of this project: %s", several(missing))
	case len(missing) > 0:
		j.add("nodes", Warning, remedy, "found %s as ports of this project, and not %s: load balancers reach those only by routing, and no security group is opened for them",
			count(found, "node"), several(missing))
	default:
		j.ok("nodes", "all %d are ports of this project", found)
	}
	if len(open) > 0 {
		j.ok("port security", "it is off on the ports of %s: nothing is closed there", several(open))
	}
}

// need tells whether something depends on the nodes' ports: where VIPs go, or whose
// security groups to keep.
func (j *judge) need() bool {
	return j.managed() || j.any(func(o *lb.CloudOptions) bool { return o.Subnet == "" && o.Network == "" && o.Port == "" })
}

// nodePorts finds out whether the nodes let load balancers in.
func (j *judge) nodePorts() {
	if j.Cluster.Unread != nil || j.Cloud.NodePorts.Err != nil || len(j.Cloud.NodePorts.Value) == 0 || j.unread("node ports", j.Cloud.Groups.Err) {
		return
	}
	open := 0
	for i := range j.Cluster.Services {
		s := &j.Cluster.Services[i]
		if s.Options.SecurityGroups || s.Refusal != nil || s.Deleting || !s.LoadBalancer {
			continue
		}
		if !j.closed(Problem, s.Key.String(), &s.Service, &s.Options) {
			open++
		}
	}
	if open > 0 {
		j.ok("node ports", "the nodes let the load balancers of %s in", count(open, "Service"))
	}
	told := make(map[string]bool)
	for _, u := range j.Uses {
		kept := "open"
		if !u.Options.SecurityGroups {
			kept = fmt.Sprint(j.via(next(), &u.Options), keepsClient(&u.Options))
		}
		if u.Refusal != nil || told[kept] {
			continue
		}
		told[kept] = true
		state := Problem
		if open > 0 {
			state = Warning // somebody opens what is needed, it seems
		}
		switch {
		case u.Options.SecurityGroups:
			j.ok("node ports", "%s: Fairlead opens them by security groups", u.Where)
		case !j.closed(state, "a new Service of "+u.Where, next(), &u.Options):
			j.ok("node ports", "%s: the nodes let load balancers in to the node ports %d to %d", u.Where, firstNodePort, lastNodePort)
		}
	}
}

// The default of the API server's --service-node-port-range, which only the API server
// knows.
const firstNodePort, lastNodePort = 30000, 32767

// next is a Service that may come.
func next() *lb.Service {
	return &lb.Service{Families: []lb.Family{lb.IPv4}, Ports: []lb.Port{{Protocol: "TCP"}}, NodePorts: []uint16{firstNodePort}}
}

// closed tells of what the nodes do not let in for a Service.
func (j *judge) closed(state State, who string, s *lb.Service, o *lb.CloudOptions) bool {
	rules := neutron.RulesFor(s, o, j.via(s, o), keepsClient(o))
	future := s.UID == ""
	closed := false
	for _, want := range rules {
		if future {
			want.PortMin, want.PortMax = firstNodePort, lastNodePort
		}
		var where []string
		for _, n := range j.Cluster.Nodes {
			if p, found := j.Cloud.NodePorts.Value[n.Name]; found && p.PortSecurity && serves(&n, o) && !j.lets(&p, want) {
				where = append(where, n.Name)
			}
		}
		if len(where) == 0 {
			continue
		}
		closed = true
		j.add("node ports", state, fmt.Sprintf("set manage-security-groups = true in [LoadBalancer], or securityGroups: Managed in the class; or openstack security group rule create --ingress --protocol %s --dst-port %s --remote-ip %s GROUP",
			want.Protocol, portRange(want), want.Remote), "%s: the security groups of %s do not let in %s", who, several(where), want)
	}
	return closed
}

// serves tells whether a node is a member.
func serves(n *lb.Node, o *lb.CloudOptions) bool {
	return !n.Excluded && o.NodeSelector.Matches(n.Labels)
}

// lets tells whether some group of a port has a rule that lets it in.
func (j *judge) lets(p *neutron.Port, want neutron.Rule) bool {
	for _, g := range j.Cloud.Groups.Value {
		if slices.Contains(p.Groups, g.ID) && slices.ContainsFunc(g.Rules, func(r Rule) bool { return r.covers(want) }) {
			return true
		}
	}
	return false
}

func portRange(r neutron.Rule) string {
	if r.PortMin == r.PortMax {
		return fmt.Sprint(r.PortMin)
	}
	return fmt.Sprintf("%d:%d", r.PortMin, r.PortMax)
}

// services tells of those that get nothing, or not what they ask for.
func (j *judge) services() {
	if j.Cluster.Unread != nil || j.unread("Services", j.Cluster.Unplanned) {
		return
	}
	good := 0
	for i := range j.Cluster.Services {
		s := &j.Cluster.Services[i]
		switch r := s.Refusal; {
		case r == nil:
			good++
		case r.Reason == lb.Building || r.Reason == lb.Deleting:
			good++
		default:
			j.add("Services", Problem, r.Remedy, "%s: %s: %s", s.Key, r.Reason, r.Detail)
		}
	}
	if good > 0 {
		j.ok("Services", "%s can have what is asked for", count(good, "Service"))
	}
}

// several names what there is, not too much of it.
func several(names []string) string {
	const enough = 5
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
}
