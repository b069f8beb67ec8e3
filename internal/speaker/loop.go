package speaker

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/announce"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
	"fairlead.dev/fairlead/internal/plan"
	"fairlead.dev/fairlead/internal/relay"
)

// loop observes, plans and announces.
type loop struct {
	node       string
	observer   *kube.Observer
	announcer  *announce.Announcer
	neighbours Neighbours
	sight      *sight
	listener   *listener // nil without heartbeats
	gate       *gate
	fence      guard
	writer     *statusWriter
	tenure     *tenure
	records    records
	patience   *patience
	mending    *mending
	passages   passages
	relays     relayer
	strays     filter
	figures    *figures
	log        *slog.Logger

	leaving bool
	// published is when the neighbours were told last.
	published time.Time
	// What was complained of last, each of its own.
	unrelayed, unfiltered, unfenced, untold complaint
	// resumed is set once the first look took over what this node announced before
	// it was restarted.
	resumed bool
	// absence holds decisions back while this node does not know what others took over.
	absence   absence
	contests  contests
	answering int // for how many addresses, since the last decision
}

// guard tells the fence which interfaces it stands on.
type guard interface {
	Guard(interfaces []string) error
}

// relayer sends connections that began at another node on to it.
type relayer interface {
	Set(ctx context.Context, want relay.Want) error
	Close() error
}

// filter drops what comes to an address before it is translated.
type filter interface {
	Set(vips []netip.Addr) error
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
				return l.farewell(ctx)
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
		case <-l.observer.Changed():
		case <-l.announcer.Changed():
		case <-l.neighbours.Changed():
		case <-timer.C:
		}
	}
}

// farewell tells everybody that nothing is announced any more.
func (l *loop) farewell(ctx context.Context) error {
	hearing, _ := l.hear(time.Now(), l.neighbours.Standing())
	self := l.self(hearing)
	self.Claims = nil
	if err := l.neighbours.Publish(encodeNews(&self)); err != nil {
		l.log.Debug("news not published", "err", err)
	}
	goodbye, cancel := context.WithTimeout(ctx, goodbyeLimit)
	defer cancel()
	l.neighbours.Leave(goodbye)
	return l.writer.last(ctx, self)
}

// goodbyeLimit bounds how long a speaker that stops waits until all neighbours heard so.
const goodbyeLimit = 500 * time.Millisecond

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
	l.gate.check() // what was lost must not wait for the rest
	standing := l.neighbours.Standing()
	w := l.observer.World()
	l.sight.introduce(&w)
	hearing, next := l.hear(now, standing)
	self := l.self(hearing)
	shown := find(&w, l.node)
	next = earlier(next, l.writer.compare(now, shown))
	if shown != nil && !l.resumed {
		// The first look takes up what the process before announced.
		self.Claims = shown.Claims
	}
	// Until the others can see this speaker they do not count it; it would claim what
	// they claim.
	if l.sight.correct(&w, self) {
		if again := l.absence.listen(now, l.informed(standing)); !again.IsZero() {
			return l.answering, earlier(next, again)
		}
		var again time.Time
		l.answering, again = l.act(ctx, now, &w, standing)
		next = earlier(next, again)
	}
	return l.answering, earlier(next, l.tell(now, l.self(hearing)))
}

// act announces what follows from the world.
func (l *loop) act(ctx context.Context, now time.Time, w *lb.World, standing liveness.Standing) (answering int, next time.Time) {
	for i := range w.Speakers {
		if w.Speakers[i].Node != l.node {
			w.Speakers[i].Unaware = l.patience.unaware(now, w.Speakers[i].Node)
		}
	}
	owners := plan.Owners(*w)
	counts := standing.Quorate || l.sight.deaf // may have addresses
	if counts {
		next = l.patience.watch(now, w, owners)
	} else {
		l.patience.blind()
	}
	e := l.evidence(w)
	peers := macs(w, l.node)
	relays, closing := l.passages.relays(now, l.node, owners, e, w, l.announcer.Interfaces())
	l.relay(ctx, relay.Want{Relays: relays, Peers: peers})
	want, handing := l.tenure.announcements(now, owners, e)
	if !counts {
		want = l.records.held(want)
	}
	next = earlier(next, earlier(closing, handing))
	l.filter(want)
	if l.neighbours.Standing() != standing {
		// The process may have stood still between any two lines, and others counted it out
		// and took what it was about to take.
		return l.answering, now
	}
	for _, o := range l.records.keep(l.node, w, owners, want, l.resumed) {
		r := l.records[o.Address]
		l.figures.takeovers[r.cause].Inc()
		l.log.Info("vip taken", "vip", o.Address, "from", r.from, "reason", r.cause)
	}
	next = earlier(next, l.mending.consider(now, w, owners, l.records))
	l.announcer.Apply(announce.Want{Announcements: want, Peers: peers})
	l.announcer.Repeat(l.contests.over(l.node, owners, e))
	l.resumed = true
	l.guard()
	if counts {
		l.gate.trust(standing, l.sight.deaf)
	} else {
		next = earlier(next, now.Add(quorumEvery))
	}
	return len(want), next
}

