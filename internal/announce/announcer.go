package announce

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/announce/claims"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/link"
	"fairlead.dev/fairlead/internal/lb"
)

// Timing is when things are said; zero fields get their default.
type Timing = claims.Timing

// DefaultExclude are the interfaces that are left out where Options name none.
func DefaultExclude() []string { return link.DefaultExclude() }

// Options of an Announcer; the zero value is usable.
type Options struct {
	// Exclude are patterns (path.Match) of interfaces never to announce on. Nil
	// is DefaultExclude; empty excludes nothing.
	Exclude []string
	Timing  Timing
	// Log gets one line a change; nil is slog.Default.
	Log *slog.Logger
	// Metrics is where the collectors are registered; nil is nowhere.
	Metrics prometheus.Registerer
	// Gate is asked before every frame; nil is always open. What it holds back is
	// announced when it opens, as far as the address is still wanted.
	Gate Gate
	// Mark is the SO_MARK of the sockets, by which the kernel's part of the gate knows
	// their frames; 0 is none.
	Mark uint32
}

// Want is everything that this node should answer for.
type Want struct {
	Announcements []lb.Announcement
	// Peers are the MACs of our own speakers on other nodes: that they answer
	// for an address is no conflict.
	Peers []net.HardwareAddr
}

// Announcer makes the segments that this node is on see the addresses it owns. Its
// methods may be called from any goroutine, before, during and after Run.
type Announcer struct {
	exclude []string
	log     *slog.Logger
	metrics *metrics
	gate    Gate
	rim     rim

	poked   chan struct{} // wakes the loop
	changed chan struct{}

	mu     sync.Mutex
	table  *claims.Table
	links  link.Snapshot
	open   map[stationKey]*station // those with a working socket
	usable []lb.Interface
	// asleep is when the loop wakes by itself; zero is never.
	asleep time.Time
	// regroup is set when groups to be in may have changed.
	regroup bool
	// opened is the opening of the gate that the table knows of.
	opened pass
	// muted is set while the gate is shut: the loop looks at it every reopenPoll.
	muted bool
	// news is set when Interfaces tells something else than before.
	news bool
}

// New makes an Announcer that does nothing until Run.
func New(o Options) *Announcer {
	if o.Exclude == nil {
		o.Exclude = DefaultExclude()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Gate == nil {
		o.Gate = alwaysOpen{}
	}
	return &Announcer{
		exclude: o.Exclude,
		log:     o.Log,
		metrics: newMetrics(o.Metrics),
		gate:    o.Gate,
		rim:     kernel(o.Mark),
		poked:   make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		table:   claims.New(o.Timing, time.Now()),
		open:    map[stationKey]*station{},
	}
}

// Run announces until ctx ends. When it returns, no goroutine and no socket of ours
// is left, and nothing is answered. It fails only for an exclude pattern that
// cannot be read; sockets and interfaces that fail are tried again.
func (a *Announcer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.rim.watch(ctx, a.exclude, a.log, a.setLinks) })
	g.Go(func() error { a.loop(ctx); return nil })
	err := g.Wait()
	a.setLinks(link.Snapshot{})
	a.mu.Lock()
	a.table.Changes() // that nothing is announced any more is no news for the log
	a.mu.Unlock()
	poke(a.changed)
	return err
}

// Apply sets what to answer for, the whole set. It does not block; what is no
// longer wanted is not answered for from its return on. Callers must not change the
// slices of interfaces in want afterwards.
func (a *Announcer) Apply(want Want) {
	peers := make([]ether.MAC, 0, len(want.Peers))
	for _, p := range want.Peers {
		if mac, ok := ether.ParseMAC(p); ok {
			peers = append(peers, mac)
		}
	}
	a.mu.Lock()
	a.table.Want(time.Now(), want.Announcements, peers)
	a.regroup = true
	a.mu.Unlock()
	poke(a.poked)
}

// Repeat announces addresses once more from the beginning, where they are announced
// already: their clients may have heard another node since. It does not block.
func (a *Announcer) Repeat(addresses []netip.Addr) {
	if len(addresses) == 0 {
		return
	}
	a.mu.Lock()
	for _, address := range addresses {
		a.table.Repeat(time.Now(), address)
	}
	a.mu.Unlock()
	poke(a.poked)
}

// Claims tells how far every wanted address has come, sorted by address.
func (a *Announcer) Claims() []lb.Claim {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.table.Claims()
}

// Interfaces are those that addresses can be announced on now, sorted by name.
// Callers must not change what they get.
func (a *Announcer) Interfaces() []lb.Interface {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.usable
}

// Changed gets a value when Claims, Interfaces or TakenOver may tell something
// else than before; several changes may be one value.
func (a *Announcer) Changed() <-chan struct{} { return a.changed }

// TakenOver tells when one of Want.Peers last announced the address while this
// node answered for it; zero if none did since it is wanted. A node that hands over
// goes on answering until this is later than the hand-over's beginning.
func (a *Announcer) TakenOver(address netip.Addr) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.table.TakenOver(address)
}

// poke makes sure that c has a value.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
