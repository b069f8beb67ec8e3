package neutron

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/lb"
)

// list reads all pages of a collection. Of the links between pages only the query
// counts: behind a proxy, hosts and schemes in them are often wrong. An answer without
// the collection is an error, since an empty cloud would be a reason to build.
func list[T any](ctx context.Context, client *gophercloud.ServiceClient, path, key string, q query) ([]T, error) {
	var out []T
	for search := q.string(); ; {
		var page map[string]json.RawMessage
		_, _, err := gophercloud.ParseResponse(client.Get(ctx, client.ServiceURL(path)+search, &page, nil)) //nolint:bodyclose // gophercloud closes what it decodes
		if err != nil {
			return nil, err
		}
		items, ok := page[key]
		if !ok {
			return nil, fmt.Errorf("the answer has no %s", key)
		}
		var some []T
		if err := json.Unmarshal(items, &some); err != nil {
			return nil, err
		}
		out = append(out, some...)
		next := nextPage(page[key+"_links"])
		if next == "" || next == search || len(some) == 0 {
			return out, nil
		}
		search = next
	}
}

// nextPage is the query of the link to the next page; empty where there is none.
func nextPage(links json.RawMessage) string {
	var all []struct {
		Rel  string `json:"rel"`
		Href string `json:"href"`
	}
	if len(links) == 0 || json.Unmarshal(links, &all) != nil {
		return ""
	}
	for _, l := range all {
		if u, err := url.Parse(l.Href); l.Rel == "next" && err == nil && u.RawQuery != "" {
			return "?" + u.RawQuery
		}
	}
	return ""
}

// ExternalNetworks reads the networks that floating IPs can come from.
func ExternalNetworks(ctx context.Context, client *gophercloud.ServiceClient) ([]Network, error) {
	wire, err := list[struct {
		ID       string   `json:"id"`
		Name     string   `json:"name"`
		External bool     `json:"router:external"`
		Subnets  []string `json:"subnets"`
	}](ctx, client, "networks", "networks", query{"router:external": {"True"}})
	if err != nil {
		return nil, fmt.Errorf("list external networks: %w", err)
	}
	var out []Network
	for _, n := range wire {
		if n.External {
			out = append(out, Network{n.ID, n.Name, n.External, n.Subnets})
		}
	}
	return out, nil
}

// SubnetsOf reads all subnets of networks.
func SubnetsOf(ctx context.Context, client *gophercloud.ServiceClient, networkIDs []string) ([]Subnet, error) {
	return listSubnets(ctx, client, queries("network_id", networkIDs))
}

// Subnets reads all subnets that the project sees.
func Subnets(ctx context.Context, client *gophercloud.ServiceClient) ([]Subnet, error) {
	return listSubnets(ctx, client, []query{{}})
}

// SubnetsByID reads subnets; those that do not exist are not among them.
func SubnetsByID(ctx context.Context, client *gophercloud.ServiceClient, ids []string) ([]Subnet, error) {
	return listSubnets(ctx, client, queries("id", ids))
}

func listSubnets(ctx context.Context, client *gophercloud.ServiceClient, calls []query) ([]Subnet, error) {
	var out []Subnet
	for _, q := range calls {
		wire, err := list[struct {
			ID        string   `json:"id"`
			Name      string   `json:"name"`
			NetworkID string   `json:"network_id"`
			CIDR      string   `json:"cidr"`
			Tags      []string `json:"tags"`
		}](ctx, client, "subnets", "subnets", q)
		if err != nil {
			return nil, fmt.Errorf("list subnets: %w", err)
		}
		for _, s := range wire {
			prefix, err := netip.ParsePrefix(s.CIDR)
			if err != nil {
				return nil, fmt.Errorf("subnet %s: %w", s.ID, err)
			}
			out = append(out, Subnet{s.ID, s.Name, s.NetworkID, prefix.Masked(), s.Tags})
		}
	}
	return out, nil
}

// NodePorts finds the ports of nodes, by node name: the port of the node's server that
// has one of its addresses, or else the only port of the project that has one. Nodes
// without such a port are not in it. It takes one call for about 60 nodes.
func NodePorts(ctx context.Context, client *gophercloud.ServiceClient, nodes []lb.Node) (map[string]Port, error) {
	var servers []string
	for _, n := range nodes {
		if n.ServerID != "" {
			servers = append(servers, n.ServerID)
		}
	}
	slices.Sort(servers)
	known, err := listPorts(ctx, client, queries("device_id", slices.Compact(servers)))
	if err != nil {
		return nil, fmt.Errorf("list ports of nodes: %w", err)
	}
	found := make(map[string]Port, len(nodes))
	var networks, addresses []string
	var others []*lb.Node
	for i := range nodes {
		n := &nodes[i]
		if p, ok := byServer(n, known); ok {
			found[n.Name] = p
			networks = append(networks, p.NetworkID)
			continue
		}
		others = append(others, n)
		for _, a := range n.Addresses {
			addresses = append(addresses, "ip_address="+a.WithZone("").String())
		}
	}
	more, err := listPorts(ctx, client, queries("fixed_ips", addresses))
	if err != nil {
		return nil, fmt.Errorf("list ports by addresses of nodes: %w", err)
	}
	for _, n := range others {
		if p, ok := byAddress(n, more, networks); ok {
			found[n.Name] = p
		}
	}
	return found, nil
}

