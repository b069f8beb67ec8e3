package liveness

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics count heartbeats and what was made of them.
type metrics struct {
	sent, unsent, received prometheus.Counter
	drops                  map[Drop]prometheus.Counter
	lateness               prometheus.Histogram
	stalls                 prometheus.Counter
	verdicts               map[State]prometheus.Counter
	neighbours             map[State]prometheus.Gauge
	quorate, multicast     prometheus.Gauge

	newsSent, newsReceived, newsUnsent, newsRequests prometheus.Counter
}

// newMetrics registers the collectors with r unless it is nil.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		sent:     counter("fairlead_heartbeats_sent_total", "Heartbeats sent: to the multicast group, and to each address of each neighbour that it does not reach."),
		unsent:   counter("fairlead_heartbeats_unsent_total", "Heartbeats that the kernel did not take."),
		received: counter("fairlead_heartbeats_received_total", "Heartbeats of neighbours that were taken."),
		drops:    map[Drop]prometheus.Counter{},
		lateness: f.NewHistogram(prometheus.HistogramOpts{
			Name: "fairlead_heartbeat_lateness_seconds",
			Help: "How long beyond the interval a neighbour's heartbeat was waited for.",
			// From jitter of its own to a silence that others were asked about.
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .15, .2, .4, 1},
		}),
		stalls:     counter("fairlead_liveness_stalls_total", "Times that this process woke up too late to judge its neighbours."),
		verdicts:   map[State]prometheus.Counter{},
		neighbours: map[State]prometheus.Gauge{},
		quorate: f.NewGauge(prometheus.GaugeOpts{
			Name: "fairlead_liveness_quorate",
			Help: "1 while this node is in touch with half of its segment or more.",
		}),
	}
	m.multicast = f.NewGauge(prometheus.GaugeOpts{
		Name: "fairlead_liveness_multicast_neighbours",
		Help: "Neighbours that this node's heartbeats reach by multicast. Each of the others gets its own.",
	})
	m.newsSent = counter("fairlead_news_sent_bytes_total", "Octets of packets that tell neighbours this node's news, or ask for theirs.")
	m.newsReceived = counter("fairlead_news_received_bytes_total", "Octets of such packets that were taken.")
	m.newsUnsent = counter("fairlead_news_unsent_total", "Such packets that the kernel did not take.")
	m.newsRequests = counter("fairlead_news_requests_total", "Times that a neighbour was asked for news that did not come, or not whole.")
	dropped := f.NewCounterVec(prometheus.CounterOpts{
		Name: "fairlead_heartbeats_dropped_total",
		Help: "Packets to the heartbeat port that were not taken.",
	}, []string{"reason"})
	for _, d := range drops() {
		m.drops[d] = dropped.WithLabelValues(string(d))
	}
	verdicts := f.NewCounterVec(prometheus.CounterOpts{
		Name: "fairlead_liveness_verdicts_total",
		Help: "Times that a neighbour came into a state.",
	}, []string{"state"})
	neighbours := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "fairlead_liveness_neighbours",
		Help: "Neighbours by state.",
	}, []string{"state"})
	for _, s := range states() {
		m.verdicts[s] = verdicts.WithLabelValues(string(s))
		m.neighbours[s] = neighbours.WithLabelValues(string(s))
	}
	return m
}
