package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// floatingIPs says for every use where its floating IPs would come from.
func (j *judge) floatingIPs() {
	if !j.floating() {
		j.ok("floating IPs", "none are needed: all load balancers are internal")
		return
	}
	if j.unread("floating IPs", j.Cloud.External.Err) || j.unread("floating IPs", j.Cloud.Subnets.Err) {
		return
	}
	told := make(map[string]bool)
	for _, u := range j.Uses {
		if u.Options.Internal || u.Refusal != nil {
			continue
		}
		network, subnets, refusal := neutron.ChooseFloating(j.Cloud.External.Value, j.Cloud.Subnets.Value, &u.Options)
		if refusal != nil {
			j.refused("floating IPs", refusal, u.Where+": ")
			continue
		}
		line := "from network " + j.network(network)
		if len(subnets) > 0 {
			names := make([]string, len(subnets))
			for i, id := range subnets {
				names[i] = j.subnet(id)
			}
			line += ", subnet " + strings.Join(names, " or ")
		}
		if !told[line] {
			told[line] = true
			j.ok("floating IPs", "%s: %s", u.Where, line)
		}
	}
}

func (j *judge) network(id string) string {
	for _, n := range j.Cloud.External.Value {
		if n.ID == id {
			return n.String()
		}
	}
	return id
}

func (j *judge) subnet(id string) string {
	for _, s := range j.Cloud.Subnets.Value {
		if s.ID == id {
			return fmt.Sprintf("%s, %s", s, s.CIDR)
		}
	}
	return id
}

// routers looks for one that joins the VIPs' subnet to the floating IPs' network:
// without it, Neutron refuses floating IPs (ExternalGatewayForFloatingIPNotFound). One
// of another project, behind a shared network, cannot be seen.
func (j *judge) routers() {
	if j.Cloud.Routers.Err != nil || j.Cloud.External.Err != nil || j.Cloud.Subnets.Err != nil {
		return
	}
	told := make(map[string]bool)
	for _, u := range j.Uses {
		external, _, refusal := neutron.ChooseFloating(j.Cloud.External.Value, j.Cloud.Subnets.Value, &u.Options)
		subnet, ok := j.vipSubnet(&u.Options, lb.IPv4)
		if u.Options.Internal || u.Refusal != nil || refusal != nil || !ok || told[subnet.ID+external] {
			continue
		}
		told[subnet.ID+external] = true
		joined := slices.ContainsFunc(j.Cloud.Routers.Value, func(r Router) bool {
			return r.External == external && slices.Contains(r.Subnets, subnet.ID)
		})
		if joined {
			j.ok("router", "subnet %s reaches network %s", subnet, j.network(external))
			continue
		}
		j.add("router", Warning, "add the subnet to one: openstack router add subnet ROUTER "+subnet.ID,
			"no router that the project sees joins subnet %s to network %s; without one, Neutron refuses floating IPs", subnet, j.network(external))
	}
}

// vipSubnet is where a load balancer's VIP is put.
func (j *judge) vipSubnet(o *lb.CloudOptions, family lb.Family) (neutron.Subnet, bool) {
	network := o.Network
	for _, s := range j.Cloud.Subnets.Value {
		switch {
		case s.ID == o.Subnet && lb.FamilyOf(s.CIDR.Addr()) == family:
			return s, true
		case s.ID == o.Subnet:
			network = s.NetworkID
		}
	}
	if network != "" {
		return j.subnetWhere(func(s *neutron.Subnet) bool {
			return s.NetworkID == network && lb.FamilyOf(s.CIDR.Addr()) == family
		})
	}
	return j.nodeSubnet(family)
}

// nodeSubnet is the one of the first node that has an address of the family.
func (j *judge) nodeSubnet(family lb.Family) (neutron.Subnet, bool) {
	for _, n := range j.Cluster.Nodes {
		for _, ip := range j.Cloud.NodePorts.Value[n.Name].FixedIPs {
			if lb.FamilyOf(ip.Address) != family || !slices.Contains(n.Addresses, ip.Address) {
				continue
			}
			return j.subnetWhere(func(s *neutron.Subnet) bool { return s.ID == ip.SubnetID })
		}
	}
	return neutron.Subnet{}, false
}