// PortsByID reads ports; those that do not exist are not among them.
func PortsByID(ctx context.Context, client *gophercloud.ServiceClient, ids []string) ([]Port, error) {
	out, err := listPorts(ctx, client, queries("id", ids))
	if err != nil {
		return nil, fmt.Errorf("list ports: %w", err)
	}
	return out, nil
}

// portsWith reads the ports that have one of the groups.
func portsWith(ctx context.Context, client *gophercloud.ServiceClient, groupIDs []string) ([]Port, error) {
	found, err := listPorts(ctx, client, queries("security_groups", groupIDs))
	if err != nil {
		return nil, fmt.Errorf("list ports of security groups: %w", err)
	}
	// Before Train a cloud may not know the filter, and says nothing of it.
	return slices.DeleteFunc(found, func(p Port) bool {
		return !slices.ContainsFunc(groupIDs, func(id string) bool { return slices.Contains(p.Groups, id) })
	}), nil
}

// listPorts makes some calls, and gives every port once, by id.
func listPorts(ctx context.Context, client *gophercloud.ServiceClient, calls []query) ([]Port, error) {
	var out []Port
	for _, q := range calls {
		wire, err := list[wirePort](ctx, client, "ports", "ports", q)
		if err != nil {
			return nil, err
		}
		for _, w := range wire {
			out = append(out, w.port())
		}
	}
	slices.SortFunc(out, func(x, y Port) int { return cmp.Compare(x.ID, y.ID) })
	return slices.CompactFunc(out, func(x, y Port) bool { return x.ID == y.ID }), nil
}

// FloatingQuery says which floating IPs to read: those that lead to one of the ports,
// have one of the addresses, or one of the descriptions. Each of the three takes calls
// of its own. With none of them it is all of the project.
type FloatingQuery struct {
	// Project narrows all of it. Without, an administrator sees everybody's.
	Project      string
	Ports        []string
	Addresses    []netip.Addr
	Descriptions []string
}

// FloatingIPs reads floating IPs, each once, by id. Neutron knows no filter by the
// beginning of a description.
func FloatingIPs(ctx context.Context, client *gophercloud.ServiceClient, q FloatingQuery) ([]FloatingIP, error) {
	var project []string
	if q.Project != "" {
		project = []string{"project_id", q.Project}
	}
	addresses := make([]string, len(q.Addresses))
	for i, a := range q.Addresses {
		addresses[i] = a.String()
	}
	calls := slices.Concat(queries("port_id", q.Ports, project...), queries("floating_ip_address", addresses, project...),
		queries("description", q.Descriptions, project...))
	if len(calls) == 0 {
		all := query{}
		if q.Project != "" {
			all["project_id"] = []string{q.Project}
		}
		calls = []query{all}
	}
	var out []FloatingIP
	for _, call := range calls {
		wire, err := list[wireFloatingIP](ctx, client, "floatingips", "floatingips", call)
		if err != nil {
			return nil, fmt.Errorf("list floating IPs: %w", err)
		}
		for _, w := range wire {
			out = append(out, w.floatingIP())
		}
	}
	slices.SortFunc(out, func(x, y FloatingIP) int { return cmp.Compare(x.ID, y.ID) })
	return slices.CompactFunc(out, func(x, y FloatingIP) bool { return x.ID == y.ID }), nil
}

// listGroups reads security groups with their rules by name.
func listGroups(ctx context.Context, client *gophercloud.ServiceClient, project string, groupNames []string) ([]Group, error) {
	var owner []string
	if project != "" {
		owner = []string{"project_id", project}
	}
	calls := queries("name", groupNames, owner...)
	// So many names are those of Services that may have a group of OCCM's. Few have: a
	// list of all groups without their rules tells which.
	const many = 3
	if len(calls) > many {
		all := query{"fields": {"id", "name"}}
		if project != "" {
			all["project_id"] = owner[1:]
		}
		wire, err := list[wireGroup](ctx, client, "security-groups", "security_groups", all)
		if err != nil {
			return nil, fmt.Errorf("list names of security groups: %w", err)
		}
		there := make(map[string]bool, len(wire))
		for _, w := range wire {
			there[w.Name] = true
		}
		groupNames = slices.DeleteFunc(slices.Clone(groupNames), func(n string) bool { return !there[n] })
		calls = queries("name", groupNames, owner...)
	}
	var out []Group
	for _, q := range calls {
		wire, err := list[wireGroup](ctx, client, "security-groups", "security_groups", q)
		if err != nil {
			return nil, fmt.Errorf("list security groups: %w", err)
		}
		for _, w := range wire {
			// A cloud that overlooked the filter must not give us groups of others.
			if slices.Contains(groupNames, w.Name) {
				out = append(out, w.group())
			}
		}
	}
	slices.SortFunc(out, func(x, y Group) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	return out, nil
}
