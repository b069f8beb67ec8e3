package octavia

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// crowd is a run with many Services, all of which have what they want.
func crowd(b *testing.B, services, nodes int) *run {
	b.Helper()
	config, _, err := occm.ParseConfig([]byte("[LoadBalancer]\nmanage-security-groups = true\n"))
	if err != nil {
		b.Fatal(err)
	}
	in := Input{Cluster: Cluster{UID: "c0ffee00-0000-4000-8000-000000000001", Name: "kubernetes"}}
	d := New(Options{Cloud: "bench", Pace: DefaultPace(), Log: slog.New(slog.DiscardHandler)})
	r := newRun(d)
	r.scene.Features.Minor, r.scene.Ports = 26, make(map[string]neutron.Port)
	r.scene.Networks = []neutron.Network{{ID: "public", External: true, Subnets: []string{"pool"}}}
	r.scene.Subnets = []neutron.Subnet{{ID: "private", NetworkID: "tenant", CIDR: netip.MustParsePrefix("10.0.0.0/16")},
		{ID: "pool", NetworkID: "public", CIDR: netip.MustParsePrefix("203.0.0.0/16")}}
	for i := range nodes {
		name, a := fmt.Sprintf("node-%d", i), netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		in.Nodes = append(in.Nodes, lb.Node{Name: name, Alive: true, Addresses: []netip.Addr{a}, ServerID: name})
		r.scene.Ports[name] = neutron.Port{ID: "port-" + name, NetworkID: "tenant", FixedIPs: []neutron.FixedIP{{Address: a, SubnetID: "private"}}}
	}
	for i := range services {
		svc := lb.Service{Key: lb.Key{Namespace: "shop", Name: fmt.Sprintf("web-%05d", i)}, UID: fmt.Sprintf("5e41ce00-0000-4000-8000-%012d", i), Finalized: true,
			LoadBalancer: true, Families: []lb.Family{lb.IPv4}, Ports: []lb.Port{{Protocol: "TCP", Number: 80}, {Protocol: "TCP", Number: 443}},
			NodePorts: []uint16{uint16(30000 + 2*i), uint16(30001 + 2*i)}, Held: []netip.Addr{netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})}}
		options, problem := config.Options(lb.Octavia{}, &svc)
		if problem != nil {
			b.Fatal(problem)
		}
		in.Requests = append(in.Requests, Request{Service: svc, Options: options, Wanted: true})
	}
	r.open = make(map[neutron.Rule]bool)
	v := newView(&in, &r.scene)
	var made []LoadBalancer
	for i, u := range v.units() {
		l := v.want(u).whole()
		l.ID, l.Status, l.Known, l.VIP.Port = fmt.Sprintf("lb-%05d", i), Active, true, fmt.Sprintf("vip-%05d", i)
		l.VIP.Address = netip.AddrFrom4([4]byte{10, 0, byte(10 + i>>8), byte(i)})
		for j := range l.Pools {
			l.Pools[j].ID = fmt.Sprintf("pool-%d-%d", i, j)
			l.Listeners[j].ID, l.Listeners[j].Pool = fmt.Sprintf("listener-%d-%d", i, j), l.Pools[j].ID
		}
		h := u.halves[0]
		r.scene.FloatingIPs = append(r.scene.FloatingIPs, neutron.FloatingIP{ID: fmt.Sprintf("fip-%d", i), Address: h.Service.Held[0], NetworkID: "public",
			Description: v.description(h, false), PortID: l.VIP.Port, Fixed: l.VIP.Address})
		for _, rule := range v.rules(u, h) {
			r.open[bare(rule)] = true
		}
		made = append(made, l)
	}
	r.scene.LoadBalancers = made
	d.Want(in)
	d.Connect(&Clients{}, nil)
	r.accept()
	r.listed, r.audit, r.nextPoll, r.ports = true, time.Now().Add(time.Hour), time.Now().Add(time.Hour), r.nodes
	v = newView(r.input, &r.scene)
	r.openings, r.portsKey, r.secured, r.securityFresh = v.openings(v.units()), r.ports, true, false
	r.advance(context.Background(), time.Now())
	if built := d.Built(); len(built) != services || built[0].Trouble != nil || r.busy {
		b.Fatalf("not settled: %d built, %+v", len(built), built[0].Trouble)
	}
	return r
}

func BenchmarkAdvance(b *testing.B) {
	for _, bench := range []struct {
		name  string
		stale bool
	}{{"nothing changed", false}, {"something changed", true}} {
		for _, nodes := range []int{3, 50} {
			b.Run(fmt.Sprintf("1000 Services of 2 ports/%d nodes/%s", nodes, bench.name), func(b *testing.B) {
				r := crowd(b, 1000, nodes)
				for b.Loop() {
					r.stale, r.rested = bench.stale, time.Time{}
					r.advance(context.Background(), time.Now())
				}
			})
		}
	}
}

func BenchmarkPoll(b *testing.B) {
	r := crowd(b, 1000, 3)
	seen := make([]LoadBalancer, len(r.scene.LoadBalancers))
	for i := range seen {
		seen[i] = r.scene.LoadBalancers[i]
		seen[i].Listeners, seen[i].Pools, seen[i].Known = nil, nil, false
	}
	for b.Loop() {
		if r.merge(seen, r.turn, ClusterTag(r.input.Cluster.UID)); r.stale {
			b.Fatal("a poll that says nothing new makes everything be looked at")
		}
	}
}
