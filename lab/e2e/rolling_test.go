//go:build lab

package e2e

import (
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

// One speaker after the other is stopped and started, as a DaemonSet does it. That all
// pods of a real DaemonSet do so is TestARollingUpgradeLosesNoConnection.
func TestARollingRestartLosesNoConnection(t *testing.T) {
	s := newSegment(t, lab.Options{}, "router")
	s.rollingRestart()
	s.nothingLeft()
}

func (s *segment) rollingRestart() {
	t := s.t
	n := s.newcomer(s.Client(), s.vips...)
	s.steady(5 * askEvery)
	s.settled(takenBack, n)
	began := time.Now()
	watching := []clients{s.probing(s.vips[0], patient), s.probing(s.vips[1], patient)}
	for _, node := range s.Nodes() {
		old := s.boot(node)
		s.stop(node, "speaker", syscall.SIGTERM)
		s.speaker(node)
		s.rebooted(node, old)
		s.meshed()
	}
	s.steady(time.Second)
	for i, c := range watching {
		c.within(t, 0, "rolling restart, "+s.vips[i].String())
	}
	s.answered(n, began, takeOverBound, s.vips...)
	s.settled(takenBack, n)
}
