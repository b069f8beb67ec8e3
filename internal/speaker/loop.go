package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/announce"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
	"fairlead.dev/fairlead/internal/relay"
)

// loop observes, plans and announces.
type loop struct {
	node      string
	observer  *kube.Observer
	announcer *announce.Announcer
	living    Neighbours
	writer    *statusWriter
	tenure    *tenure
	passages  passages
	relays    relayer
	log       *slog.Logger

	leaving    bool
	relayError string // the last one that was logged
	// resumed is set once the first look took over what this node announced before
	// it was restarted.
	resumed bool
}

// relayer sends connections that began at another node on to it.
type relayer interface {
	Set(ctx context.Context, want relay.Want) error
	Close() error
}

// run announces until stopping is closed, then hands over. It returns when nothing
// is left to hand over, or when nobody takes it.
func (l *loop) run(ctx context.Context, stopping <-chan struct{}) error {
	if err := l.waitForSync(ctx, stopping); err != nil {
		return nil // stopped before it began
	}
	l.log.Info("speaking", "node", l.node)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var deadline time.Time // of leaving
	for {
		answering, next := l.step(ctx, time.Now())
		if l.leaving {
			if answering == 0 || !time.Now().Before(deadline) {
				l.log.Info("handed over", "node", l.node, "left", answering)
				return l.writer.last(ctx, l.self())
			}
			next = earlier(next, deadline)
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-stopping:
			stopping = nil
			l.leaving, deadline = true, time.Now().Add(handoverLimit)
			l.writer.write(l.self())
		case <-l.observer.Changed():
		case <-l.announcer.Changed():
		case <-l.living.Changed():
		case <-timer.C:
		}
	}
}

func (l *loop) waitForSync(ctx context.Context, stopping <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return l.observer.WaitForSync(ctx)
}

// step looks at the world once, announces what follows from it, and tells how
// many addresses this node answers for and when to look again at the latest.
func (l *loop) step(ctx context.Context, now time.Time) (answering int, next time.Time) {
	w := l.observer.World()
	correct(w.Nodes, l.living)
	e := evidence{claimed: make(map[netip.Addr]bool), heard: l.announcer.TakenOver, answering: make(map[netip.Addr]bool)}
	var peers []net.HardwareAddr
	known := false
	for i := range w.Speakers {
		s := &w.Speakers[i]
		if s.Node == l.node {
			known = true
			l.correctSelf(s)
			continue
		}
		for _, iface := range s.Interfaces {
			peers = append(peers, iface.MAC)
		}
		for _, c := range s.Claims {
			e.claimed[c.Address] = e.claimed[c.Address] || c.State == lb.Announced
		}
	}
	for _, c := range l.announcer.Claims() {
		if c.State == lb.Announced {
			e.answering[c.Address] = true
		}
	}
	// Until the others can see this speaker they do not count it; it would claim what
	// they claim.
	if known {
		owners := plan.Owners(w)
		relays, closing := l.passages.relays(now, l.node, owners, e, &w, l.announcer.Interfaces())
		l.relay(ctx, relay.Want{Relays: relays, Peers: peers})
		var want []lb.Announcement
		want, next = l.tenure.announcements(now, owners, e)
		next = earlier(next, closing)
		l.announcer.Apply(announce.Want{Announcements: want, Peers: peers})
		l.resumed = true
		answering = len(want)
	}
	l.writer.write(l.self())
	return answering, next
}

// relay comes before the announcement: what reaches this node unrelayed is reset. A
// kernel that cannot do it costs the connections that are open when an address
// moves, and nothing else.
func (l *loop) relay(ctx context.Context, want relay.Want) {
	err := l.relays.Set(ctx, want)
	if text := fmt.Sprint(err); err != nil && text != l.relayError {
		l.log.Warn("open connections are not relayed when an address moves", "err", err)
		l.relayError = text
	}
}

// earlier is the earlier of two times, where zero is never.
func earlier(x, y time.Time) time.Time {
	if x.IsZero() || (!y.IsZero() && y.Before(x)) {
		return y
	}
	return x
}

// correctSelf replaces what the API server knows of this speaker by what the
// speaker knows, which is newer. The first look keeps the claims of the process
// before: it takes up what that announced.
func (l *loop) correctSelf(s *lb.Speaker) {
	self := l.self()
	if !l.resumed {
		self.Claims = s.Claims
	}
	self.Interfaces = l.announcer.Interfaces()
	*s = self
}

// self is this speaker as it is now.
func (l *loop) self() lb.Speaker {
	return lb.Speaker{Node: l.node, Leaving: l.leaving, Interfaces: l.announcer.Interfaces(), Claims: l.announcer.Claims()}
}
