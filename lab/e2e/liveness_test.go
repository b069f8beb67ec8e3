//go:build lab

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/lab"
)

const (
	// takeOverBound is how long an address may be away when its owner goes without a
	// word. A quiet machine needs 0.3 s, which is the benchmark's to show; here other
	// tests want the processors too. Kubernetes needs 40 s to notice.
	takeOverBound = 1500 * time.Millisecond
	// nicDownBound is for an owner that can tell: it knows at once, and so do the others
	// by its silence.
	nicDownBound = time.Second
	// disownedBound is for a node that lives and that Kubernetes calls gone: who opens a
	// connection loses nothing, but one that is open at that moment may break, since
	// nobody relays to a node that is gone.
	disownedBound = 250 * time.Millisecond
	// takenBack is how long all may take after a fault until every node says the same.
	takenBack = 10 * time.Second
)

// way is one in which a node can go, and come back.
type way struct {
	name         string
	bound        time.Duration // of the outage; zero is that no connection may fail
	strike, mend func(ctx context.Context, s *segment, node *lab.Host) error
	// mute is that the node must not be heard any more from the moment on in which
	// another one took over: it did not notice that it was away.
	mute bool
}

func restarted(_ context.Context, s *segment, node *lab.Host) error { s.restart(node); return nil }

func recovered(ctx context.Context, s *segment, node *lab.Host) error {
	if err := node.Recover(ctx); err != nil {
		return err
	}
	s.restart(node)
	return s.WaitNodesReady(ctx, node.Name())
}

var ways = []way{
	{
		name: "power loss", bound: takeOverBound,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.Crash(ctx) },
		mend:   recovered,
	},
	{
		name: "kernel freeze", bound: takeOverBound, mute: true,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.Hang(ctx) },
		mend:   func(ctx context.Context, _ *segment, node *lab.Host) error { return node.Unhang(ctx) },
	},
	{
		name: "user space freeze", bound: takeOverBound, mute: true,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.Freeze(ctx) },
		mend:   func(ctx context.Context, _ *segment, node *lab.Host) error { return node.Thaw(ctx) },
	},
	{
		// The node itself goes on to forward what reaches it, so who has it in a cache
		// loses nothing.
		name: "speaker crash", bound: takeOverBound, mute: true,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error {
			return node.Stop(ctx, "speaker", syscall.SIGKILL)
		},
		mend: restarted,
	},
	{
		name: "speaker freeze", bound: takeOverBound, mute: true,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.Freeze(ctx, "speaker") },
		mend:   func(ctx context.Context, _ *segment, node *lab.Host) error { return node.Thaw(ctx, "speaker") },
	},
	{
		name: "NIC down", bound: nicDownBound,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.LinkDown(ctx) },
		mend:   func(ctx context.Context, _ *segment, node *lab.Host) error { return node.LinkUp(ctx) },
	},
	{
		name: "cable out with carrier up", bound: takeOverBound, mute: true,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.CableOut(ctx) },
		mend:   func(ctx context.Context, _ *segment, node *lab.Host) error { return node.CableIn(ctx) },
	},
	{
		name: "a switch port that passes nothing from the node", bound: takeOverBound, mute: true,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.DropShare(ctx, 1, lab.Out) },
		mend:   func(ctx context.Context, _ *segment, node *lab.Host) error { return node.DropShare(ctx, 0, lab.Out) },
	},
	{
		// The node goes on to be heard by everybody, and hears nobody.
		name: "a switch port that passes nothing to the node", bound: takeOverBound, mute: true,
		strike: func(ctx context.Context, _ *segment, node *lab.Host) error { return node.DropShare(ctx, 1, lab.In) },
		mend:   func(ctx context.Context, _ *segment, node *lab.Host) error { return node.DropShare(ctx, 0, lab.In) },
	},
	{
		// What is open is served by the node until it is off.
		name: "clean shutdown",
		strike: func(ctx context.Context, s *segment, node *lab.Host) error {
			if err := node.Stop(ctx, "speaker", syscall.SIGTERM); err != nil {
				return err
			}
			s.steady(patient)
			return node.Crash(ctx)
		},
		mend: recovered,
	},
	{
		name: "out-of-service taint on a node that lives", bound: disownedBound,
		strike: func(ctx context.Context, s *segment, node *lab.Host) error {
			_, err := s.Kubectl(ctx, "taint", "node", node.Name(), "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
			return err
		},
		mend: func(ctx context.Context, s *segment, node *lab.Host) error {
			_, err := s.Kubectl(ctx, "taint", "node", node.Name(), "node.kubernetes.io/out-of-service-")
			return err
		},
	},
}

