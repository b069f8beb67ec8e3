package access

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// register makes the metrics, or finds them where another cloud of this process has
// made them.
func register(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_cloud_requests_total",
			Help: "Calls to the cloud, by HTTP status; the code is none where there was no answer.",
		}, []string{"service", "method", "resource", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fairlead_cloud_request_seconds",
			Help:    "How long calls to the cloud took.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"service", "method", "resource"}),
	}
	if r == nil {
		return m, nil
	}
	var known prometheus.AlreadyRegisteredError
	if err := r.Register(m.requests); errors.As(err, &known) {
		m.requests, _ = known.ExistingCollector.(*prometheus.CounterVec)
	} else if err != nil {
		return nil, fmt.Errorf("register the cloud's metrics: %w", err)
	}
	if err := r.Register(m.seconds); errors.As(err, &known) {
		m.seconds, _ = known.ExistingCollector.(*prometheus.HistogramVec)
	} else if err != nil {
		return nil, fmt.Errorf("register the cloud's metrics: %w", err)
	}
	if m.requests == nil || m.seconds == nil {
		return nil, errors.New("register the cloud's metrics: somebody else has their names")
	}
	return m, nil
}

func (m *metrics) observe(service, method, resource, code string, took time.Duration) {
	m.requests.WithLabelValues(service, method, resource, code).Inc()
	m.seconds.WithLabelValues(service, method, resource).Observe(took.Seconds())
}
