package controller

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(name string) lb.Key { return lb.Key{Namespace: "default", Name: name} }

func TestEveryServiceOfOursIsTold(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	short := lb.Refuse(lb.FamilyUnavailable, "add some", "no IPv6")
	d := lb.Desired{
		Balancers: []lb.Balancer{
			{Service: key("web"), Grants: []lb.Grant{{Address: addr, Pool: "lan"}}},
			{Service: key("dual"), Grants: []lb.Grant{{Address: addr.Next(), Pool: "lan"}}, Shortfall: short},
		},
		Refusals: []lb.Refusal{{Service: key("poor"), Reason: lb.PoolExhausted, Detail: "none is free", Remedy: "widen it"}},
		Released: []lb.Key{key("gone")},
	}
	want := map[lb.Key]kube.ServiceStatus{
		key("web"): {Addresses: []netip.Addr{addr}, Finalizer: true,
			Condition: kube.Condition{True: true, Reason: "Assigned", Message: `192.0.2.1 from pool "lan"`}},
		key("dual"): {Addresses: []netip.Addr{addr.Next()}, Finalizer: true,
			Condition: kube.Condition{True: true, Reason: "FamilyUnavailable", Message: "no IPv6: add some"}},
		key("poor"): {Condition: kube.Condition{Reason: "PoolExhausted", Message: "none is free: widen it"}},
		key("gone"): {},
	}
	if diff := cmp.Diff(want, statuses(&d), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := statuses(&lb.Desired{}); len(got) != 0 {
		t.Errorf("nothing desired, and %v is told", got)
	}
}

func TestFiguresFollowThePlan(t *testing.T) {
	r := prometheus.NewRegistry()
	f := newFigures(r)
	value := func(name string, labels map[string]string) float64 {
		t.Helper()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.Metric {
				got := make(map[string]string)
				for _, l := range m.Label {
					got[l.GetName()] = l.GetValue()
				}
				if family.GetName() == name && cmp.Equal(got, labels) {
					return m.Gauge.GetValue()
				}
			}
		}
		return -1
	}
	full := &lb.Desired{
		Balancers: []lb.Balancer{{Shortfall: &lb.Refusal{Reason: lb.FamilyUnavailable}}, {}},
		Refusals:  []lb.Refusal{{Reason: lb.PoolExhausted}, {Reason: lb.PoolExhausted}},
		Pools:     []lb.PoolState{{Name: "lan", Usage: []lb.Usage{{Family: lb.IPv4, Total: 9, InUse: 3, Free: 5}}}},
	}
	f.planned(full, time.Millisecond)
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"fairlead_services", map[string]string{"state": "balanced"}, 2},
		{"fairlead_services", map[string]string{"state": "refused"}, 2},
		{"fairlead_refusals", map[string]string{"reason": "PoolExhausted"}, 2},
		{"fairlead_refusals", map[string]string{"reason": "FamilyUnavailable"}, 1},
		{"fairlead_pool_addresses", map[string]string{"pool": "lan", "family": "IPv4", "state": "in_use"}, 3},
		{"fairlead_pool_addresses", map[string]string{"pool": "lan", "family": "IPv4", "state": "free"}, 5},
	} {
		if got := value(c.name, c.labels); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	f.planned(&lb.Desired{}, time.Millisecond)
	if got := value("fairlead_refusals", map[string]string{"reason": "PoolExhausted"}); got != -1 {
		t.Errorf("a reason that is gone still counts %v", got)
	}
	if got := value("fairlead_pool_addresses", map[string]string{"pool": "lan", "family": "IPv4", "state": "free"}); got != -1 {
		t.Errorf("a pool that is gone still counts %v", got)
	}
}

// noCache has nothing to watch.
type noCache struct{ cache.Cache }

// noClient fails every call by a nil pointer: nothing may be written.
type noClient struct{ client.Client }

func TestTheLoopEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		observer, err := kube.Observe(ctx, noCache{}, 0, lb.Key{})
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		events := kube.NewEvents(nil, log)
		keys := newSafe(kube.Keyring{})
		l := &loop{
			observer: observer, services: kube.NewServiceWriter(nil, observer, events, log), events: events,
			config:  &configWriter{client: noClient{}, observer: observer, log: log, kick: make(chan struct{}, 1)},
			clouds:  newClouds("kubernetes", "fairlead-system", kube.NewSecrets(nil, "fairlead-system", log), nil, log),
			keys:    newKeys(keys, 0, log),
			figures: newFigures(prometheus.NewRegistry()), log: log,
		}
		if !l.NeedLeaderElection() {
			t.Error("every replica would work at once")
		}
		done := make(chan error, 1)
		go func() { done <- l.Start(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		if len(keys.ring.Keys) != 1 {
			t.Errorf("there are %d keys of heartbeats", len(keys.ring.Keys))
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Fatal("it goes on")
		}
	})
}
