package doctor

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

func cidr(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// healthy are the facts of a cloud and a cluster where nothing is wrong.
func healthy() *Facts {
	everything := make(map[string]bool)
	for _, e := range extensions {
		everything[e.alias] = true
	}
	quota := make(map[string]Quota)
	for _, r := range resources {
		quota[r.name] = Quota{Limit: 100, Used: 3}
	}
	port := func(id, node, address string) neutron.Port {
		return neutron.Port{ID: id, Node: node, NetworkID: "net", PortSecurity: true, Groups: []string{"group"},
			FixedIPs: []neutron.FixedIP{{Address: netip.MustParseAddr(address), SubnetID: "nodes"}}}
	}
	node := func(name, address string) lb.Node {
		return lb.Node{Name: name, Alive: true, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	options := lb.CloudOptions{Provider: "amphora", SecurityGroups: true, Subnet: "vips", FloatingNetwork: "external"}
	return &Facts{
		Source: "Secret fairlead-system/openstack",
		Uses:   []Use{{Where: `LoadBalancerClass "public"`, Options: options}},
		Cluster: Cluster{UID: "uid", Nodes: []lb.Node{node("node-1", "10.0.0.11"), node("node-2", "10.0.0.12")}, Services: []Service{{
			Service: lb.Service{Key: lb.Key{Namespace: "shop", Name: "web"}, UID: "1", LoadBalancer: true, Families: []lb.Family{lb.IPv4},
				Ports: []lb.Port{{Protocol: "TCP", Number: 80}}, NodePorts: []uint16{30080}},
			Options: options,
		}}},
		Cloud: &Cloud{
			Name: "project p at keystone", Roles: []string{"load-balancer_member"},
			Version:       Answer[access.Version]{Value: access.Version{Major: 2, Minor: 26}},
			Extensions:    Answer[map[string]bool]{Value: everything},
			Providers:     Answer[[]string]{Value: []string{"amphora", "ovn"}},
			BalancerQuota: Answer[map[string]Quota]{Value: quota},
			NetworkQuota:  Answer[map[string]Quota]{Value: quota},
			External:      Answer[[]neutron.Network]{Value: []neutron.Network{{ID: "external", Name: "public", External: true, Subnets: []string{"pool"}}}},
			Subnets: Answer[[]neutron.Subnet]{Value: []neutron.Subnet{
				{ID: "pool", NetworkID: "external", CIDR: cidr("203.0.113.0/24")}, {ID: "vips", NetworkID: "net", CIDR: cidr("10.1.0.0/24")},
				{ID: "nodes", NetworkID: "net", CIDR: cidr("10.0.0.0/24")},
			}},
			NodePorts: Answer[map[string]neutron.Port]{Value: map[string]neutron.Port{"node-1": port("p1", "node-1", "10.0.0.11"), "node-2": port("p2", "node-2", "10.0.0.12")}},
			Groups:    Answer[[]Group]{Value: []Group{{ID: "group", Name: "default"}}},
			Routers:   Answer[[]Router]{Value: []Router{{ID: "r", External: "external", Subnets: []string{"vips"}}}},
		},
	}
}

// unmanaged leaves security groups to the user.
func unmanaged(f *Facts) {
	f.Uses[0].Options.SecurityGroups = false
	f.Cluster.Services[0].Options.SecurityGroups = false
}

func rule(protocol string, low, high uint16, remote string) Rule {
	return Rule{Family: lb.IPv4, Protocol: protocol, PortMin: low, PortMax: high, Remote: cidr(remote)}
}

func allow(f *Facts, rules ...Rule) { f.Cloud.Groups.Value[0].Rules = rules }

func TestNothingIsWrongWithAHealthyCloud(t *testing.T) {
	for _, f := range Judge(healthy()) {
		if f.State != OK || f.Remedy != "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestEveryFactIsJudged(t *testing.T) {
	denied := access.Failure{Kind: access.Denied, Status: 403, Message: "Policy does not allow this (HTTP 403)"}
	for _, c := range []struct {
		name  string
		facts func(*Facts)
		check string
		state State
		want  string // in detail and remedy
	}{
		{"no configuration", func(f *Facts) { f.Unread = lb.Refuse(lb.SecretMissing, "create it", "there is none") }, "configuration", Problem, "there is none: create it"},
		{"options that contradict themselves", func(f *Facts) { f.Uses[0].Refusal = lb.Refuse(lb.BadOption, "take it out", "no") }, "options", Problem, `LoadBalancerClass "public": no: take it out`},
		{"no cluster", func(f *Facts) { f.Cluster.Unread = errors.New("gone") }, "cluster", Unknown, "gone"},
		{"refused credentials", func(f *Facts) { f.SignIn, f.Cloud = denied, nil }, "sign-in", Problem, "renew the credentials"},
		{"no way to Keystone", func(f *Facts) {
			f.SignIn, f.Cloud = access.Failure{Kind: access.Unreachable, Message: "no answer"}, nil
		}, "sign-in", Problem, "auth-url"},
		{"a user who may not look", func(f *Facts) { f.Cloud.Balancers.Err, f.Cloud.Roles = denied, []string{"member"} }, "role", Problem, "may not even list load balancers; its roles are: member"},
		{"a user who may only look", func(f *Facts) { f.Cloud.Roles = []string{"load-balancer_observer", "reader"} }, "role", Problem, "may look and make nothing"},
		{"a role of a policy of the cloud's own", func(f *Facts) { f.Cloud.Roles = []string{"member", "reader"} }, "role", OK, "may list load balancers"},
		{"roles that the token does not tell", func(f *Facts) { f.Cloud.Roles = nil }, "role", OK, "may list"},
		{"an old API", func(f *Facts) { f.Cloud.Version.Value.Minor = 20 }, "API version", OK, "SCTP (v2.23)"},
		{"an API without tags", func(f *Facts) { f.Cloud.Version.Value.Minor = 4 }, "API version", Problem, "Stein"},
		{"another provider", func(f *Facts) { f.Uses[0].Options.Provider = "f5" }, "provider", Problem, "write one of amphora, ovn"},
		{"no floating IPs in Neutron", func(f *Facts) { f.Cloud.Extensions.Value["router"] = false }, "extensions", Problem, "internal-lb = true"},
		{"no security groups in Neutron", func(f *Facts) { f.Cloud.Extensions.Value["security-group"] = false }, "extensions", Problem, "manage-security-groups = false"},
		{"no revisions in Neutron", func(f *Facts) { f.Cloud.Extensions.Value["revision-if-match"] = false }, "extensions", Warning, "could be lost"},
		{"one load balancer left for two", func(f *Facts) { f.Cloud.BalancerQuota.Value["load_balancer"] = Quota{Limit: 4, Used: 3} }, "quota", Problem, `the Service that waits and one more would need 2 more: have Octavia's quota "load_balancer" raised to 5`},
		{"one load balancer left for one", func(f *Facts) {
			f.Cluster.Services[0].Built = true
			f.Cloud.BalancerQuota.Value["load_balancer"] = Quota{Limit: 4, Used: 3}
		}, "quota", OK, "load balancers 3 of 4"},
		{"members of all nodes", func(f *Facts) { f.Cloud.BalancerQuota.Value["member"] = Quota{Limit: 6, Used: 3} }, "quota", Problem, "members: 3 of 6, and the Service that waits and one more would need 4 more"},
		{"no floating IP left", func(f *Facts) { f.Cloud.NetworkQuota.Value["floatingip"] = Quota{Limit: 3, Used: 3} }, "quota", Problem, "floating IPs: 3 of 3"},
		{"no security group left", func(f *Facts) { f.Cloud.NetworkQuota.Value["security_group"] = Quota{Limit: 3, Used: 3} }, "quota", Problem, "security groups: 3 of 3"},
		{"the group is there already", func(f *Facts) {
			f.Cloud.Groups.Value[0].Name = neutron.ClusterGroupName("uid")
			f.Cloud.NetworkQuota.Value["security_group"] = Quota{Limit: 3, Used: 3}
		}, "quota", OK, "security groups 3 of 3"},
		{"nobody tells what is used", func(f *Facts) { f.Cloud.NetworkQuota.Value["floatingip"] = Quota{Limit: 50, Used: -1} }, "quota", OK, "floating IPs at most 50"},
		{"no external network", func(f *Facts) { f.Cloud.External.Value = nil }, "floating IPs", Problem, "the project sees none"},
		{"a pattern that matches nothing", func(f *Facts) { f.Uses[0].Options.FloatingSubnet.Name = "x*" }, "floating IPs", Problem, "matches"},
		{"internal load balancers only", func(f *Facts) { f.Uses[0].Options.Internal, f.Cloud.External.Value = true, nil }, "floating IPs", OK, "none are needed"},
		{"no router to the external network", func(f *Facts) { f.Cloud.Routers.Value[0].Subnets = nil }, "router", Warning, "openstack router add subnet ROUTER vips"},
		{"a router to another network", func(f *Facts) { f.Cloud.Routers.Value[0].External = "other" }, "router", Warning, "Neutron refuses floating IPs"},
		{"a network that is not there", func(f *Facts) { f.Uses[0].Options.Network = "net9" }, "ids", Problem, `LoadBalancerClass "public" names the network net9, which is not there`},
		{"a subnet of a Service that is not there", func(f *Facts) { f.Cluster.Services[0].Options.Subnet = "sub9" }, "ids", Problem, "Service shop/web names the subnet sub9"},
		{"a flavor that is disabled", func(f *Facts) {
			f.Uses[0].Options.Flavor, f.Cloud.Flavors.Value = "ha", map[string]bool{"ha": false}
		}, "ids", Problem, "the flavor ha, which is disabled"},
		{"flavors that cannot be read", func(f *Facts) { f.Uses[0].Options.Flavor, f.Cloud.Flavors.Err = "ha", denied }, "flavor ha", Unknown, "HTTP 403"},
		{"a node that is no port", func(f *Facts) { delete(f.Cloud.NodePorts.Value, "node-2") }, "nodes", Warning, "found 1 node as ports of this project, and not node-2"},
		{"no node that is a port", func(f *Facts) { f.Cloud.NodePorts.Value = nil }, "nodes", Problem, "spec.providerID"},
		{"all nodes excluded", func(f *Facts) { f.Cluster.Nodes[0].Excluded, f.Cluster.Nodes[1].Excluded = true, true }, "nodes", Problem, "exclude-from-external"},
		{"a port without port security", func(f *Facts) {
			p := f.Cloud.NodePorts.Value["node-1"]
			p.PortSecurity = false
			f.Cloud.NodePorts.Value["node-1"] = p
		}, "port security", OK, "node-1"},
		{"closed node ports", unmanaged, "node ports", Problem, "shop/web: the security groups of node-1, node-2 do not let in tcp 30080 from 10.0.0.0/24"},
		{"open to the VIPs' subnet, while members are in the nodes' own", func(f *Facts) { unmanaged(f); allow(f, rule("tcp", 30000, 32767, "10.1.0.0/24")) }, "node ports", Problem, "from 10.0.0.0/24"},
		{"open to the members' subnet that is named", func(f *Facts) {
			unmanaged(f)
			f.Uses[0].Options.MemberSubnet, f.Cluster.Services[0].Options.MemberSubnet = "vips", "vips"
			allow(f, rule("tcp", 30000, 32767, "10.1.0.0/24"))
		}, "node ports", OK, "let load balancers in to the node ports 30000 to 32767"},
		{"open for this Service alone", func(f *Facts) { unmanaged(f); allow(f, rule("tcp", 30080, 30080, "10.0.0.0/16")) }, "node ports", Warning, "a new Service of LoadBalancerClass"},
		{"open by a rule for all protocols", func(f *Facts) { unmanaged(f); allow(f, rule("", 0, 65535, "0.0.0.0/0")) }, "node ports", OK, "let load balancers in"},
		{"open for another protocol", func(f *Facts) { unmanaged(f); allow(f, rule("udp", 0, 65535, "0.0.0.0/0")) }, "node ports", Problem, "tcp 30080"},
		{"open to the group itself only", func(f *Facts) { unmanaged(f); allow(f, Rule{Family: lb.IPv4, PortMax: 65535}) }, "node ports", Problem, "tcp 30080"},
		{"open to the subnet, for a provider that keeps the client's address", func(f *Facts) {
			unmanaged(f)
			f.Uses[0].Options.Provider, f.Cluster.Services[0].Options.Provider = "ovn", "ovn"
			allow(f, rule("tcp", 30000, 32767, "10.0.0.0/16"))
		}, "node ports", Problem, "tcp 30080 from 0.0.0.0/0"},
		{"a Service that is refused", func(f *Facts) {
			f.Cluster.Services[0].Refusal = lb.Refuse(lb.PortTaken, "change it", "port 80 is taken")
		}, "Services", Problem, "shop/web: PortTaken: port 80 is taken: change it"},
		{"Services that nobody could plan for", func(f *Facts) { f.Cluster.Unplanned = denied }, "Services", Unknown, "HTTP 403"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := healthy()
			c.facts(f)
			all := Judge(f)
			if !slices.ContainsFunc(all, func(x Finding) bool {
				return x.Check == c.check && x.State == c.state && strings.Contains(x.String(), c.want)
			}) {
				t.Errorf("no %s of %s with %q in %+v", c.state, c.check, c.want, all)
			}
			problems := 0
			for _, x := range all {
				if x.State == Problem {
					problems++
				}
				if x.State == Problem && x.Remedy == "" {
					t.Errorf("a problem without a remedy: %+v", x)
				}
			}
			if Failing(all) != problems || c.state == OK && problems > 0 {
				t.Errorf("%d problems in %+v", problems, all)
			}
		})
	}
}

func TestARuleIsReadAsNeutronMeansIt(t *testing.T) {
	want := neutron.Rule{Family: lb.IPv4, Protocol: "tcp", PortMin: 30080, PortMax: 30080, Remote: cidr("10.0.0.0/24")}
	for text, lets := range map[string]bool{
		`{"ethertype": "IPv4", "protocol": "tcp", "port_range_min": 30000, "port_range_max": 32767, "remote_ip_prefix": "10.0.0.0/8"}`: true,
		`{"ethertype": "IPv4", "protocol": "6", "port_range_min": 30080, "port_range_max": 30080, "remote_ip_prefix": "10.0.0.0/24"}`:  true,
		`{"ethertype": "IPv4", "protocol": null, "port_range_min": null, "port_range_max": null, "remote_ip_prefix": null}`:            true,
		`{"ethertype": "IPv4", "protocol": "any", "remote_ip_prefix": "0.0.0.0/0"}`:                                                    true,
		`{"ethertype": "IPv6", "protocol": null, "remote_ip_prefix": null}`:                                                            false,
		`{"ethertype": "IPv4", "protocol": null, "remote_group_id": "g"}`:                                                              false,
		`{"ethertype": "IPv4", "protocol": null, "remote_address_group_id": "g"}`:                                                      false,
		`{"ethertype": "IPv4", "protocol": "tcp", "remote_ip_prefix": "10.0.0.0/25"}`:                                                  false,
		`{"ethertype": "IPv4", "protocol": "icmp", "remote_ip_prefix": null}`:                                                          false,
		`{"ethertype": "IPv4", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": null}`:               false,
	} {
		var w wireRule
		if err := json.Unmarshal([]byte(text), &w); err != nil {
			t.Fatal(err)
		}
		if r := w.rule(); r.covers(want) != lets {
			t.Errorf("%s, read as %+v, lets %s in: %v, want %v", text, r, want, !lets, lets)
		}
	}
}
