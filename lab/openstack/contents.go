package openstack

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Contents is what project "lab" has made: all that a program in its name could have
// left behind. Nodes, the network and the group "default" are not in it.
type Contents struct {
	LoadBalancers  []LoadBalancer
	FloatingIPs    []FloatingIP
	SecurityGroups []SecurityGroup
	// Ports in the tenant network that are no node's and no router's, such as VIPs.
	Ports []Port
}

// LoadBalancer is one of Octavia's.
type LoadBalancer struct {
	ID, Name, Description, Provider string
	Status                          string     `json:"provisioning_status"`
	VIP                             netip.Addr `json:"vip_address"`
	VIPPort                         string     `json:"vip_port_id"`
	Tags                            []string
	Tree                            []Listener `json:"-"`
}

// Listener is one of a load balancer, with what is behind it.
type Listener struct {
	ID, Name     string
	Protocol     string
	Port         int      `json:"protocol_port"`
	Status       string   `json:"provisioning_status"`
	AllowedCIDRs []string `json:"allowed_cidrs"`
	Pools        []Pool   `json:"-"`
}

// Pool is what a listener sends to.
type Pool struct {
	ID, Name string
	Members  []Member
	Monitor  struct{ ID, Type string } `json:"health_monitor"`
}

// Member is one node of a pool.
type Member struct {
	ID      string
	Address netip.Addr
	Port    int `json:"protocol_port"`
}

// FloatingIP is one of Neutron's.
type FloatingIP struct {
	ID, Description string
	Address         netip.Addr `json:"floating_ip_address"`
	Port            string     `json:"port_id"`
	// Fixed is the address that it leads to, empty while it leads nowhere.
	Fixed string `json:"fixed_ip_address"`
}

// SecurityGroup is one of Neutron's, with its rules that let something in.
type SecurityGroup struct {
	ID, Name string
	Rules    []Rule   `json:"security_group_rules"`
	Nodes    []string `json:"-"` // that are in it
}

// Rule lets something in. A port of nil is all of them.
type Rule struct {
	ID        string
	Direction string
	EtherType string
	Protocol  string
	From      *int   `json:"port_range_min"`
	To        *int   `json:"port_range_max"`
	Prefix    string `json:"remote_ip_prefix"`
}

// Port is one of Neutron's.
type Port struct {
	ID, Name string
	Owner    string   `json:"device_owner"`
	Groups   []string `json:"security_groups"`
}

// Contents reads what project "lab" has made.
func (c *Cloud) Contents(ctx context.Context) (Contents, error) {
	// The administrator sees ports of Octavia's in the tenant's network, too.
	s, err := login(ctx, c.Admin)
	if err != nil {
		return Contents{}, err
	}
	out, err := s.contents(ctx, c)
	if err != nil {
		return Contents{}, fmt.Errorf("read what is in the project: %w", err)
	}
	return out, nil
}

func (s session) contents(ctx context.Context, c *Cloud) (out Contents, err error) {
	if out.LoadBalancers, err = s.loadBalancers(ctx, c.Lab.ProjectID); err != nil {
		return out, err
	}
	ours := url.Values{"project_id": {c.Lab.ProjectID}}.Encode()
	var floats struct{ FloatingIPs []FloatingIP }
	if err := s.call(ctx, http.MethodGet, neutronURL+"/v2.0/floatingips?"+ours, nil, &floats); err != nil {
		return out, err
	}
	var groups struct {
		SecurityGroups []SecurityGroup `json:"security_groups"`
	}
	if err := s.call(ctx, http.MethodGet, neutronURL+"/v2.0/security-groups?"+ours, nil, &groups); err != nil {
		return out, err
	}
	var ports struct{ Ports []Port }
	there := url.Values{"network_id": {c.Tenant.ID}}.Encode()
	if err := s.call(ctx, http.MethodGet, neutronURL+"/v2.0/ports?"+there, nil, &ports); err != nil {
		return out, err
	}
	out.FloatingIPs = floats.FloatingIPs
	out.SecurityGroups = slices.DeleteFunc(groups.SecurityGroups, func(g SecurityGroup) bool {
		// Octavia's amphora driver keeps one a load balancer, in the tenant's project.
		return g.Name == "default" || strings.HasPrefix(g.Name, "lb-") && slices.ContainsFunc(out.LoadBalancers, func(l LoadBalancer) bool { return g.Name == "lb-"+l.ID })
	})
	out.place(ports.Ports)
	out.sort()
	return out, nil
}

// place tells nodes from other ports.
func (out *Contents) place(ports []Port) {
	for _, p := range ports {
		if p.Owner == nodeOwner {
			for i := range out.SecurityGroups {
				g := &out.SecurityGroups[i]
				if slices.Contains(p.Groups, g.ID) {
					g.Nodes = append(g.Nodes, p.Name)
				}
			}
			continue
		}
		if !strings.HasPrefix(p.Owner, "network:") {
			out.Ports = append(out.Ports, p)
		}
	}
	for i := range out.SecurityGroups {
		g := &out.SecurityGroups[i]
		slices.Sort(g.Nodes)
		g.Rules = slices.DeleteFunc(g.Rules, func(r Rule) bool { return r.Direction != "ingress" })
	}
}

