package liveness

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// DefaultPort is the UDP port of heartbeats.
const DefaultPort = 7474

// Options of a mesh.
type Options struct {
	// Node is the name of this machine's Node object.
	Node string
	// Boot is another for each process of the node; zero draws one. It also seeds the
	// jitter.
	Boot uint64
	// Cluster tells clusters apart that have the same key, as copies of one another do:
	// the UID of the namespace kube-system.
	Cluster string
	// Port is DefaultPort if zero, and the same on all nodes.
	Port uint16
	// Bind is the one address to use; the zero Addr is all.
	Bind    netip.Addr
	Timing  Timing
	Log     *slog.Logger          // nil is the default logger
	Metrics prometheus.Registerer // nil registers nothing
}

// Peer is a node that runs a speaker.
type Peer struct {
	Node      string
	Addresses []netip.Addr // its InternalIPs; heartbeats go to each
}

// Neighbour is what this node knows of another, for people.
type Neighbour struct {
	Node  string
	State State
	Since time.Time
	// Why it came into that state.
	Why string
	// Heard is when its last heartbeat came; zero is never.
	Heard time.Time
	// Late is the longest wait for a heartbeat beyond the interval, of the last five to
	// ten seconds.
	Late time.Duration
	// HearsUs tells whether it said that it hears this node.
	HearsUs bool
	// Multicast tells whether this node's heartbeats reach it by multicast; it gets only
	// one of twenty alone.
	Multicast bool
	// Key that it signs with.
	Key KeyID
}

// Mesh exchanges heartbeats with the neighbours. Its methods are safe for concurrent
// use. While Run does not run, or does not get to run, Quorate soon says no.
type Mesh struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	began   time.Time // its monotonic reading is the machine's zero
	changed chan struct{}
	poked   chan struct{}

	mu      sync.Mutex
	machine *machine
	codec   *codec
	keys    []KeyID
	peers   map[nodeID]*line
	running context.Context // of Run, nil without: who ends it ends what is opened in it
	asleep  time.Duration   // until when the loop means to sleep
	departs chan struct{}   // closed when all heard the goodbye; nil before Leave
	gone    bool            // departs is closed

	// homes are this node's addresses, one of each family, groups where heartbeats to all
	// go: nil where they cannot.
	homes  [2]netip.Addr
	groups [2]*group
	moved  chan struct{} // fires when the groups may have to change
	// onlySix is set while a peer has no address of IPv4.
	onlySix bool

	exchange *exchange
	posted   chan struct{}
	postAt   time.Duration // until when the loop of the news means to sleep

	// What is sent or taken at the moment.
	packet    []byte
	sends     []send
	received  *heartbeat
	newsSends []newsSend
	news      newsPacket
}

// line is where to send heartbeats for one peer.
type line struct {
	node      string
	addresses []netip.Addr
	senders   []*sender // one for each address, nil where it could not be opened yet
}

// New makes a mesh that knows no peer and has no key.
func New(o Options) *Mesh {
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	if o.Boot == 0 {
		o.Boot = rand.Uint64() | 1
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	m := &Mesh{
		options:  o,
		log:      o.Log,
		metrics:  newMetrics(o.Metrics),
		began:    time.Now(),
		changed:  make(chan struct{}, 1),
		poked:    make(chan struct{}, 1),
		machine:  newMachine(o.Node, o.Boot, o.Timing),
		posted:   make(chan struct{}, 1),
		moved:    make(chan struct{}, 1),
		exchange: newExchange(o.Node, o.Boot),
		codec:    newCodec(o.Cluster, nil),
		peers:    map[nodeID]*line{},
		packet:   make([]byte, 0, packetSize),
		received: newHeartbeat(),
	}
	m.metrics.quorate.Set(1)
	m.setHomes([]netip.Addr{o.Bind})
	return m
}

func (m *Mesh) now() time.Duration { return time.Since(m.began) }

// SetKeys replaces the keys. Before the first call nothing is sent and nothing taken.
// It keeps those that it has where the new ones are bad or none: a Secret that was
// deleted by mistake must not silence the whole segment.
func (m *Mesh) SetKeys(keys Keyring) error {
	if err := keys.Check(); err != nil {
		return fmt.Errorf("keys of heartbeats: %w", err)
	}
	m.mu.Lock()
	m.codec = newCodec(m.options.Cluster, keys)
	m.keys = keys.IDs()
	m.mu.Unlock()
	poke(m.changed)
	return nil
}

// Keys names the keys in force, the one that signs first.
func (m *Mesh) Keys() []KeyID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys
}

