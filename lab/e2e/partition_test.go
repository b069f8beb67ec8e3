//go:build lab

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

const (
	// healBound is how long two nodes may answer for one address after a partition has
	// healed, and how long a client's cache may be wrong. The benchmark's target is
	// 200 ms, and 1 s for the caches, on a machine that does nothing else.
	healBound = 1500 * time.Millisecond
	// silenceBound is how long the smaller side of a partition may go on to answer. Its
	// fence shuts after 0.2 s.
	silenceBound = time.Second
)

// The side with most nodes goes on, whether or not the other one still sees the API
// server.
func TestTheMajorityOfAPartitionServesAndTheMinorityIsSilent(t *testing.T) {
	s := newSegment(t, lab.Options{Nodes: 5}, "fabric")
	t.Run("the API server is with the majority", func(t *testing.T) { s.in(t).oddSplit(s.Host("fabric")) })
	t.Run("the API server is reached from both sides", func(t *testing.T) { s.in(t).oddSplit() })
	s.nothingLeft()
}

// oddSplit cuts two of five nodes off, of which one announces the first address, and the
// router with them, to hear their silence. The client and the machines that are given
// are with the majority.
func (s *segment) oddSplit(with ...*lab.Host) {
	t := s.t
	near, far := s.newcomer(s.Client(), s.vips...), s.newcomer(s.Router(), s.vips...)
	s.steady(5 * askEvery)
	before := s.settled(takenBack, near)
	vip := s.vips[0]
	minority := s.sideOf(before, 2)
	watching := s.probing(vip, impatient, s.Client())
	s.steady(300 * time.Millisecond)

	split := time.Now()
	if err := s.Partition(t.Context(), slices.Concat(with, s.others(minority), []*lab.Host{s.Client()}), append(minority, s.Router())); err != nil {
		t.Fatal(err)
	}
	var lost []netip.Addr
	for _, node := range minority {
		had := s.of(before, node.Name())
		s.takenOver(near, split, node, had)
		lost = append(lost, had...)
	}
	s.answering(10*time.Second, watching)
	s.steady(silenceBound)
	s.answered(near, split, takeOverBound, s.vips...)
	watching.within(t, takeOverBound, "partition")
	s.silent(far, split, lost)
	s.heals(near, vip, s.heard(near))
}

// silent fails the test if one of the addresses was heard of later than that after the
// split.
func (s *segment) silent(n *newcomer, split time.Time, addresses []netip.Addr) {
	s.t.Helper()
	var last time.Duration
	for _, address := range addresses {
		for _, w := range n.since(split, address) {
			last = max(last, w.at.Sub(split))
		}
	}
	s.t.Logf("the minority was last heard %s after the split", last.Round(time.Millisecond))
	if last > silenceBound {
		s.t.Errorf("the minority was heard %s after the split, want at most %s", last, silenceBound)
	}
}

// heals ends a partition. One owner of each address must be left: where only one side
// had owners, these.
func (s *segment) heals(n *newcomer, vip netip.Addr, owners map[netip.Addr]string) {
	t := s.t
	t.Helper()
	watching := s.probing(vip, impatient)
	healed := time.Now()
	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.steady(healBound + 20*askEvery)
	var longest time.Duration
	for _, address := range s.vips {
		words := n.since(healed, address)
		if len(words) == 0 {
			t.Fatalf("nobody answers for %s", address)
		}
		for _, w := range words {
			if w.mac != words[len(words)-1].mac {
				longest = max(longest, w.at.Sub(healed))
			}
		}
	}
	t.Logf("one owner of each address is left %s after the healing", longest.Round(time.Millisecond))
	if longest > healBound {
		t.Errorf("two nodes answered for one address %s after the healing, want at most %s", longest, healBound)
	}
	s.answering(5*time.Second, watching)
	watching.within(t, healBound, "healing")
	s.meshed()
	after := s.settled(takenBack, n)
	if owners != nil {
		s.stayed(owners, after)
	}
}

// Half of the nodes is not less than half: both sides serve the clients that they have.
func TestBothHalvesOfAnEvenSplitServe(t *testing.T) {
	for _, nodes := range []int{2, 4} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			s := newSegment(t, lab.Options{Nodes: nodes}, "fabric")
			near, far := s.newcomer(s.Client(), s.vips...), s.newcomer(s.Router(), s.vips...)
			s.steady(5 * askEvery)
			half := s.sideOf(s.settled(takenBack, near), nodes/2)
			vip := s.vips[0]
			watching := s.probing(vip, impatient)
			s.steady(300 * time.Millisecond)

			split := time.Now()
			if err := s.Partition(t.Context(), append(s.others(half), s.Client()), append(half, s.Router())); err != nil {
				t.Fatal(err)
			}
			s.heard(near)
			s.heard(far)
			s.answering(10*time.Second, watching)
			watching.within(t, takeOverBound, "even split")
			s.answered(near, split, takeOverBound, s.vips...)
			s.answered(far, split, takeOverBound, s.vips...)
			for _, address := range s.vips {
				if slices.Equal(near.now(address), far.now(address)) {
					t.Errorf("both sides hear %v about %s: there is no split", near.now(address), address)
				}
			}
			s.heals(near, vip, nil)
			s.nothingLeft()
		})
	}
}

// sideOf are n nodes, of which the first announces the first address.
func (s *segment) sideOf(homes map[netip.Addr]string, n int) []*lab.Host {
	side := []*lab.Host{s.Host(homes[s.vips[0]])}
	for _, node := range s.Nodes() {
		if len(side) < n && node.Name() != side[0].Name() {
			side = append(side, node)
		}
	}
	return side
}

// others are the nodes that are not on a side.
func (s *segment) others(side []*lab.Host) []*lab.Host {
	return slices.DeleteFunc(s.Nodes(), func(n *lab.Host) bool {
		return slices.ContainsFunc(side, func(other *lab.Host) bool { return other.Name() == n.Name() })
	})
}
