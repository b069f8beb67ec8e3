package doctor

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// idsPerCall keeps a request's line short: what is in front of Neutron takes 4 to 8 KiB.
const idsPerCall = 60

// groups reads the security groups of ports with their rules.
func (o *observer) groups(ctx context.Context, ports map[string]neutron.Port) ([]Group, error) {
	var ids []string
	for _, p := range ports {
		ids = append(ids, p.Groups...)
	}
	slices.Sort(ids)
	var out []Group
	for some := range slices.Chunk(slices.Compact(ids), idsPerCall) {
		all, err := listed[struct {
			ID    string     `json:"id"`
			Name  string     `json:"name"`
			Rules []wireRule `json:"security_group_rules"`
		}](ctx, o.Network, "security-groups", "security_groups", url.Values{"id": some})
		if err != nil {
			return nil, err
		}
		for _, w := range all {
			g := Group{ID: w.ID, Name: w.Name}
			for _, r := range w.Rules {
				if r.Direction == "ingress" {
					g.Rules = append(g.Rules, r.rule())
				}
			}
			out = append(out, g)
		}
	}
	return out, nil
}

type wireRule struct {
	Direction string  `json:"direction"`
	Ethertype string  `json:"ethertype"`
	Protocol  *string `json:"protocol"`
	PortMin   *uint16 `json:"port_range_min"`
	PortMax   *uint16 `json:"port_range_max"`
	Remote    string  `json:"remote_ip_prefix"`
	Group     string  `json:"remote_group_id"`
	Addresses string  `json:"remote_address_group_id"`
}

// protocols by the names and numbers that Neutron takes for the same; any is all.
var protocols = map[string]string{"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "sctp": "sctp", "132": "sctp", "any": "", "0": ""}

func (w *wireRule) rule() Rule {
	r := Rule{Family: lb.IPv4, PortMax: 65535, Remote: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	if w.Ethertype == "IPv6" {
		r.Family, r.Remote = lb.IPv6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if w.Protocol != nil {
		r.Protocol = strings.ToLower(*w.Protocol)
		if name, known := protocols[r.Protocol]; known {
			r.Protocol = name
		}
	}
	if w.PortMin != nil && w.PortMax != nil {
		r.PortMin, r.PortMax = *w.PortMin, *w.PortMax
	}
	switch prefix, err := netip.ParsePrefix(w.Remote); {
	case w.Group != "" || w.Addresses != "":
		r.Remote = netip.Prefix{}
	case w.Remote != "" && err == nil:
		r.Remote = prefix.Masked()
	case w.Remote != "":
		r.Remote = netip.Prefix{}
	}
	return r
}

// owners are what a router's interfaces are called, with distributed and redundant
// routers (neutron_lib/constants.py, ROUTER_INTERFACE_OWNERS).
var owners = []string{"network:router_interface", "network:router_interface_distributed", "network:ha_router_replicated_interface"}

func (o *observer) routers(ctx context.Context) ([]Router, error) {
	all, err := listed[struct {
		ID      string `json:"id"`
		Gateway *struct {
			Network string `json:"network_id"`
		} `json:"external_gateway_info"`
	}](ctx, o.Network, "routers", "routers", url.Values{"fields": {"id", "external_gateway_info"}})
	if err != nil {
		return nil, err
	}
	interfaces, err := listed[struct {
		Router string `json:"device_id"`
		Fixed  []struct {
			Subnet string `json:"subnet_id"`
		} `json:"fixed_ips"`
	}](ctx, o.Network, "ports", "ports", url.Values{"device_owner": owners, "fields": {"device_id", "fixed_ips"}})
	if err != nil {
		return nil, err
	}
	var out []Router
	for _, w := range all {
		r := Router{ID: w.ID}
		if w.Gateway != nil {
			r.External = w.Gateway.Network
		}
		for _, i := range interfaces {
			for _, ip := range i.Fixed {
				if i.Router == w.ID {
					r.Subnets = append(r.Subnets, ip.Subnet)
				}
			}
		}
		out = append(out, r)
	}
	return out, nil
}
