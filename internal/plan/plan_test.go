package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/lb"
	"github.com/google/go-cmp/cmp"
)

func TestPlan(t *testing.T) {
	lan := newPool(t, "lan", "10.0.0.1-10.0.0.3", "fd00::1-fd00::3")
	web := newService
	for _, c := range []struct {
		name     string
		pools    []lb.Pool
		classes  []lb.Class
		services []lb.Service
		want     []string
	}{
		{name: "the older Service gets the lower address", services: []lb.Service{web("b", 1), web("a", 2)},
			want: []string{"a 10.0.0.2", "b 10.0.0.1"}},
		{name: "what is held is kept before anything is given", services: []lb.Service{web("new", 1), web("old", 2, holds("10.0.0.1"))},
			want: []string{"new 10.0.0.2", "old 10.0.0.1"}},
		{name: "a pool that is full refuses the youngest", services: []lb.Service{web("a", 1), web("b", 2), web("c", 3), web("d", 4)},
			want: []string{"a 10.0.0.1", "b 10.0.0.2", "c 10.0.0.3", "d PoolExhausted"}},
		{name: "two that hold one address: the older keeps it", services: []lb.Service{web("a", 2, holds("10.0.0.3")), web("b", 1, holds("10.0.0.3"))},
			want: []string{"a 10.0.0.1", "b 10.0.0.3"}},
		{name: "an address outside every pool is replaced", services: []lb.Service{web("a", 1, holds("192.0.2.1"))},
			want: []string{"a 10.0.0.1"}},
		{name: "many addresses outside every pool are kept", services: []lb.Service{web("a", 1, holds("192.0.2.1")), web("b", 1, holds("192.0.2.2"))},
			want: []string{"a 192.0.2.1 PoolEditHeld", "b 192.0.2.2 PoolEditHeld"}},
		{name: "an address of a family that the Service dropped is released", services: []lb.Service{web("a", 1, holds("10.0.0.1", "fd00::1"))},
			want: []string{"a 10.0.0.1"}},

		{name: "dual stack takes both families from one pool", services: []lb.Service{web("a", 1, dual)},
			pools: []lb.Pool{newPool(t, "four", "10.1.0.1"), lan}, want: []string{"a 10.0.0.1, fd00::1"}},
		{name: "dual stack takes two pools where no pool has both", services: []lb.Service{web("a", 1, requireDual)},
			pools: []lb.Pool{newPool(t, "four", "10.1.0.1"), newPool(t, "six", "fd01::1")}, want: []string{"a 10.1.0.1, fd01::1"}},
		{name: "PreferDualStack makes do with one family and says so", services: []lb.Service{web("a", 1, dual)},
			pools: []lb.Pool{newPool(t, "four", "10.1.0.1")}, want: []string{"a 10.1.0.1 FamilyUnavailable"}},
		{name: "RequireDualStack does not", services: []lb.Service{web("a", 1, requireDual)},
			pools: []lb.Pool{newPool(t, "four", "10.1.0.1")}, want: []string{"a FamilyUnavailable"}},
		{name: "RequireDualStack keeps the one family that already works", services: []lb.Service{web("a", 1, requireDual, holds("10.1.0.1"))},
			pools: []lb.Pool{newPool(t, "four", "10.1.0.1")}, want: []string{"a 10.1.0.1 FamilyUnavailable"}},
		{name: "a second family comes from the pool of the first", services: []lb.Service{web("a", 1, dual, holds("10.0.0.2"))},
			pools: []lb.Pool{newPool(t, "aaa", "fd01::1"), lan}, want: []string{"a 10.0.0.2, fd00::1"}},
		{name: "addresses come in the order of the Service's families", services: []lb.Service{web("a", 1, func(s *lb.Service) { s.Families = []lb.Family{lb.IPv6, lb.IPv4} })},
			want: []string{"a fd00::1, 10.0.0.1"}},
		{name: "IPv6 without an IPv6 pool", services: []lb.Service{web("a", 1, func(s *lb.Service) { s.Families = []lb.Family{lb.IPv6} })},
			pools: []lb.Pool{newPool(t, "four", "10.1.0.1")}, want: []string{"a FamilyUnavailable"}},

		{name: "an address is granted as asked", services: []lb.Service{web("a", 1, asks("10.0.0.3"))}, want: []string{"a 10.0.0.3"}},
		{name: "who asks for one address goes before an older one that takes any", services: []lb.Service{web("a", 1), web("b", 2, asks("10.0.0.1"))},
			want: []string{"a 10.0.0.2", "b 10.0.0.1"}},
		{name: "a changed request moves the Service", services: []lb.Service{web("a", 1, holds("10.0.0.1"), asks("10.0.0.3"))}, want: []string{"a 10.0.0.3"}},
		{name: "a request that cannot be granted leaves what is held", services: []lb.Service{web("a", 1, holds("10.0.0.1"), asks("192.0.2.1"))},
			want: []string{"a 10.0.0.1 AddressOutsidePools"}},
		{name: "a request outside every pool", services: []lb.Service{web("a", 1, asks("192.0.2.1"))}, want: []string{"a AddressOutsidePools"}},
		{name: "a request of a taken address", services: []lb.Service{web("a", 1, holds("10.0.0.1")), web("b", 2, asks("10.0.0.1"))},
			want: []string{"a 10.0.0.1", "b AddressTaken"}},
		{name: "a request of two addresses of one family", services: []lb.Service{web("a", 1, asks("10.0.0.1", "10.0.0.2"))}, want: []string{"a FamilyMismatch"}},
		{name: "a request of a family that the Service lacks", services: []lb.Service{web("a", 1, asks("fd00::1"))}, want: []string{"a FamilyMismatch"}},
		{name: "a request of one family lets the other be chosen", services: []lb.Service{web("a", 1, dual, asks("10.0.0.3"))}, want: []string{"a 10.0.0.3, fd00::1"}},
		{name: "a request of one family leaves the other where it is", services: []lb.Service{web("a", 1, dual, holds("10.0.0.1", "fd00::3"), asks("10.0.0.2"))}, want: []string{"a 10.0.0.2, fd00::3"}},
		{name: "a pool asked for later moves only what is elsewhere", services: []lb.Service{web("a", 1, dual, holds("10.0.0.3", "fd01::1"), asksPool("lan"))},
			pools: []lb.Pool{lan, newPool(t, "six", "fd01::1")}, want: []string{"a 10.0.0.3, fd00::1"}},
		{name: "a request that another one's move makes possible", services: []lb.Service{
			web("a", 1, holds("10.0.0.1"), asks("10.0.0.2")), web("b", 2, holds("10.0.0.2"), asks("10.0.0.3"))},
			want: []string{"a 10.0.0.2", "b 10.0.0.3"}},
		{name: "two that want each other's address both stay", services: []lb.Service{
			web("a", 1, holds("10.0.0.1"), asks("10.0.0.2")), web("b", 2, holds("10.0.0.2"), asks("10.0.0.1"))},
			want: []string{"a 10.0.0.1 AddressTaken", "b 10.0.0.2 AddressTaken"}},
		{name: "a request that cannot be read keeps what is held", services: []lb.Service{
			web("a", 1, holds("10.0.0.1"), func(s *lb.Service) { s.Request.Problem = lb.Refuse(lb.BadRequest, "y", "x") }),
			web("b", 2, func(s *lb.Service) { s.Request.Problem = lb.Refuse(lb.BadRequest, "y", "x") })},
			want: []string{"a 10.0.0.1 BadRequest", "b BadRequest"}},

		{name: "a pool is used as asked, also without autoAssign", services: []lb.Service{web("a", 1, asksPool("vips"))},
			pools: []lb.Pool{lan, edit(newPool(t, "vips", "10.9.0.1"), func(p *lb.Pool) { p.AutoAssign = false })}, want: []string{"a 10.9.0.1"}},
		{name: "a pool without autoAssign is not used unasked", services: []lb.Service{web("a", 1)},
			pools: []lb.Pool{edit(newPool(t, "vips", "10.9.0.1"), func(p *lb.Pool) { p.AutoAssign = false })}, want: []string{"a NoPool"}},
		{name: "a pool that does not exist", services: []lb.Service{web("a", 1, asksPool("nope"))}, want: []string{"a PoolNotFound"}},
		{name: "a pool that is full, although another has room", services: []lb.Service{web("a", 1, holds("10.9.0.1")), web("b", 2, asksPool("vips"))},
			pools: []lb.Pool{lan, newPool(t, "vips", "10.9.0.1")}, want: []string{"a 10.9.0.1", "b PoolExhausted"}},
		{name: "a pool asked for later moves the Service", services: []lb.Service{web("a", 1, holds("10.0.0.1"), asksPool("vips"))},
			pools: []lb.Pool{lan, newPool(t, "vips", "10.9.0.1")}, want: []string{"a 10.9.0.1"}},
		{name: "a pool and an address that contradict", services: []lb.Service{web("a", 1, asksPool("vips"), asks("10.0.0.1"))},
			pools: []lb.Pool{lan, newPool(t, "vips", "10.9.0.1")}, want: []string{"a ContradictoryRequest"}},

		{name: "the subnet-router anycast address is given only when asked for", services: []lb.Service{web("a", 1, requireDual), web("b", 2, dual, asks("fd00::"))},
			pools: []lb.Pool{newPool(t, "p", "10.0.0.1-10.0.0.2", "fd00::/120")}, want: []string{"a 10.0.0.1, fd00::1", "b 10.0.0.2, fd00::"}},
		{name: "avoidBuggyIPs leaves .0 and .255 out", services: []lb.Service{web("a", 1), web("b", 2), web("c", 3)},
			pools: []lb.Pool{edit(newPool(t, "p", "10.0.0.254-10.0.1.1"), func(p *lb.Pool) { p.AvoidBuggyIPs = true })},
			want:  []string{"a 10.0.0.254", "b 10.0.1.1", "c PoolExhausted"}},
		{name: "priority 1 before 2 before none", services: []lb.Service{web("a", 1), web("b", 2), web("c", 3)},
			pools: []lb.Pool{newPool(t, "a", "10.0.0.1"), edit(newPool(t, "b", "10.0.0.2"), func(p *lb.Pool) { p.Priority = 2 }), edit(newPool(t, "c", "10.0.0.3"), func(p *lb.Pool) { p.Priority = 1 })},
			want:  []string{"a 10.0.0.3", "b 10.0.0.2", "c 10.0.0.1"}},
		{name: "a pool for the namespace goes before pools for all", services: []lb.Service{web("a", 1), web("b", 1, inNamespace("other"))},
			pools: []lb.Pool{lan, edit(newPool(t, "shop", "10.9.0.1"), func(p *lb.Pool) { p.Namespaces = []string{"shop"} })},
			want:  []string{"a 10.9.0.1", "b 10.0.0.1"}},
		{name: "a namespace selector", services: []lb.Service{web("a", 1), web("b", 1, inNamespace("other"))},
			pools: []lb.Pool{edit(newPool(t, "prod", "10.9.0.1-10.9.0.9"), func(p *lb.Pool) {
				p.NamespaceSelector = &lb.Selector{Requirements: []lb.Requirement{{Key: "env", Operator: lb.In, Values: []string{"prod"}}}}
			})}, want: []string{"a 10.9.0.1", "b NoPool"}},
		{name: "a service selector restricts further", services: []lb.Service{web("a", 1), web("b", 1, func(s *lb.Service) { s.Labels = map[string]string{"edge": ""} })},
			pools: []lb.Pool{edit(newPool(t, "edge", "10.9.0.1-10.9.0.9"), func(p *lb.Pool) {
				p.ServiceSelector = &lb.Selector{Requirements: []lb.Requirement{{Key: "edge", Operator: lb.Exists}}}
			})}, want: []string{"a NoPool", "b 10.9.0.1"}},
		{name: "a request of an address in a closed pool", services: []lb.Service{web("a", 1, asks("10.9.0.1"))},
			pools: []lb.Pool{edit(newPool(t, "p", "10.9.0.1"), func(p *lb.Pool) { p.Namespaces = []string{"other"} })}, want: []string{"a PoolNotAllowed"}},
		{name: "a pool that closes keeps those it served", services: []lb.Service{web("a", 1, holds("10.9.0.1"))},
			pools: []lb.Pool{edit(newPool(t, "p", "10.9.0.1"), func(p *lb.Pool) { p.Namespaces = []string{"other"} })}, want: []string{"a 10.9.0.1"}},
		{name: "a namespace is held to its quota", services: []lb.Service{web("a", 1), web("b", 2), web("c", 3, inNamespace("other"))},
			pools: []lb.Pool{edit(lan, func(p *lb.Pool) { p.QuotaPerNamespace = 1 })}, want: []string{"a 10.0.0.1", "b QuotaExceeded", "c 10.0.0.2"}},
		{name: "a reserved address waits for its Service", services: []lb.Service{web("a", 1), web("late", 9)},
			pools: []lb.Pool{edit(lan, reserve("shop/late", "10.0.0.1"))}, want: []string{"a 10.0.0.2", "late 10.0.0.1"}},
		{name: "a reserved address is refused to others", services: []lb.Service{web("a", 1, asks("10.0.0.1"))},
			pools: []lb.Pool{edit(lan, reserve("shop/late", "10.0.0.1"))}, want: []string{"a AddressReserved"}},

		{name: "sharers with different ports have one address", services: []lb.Service{web("a", 1, shares("k", 80)), web("b", 2, shares("k", 443))},
			want: []string{"a 10.0.0.1", "b 10.0.0.1"}},
		{name: "sharers with a port in common have two", services: []lb.Service{web("a", 1, shares("k", 80)), web("b", 2, shares("k", 80, 443))},
			want: []string{"a 10.0.0.1", "b 10.0.0.2"}},
		{name: "one port with two protocols may be shared", services: []lb.Service{web("a", 1, shares("k", 53)), web("b", 2, shares("k", 53), func(s *lb.Service) { s.Ports[0].Protocol = "UDP" })},
			want: []string{"a 10.0.0.1", "b 10.0.0.1"}},
		{name: "Cluster and Local do not share", services: []lb.Service{web("a", 1, shares("k", 80)), web("b", 2, shares("k", 443), func(s *lb.Service) { s.Local = true; s.Selector = "app=x" })},
			want: []string{"a 10.0.0.1", "b 10.0.0.2"}},
		{name: "Local and Local share with one selector", services: []lb.Service{
			web("a", 1, shares("k", 80), func(s *lb.Service) { s.Local = true; s.Selector = "app=x" }),
			web("b", 2, shares("k", 443), func(s *lb.Service) { s.Local = true; s.Selector = "app=x" }),
			web("c", 3, shares("k", 444), func(s *lb.Service) { s.Local = true; s.Selector = "app=y" })},
			want: []string{"a 10.0.0.1", "b 10.0.0.1", "c 10.0.0.2"}},
		{name: "a lower address that can be shared goes before a fresh one", services: []lb.Service{web("a", 1, holds("10.0.0.2"), shares("k", 80)), web("b", 2, shares("k", 443)), web("c", 3)},
			want: []string{"a 10.0.0.2", "b 10.0.0.1", "c 10.0.0.3"}},
		{name: "namespaces may share", services: []lb.Service{web("a", 1, shares("k", 80)), web("b", 2, shares("k", 443), inNamespace("other"))},
			want: []string{"a 10.0.0.1", "b 10.0.0.1"}},
		{name: "an address asked for is shared by rule", services: []lb.Service{web("a", 1, shares("k", 80), asks("10.0.0.3")), web("b", 2, shares("k", 443), asks("10.0.0.3")), web("c", 3, shares("other", 444), asks("10.0.0.3"))},
			want: []string{"a 10.0.0.3", "b 10.0.0.3", "c AddressTaken"}},

		{name: "foreign classes are left alone", services: []lb.Service{web("a", 1, func(s *lb.Service) { s.Class = "example.com/lb" })}, want: nil},
		{name: "a class of ours that is not there", services: []lb.Service{web("a", 1, class("gold"))}, want: []string{"a UnknownClass"}},
		{name: "a class that vanished keeps working", services: []lb.Service{web("a", 1, class("gold"), holds("10.0.0.1"))}, want: []string{"a 10.0.0.1 UnknownClass"}},
		{name: "a class takes from its pools only", services: []lb.Service{web("a", 1, class("gold"))}, classes: []lb.Class{{Name: "gold", Pools: []string{"vips"}}},
			pools: []lb.Pool{lan, newPool(t, "vips", "10.9.0.1")}, want: []string{"a 10.9.0.1"}},
		{name: "a class whose only pool is missing", services: []lb.Service{web("a", 1, class("gold"))}, classes: []lb.Class{{Name: "gold", Pools: []string{"nope"}}}, want: []string{"a NoPool"}},
		{name: "without a default class, Services without one are not ours", services: []lb.Service{web("a", 1)}, classes: []lb.Class{{Name: "gold"}}, want: nil},
		{name: "the default class takes Services without one", services: []lb.Service{web("a", 1)}, classes: []lb.Class{{Name: "gold", Default: true}}, want: []string{"a 10.0.0.1"}},
		{name: "a default class unmarked keeps what it served", services: []lb.Service{web("a", 1, holds("10.0.0.1"))}, classes: []lb.Class{{Name: "gold"}}, want: []string{"a 10.0.0.1 UnknownClass"}},
		{name: "without pools and classes nothing is ours", services: []lb.Service{web("a", 1)}, pools: []lb.Pool{}, want: nil},

		{name: "a Service without ports", services: []lb.Service{web("a", 1, func(s *lb.Service) { s.Ports = nil })}, want: []string{"a NoPorts"}},
		{name: "a headless Service", services: []lb.Service{web("a", 1, func(s *lb.Service) { s.Families = nil })}, want: []string{"a NoClusterIP"}},
		{name: "a Service that changed its type is released", services: []lb.Service{web("a", 1, holds("10.0.0.1"), func(s *lb.Service) { s.LoadBalancer = false }), web("b", 2)},
			want: []string{"a released", "b 10.0.0.1"}},
		{name: "a Service under deletion is released", services: []lb.Service{web("a", 1, holds("10.0.0.1"), func(s *lb.Service) { s.Deleting = true })}, want: []string{"a released"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := lb.World{Services: sorted(c.services...), Pools: c.pools, Classes: c.classes,
				Namespaces: []lb.Namespace{{Name: "shop", Labels: map[string]string{"env": "prod"}}}}
			if c.pools == nil {
				w.Pools = []lb.Pool{lan}
			}
			if diff := cmp.Diff(c.want, summary(Plan(w))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func edit(p lb.Pool, f func(*lb.Pool)) lb.Pool { f(&p); return p }

func class(name string) func(*lb.Service) {
	return func(s *lb.Service) { s.Class = lb.ClassPrefix + name }
}

func reserve(service, addr string) func(*lb.Pool) {
	ns, name, _ := strings.Cut(service, "/")
	return func(p *lb.Pool) {
		p.Reservations = []lb.Reservation{{Service: lb.Key{Namespace: ns, Name: name}, Address: netip.MustParseAddr(addr)}}
	}
}

// editedPool has ranges in force and others written.
func editedPool(t *testing.T, name string, inForce, written []string) lb.Pool {
	p := newPool(t, name, written...)
	before := newPool(t, name, inForce...)
	p.InForce = before.InForce
	p.Generation = 7
	return p
}

func TestPoolEdits(t *testing.T) {
	holders := func(n int) []lb.Service {
		var out []lb.Service
		for i := range n {
			out = append(out, newService(fmt.Sprintf("s%02d", i), i, holds(fmt.Sprintf("10.0.0.%d", i+1))))
		}
		return out
	}
	for _, c := range []struct {
		name     string
		pools    []lb.Pool
		services []lb.Service
		kept     int    // Services that keep the address they hold
		reasons  string // of the pools, by name
	}{
		{name: "an edit that takes one address of many goes through", services: holders(5), kept: 4,
			pools: []lb.Pool{editedPool(t, "lan", []string{"10.0.0.1-10.0.0.9"}, []string{"10.0.0.1-10.0.0.4"})}, reasons: "-"},
		{name: "an edit that takes two of five is held", services: holders(5), kept: 5,
			pools: []lb.Pool{editedPool(t, "lan", []string{"10.0.0.1-10.0.0.9"}, []string{"10.0.0.1-10.0.0.3"})}, reasons: "ShrinkHeld"},
		{name: "an edit that takes two of twenty goes through", services: holders(20), kept: 18,
			pools: []lb.Pool{editedPool(t, "lan", []string{"10.0.0.0/24"}, []string{"10.0.0.3-10.0.0.255"})}, reasons: "-"},
		{name: "a confirmed edit goes through", services: holders(5), kept: 0,
			pools: []lb.Pool{edit(editedPool(t, "lan", []string{"10.0.0.1-10.0.0.9"}, []string{"10.0.1.0/24"}), func(p *lb.Pool) { p.Confirmed = true })}, reasons: "-"},
		{name: "two edits are counted together", services: holders(15), kept: 15, reasons: "ShrinkHeld ShrinkHeld",
			pools: []lb.Pool{editedPool(t, "a", []string{"10.0.0.1-10.0.0.8"}, []string{"10.0.0.1-10.0.0.7"}), editedPool(t, "b", []string{"10.0.0.9-10.0.0.15"}, []string{"10.0.0.9-10.0.0.14"})}},
		{name: "a pool split in two keeps everybody", services: holders(9), kept: 9, reasons: "- -",
			pools: []lb.Pool{editedPool(t, "a", []string{"10.0.0.1-10.0.0.9"}, []string{"10.0.0.1-10.0.0.4"}), edit(newPool(t, "b", "10.0.0.5-10.0.0.9"), func(p *lb.Pool) { p.InForce = nil })}},
		{name: "a pool under deletion stays while many depend on it", services: holders(3), kept: 3, reasons: "PoolInUse",
			pools: []lb.Pool{edit(newPool(t, "lan", "10.0.0.0/24"), func(p *lb.Pool) { p.Deleting = true })}},
		{name: "a renamed pool keeps everybody", services: holders(3), kept: 3, reasons: "- -",
			pools: []lb.Pool{edit(newPool(t, "old", "10.0.0.0/24"), func(p *lb.Pool) { p.Deleting = true }), edit(newPool(t, "young", "10.0.0.0/24"), func(p *lb.Pool) { p.InForce = nil })}},
		{name: "addresses that cannot be read leave the old in force", services: holders(3), kept: 3, reasons: "BadAddresses",
			pools: []lb.Pool{edit(newPool(t, "lan", "10.0.0.0/24"), func(p *lb.Pool) { p.Ranges, p.Problem = nil, lb.Refuse(lb.BadAddresses, "y", "x") })}},
		{name: "of two that overlap, the older is in force", services: holders(1), kept: 1, reasons: "- Overlap",
			pools: []lb.Pool{edit(newPool(t, "a", "10.0.0.0/24"), func(p *lb.Pool) { p.InForce = nil }), edit(newPool(t, "b", "10.0.0.128/25"), func(p *lb.Pool) { p.InForce, p.Created = nil, epoch.Add(1) })}},
		{name: "an older pool that grows over a younger one is refused", services: holders(1), kept: 1, reasons: "Overlap -",
			pools: []lb.Pool{editedPool(t, "a", []string{"10.0.0.128/25"}, []string{"10.0.0.0/24"}), edit(newPool(t, "b", "10.0.0.0/25"), func(p *lb.Pool) { p.Created = epoch.Add(1) })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := lb.World{Services: c.services, Pools: c.pools}
			d := Plan(w)
			kept := 0
			for _, s := range c.services {
				for _, b := range d.Balancers {
					if b.Service == s.Key && slices.Equal(b.Addresses(), s.Held) {
						kept++
					}
				}
			}
			var reasons []string
			for _, p := range d.Pools {
				reason := "-"
				if p.Refusal != nil {
					reason = string(p.Refusal.Reason)
				}
				reasons = append(reasons, reason)
			}
			if kept != c.kept || strings.Join(reasons, " ") != c.reasons {
				t.Errorf("%d keep their address and pools say %v; want %d and %s\n%v", kept, reasons, c.kept, c.reasons, summary(d))
			}
			// The edit that took effect must be done with after a second look.
			settled := apply(apply(w, d), Plan(apply(w, d)))
			if diff := cmp.Diff(summary(Plan(settled)), summary(Plan(apply(settled, Plan(settled))))); diff != "" {
				t.Errorf("does not come to rest:\n%s", diff)
			}
		})
	}
}

func TestShrinkHeldTellsHowToConfirm(t *testing.T) {
	p := editedPool(t, "lan", []string{"10.0.0.1-10.0.0.9"}, []string{"10.0.1.0/24"})
	d := Plan(lb.World{Pools: []lb.Pool{p}, Services: []lb.Service{newService("a", 1, holds("10.0.0.1")), newService("b", 2, holds("10.0.0.2"))}})
	const want = "kubectl annotate --overwrite addresspool lan fairlead.dev/confirm=7"
	if r := d.Pools[0].Refusal; r == nil || !strings.Contains(r.Message(), want) {
		t.Errorf("refusal %+v does not say %q", r, want)
	}
}

// The memory of a confirmed shrink lasts until the last Service let go, or a
// crash in between would leave orphans that the brake keeps.
func TestConfirmedShrinkSurvivesACrash(t *testing.T) {
	p := edit(editedPool(t, "lan", []string{"10.0.0.1-10.0.0.9"}, []string{"10.0.1.0/24"}), func(p *lb.Pool) { p.Confirmed = true })
	w := lb.World{Pools: []lb.Pool{p}, Services: []lb.Service{newService("a", 1, holds("10.0.0.1")), newService("b", 2, holds("10.0.0.2")), newService("c", 3, holds("10.0.0.3"))}}
	d := Plan(w)
	crashed := apply(w, lb.Desired{Balancers: d.Balancers[:1], Pools: d.Pools}) // all statuses written but those of b and c
	if diff := cmp.Diff([]string{"a 10.0.1.0", "b 10.0.1.1", "c 10.0.1.2"}, summary(Plan(crashed))); diff != "" {
		t.Errorf("after the crash (-want +got):\n%s", diff)
	}
}

func TestPoolUsage(t *testing.T) {
	p := edit(newPool(t, "lan", "10.0.0.0/23", "fd00::-fd00::fe"), func(p *lb.Pool) { p.AvoidBuggyIPs = true })
	d := Plan(lb.World{Pools: []lb.Pool{p}, Services: []lb.Service{newService("a", 1), newService("b", 2)}})
	want := []lb.Usage{{Family: lb.IPv4, Total: 508, InUse: 2, Free: 506}, {Family: lb.IPv6, Total: 254, Free: 254}}
	if diff := cmp.Diff(want, d.Pools[0].Usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestAHugePoolCountsAsManyAsFit(t *testing.T) {
	d := Plan(lb.World{Pools: []lb.Pool{newPool(t, "lan", "fd00::/48", "fd01::/64")}})
	want := []lb.Usage{{Family: lb.IPv6, Total: 1<<63 - 1, Free: 1<<63 - 1}}
	if diff := cmp.Diff(want, d.Pools[0].Usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestExplainNamesEachRule(t *testing.T) {
	w := lb.World{Pools: []lb.Pool{newPool(t, "full", "10.0.0.1"), edit(newPool(t, "manual", "10.1.0.1"), func(p *lb.Pool) { p.AutoAssign = false })},
		Services: sorted(newService("old", 1, holds("10.0.0.1")), newService("new", 2))}
	var got []string
	for _, c := range Explain(w, lb.Key{Namespace: "shop", Name: "new"}) {
		got = append(got, fmt.Sprintf("%v %s: %s", c.OK, c.Rule, c.Detail))
	}
	want := []string{
		`true class: LoadBalancerClass "implicit-l2", provider L2`,
		`false pool manual: spec.autoAssign is false: only by fairlead.dev/pool or fairlead.dev/addresses`,
		`false pool full: no IPv4 address is free`,
		`false result: PoolExhausted: no IPv4 address is free: pool "full" has 0 of 1 free: widen it, delete a Service, or ask for another pool`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, state := range []string{"new", "steady"} {
		b.Run(state, func(b *testing.B) {
			w := speakingWorld(10000, 1000)
			if state == "new" {
				for i := range w.Services {
					w.Services[i].Held = nil
				}
			}
			b.ResetTimer()
			for b.Loop() {
				Plan(w)
			}
		})
	}
}

func BenchmarkOwners(b *testing.B) {
	for _, state := range []string{"new", "steady"} {
		b.Run(state, func(b *testing.B) {
			w := speakingWorld(10000, 1000)
			if state == "steady" {
				w = claim(w, Owners(w))
			}
			b.ResetTimer()
			for b.Loop() {
				Owners(w)
			}
		})
	}
}

// Ten thousand ask for a hundred: those that have an address keep it whatever their
// age, the others wait in the order of theirs, and one that is freed goes to the first.
func TestTenThousandServicesForAHundredAddresses(t *testing.T) {
	var services []lb.Service
	for i := range 10000 {
		s := newService(fmt.Sprintf("s%05d", i), i)
		if i >= 9950 { // the youngest were faster
			holds(fmt.Sprintf("10.0.0.%d", 10000-i))(&s)
		}
		services = append(services, s)
	}
	w := lb.World{Pools: []lb.Pool{newPool(t, "lan", "10.0.0.1-10.0.0.100")}, Services: services}
	d := Plan(w)
	if len(d.Balancers) != 100 || len(d.Refusals) != 9900 {
		t.Fatalf("%d have an address and %d are refused", len(d.Balancers), len(d.Refusals))
	}
	for _, b := range d.Balancers {
		age := slices.IndexFunc(services, func(s lb.Service) bool { return s.Key == b.Service })
		if age >= 50 && age < 9950 {
			t.Errorf("%s has %v before older ones", b.Service, b.Addresses())
		}
		if held := services[age].Held; len(held) > 0 && !slices.Equal(held, b.Addresses()) {
			t.Errorf("%s held %v and has %v", b.Service, held, b.Addresses())
		}
	}
	for _, r := range d.Refusals {
		if r.Reason != lb.PoolExhausted {
			t.Fatalf("%s is refused with %s", r.Service, r.Reason)
		}
	}
	w = apply(w, d)
	w.Services = slices.Delete(w.Services, 3, 4)
	for _, b := range Plan(w).Balancers {
		if b.Service.Name == "s00050" {
			return
		}
	}
	t.Error("the first that waits did not get the address that was freed")
}
