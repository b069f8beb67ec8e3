package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
	"fairlead.dev/fairlead/internal/compat/occm"
)

// holding is one object of a cluster in a cloud.
type holding struct {
	kind, name, id, address, service string
	// fate is what becomes of it.
	fate string
	kept bool
}

// holdings are everything that a cluster has in a cloud.
type holdings []holding

// inventory lists an estate for its reader.
func inventory(e *octavia.Estate) holdings {
	var out holdings
	add := func(h holding) {
		if h.fate == "" {
			h.fate = "goes"
		}
		if slices.Contains(e.ByName, h.id) {
			h.fate += "; known by the cluster's name only"
		}
		out = append(out, h)
	}
	for _, l := range e.LoadBalancers {
		add(holding{kind: "load balancer", name: l.Name, id: l.ID, address: l.VIP.Address.String(), service: serviceOf(l.Description)})
	}
	for _, l := range e.Visited {
		add(holding{kind: "load balancer", name: l.Name, id: l.ID, address: l.VIP.Address.String(),
			fate: "stays: not ours alone; listeners, pools and tags of this cluster go"})
	}
	for _, f := range e.FloatingIPs {
		add(holding{kind: "floating IP", id: f.ID, address: f.Address.String(), service: floatingOf(f.Description)})
	}
	for _, f := range e.Kept {
		add(holding{kind: "floating IP", id: f.ID, address: f.Address.String(), service: floatingOf(f.Description), kept: true,
			fate: "stays: kept by annotation"})
	}
	for _, p := range e.Ports {
		var addresses []string
		for _, ip := range p.FixedIPs {
			addresses = append(addresses, ip.Address.String())
		}
		add(holding{kind: "port", name: p.Name, id: p.ID, address: strings.Join(addresses, ","), fate: "goes: its load balancer is gone"})
	}
	for _, g := range e.Groups {
		add(holding{kind: "security group", name: g.Name, id: g.ID, fate: "goes, off all ports first"})
	}
	return out
}

// serviceOf is the Service that a load balancer was made for, as its description says.
func serviceOf(description string) string {
	text, _, told := strings.Cut(description, " from cluster ")
	service := text[strings.LastIndexByte(text, ' ')+1:]
	if !told || !strings.Contains(service, "/") {
		return ""
	}
	return service
}

func floatingOf(description string) string {
	told, _ := occm.ParseFloatingIP(description)
	return told.Service
}

func (all holdings) write(w io.Writer) error {
	if len(all) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(t, "KIND\tNAME\tID\tADDRESS\tSERVICE\tWHAT HAPPENS")
	for _, h := range all {
		dash := func(s string) string { return cmp.Or(s, "-") }
		fmt.Fprintln(t, strings.Join([]string{h.kind, dash(h.name), h.id, dash(h.address), dash(h.service), h.fate}, "\t"))
	}
	return t.Flush()
}

// remaining are the same after a purge that could not delete them.
func (all holdings) remaining() holdings {
	out := slices.Clone(all)
	for i := range out {
		if !out[i].kept {
			out[i].fate = "is still there"
		}
	}
	return out
}

// stays lists what was kept on purpose.
func (all holdings) stays(w io.Writer) error {
	for _, h := range all {
		if h.kept {
			if _, err := fmt.Fprintf(w, "%s %s %s\n", h.kind, h.address, h.fate); err != nil {
				return err
			}
		}
	}
	return nil
}
