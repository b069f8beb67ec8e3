package speaker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fairlead.dev/fairlead/internal/lb"
)

// figures count how this node came to its addresses.
type figures struct {
	takeovers map[lb.Cause]prometheus.Counter
}

// newFigures registers the collectors with r unless it is nil.
func newFigures(r prometheus.Registerer) *figures {
	vec := promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "fairlead_takeovers_total",
		Help: "Addresses that this node took, by why it did.",
	}, []string{"cause"})
	m := &figures{takeovers: make(map[lb.Cause]prometheus.Counter)}
	for _, c := range lb.Causes() {
		m.takeovers[c] = vec.WithLabelValues(string(c))
	}
	return m
}
