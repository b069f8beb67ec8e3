//go:build lab

package e2e

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/lab"
)

const (
	// deafBound is how long addresses may be away when heartbeats are blocked for all:
	// all must find that they have no quorum, and say so through the API server.
	deafBound = 5 * time.Second
	// stumblesLast is how long the segment stumbles. The long one is in make soak.
	stumblesLast = 15 * time.Second
)

// A rule in a firewall against the port of the heartbeats is no reason to take all
// addresses from everybody.
func TestWhereHeartbeatsAreBlockedForAllKubernetesIsBelieved(t *testing.T) {
	s := newSegment(t, lab.Options{NodeMonitorGrace: 6 * time.Second}, "router")
	n := s.newcomer(s.Client(), s.vips...)
	s.steady(5 * askEvery)
	before := s.settled(takenBack, n)
	vip := s.vips[0]
	watching := s.probing(vip, impatient)

	blocked := time.Now()
	s.blockHeartbeats(true)
	s.eventually(20*time.Second, "all speakers say that they have no quorum", func() error { return s.quorate(false) })
	s.eventually(20*time.Second, "the addresses are answered again", func() error {
		for _, address := range s.vips {
			if len(n.now(address)) != 1 {
				return fmt.Errorf("%s is answered by %v", address, s.named(n.now(address)))
			}
		}
		return nil
	})
	s.steady(time.Second)
	s.answered(n, blocked, deafBound, s.vips...)
	s.answering(5*time.Second, watching)
	watching.within(t, deafBound, "blocked")
	s.stayed(before, s.settled(takenBack, n))

	watching = s.probing(vip, patient)
	s.blockHeartbeats(false)
	s.meshed()
	s.steady(2 * time.Second)
	watching.within(t, 0, "open again")
	s.stayed(before, s.settled(takenBack, n))

	// Kubernetes is believed of the dead, too.
	s.blockHeartbeats(true)
	s.eventually(20*time.Second, "all speakers say that they have no quorum", func() error { return s.quorate(false) })
	s.steady(15 * askEvery)
	before = s.heard(n)
	owner := s.Host(before[vip])
	lost := s.of(before, owner.Name())
	struck := time.Now()
	if err := owner.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.takenOver(n, struck, owner, lost)
	t.Logf("without heartbeats, a dead node is taken over from after %s", time.Since(struck).Round(time.Millisecond))
	s.stayed(before, s.heard(n), owner.Name())
	s.blockHeartbeats(false)
	s.nothingLeft()
}

// blockHeartbeats drops them in the switch.
func (s *segment) blockHeartbeats(block bool) {
	s.t.Helper()
	rule := ""
	if block {
		rule = "udp dport 7474 drop"
	}
	nft := s.Host("fabric").Command(s.t.Context(), "nft", "-f", "-")
	nft.Stdin = strings.NewReader(`table bridge firewall
delete table bridge firewall
table bridge firewall {
	chain forward {
		type filter hook forward priority 10
		` + rule + `
	}
}
`)
	if out, err := nft.CombinedOutput(); err != nil {
		s.t.Fatalf("nft: %v\n%s", err, out)
	}
}

// quorate is an error unless all Speakers say that they have a quorum, or that they
// have none.
func (s *segment) quorate(want bool) error {
	var list v1alpha1.SpeakerList
	if err := s.api.List(s.t.Context(), &list); err != nil {
		return err
	}
	for _, speaker := range list.Items {
		if h := speaker.Status.Hearing; h == nil || h.Quorate != want {
			return fmt.Errorf("speaker %s hears %+v", speaker.Name, h)
		}
	}
	return nil
}

// Lost frames and busy processors are not a death.
func TestAStumbleMovesNothing(t *testing.T) {
	s := newSegment(t, lab.Options{}, "router")
	s.stumble(stumblesLast)
	s.nothingLeft()
}

// stumble loses one frame of a hundred on every port, while as many loops as there are
// processors want one each.
func (s *segment) stumble(last time.Duration) {
	t := s.t
	n := s.newcomer(s.Client(), s.vips...)
	s.steady(5 * askEvery)
	before, taken := s.settled(takenBack, n), s.epochs()
	for _, h := range s.Nodes() {
		if err := h.DropShare(t.Context(), 0.01, lab.Both); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Client().Hog(t.Context(), runtime.NumCPU()); err != nil {
		t.Fatal(err)
	}
	s.steady(last)
	if err := s.Client().StopHogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.Nodes() {
		if err := h.DropShare(t.Context(), 0, lab.Both); err != nil {
			t.Fatal(err)
		}
	}
	s.stayed(before, s.settled(takenBack, n))
	for address, epoch := range s.epochs() {
		if epoch != taken[address] {
			t.Errorf("%s was taken over %d times while the segment stumbled for %s", address, epoch-taken[address], last)
		}
	}
}
