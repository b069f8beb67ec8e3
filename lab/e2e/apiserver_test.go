//go:build lab

package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

// newServiceBound is how long a new Service may wait for its address to answer while one
// node cannot see it: the node whose turn it is gets 2 s (patience.go), and a fresh
// address is asked for on the segment for 0.4 s.
const newServiceBound = 5 * time.Second

// Kubernetes takes a node for dead that is cut off from the API server only. Its
// neighbours hear it, so it keeps what it has.
func TestANodeCutFromTheAPIServerDoesNoHarm(t *testing.T) {
	s := newSegment(t, lab.Options{NodeMonitorGrace: 4 * time.Second}, "router")
	n := s.newcomer(s.Client(), s.vips...)
	s.steady(5 * askEvery)
	before := s.settled(takenBack, n)
	vip := s.vips[0]
	cut := s.Host(before[vip])
	watching := s.probing(vip, patient)
	if err := cut.CutFromAPI(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Enough of them that some fall to the node that cannot see them.
	began := time.Now()
	var fresh []netip.Addr
	for i := range 6 {
		fresh = append(fresh, s.announce(fmt.Sprintf("later-%d", i))...)
	}
	for _, address := range fresh {
		s.eventually(newServiceBound, address.String()+" answers", func() error { return s.ask(s.Client(), address) })
	}
	t.Logf("6 new Services with 12 addresses answer after %s", time.Since(began).Round(time.Millisecond))

	if err := s.WaitNodesNotReady(t.Context(), cut.Name()); err != nil {
		t.Fatal(err)
	}
	s.steady(time.Second)
	s.stayed(before, s.settled(takenBack, n))

	if err := cut.JoinAPI(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitNodesReady(t.Context(), cut.Name()); err != nil {
		t.Fatal(err)
	}
	s.steady(2 * time.Second)
	s.stayed(before, s.settled(takenBack, n))
	watching.within(t, 0, "cut from the API server")
	s.vips = append(s.vips, fresh...)
	s.homes()
	s.nothingLeft()
}

// Two nodes die one after the other, with an API server and without one: which nodes
// live is known on the segment.
func TestTwoNodesDieOneAfterTheOther(t *testing.T) {
	s := newSegment(t, lab.Options{Nodes: 5}, "router")
	t.Run("with an API server", func(t *testing.T) {
		s := s.in(t)
		s.revive(s.dieTwice())
	})
	t.Run("without an API server", func(t *testing.T) {
		s := s.in(t)
		if err := s.StopAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		dead := s.dieTwice()
		if err := s.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.revive(dead)
	})
	s.nothingLeft()
}

// dieTwice crashes the node that answers for an address, and then the one that took
// over, and returns both. It asks the segment and not the API server who answers.
func (s *segment) dieTwice() []*lab.Host {
	t := s.t
	n := s.newcomer(s.Client(), s.vips...)
	vip := s.vips[0]
	watching := s.probing(vip, impatient)
	var dead []*lab.Host
	for range 2 {
		s.steady(15 * askEvery)
		before := s.heard(n)
		owner := s.Host(before[vip])
		struck := time.Now()
		if err := owner.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		lost := s.of(before, owner.Name())
		s.takenOver(n, struck, owner, lost)
		s.steady(15 * askEvery)
		s.answered(n, struck, takeOverBound, lost...)
		s.stayed(before, s.heard(n), owner.Name())
		dead = append(dead, owner)
	}
	s.answering(10*time.Second, watching)
	watching.within(t, takeOverBound, "two deaths")
	return dead
}

// heard waits until each address is answered by one node, and returns which.
func (s *segment) heard(n *newcomer) map[netip.Addr]string {
	s.t.Helper()
	out := make(map[netip.Addr]string)
	s.eventually(takenBack, "each address is answered by one node", func() error {
		for _, vip := range s.vips {
			nodes := s.named(n.now(vip))
			if len(nodes) != 1 {
				return fmt.Errorf("%s is answered by %v", vip, nodes)
			}
			out[vip] = nodes[0]
		}
		return nil
	})
	return out
}

// revive boots dead nodes, and fails the test if anything moves when they are back.
func (s *segment) revive(dead []*lab.Host) {
	s.t.Helper()
	before := s.homes()
	for _, node := range dead {
		if err := node.Recover(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, node := range dead {
		if err := s.WaitNodesReady(s.t.Context(), node.Name()); err != nil {
			s.t.Fatal(err)
		}
		s.restart(node)
	}
	s.meshed()
	s.stayed(before, s.homes())
}
