//go:build lab

package e2e

import (
	"net"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

// The node outlives its speaker: what is open there when the speaker stops is served to
// its end, by the relay of the node that took over.
func TestAPlannedStopBreaksNoOpenConnection(t *testing.T) {
	s := newSegment(t, lab.Options{}, "router")
	homes := s.homes()
	owner := s.Host(homes[s.vips[0]])
	var open []net.Conn
	for _, vip := range s.of(homes, owner.Name()) {
		for _, from := range []*lab.Host{s.Client(), s.Remote()} {
			open = append(open, begin(t, from, vip))
		}
	}
	s.stop(owner, "speaker", syscall.SIGTERM)
	s.steady(time.Second) // the goodbye is known to all, and the speaker is gone
	for _, conn := range open {
		if err := finish(conn); err != nil {
			t.Errorf("a connection to %s that was open at %s: %v", conn.RemoteAddr(), owner.Name(), err)
		}
	}
	s.restart(owner)
	s.meshed()
	s.nothingLeft()
}

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