// quorumEvery is how often a node without its quorum looks whether it has it again: that
// it just woke up late and has it still is told by no event.
const quorumEvery = 200 * time.Millisecond

// informed tells whether this node may decide upon what it knows. Without its quorum it
// may: it gives up what it has.
func (l *loop) informed(standing liveness.Standing) bool {
	switch {
	case l.gate.mayBeHeard(standing), l.sight.deaf:
		return true
	case !standing.Quorate:
		return l.resumed
	}
	return l.neighbours.Informed()
}

// guard keeps the fence on the interfaces that this node announces on.
func (l *loop) guard() {
	var names []string
	for _, i := range l.announcer.Interfaces() {
		names = append(names, i.Name)
	}
	if err := l.fence.Guard(names); l.unfenced.fresh(err) {
		l.log.Warn("a frozen speaker is not silenced by the kernel", "err", err)
	}
}

// evidence is what shows who answers for what.
func (l *loop) evidence(w *lb.World) evidence {
	e := evidence{claimed: make(map[netip.Addr]bool), heard: l.announcer.TakenOver, answering: make(map[netip.Addr]bool)}
	alive := make(map[string]bool, len(w.Nodes))
	for i := range w.Nodes {
		alive[w.Nodes[i].Name] = w.Nodes[i].Alive
	}
	for i := range w.Speakers {
		s := &w.Speakers[i]
		if s.Node == l.node || !alive[s.Node] { // the word of the dead is no evidence
			continue
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
	return e
}

// macs are those of the other speakers.
func macs(w *lb.World, node string) []net.HardwareAddr {
	var out []net.HardwareAddr
	for i := range w.Speakers {
		if w.Speakers[i].Node == node {
			continue
		}
		for _, iface := range w.Speakers[i].Interfaces {
			out = append(out, iface.MAC)
		}
	}
	return out
}

// relay comes before the announcement: what reaches this node unrelayed is reset. A
// kernel that cannot do it costs the connections that are open when an address
// moves, and nothing else.
func (l *loop) relay(ctx context.Context, want relay.Want) {
	if err := l.relays.Set(ctx, want); l.unrelayed.fresh(err) {
		l.log.Warn("open connections are not relayed when an address moves", "err", err)
	}
}

// filter comes before the announcement, for what kube-proxy does not translate yet. A
// kernel that cannot do it costs the connections that come that early.
func (l *loop) filter(want []lb.Announcement) {
	vips := make([]netip.Addr, len(want))
	for i := range want {
		vips[i] = want[i].Address
	}
	if err := l.strays.Set(vips); l.unfiltered.fresh(err) {
		l.log.Warn("a connection that comes before kube-proxy knows its address is lost, and its port for two minutes", "err", err)
	}
}

// earlier is the earlier of two times, where zero is never.
func earlier(x, y time.Time) time.Time {
	if x.IsZero() || (!y.IsZero() && y.Before(x)) {
		return y
	}
	return x
}

// hear is what the heartbeats tell, nil without.
func (l *loop) hear(now time.Time, standing liveness.Standing) (*lb.Hearing, time.Time) {
	if l.listener == nil {
		return nil, time.Time{}
	}
	h, next := l.listener.hear(now, l.neighbours.View(), standing)
	return &h, next
}

const (
	// newsPace is the least time between two publications of much. News replace those
	// that are still under way, which take up to 30 ms for 25 KB to 20 neighbours.
	newsPace = 40 * time.Millisecond
	// newsMuch is more than a few packets, in octets.
	newsMuch = 4096
)

// tell publishes what this speaker is: to its neighbours at once, to Kubernetes when
// the API server takes it. next is when to do it again, zero for never.
func (l *loop) tell(now time.Time, self lb.Speaker) (next time.Time) {
	l.writer.write(self)
	news := encodeNews(&self)
	if len(news) > newsMuch && now.Sub(l.published) < newsPace {
		return l.published.Add(newsPace)
	}
	l.published = now
	if err := l.neighbours.Publish(news); l.untold.fresh(err) {
		l.log.Warn("neighbours are told through Kubernetes only", "err", err)
	}
	return next
}

// self is this speaker as it is now.
func (l *loop) self(h *lb.Hearing) lb.Speaker {
	return lb.Speaker{
		Node: l.node, Leaving: l.leaving, Interfaces: l.announcer.Interfaces(),
		Claims: l.records.complete(l.announcer.Claims()), Hearing: h,
	}
}

// find is what the world has of the speaker of a node, nil for nothing.
func find(w *lb.World, node string) *lb.Speaker {
	for i := range w.Speakers {
		if w.Speakers[i].Node == node {
			return &w.Speakers[i]
		}
	}
	return nil
}