// SetPeers replaces the nodes that should be there: those with a speaker, this one
// among them or not. One that is named no longer is forgotten.
func (m *Mesh) SetPeers(peers []Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(peers))
	wanted := map[nodeID]bool{m.machine.self: true}
	m.onlySix = false
	for _, p := range peers {
		names = append(names, p.Node)
		id := idOf(p.Node)
		if id == m.machine.self {
			m.setHomes(p.Addresses)
			continue
		}
		wanted[id] = true
		m.onlySix = m.onlySix || !slices.ContainsFunc(p.Addresses, func(a netip.Addr) bool { return a.Unmap().Is4() })
		l := m.peers[id]
		if l == nil {
			l = &line{node: p.Node}
			m.peers[id] = l
		}
		if !slices.Equal(l.addresses, p.Addresses) {
			l.hangUp()
			l.addresses = slices.Clone(p.Addresses)
		}
	}
	for id, l := range m.peers {
		if !wanted[id] {
			l.hangUp()
			delete(m.peers, id)
		}
	}
	m.machine.SetPeers(m.now(), names)
	m.exchange.SetPeers(names)
	poke(m.moved)
	m.note()
	poke(m.poked)
}

// Alive corrects what Kubernetes says of a node. Of a node that was never heard it
// knows nothing better. This node lives until the others count it out.
func (m *Mesh) Alive(node string, kubernetes bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := idOf(node)
	if id == m.machine.self {
		if m.machine.segment == 1 && !m.machine.leaving {
			return kubernetes
		}
		return !m.machine.leaving && !m.machine.Standing(m.now()).Resigned
	}
	if counts, known := m.machine.Counts(id); known {
		return counts
	}
	return kubernetes
}

// Quorate tells whether this node is in touch with half of its segment or more. Who is
// not gives its addresses up: others take them over.
func (m *Mesh) Quorate() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.Quorate(m.now())
}

// Standing is how this node stands with its segment.
func (m *Mesh) Standing() Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.Standing(m.now())
}

// Changed fires when Alive, Quorate or News may answer something else than before.
func (m *Mesh) Changed() <-chan struct{} { return m.changed }

// View lists the neighbours by name.
func (m *Mesh) View() []Neighbour {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	out := make([]Neighbour, len(m.machine.peers))
	for i, p := range m.machine.peers {
		n := Neighbour{
			Node: p.name, State: p.state, Since: m.began.Add(p.since), Why: p.why,
			Late: p.worstLate(now), Key: p.key,
		}
		if p.heard > never {
			n.Heard = m.began.Add(p.heard)
			n.HearsUs = p.hearsUs && p.heard-p.heardUs < m.machine.timing.Dead
			n.Multicast = m.machine.spared(now, p)
		}
		out[i] = n
	}
	return out
}

// Leave says goodbye and returns when every living neighbour heard it, or when ctx is
// done. From then on they count this node out, until its next process.
func (m *Mesh) Leave(ctx context.Context) {
	m.mu.Lock()
	if m.running == nil {
		m.mu.Unlock()
		return
	}
	if m.departs == nil {
		m.departs = make(chan struct{})
	}
	departs, running := m.departs, m.running
	m.machine.Leave(m.now())
	m.mu.Unlock()
	poke(m.poked)
	select {
	case <-departs:
	case <-running.Done():
	case <-ctx.Done():
	}
}

// Run exchanges heartbeats until ctx is done. It is called once. pulse, which may be nil,
// is called every 28 ms or sooner, when this process is awake anyway, and must not wait.
func (m *Mesh) Run(ctx context.Context, pulse func()) error {
	g, ctx := errgroup.WithContext(ctx)
	conn, err := listen(ctx, m.options.Bind, m.options.Port)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.running = ctx
	m.mu.Unlock()
	g.Go(func() error {
		<-ctx.Done()
		return conn.Close() // ends the read
	})
	g.Go(func() error { return m.listen(conn) })
	// Two loops: heartbeats must not be late because there is much to tell.
	g.Go(func() error {
		m.whenDue(ctx, m.poked, func() (next time.Duration) {
			next = m.beat()
			if pulse != nil {
				pulse()
			}
			return next
		})
		return nil
	})
	g.Go(func() error { m.whenDue(ctx, m.posted, m.post); return nil })
	g.Go(func() error { m.attend(ctx); return nil })
	err = g.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = nil
	for _, l := range m.peers {
		l.hangUp()
	}
	return err
}