// deletion is of a Node object whose machine goes on.
func deletion() way {
	node := &corev1.Node{}
	return way{
		name: "Node deleted from the API", bound: disownedBound,
		strike: func(ctx context.Context, s *segment, owner *lab.Host) error {
			if err := s.api.Get(ctx, client.ObjectKey{Name: owner.Name()}, node); err != nil {
				return err
			}
			return s.api.Delete(ctx, node)
		},
		mend: func(ctx context.Context, s *segment, owner *lab.Host) error {
			again := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: node.Labels}, Spec: node.Spec}
			if err := s.api.Create(ctx, again); err != nil {
				return err
			}
			return s.WaitNodesReady(ctx, owner.Name())
		},
	}
}

// Every way in which a node can go costs its addresses less than the bound, and only its
// own; when it is back nothing moves.
func TestEveryWayANodeCanGo(t *testing.T) {
	s := newSegment(t, lab.Options{NodeMonitorGrace: 8 * time.Second}, "router")
	for i, w := range append(ways, deletion()) {
		t.Run(w.name, func(t *testing.T) { s.in(t).goes(w, s.vips[i%2]) })
	}
	s.nothingLeft()
}

// goes does to the owner of an address what may happen to a node, and takes it back.
func (s *segment) goes(w way, vip netip.Addr) {
	t := s.t
	n := s.newcomer(s.Client(), s.vips...)
	s.steady(5 * askEvery)
	before := s.settled(takenBack, n)
	owner := s.Host(before[vip])
	lost := s.of(before, owner.Name())
	patience := impatient
	if w.bound <= disownedBound {
		patience = patient
	}
	watching := s.probing(vip, patience)
	s.steady(300 * time.Millisecond)

	struck := time.Now()
	if err := w.strike(t.Context(), s, owner); err != nil {
		t.Fatal(err)
	}
	s.takenOver(n, struck, owner, lost)
	s.answering(10*time.Second, watching)
	s.steady(300 * time.Millisecond)
	s.answered(n, struck, max(w.bound, takeOverBound), lost...)
	watching.within(t, w.bound, "fault")

	// Its return is no reason for anything, and costs nothing.
	watching = s.probing(vip, patient)
	if err := w.mend(t.Context(), s, owner); err != nil {
		t.Fatal(err)
	}
	s.meshed()
	s.steady(500 * time.Millisecond)
	after := s.settled(takenBack, n)
	watching.within(t, 0, "return")
	s.stayed(before, after, owner.Name())
	for _, address := range lost {
		if after[address] == owner.Name() {
			t.Errorf("%s took %s back", owner.Name(), address)
		}
		if w.mute {
			s.mute(n, struck, owner, address)
		}
	}
}

// takenOver waits until another node answers for each of the addresses that one lost.
func (s *segment) takenOver(n *newcomer, struck time.Time, from *lab.Host, lost []netip.Addr) {
	s.t.Helper()
	s.eventually(20*time.Second, "others answer for what "+from.Name()+" had", func() error {
		for _, address := range lost {
			if _, ok := s.successor(n, struck, from, address); !ok {
				return fmt.Errorf("nobody else answers for %s", address)
			}
		}
		return nil
	})
}

// answered fails the test if nobody answered for an address for longer than the bound
// since then: what a client without a neighbour cache sees.
func (s *segment) answered(n *newcomer, since time.Time, bound time.Duration, addresses ...netip.Addr) {
	s.t.Helper()
	var longest time.Duration
	for _, address := range addresses {
		away := n.unanswered(address, since, time.Now())
		longest = max(longest, away)
		if away > bound {
			s.t.Errorf("nobody answered for %s for %s, want at most %s", address, away, bound)
		}
	}
	s.t.Logf("without a cache: nobody answered for one of %d addresses for %s at most", len(addresses), longest.Round(time.Millisecond))
}

// successor is the first word of another node about an address.
func (s *segment) successor(n *newcomer, struck time.Time, from *lab.Host, address netip.Addr) (word, bool) {
	for _, w := range n.since(struck, address) {
		if s.nodes[w.mac.String()] != from.Name() {
			return w, true
		}
	}
	return word{}, false
}

// mute fails the test if a node was heard about an address after its successor.
func (s *segment) mute(n *newcomer, struck time.Time, node *lab.Host, address netip.Addr) {
	s.t.Helper()
	var successor ether.MAC
	var taken, last time.Time
	for _, w := range n.since(struck, address) {
		switch mine := s.nodes[w.mac.String()] == node.Name(); {
		case !mine && taken.IsZero():
			successor, taken = w.mac, w.at
		case mine && !taken.IsZero():
			s.t.Errorf("%s was heard about %s %s after the fault, %s after %s took over", node.Name(), address,
				w.at.Sub(struck), w.at.Sub(taken), s.nodes[successor.String()])
			return
		case mine:
			last = w.at
		}
	}
	if !last.IsZero() {
		s.t.Logf("%s was last heard about %s %s after the fault, and %s first after %s", node.Name(), address,
			last.Sub(struck).Round(time.Millisecond), s.nodes[successor.String()], taken.Sub(struck).Round(time.Millisecond))
	}
}
