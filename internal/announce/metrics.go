package announce

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/claims"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
)

// Why a packet of ours was not sent.
const (
	queueFull ether.Drop = "send_queue_full" // our own
	congested ether.Drop = "send_congested"  // the interface's
	gateShut  ether.Drop = "gate_shut"       // this node must not be heard
)

// metrics count what goes over the segments.
type metrics struct {
	arpRequests, arpReplies   *prometheus.CounterVec // by iface
	solicitations, advertised *prometheus.CounterVec // by iface
	gratuitous                *prometheus.CounterVec // by family
	conflicts                 prometheus.Counter
	drops                     map[ether.Drop]prometheus.Counter
}

// newMetrics registers the collectors with r unless it is nil.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	vec := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		arpRequests:   vec("fairlead_arp_requests_total", "ARP requests for addresses of this node.", "iface"),
		arpReplies:    vec("fairlead_arp_replies_total", "ARP requests answered.", "iface"),
		solicitations: vec("fairlead_ndp_solicitations_total", "Neighbor solicitations for addresses of this node.", "iface"),
		advertised:    vec("fairlead_ndp_advertisements_total", "Neighbor solicitations answered.", "iface"),
		gratuitous:    vec("fairlead_gratuitous_total", "Announcements of an address on an interface that nobody asked for.", "family"),
		conflicts: f.NewCounter(prometheus.CounterOpts{
			Name: "fairlead_address_conflicts_total",
			Help: "Times that another host was found with an address of this node.",
		}),
		drops: map[ether.Drop]prometheus.Counter{},
	}
	drops := vec("fairlead_announce_drops_total", "ARP and neighbor discovery packets that were not answered or not sent.", "reason")
	for _, list := range [][]ether.Drop{arp.Drops(), ndp.Drops(), claims.Drops(), {queueFull, congested, gateShut}} {
		for _, d := range list {
			m.drops[d] = drops.WithLabelValues(string(d))
		}
	}
	return m
}

func (m *metrics) drop(d ether.Drop, n int) { m.drops[d].Add(float64(n)) }

// stationCounts are the counters of one station.
type stationCounts struct{ questions, answers, gratuitous prometheus.Counter }

func (m *metrics) station(key stationKey) stationCounts {
	if key.protocol == protocolARP {
		return stationCounts{
			questions:  m.arpRequests.WithLabelValues(key.name),
			answers:    m.arpReplies.WithLabelValues(key.name),
			gratuitous: m.gratuitous.WithLabelValues("IPv4"),
		}
	}
	return stationCounts{
		questions:  m.solicitations.WithLabelValues(key.name),
		answers:    m.advertised.WithLabelValues(key.name),
		gratuitous: m.gratuitous.WithLabelValues("IPv6"),
	}
}
