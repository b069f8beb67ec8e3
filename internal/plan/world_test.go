package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newPool is a settled pool: its ranges are in force.
func newPool(t interface{ Fatal(...any) }, name string, ranges ...string) lb.Pool {
	parsed, err := lb.ParseRanges(ranges)
	if err != nil {
		t.Fatal(err)
	}
	return lb.Pool{Name: name, Created: epoch, Generation: 1, Ranges: parsed, InForce: parsed, AutoAssign: true}
}

// newService is a single-stack IPv4 web Service, age seconds younger than the epoch.
func newService(name string, age int, edits ...func(*lb.Service)) lb.Service {
	s := lb.Service{
		Key: lb.Key{Namespace: "shop", Name: name}, UID: name, Created: epoch.Add(time.Duration(age) * time.Second),
		LoadBalancer: true, Families: []lb.Family{lb.IPv4}, Ports: []lb.Port{{Protocol: "TCP", Number: 80}},
	}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func holds(addrs ...string) func(*lb.Service) {
	return func(s *lb.Service) {
		s.Marked = true
		for _, a := range addrs {
			s.Held = append(s.Held, netip.MustParseAddr(a))
		}
	}
}

func asks(addrs ...string) func(*lb.Service) {
	return func(s *lb.Service) {
		for _, a := range addrs {
			s.Request.Addresses = append(s.Request.Addresses, netip.MustParseAddr(a))
		}
	}
}

func asksPool(pool string) func(*lb.Service) {
	return func(s *lb.Service) { s.Request.Pool = pool }
}

func shares(key string, ports ...uint16) func(*lb.Service) {
	return func(s *lb.Service) {
		s.Request.SharingKey = key
		s.Ports = nil
		for _, p := range ports {
			s.Ports = append(s.Ports, lb.Port{Protocol: "TCP", Number: p})
		}
	}
}

func dual(s *lb.Service) { s.Families = []lb.Family{lb.IPv4, lb.IPv6} }

func requireDual(s *lb.Service) { dual(s); s.AllFamilies = true }

func inNamespace(ns string) func(*lb.Service) {
	return func(s *lb.Service) { s.Namespace = ns }
}

func sorted(services ...lb.Service) []lb.Service {
	slices.SortFunc(services, func(x, y lb.Service) int { return x.Key.Compare(y.Key) })
	return services
}

// apply is the world after everything desired was done.
func apply(w lb.World, d lb.Desired) lb.World {
	w.Services = slices.Clone(w.Services)
	for i := range w.Services {
		s := &w.Services[i]
		for _, b := range d.Balancers {
			if b.Service == s.Key {
				s.Held, s.Marked, s.Finalized, s.CloudClass = b.Addresses(), true, true, ""
				if b.Built != nil {
					s.Hostname, s.Proxy, s.CloudClass = b.Built.Hostname, b.Built.Proxy, b.Class
				}
			}
		}
		for _, r := range d.Refusals {
			if r.Service == s.Key {
				s.Held, s.Marked, s.Finalized = nil, true, false
			}
		}
		if slices.Contains(d.Released, s.Key) {
			s.Held, s.Marked, s.Finalized, s.CloudClass, s.Hostname = nil, false, false, "", ""
		}
	}
	w.Pools = slices.Clone(w.Pools)
	for i := range w.Pools {
		for _, state := range d.Pools {
			if state.Name == w.Pools[i].Name {
				w.Pools[i].InForce = state.InForce
			}
		}
	}
	w.Pools = slices.DeleteFunc(w.Pools, func(p lb.Pool) bool {
		return slices.ContainsFunc(d.Pools, func(s lb.PoolState) bool { return s.Name == p.Name && s.Releasable })
	})
	return w
}

func summary(d lb.Desired) []string {
	var out []string
	for _, b := range d.Balancers {
		line := b.Service.Name + " " + addressList(b.Addresses())
		if b.Shortfall != nil {
			line += " " + string(b.Shortfall.Reason)
		}
		out = append(out, line)
	}
	for _, r := range d.Refusals {
		out = append(out, r.Service.Name+" "+string(r.Reason))
	}
	for _, k := range d.Released {
		out = append(out, k.Name+" released")
	}
	slices.Sort(out)
	return out
}

// genWorld draws small, crowded worlds, in which everything collides.
func genWorld(t *rapid.T) lb.World {
	var w lb.World
	addr4 := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }
	addr6 := func(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd00::%x", n+1)) }
	genRange := func(label string) lb.Range {
		first := rapid.IntRange(0, 20).Draw(t, label)
		last := first + rapid.IntRange(0, 4).Draw(t, label+"len")
		if rapid.Bool().Draw(t, label+"v6") {
			return lb.Range{First: addr6(first), Last: addr6(last)}
		}
		return lb.Range{First: addr4(first), Last: addr4(last)}
	}
	genRanges := func(label string) []lb.Range {
		var out []lb.Range
		for range rapid.IntRange(0, 3).Draw(t, label) {
			r := genRange(label)
			if !slices.ContainsFunc(out, r.Overlaps) {
				out = append(out, r)
			}
		}
		return out
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "pools") {
		p := lb.Pool{Name: fmt.Sprintf("pool-%d", i), Created: epoch.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * time.Second)}
		p.Ranges = genRanges("ranges")
		taken := slices.ContainsFunc(w.Pools, func(o lb.Pool) bool {
			return slices.ContainsFunc(o.InForce, func(r lb.Range) bool { return slices.ContainsFunc(p.Ranges, r.Overlaps) })
		})
		if rapid.Bool().Draw(t, "settled") && !taken {
			p.InForce = p.Ranges
		}
		p.AutoAssign = rapid.IntRange(0, 4).Draw(t, "auto") > 0
		p.AvoidBuggyIPs = rapid.Bool().Draw(t, "buggy")
		p.Priority = rapid.IntRange(0, 2).Draw(t, "priority")
		p.QuotaPerNamespace = rapid.IntRange(0, 3).Draw(t, "quota")
		p.Confirmed = rapid.Bool().Draw(t, "confirmed")
		p.Deleting = rapid.IntRange(0, 5).Draw(t, "deleting") == 0
		if rapid.Bool().Draw(t, "restricted") {
			p.Namespaces = []string{"ns-0"}
		}
		if len(p.Ranges) > 0 && rapid.Bool().Draw(t, "reserves") {
			p.Reservations = []lb.Reservation{{Service: lb.Key{Namespace: "ns-0", Name: "svc-00"}, Address: p.Ranges[0].First}}
		}
		w.Pools = append(w.Pools, p)
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "services") {
		s := newService(fmt.Sprintf("svc-%02d", i), rapid.IntRange(0, 4).Draw(t, "created"))
		s.Namespace = fmt.Sprintf("ns-%d", rapid.IntRange(0, 2).Draw(t, "ns"))
		s.LoadBalancer = rapid.IntRange(0, 9).Draw(t, "type") > 0
		s.Marked = rapid.Bool().Draw(t, "marked")
		s.Families = rapid.SampledFrom([][]lb.Family{{lb.IPv4}, {lb.IPv6}, {lb.IPv4, lb.IPv6}, {lb.IPv6, lb.IPv4}}).Draw(t, "families")
		s.AllFamilies = len(s.Families) == 2 && rapid.Bool().Draw(t, "require")
		s.Ports = []lb.Port{{Protocol: "TCP", Number: uint16(rapid.IntRange(1, 3).Draw(t, "port"))}}
		s.Request.SharingKey = rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(t, "key")
		s.Local = rapid.Bool().Draw(t, "local")
		s.Selector = rapid.SampledFrom([]string{"app=x", "app=y"}).Draw(t, "selector")
		if rapid.IntRange(0, 3).Draw(t, "asks") == 0 {
			s.Request.Pool = fmt.Sprintf("pool-%d", rapid.IntRange(0, 4).Draw(t, "pool"))
		}
		for range rapid.IntRange(0, 2).Draw(t, "asked") {
			s.Request.Addresses = append(s.Request.Addresses, genRange("ask").First)
		}
		for range rapid.IntRange(0, 2).Draw(t, "held") {
			if a := genRange("holds").First; !slices.Contains(s.Held, a) {
				s.Held = append(s.Held, a)
			}
		}
		w.Services = append(w.Services, s)
	}
	w.Services = sorted(w.Services...)
	return w
}

// fatal adapts rapid.T for fixtures.
var _ interface{ Fatal(...any) } = (*testing.T)(nil)
