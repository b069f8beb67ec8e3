//go:build lab && soak

package e2e

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

// What takes minutes runs in make soak only.
const (
	soakStumble  = 5 * time.Minute
	soakRestarts = 10
	soakRounds   = 10 // through all ways in which a node can go
)

func TestMinutesOfLossOnBusyProcessorsMoveNothing(t *testing.T) {
	s := newSegment(t, lab.Options{}, "router")
	s.stumble(soakStumble)
	s.nothingLeft()
}

func TestTenRollingRestartsLoseNoConnection(t *testing.T) {
	s := newSegment(t, lab.Options{}, "router")
	for range soakRestarts {
		s.rollingRestart()
	}
	s.nothingLeft()
}

func TestEveryWayANodeCanGoAgainAndAgain(t *testing.T) {
	s := newSegment(t, lab.Options{NodeMonitorGrace: 8 * time.Second}, "router")
	for round := range soakRounds {
		for i, w := range append(ways, deletion()) {
			t.Run(w.name, func(t *testing.T) { s.in(t).goes(w, s.vips[(round+i)%len(s.vips)]) })
		}
	}
	s.nothingLeft()
}

func TestPartitionsComeAndGo(t *testing.T) {
	s := newSegment(t, lab.Options{Nodes: 5}, "fabric")
	for range soakRounds {
		t.Run("the API server is with the majority", func(t *testing.T) { s.in(t).oddSplit(s.Host("fabric")) })
		t.Run("the API server is reached from both sides", func(t *testing.T) { s.in(t).oddSplit() })
	}
	s.nothingLeft()
}
