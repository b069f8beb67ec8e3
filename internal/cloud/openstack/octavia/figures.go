package octavia

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// figures are a driver's metrics.
type figures struct {
	cloud    string
	balancer *prometheus.GaugeVec
	steps    *prometheus.CounterVec
	failures *prometheus.CounterVec
	building *prometheus.HistogramVec
	seen     map[string]bool // Services whose building time was counted
}

func newFigures(r prometheus.Registerer, cloud string) *figures {
	f := &figures{
		cloud: cloud, seen: make(map[string]bool),
		balancer: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fairlead_cloud_load_balancers",
			Help: "Load balancers of this cluster, by provisioning status; stuck ones are PENDING for too long."}, []string{"cloud", "status"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairlead_cloud_steps_total",
			Help: "Changes made in the cloud, by what was done and whether it worked."}, []string{"cloud", "step", "result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairlead_cloud_failures_total",
			Help: "Calls to the cloud that failed, by Reason (docs/reference/reasons.md)."}, []string{"cloud", "reason"}),
		building: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fairlead_cloud_build_seconds",
			Help: "From when a Service was first seen until its address was published.", Buckets: prometheus.ExponentialBuckets(0.5, 2, 11)}, []string{"cloud"}),
	}
	if r == nil {
		return f
	}
	f.balancer = registered(r, f.balancer)
	f.steps = registered(r, f.steps)
	f.failures = registered(r, f.failures)
	f.building = registered(r, f.building)
	return f
}

// registered gives the metric that is registered already, by the driver of another
// cloud.
func registered[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if err := r.Register(c); err != nil {
		var there prometheus.AlreadyRegisteredError
		if errors.As(err, &there) {
			return there.ExistingCollector.(C)
		}
		panic(err) // two metrics of one name: a mistake of the program
	}
	return c
}

func (f *figures) stepped(step any, err error) {
	result := "done"
	if err != nil {
		result = "failed"
	}
	name := fmt.Sprintf("%T", step)
	name = name[strings.LastIndexByte(name, '.')+1:]
	f.steps.WithLabelValues(f.cloud, name, result).Inc()
}

func (f *figures) failed(reason string) { f.failures.WithLabelValues(f.cloud, reason).Inc() }

// scene counts load balancers by status.
func (f *figures) scene(units []*unit, r *run) {
	count := map[string]float64{string(Active): 0, string(Error): 0, string(PendingCreate): 0, string(PendingUpdate): 0, string(PendingDelete): 0, "stuck": 0}
	for _, u := range units {
		if u.have == nil {
			continue
		}
		count[string(u.have.Status)]++
		if since := r.state(u.have.ID).pending; !since.IsZero() && time.Since(since) >= r.d.o.Pace.Stuck {
			count["stuck"]++
		}
	}
	for status, n := range count {
		f.balancer.WithLabelValues(f.cloud, status).Set(n)
	}
}

// published notes how long a Service waited for its address.
func (f *figures) published(uid string, waited time.Duration) {
	if !f.seen[uid] {
		f.seen[uid] = true
		f.building.WithLabelValues(f.cloud).Observe(waited.Seconds())
	}
}
