package plan

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// features are what happens in an election that is made up, each in so many of a hundred
// cases.
type features struct {
	dead, leaving, excluded, outOfService, noNetwork int // of nodes
	noQuorum, unaware                                int // of speakers
	edge, wlan                                       int // of nodes: who has a label, an interface more
	classes, local, dual                             int // of Services
	announced, twice, probing, conflict, offered     int // of addresses
}

// everything happens.
var everything = features{
	dead: 15, leaving: 8, excluded: 5, outOfService: 3, noNetwork: 3, noQuorum: 8, unaware: 5, edge: 50, wlan: 30,
	classes: 40, local: 25, dual: 20, announced: 80, twice: 10, probing: 8, conflict: 3, offered: 5,
}

// makeElection makes a world up. draw gives a number below n.
func makeElection(nodes, services int, f features, draw func(n int) int) lb.World {
	happens := func(percent int) bool { return draw(100) < percent }
	w := lb.World{
		Pools: []lb.Pool{newPool(panicker{}, "lan", "10.0.0.0/16", "fd00::/64")},
		Classes: []lb.Class{
			{Name: "all", Default: true, Provider: lb.ProviderL2},
			{Name: "edge", Provider: lb.ProviderL2, L2: lb.L2{NodeSelector: &lb.Selector{Requirements: []lb.Requirement{{Key: "edge", Operator: lb.Exists}}}}},
			{Name: "wlan", Provider: lb.ProviderL2, L2: lb.L2{Interfaces: []string{"wlan*"}}},
		},
	}
	for i := range nodes {
		n := lb.Node{
			Name: fmt.Sprintf("node-%d", i), Alive: !happens(f.dead), Excluded: happens(f.excluded),
			OutOfService: happens(f.outOfService), NetworkUnavailable: happens(f.noNetwork),
		}
		if happens(f.edge) {
			n.Labels = map[string]string{"edge": ""}
		}
		s := lb.Speaker{Node: n.Name, Leaving: happens(f.leaving), Interfaces: []lb.Interface{{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}}}}
		if happens(f.wlan) {
			s.Interfaces = append(s.Interfaces, lb.Interface{Name: "wlan0"})
		}
		if f.noQuorum > 0 {
			s.Hearing = &lb.Hearing{Quorate: !happens(f.noQuorum)}
		}
		w.Nodes = append(w.Nodes, n)
		w.Speakers = append(w.Speakers, s)
	}
	for i := range services {
		s := newService(fmt.Sprintf("svc-%04d", i), i, holds(fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)))
		if happens(f.dual) {
			holds(fmt.Sprintf("fd00::%x", i+1))(&s)
		}
		if happens(f.classes) {
			s.Class = lb.ClassPrefix + []string{"edge", "wlan"}[draw(2)]
		}
		if happens(f.local) {
			s.Local = true
			ep := lb.Endpoints{Service: s.Key}
			for _, n := range w.Nodes {
				if happens(40) {
					ep.Nodes = append(ep.Nodes, n.Name)
				}
			}
			slices.Sort(ep.Nodes)
			w.Endpoints = append(w.Endpoints, ep)
		}
		w.Services = append(w.Services, s)
		for _, addr := range s.Held {
			makeClaims(&w, addr, f, draw)
		}
	}
	return w
}

// makeClaims makes up who says what of an address.
func makeClaims(w *lb.World, addr netip.Addr, f features, draw func(n int) int) {
	happens := func(percent int) bool { return draw(100) < percent }
	add := func(state lb.ClaimState) {
		s := &w.Speakers[draw(len(w.Speakers))]
		if slices.ContainsFunc(s.Claims, func(c lb.Claim) bool { return c.Address == addr }) {
			return
		}
		c := lb.Claim{Address: addr, State: state, Since: epoch.Add(time.Duration(draw(4)) * time.Second)}
		if state == lb.Announced {
			c.Epoch = uint64(1 + draw(4))
			if happens(f.offered) {
				c.Offer = w.Speakers[draw(len(w.Speakers))].Node
			}
		}
		s.Claims = append(s.Claims, c)
	}
	if happens(f.announced) {
		add(lb.Announced)
		if happens(f.twice) {
			add(lb.Announced)
		}
	}
	if happens(f.probing) {
		add(lb.Probing)
	}
	if happens(f.conflict) {
		add(lb.Conflict)
	}
	if happens(f.unaware) {
		s := &w.Speakers[draw(len(w.Speakers))]
		if !slices.ContainsFunc(s.Claims, func(c lb.Claim) bool { return c.Address == addr }) {
			s.Unaware = append(s.Unaware, addr)
		}
	}
}

// says is the claim of a node on an address, or nil.
func says(w *lb.World, node string, addr netip.Addr) *lb.Claim {
	for i := range w.Speakers {
		if w.Speakers[i].Node != node {
			continue
		}
		for j := range w.Speakers[i].Claims {
			if c := &w.Speakers[i].Claims[j]; c.Address == addr {
				return c
			}
		}
	}
	return nil
}

// take lets the node announce the address, with a claim that counts more than all others.
func take(w *lb.World, node string, addr netip.Addr) {
	newest := uint64(0)
	for _, s := range w.Speakers {
		for _, c := range s.Claims {
			if c.Address == addr {
				newest = max(newest, c.Epoch)
			}
		}
	}
	drop(w, node, addr)
	for i := range w.Speakers {
		if s := &w.Speakers[i]; s.Node == node {
			s.Claims = append(s.Claims, lb.Claim{Address: addr, State: lb.Announced, Epoch: newest + 1, Since: epoch.Add(time.Hour)})
		}
	}
}

// drop lets the node claim the address no more.
func drop(w *lb.World, node string, addr netip.Addr) {
	for i := range w.Speakers {
		if s := &w.Speakers[i]; s.Node == node {
			s.Claims = slices.DeleteFunc(s.Claims, func(c lb.Claim) bool { return c.Address == addr })
		}
	}
}

// copySpeakers makes the claims of a world independent of those of another.
func copySpeakers(w lb.World) lb.World {
	w.Speakers = slices.Clone(w.Speakers)
	for i := range w.Speakers {
		w.Speakers[i].Claims = slices.Clone(w.Speakers[i].Claims)
	}
	return w
}

// answer is who owns what, one address a line.
func answer(owners []Ownership) string {
	var b strings.Builder
	for _, o := range owners {
		node := o.Node
		if node == "" {
			node = "-"
		}
		fmt.Fprintf(&b, "owner %s %s\n", o.Address, node)
	}
	return b.String()
}