func (j *judge) subnetWhere(is func(*neutron.Subnet) bool) (neutron.Subnet, bool) {
	for i := range j.Cloud.Subnets.Value {
		if is(&j.Cloud.Subnets.Value[i]) {
			return j.Cloud.Subnets.Value[i], true
		}
	}
	return neutron.Subnet{}, false
}

// via are the subnets from which a load balancer speaks to the nodes: the members'
// where they are named, or else the nodes' own, where the driver puts the members.
func (j *judge) via(s *lb.Service, o *lb.CloudOptions) []netip.Prefix {
	var out []netip.Prefix
	for _, family := range s.Families {
		from, ok := j.subnetWhere(func(s *neutron.Subnet) bool {
			return s.ID == o.MemberSubnet && lb.FamilyOf(s.CIDR.Addr()) == family
		})
		if !ok {
			from, ok = j.nodeSubnet(family)
		}
		if !ok {
			from, ok = j.vipSubnet(o, family)
		}
		if ok {
			out = append(out, from.CIDR)
		}
	}
	return out
}

// kind of thing that options name by an id.
type kind struct {
	what  string
	named func(*lb.CloudOptions) []string
	there func(*Cloud) (there map[string]bool, err error) // and whether it is enabled
}

var kinds = []kind{
	{"network", func(o *lb.CloudOptions) []string { return []string{o.Network} },
		func(c *Cloud) (map[string]bool, error) { return set(c.Networks.Value), c.Networks.Err }},
	{"subnet", func(o *lb.CloudOptions) []string { return []string{o.Subnet, o.MemberSubnet} },
		func(c *Cloud) (map[string]bool, error) {
			there := make(map[string]bool, len(c.Subnets.Value))
			for _, s := range c.Subnets.Value {
				there[s.ID] = true
			}
			return there, c.Subnets.Err
		}},
	{"port", func(o *lb.CloudOptions) []string { return []string{o.Port} },
		func(c *Cloud) (map[string]bool, error) { return set(c.Ports.Value), c.Ports.Err }},
	{"flavor", func(o *lb.CloudOptions) []string { return []string{o.Flavor} },
		func(c *Cloud) (map[string]bool, error) { return c.Flavors.Value, c.Flavors.Err }},
	{"availability zone", func(o *lb.CloudOptions) []string { return []string{o.AvailabilityZone} },
		func(c *Cloud) (map[string]bool, error) { return c.Zones.Value, c.Zones.Err }},
}

func set(ids []string) map[string]bool {
	out := make(map[string]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out
}

// named finds out whether what the options name is there.
func (j *judge) named() {
	var good []string
	all := j.All()
	for _, k := range kinds {
		there, err := k.there(j.Cloud)
		seen := make(map[string]bool)
		for _, u := range all {
			for _, id := range k.named(&u.Options) {
				if id == "" || seen[id] {
					continue
				}
				seen[id] = true
				enabled, is := there[id]
				switch {
				case err != nil:
					j.unread(k.what+" "+id, err)
				case !is:
					j.add("ids", Problem, "write the id of one that the project sees: openstack "+k.command()+" list", "%s names the %s %s, which is not there", u.Where, k.what, id)
				case !enabled:
					j.add("ids", Problem, "choose another, or ask the cloud's operator", "%s names the %s %s, which is disabled", u.Where, k.what, id)
				default:
					good = append(good, k.what+" "+id)
				}
			}
		}
	}
	if len(good) > 0 {
		j.ok("ids", "there are %s", strings.Join(good, ", "))
	}
}

// command is how the openstack client calls it.
func (k kind) command() string {
	switch k.what {
	case "flavor":
		return "loadbalancer flavor"
	case "availability zone":
		return "loadbalancer availabilityzone"
	}
	return k.what
}
