package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/lb"
)

// figures are the controller's metrics.
type figures struct {
	services  *prometheus.GaugeVec
	refusals  *prometheus.GaugeVec
	addresses *prometheus.GaugeVec
	planning  prometheus.Histogram
}

func newFigures(r prometheus.Registerer) *figures {
	f := &figures{
		services: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fairlead_services",
			Help: "Services of ours, by state: balanced, or refused."}, []string{"state"}),
		refusals: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fairlead_refusals",
			Help: "Services that got nothing, or less than they asked for, by Reason (docs/reference/reasons.md)."}, []string{"reason"}),
		addresses: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fairlead_pool_addresses",
			Help: "Addresses of a pool by family and state: in_use or free."}, []string{"pool", "family", "state"}),
		planning: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fairlead_plan_seconds",
			Help: "How long one look at the whole world took.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
	}
	r.MustRegister(f.services, f.refusals, f.addresses, f.planning)
	return f
}

func (f *figures) planned(d *lb.Desired, took time.Duration) {
	f.planning.Observe(took.Seconds())
	f.services.WithLabelValues("balanced").Set(float64(len(d.Balancers)))
	f.services.WithLabelValues("refused").Set(float64(len(d.Refusals)))
	f.refusals.Reset()
	for _, b := range d.Balancers {
		if b.Shortfall != nil {
			f.refusals.WithLabelValues(string(b.Shortfall.Reason)).Inc()
		}
	}
	for _, r := range d.Refusals {
		f.refusals.WithLabelValues(string(r.Reason)).Inc()
	}
	f.addresses.Reset()
	for _, p := range d.Pools {
		for _, u := range p.Usage {
			f.addresses.WithLabelValues(p.Name, u.Family.String(), "in_use").Set(float64(u.InUse))
			f.addresses.WithLabelValues(p.Name, u.Family.String(), "free").Set(float64(u.Free))
		}
	}
}

// outageFigures are there where --dead-node-endpoints is set.
type outageFigures struct {
	withdrawn prometheus.Gauge
	held      *prometheus.CounterVec
}

func newOutageFigures(r prometheus.Registerer) *outageFigures {
	f := &outageFigures{
		withdrawn: prometheus.NewGauge(prometheus.GaugeOpts{Name: "fairlead_endpoints_withdrawn",
			Help: "Pods out of service because their node is dead (--dead-node-endpoints)."}),
		held: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairlead_endpoints_held_total",
			Help: "How often endpoints of a node stayed in service that speakers called dead, by Reason (--dead-node-endpoints)."}, []string{"reason"}),
	}
	r.MustRegister(f.withdrawn, f.held)
	return f
}
