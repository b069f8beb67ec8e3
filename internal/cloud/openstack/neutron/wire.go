package neutron

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// What Neutron says, as far as it is needed. gophercloud's types take an attribute
// that is not there for false (port_security_enabled), and do not know all of them.

type wirePort struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	NetworkID string `json:"network_id"`
	FixedIPs  []struct {
		Address  string `json:"ip_address"`
		SubnetID string `json:"subnet_id"`
	} `json:"fixed_ips"`
	Groups       []string `json:"security_groups"`
	Revision     int      `json:"revision_number"`
	PortSecurity *bool    `json:"port_security_enabled"`
	Device       string   `json:"device_id"`
	DeviceOwner  string   `json:"device_owner"`
}

func (w wirePort) port() Port {
	p := Port{
		ID: w.ID, Name: w.Name, NetworkID: w.NetworkID, Groups: slices.Clone(w.Groups), Revision: w.Revision,
		PortSecurity: w.PortSecurity == nil || *w.PortSecurity, Device: w.Device, DeviceOwner: w.DeviceOwner,
	}
	slices.Sort(p.Groups)
	for _, ip := range w.FixedIPs {
		if a, err := netip.ParseAddr(ip.Address); err == nil {
			p.FixedIPs = append(p.FixedIPs, FixedIP{a, ip.SubnetID})
		}
	}
	return p
}

type wireFloatingIP struct {
	ID          string `json:"id"`
	Address     string `json:"floating_ip_address"`
	NetworkID   string `json:"floating_network_id"`
	Description string `json:"description"`
	ProjectID   string `json:"project_id"`
	Status      string `json:"status"`
	Revision    int    `json:"revision_number"`
	PortID      string `json:"port_id"`
	Fixed       string `json:"fixed_ip_address"`
	// PortDetails is left out where the cloud does not have the extension, and null
	// where the port does not exist.
	PortDetails json.RawMessage `json:"port_details"`
}

func (w wireFloatingIP) floatingIP() FloatingIP {
	f := FloatingIP{
		ID: w.ID, NetworkID: w.NetworkID, Description: w.Description, ProjectID: w.ProjectID, Status: w.Status, Revision: w.Revision, PortID: w.PortID,
		PortGone: w.PortID != "" && bytes.Equal(w.PortDetails, []byte("null")),
	}
	f.Address, _ = netip.ParseAddr(w.Address) // null where there is none
	f.Fixed, _ = netip.ParseAddr(w.Fixed)
	var details struct {
		Device      string `json:"device_id"`
		DeviceOwner string `json:"device_owner"`
	}
	if len(w.PortDetails) > 0 && json.Unmarshal(w.PortDetails, &details) == nil {
		f.Holder = strings.TrimSpace(details.DeviceOwner + " " + details.Device)
	}
	return f
}

type wireGroup struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Tags        []string   `json:"tags"`
	Revision    int        `json:"revision_number"`
	Rules       []wireRule `json:"security_group_rules"`
}

func (w wireGroup) group() Group {
	g := Group{ID: w.ID, Name: w.Name, Description: w.Description, Tags: w.Tags, Revision: w.Revision}
	for _, r := range w.Rules {
		if rule, ok := r.rule(); ok {
			g.Rules = append(g.Rules, rule)
		}
	}
	slices.SortFunc(g.Rules, Rule.compare)
	return g
}

type wireRule struct {
	ID            string  `json:"id,omitempty"`
	GroupID       string  `json:"security_group_id"`
	Direction     string  `json:"direction"`
	Ethertype     string  `json:"ethertype"`
	Protocol      *string `json:"protocol"`
	PortMin       *int    `json:"port_range_min"`
	PortMax       *int    `json:"port_range_max"`
	Remote        *string `json:"remote_ip_prefix"`
	RemoteGroup   *string `json:"remote_group_id,omitempty"`
	RemoteAddress *string `json:"remote_address_group_id,omitempty"`
	Description   string  `json:"description"`
}

// protocols by the names and numbers that Neutron takes for the same.
var protocols = map[string]string{"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "sctp": "sctp", "132": "sctp"}

// rule understands rules that let traffic of a protocol with ports in, by address.
func (w wireRule) rule() (Rule, bool) {
	if w.Direction != "ingress" || w.Protocol == nil || filled(w.RemoteGroup) || filled(w.RemoteAddress) {
		return Rule{}, false
	}
	r := Rule{ID: w.ID, Family: lb.IPv4, Protocol: protocols[strings.ToLower(*w.Protocol)], Description: w.Description, PortMax: 65535}
	r.Remote = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if w.Ethertype == "IPv6" {
		r.Family, r.Remote = lb.IPv6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if filled(w.Remote) {
		p, err := netip.ParsePrefix(*w.Remote)
		if err != nil {
			return Rule{}, false
		}
		r.Remote = p.Masked()
	}
	// No ports are all of them.
	if w.PortMin != nil && w.PortMax != nil {
		r.PortMin, r.PortMax = uint16(*w.PortMin), uint16(*w.PortMax)
	}
	return r, r.Protocol != ""
}

func filled(s *string) bool { return s != nil && *s != "" }

// query is a list's filters. Values of one filter are alternatives, filters are not.
type query url.Values

func (q query) string() string {
	if len(q) == 0 {
		return ""
	}
	return "?" + url.Values(q).Encode()
}

// queryLength holds all filters of one call. Web servers in front of Neutron take 4 to
// 8 KiB of request line and headers, where a token takes its part.
const queryLength = 3000

// queries spreads the alternatives of one filter over as few calls as possible.
func queries(filter string, values []string, more ...string) []query {
	var out []query
	length := queryLength
	for _, v := range values {
		n := len(filter) + len(url.QueryEscape(v)) + 2
		if length+n > queryLength {
			length = 0
			q := query{}
			for i := 0; i+1 < len(more); i += 2 {
				q[more[i]] = append(q[more[i]], more[i+1])
			}
			out = append(out, q)
		}
		length += n
		out[len(out)-1][filter] = append(out[len(out)-1][filter], v)
	}
	return out
}