// take gives the machine a packet that came at a time. The caller holds mu.
func (m *Mesh) take(packet []byte, at time.Duration) {
	if isNews(packet) {
		m.takeNews(packet)
		return
	}
	h := m.received
	key, drop := m.codec.open(packet, h)
	if drop == "" {
		p := m.machine.byID[h.From]
		before := never
		if p != nil {
			before = p.heard
		}
		m.sends, drop = m.machine.Receive(m.now(), at, h, key, m.sends[:0])
		m.deliver()
		if drop == "" && before > never {
			m.metrics.lateness.Observe(max(0, at-before-m.machine.timing.Interval).Seconds())
		}
		if m.machine.Next() < m.asleep {
			poke(m.poked)
		}
	}
	if drop != "" {
		m.metrics.drops[drop].Inc()
		return
	}
	m.noteNews(m.exchange.Heard(m.now(), h.From, h.Boot, h.News))
	m.metrics.received.Inc()
}

// deliver sends what the machine wants sent and tells what it found. The caller holds
// mu.
func (m *Mesh) deliver() {
	for i := range m.sends {
		s := &m.sends[i]
		l := m.peers[s.to]
		if l == nil && s.to != everyone || m.codec.mute() || m.running == nil {
			continue
		}
		m.packet = m.codec.seal(m.packet[:0], &s.beat)
		if s.to == everyone {
			m.spread(m.emit)
		} else {
			m.transmit(l)
		}
	}
	m.note()
}

// transmit sends the packet to every address of a peer. Sockets that could not be
// opened are tried again each time: it is rare, and ends as soon as it can.
func (m *Mesh) transmit(l *line) {
	for i := range l.addresses {
		m.emit(m.sender(l, i))
	}
}

// emit sends the packet, and counts it. s may be nil.
func (m *Mesh) emit(s *sender) {
	if s == nil || s.send(m.packet) != nil {
		m.metrics.unsent.Inc()
	} else {
		m.metrics.sent.Inc()
	}
}

// sender is the one for an address of a peer, nil where it cannot be opened.
func (m *Mesh) sender(l *line, address int) *sender {
	if l.senders == nil {
		l.senders = make([]*sender, len(l.addresses))
	}
	if l.senders[address] == nil {
		l.senders[address], _ = dial(m.running, m.options.Bind, l.addresses[address].Unmap(), m.options.Port)
	}
	return l.senders[address]
}

func (l *line) hangUp() {
	for _, s := range l.senders {
		if s != nil {
			s.close()
		}
	}
	l.senders = nil
}

// note logs and counts what the machine found, and lets Changed know. The caller holds
// mu.
func (m *Mesh) note() {
	events := m.machine.Events()
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		m.logEvent(e)
	}
	for _, s := range states() {
		n := 0
		for _, p := range m.machine.peers {
			if p.state == s {
				n++
			}
		}
		m.metrics.neighbours[s].Set(float64(n))
	}
	quorate := 0.0
	if m.machine.quorate {
		quorate = 1
	}
	m.metrics.quorate.Set(quorate)
	poke(m.changed)
}

func (m *Mesh) logEvent(e event) {
	if e.Node != "" {
		m.metrics.verdicts[e.State].Inc()
	}
	switch {
	case e.Slept > 0:
		m.metrics.stalls.Inc()
		m.log.Debug("woke up late", "late", e.Slept)
	case e.Node == "" && e.Quorum:
		m.log.Info("quorum regained", "reason", e.Why)
	case e.Node == "":
		m.log.Warn("quorum lost", "reason", e.Why)
	case e.State.counts() && e.Before.counts():
		m.log.Debug("neighbour changed", "node", e.Node, "state", e.State, "reason", e.Why)
	case e.State == Dead || e.State == Minority:
		m.log.Warn("neighbour is out", "node", e.Node, "state", e.State, "reason", e.Why)
	default:
		m.log.Info("neighbour changed", "node", e.Node, "state", e.State, "reason", e.Why)
	}
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