func (out *Contents) sort() {
	slices.SortFunc(out.LoadBalancers, func(x, y LoadBalancer) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	slices.SortFunc(out.FloatingIPs, func(x, y FloatingIP) int { return x.Address.Compare(y.Address) })
	slices.SortFunc(out.SecurityGroups, func(x, y SecurityGroup) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	slices.SortFunc(out.Ports, func(x, y Port) int { return cmp.Compare(x.ID, y.ID) })
	for i := range out.SecurityGroups {
		slices.SortFunc(out.SecurityGroups[i].Rules, func(x, y Rule) int { return cmp.Compare(x.String(), y.String()) })
	}
}

func (s session) loadBalancers(ctx context.Context, project string) ([]LoadBalancer, error) {
	var reply struct{ LoadBalancers []LoadBalancer }
	if err := s.call(ctx, http.MethodGet, octaviaURL+"/v2/lbaas/loadbalancers?"+url.Values{"project_id": {project}}.Encode(), nil, &reply); err != nil {
		return nil, err
	}
	var out []LoadBalancer
	for _, l := range reply.LoadBalancers {
		err := s.readTree(ctx, &l)
		if isStatus(err, http.StatusNotFound) {
			continue // it went between the two reads
		}
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// readTree reads what is below a load balancer. Its tree of statuses has all of it but
// what listeners are, in one call.
func (s session) readTree(ctx context.Context, l *LoadBalancer) error {
	var tree struct {
		Statuses struct {
			LoadBalancer struct {
				Listeners []struct {
					ID    string
					Pools []Pool
				}
			}
		}
	}
	if err := s.call(ctx, http.MethodGet, octaviaURL+"/v2/lbaas/loadbalancers/"+l.ID+"/status", nil, &tree); err != nil {
		return err
	}
	var reply struct{ Listeners []Listener }
	if err := s.call(ctx, http.MethodGet, octaviaURL+"/v2/lbaas/listeners?"+url.Values{"load_balancer_id": {l.ID}}.Encode(), nil, &reply); err != nil {
		return err
	}
	l.Tree = reply.Listeners
	for _, branch := range tree.Statuses.LoadBalancer.Listeners {
		if i := slices.IndexFunc(l.Tree, func(x Listener) bool { return x.ID == branch.ID }); i >= 0 {
			l.Tree[i].Pools = branch.Pools
		}
	}
	slices.SortFunc(l.Tree, func(x, y Listener) int {
		return cmp.Or(cmp.Compare(x.Port, y.Port), cmp.Compare(x.Protocol, y.Protocol))
	})
	for _, x := range l.Tree {
		for _, p := range x.Pools {
			slices.SortFunc(p.Members, func(x, y Member) int { return x.Address.Compare(y.Address) })
		}
	}
	return nil
}

// Without leaves out what was there before.
func (out Contents) Without(before Contents) Contents {
	return Contents{
		LoadBalancers:  except(out.LoadBalancers, before.LoadBalancers, func(x LoadBalancer) string { return x.ID }),
		FloatingIPs:    except(out.FloatingIPs, before.FloatingIPs, func(x FloatingIP) string { return x.ID }),
		SecurityGroups: except(out.SecurityGroups, before.SecurityGroups, func(x SecurityGroup) string { return x.ID }),
		Ports:          except(out.Ports, before.Ports, func(x Port) string { return x.ID }),
	}
}

func except[T any](all, some []T, id func(T) string) []T {
	known := make(map[string]bool, len(some))
	for _, x := range some {
		known[id(x)] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return known[id(x)] })
}

// Empty tells that the project has nothing of its own.
func (out Contents) Empty() bool {
	return len(out.LoadBalancers)+len(out.FloatingIPs)+len(out.SecurityGroups)+len(out.Ports) == 0
}

// String shows it as a tree.
func (out Contents) String() string {
	var b strings.Builder
	for _, l := range out.LoadBalancers {
		fmt.Fprintf(&b, "load balancer %s  %s, provider %s, VIP %s\n", l.Name, l.Status, l.Provider, l.VIP)
		for _, x := range l.Tree {
			fmt.Fprintf(&b, "  listener %s %d", x.Protocol, x.Port)
			if len(x.AllowedCIDRs) > 0 {
				fmt.Fprintf(&b, " from %s", strings.Join(x.AllowedCIDRs, ", "))
			}
			b.WriteByte('\n')
			for _, p := range x.Pools {
				p.write(&b)
			}
		}
	}
	for _, f := range out.FloatingIPs {
		fmt.Fprintf(&b, "floating IP %s -> %s\n", f.Address, cmp.Or(f.Fixed, "nowhere"))
	}
	for _, g := range out.SecurityGroups {
		fmt.Fprintf(&b, "security group %s  on %s\n", g.Name, cmp.Or(strings.Join(g.Nodes, ", "), "no node"))
		for _, r := range g.Rules {
			fmt.Fprintf(&b, "  %s\n", r)
		}
	}
	for _, p := range out.Ports {
		fmt.Fprintf(&b, "port %s  %s\n", cmp.Or(p.Name, p.ID), p.Owner)
	}
	return b.String()
}

func (p Pool) write(b *strings.Builder) {
	var members []string
	for _, m := range p.Members {
		members = append(members, netip.AddrPortFrom(m.Address, uint16(m.Port)).String())
	}
	fmt.Fprintf(b, "    members %s", cmp.Or(strings.Join(members, ", "), "none"))
	if p.Monitor.Type != "" {
		fmt.Fprintf(b, ", health monitor %s", p.Monitor.Type)
	}
	b.WriteByte('\n')
}

// String is what the rule lets in.
func (r Rule) String() string {
	ports := "all ports"
	if r.From != nil && r.To != nil {
		ports = fmt.Sprintf("%d", *r.From)
		if *r.From != *r.To {
			ports = fmt.Sprintf("%d-%d", *r.From, *r.To)
		}
	}
	return fmt.Sprintf("lets in %s %s from %s", strings.ToUpper(cmp.Or(r.Protocol, "all")), ports, cmp.Or(r.Prefix, "anywhere"))
}
