package announce

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/announce/claims"
	"fairlead.dev/fairlead/internal/announce/ether"
)

// protocol is what a station speaks.
type protocol string

const (
	protocolARP protocol = "ARP"
	protocolNDP protocol = "NDP"
)

func protocolOf(a netip.Addr) protocol {
	if a.Is4() {
		return protocolARP
	}
	return protocolNDP
}

// stationKey is what a station depends on: when one of these changes it is another.
type stationKey struct {
	protocol protocol
	index    int
	name     string
	mac      ether.MAC
}

// station speaks one protocol on one interface. Stations share nothing but the
// table: what happens to one, the others do not notice.
type station struct {
	stationKey
	announce *Announcer
	stop     context.CancelFunc
	counts   stationCounts

	out     chan batch
	regroup chan struct{}
}

// batch is what was due at one time.
type batch struct {
	sends []claims.Send
	pass  pass
}

// outBatches is how many batches may wait for a slow interface before some are lost.
const outBatches = 256

// Waits before a socket that failed is opened anew.
const (
	firstReopen = 100 * time.Millisecond
	lastReopen  = 5 * time.Second
)

func newStation(a *Announcer, key stationKey, stop context.CancelFunc) *station {
	return &station{
		stationKey: key,
		announce:   a,
		stop:       stop,
		counts:     a.metrics.station(key),
		out:        make(chan batch, outBatches),
		regroup:    make(chan struct{}, 1),
	}
}

// run serves until ctx ends, opening the socket anew when it fails.
func (s *station) run(ctx context.Context) {
	defer s.stop()
	wait := firstReopen
	for {
		worked, err := s.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if worked {
			wait = firstReopen
		}
		s.announce.log.Warn("socket is opened anew", "iface", s.name, "protocol", s.protocol, "in", wait, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastReopen)
	}
}

// serve opens the socket and works with it until one of its uses fails; worked
// tells whether it could be opened.
func (s *station) serve(ctx context.Context) (worked bool, err error) {
	sock, err := s.announce.rim.open(s.stationKey)
	if err != nil {
		return false, fmt.Errorf("open %s socket on %s: %w (does the speaker have NET_RAW?)", s.protocol, s.name, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	// A read ends only when its socket does.
	stop := context.AfterFunc(ctx, sock.Close)
	defer func() {
		if stop() {
			sock.Close()
		}
	}()
	s.forgetOld()
	s.announce.setOpen(s, true)
	defer s.announce.setOpen(s, false)
	g.Go(func() error { return s.listen(sock) })
	g.Go(func() error { return s.speak(ctx, sock) })
	if s.protocol == protocolNDP {
		g.Go(func() error { s.keepGroups(ctx); return nil })
	}
	return true, g.Wait()
}

// forgetOld drops what waited for a socket that failed: it has been scheduled anew.
func (s *station) forgetOld() {
	for {
		select {
		case <-s.out:
		default:
			return
		}
	}
}

// deliver queues packets to send. It never waits for the interface.
func (s *station) deliver(b batch) {
	select {
	case s.out <- b:
	default:
		s.announce.metrics.drop(queueFull, len(b.sends))
	}
}

// speak sends what was delivered.
func (s *station) speak(ctx context.Context, sock socket) error {
	frame := make([]byte, 0, frameLen)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-s.out:
			unsaid, err := s.say(sock, b, frame)
			s.announce.unsaid(unsaid...)
			if err != nil {
				return err
			}
		}
	}
}

// say sends a batch, and returns what the gate held back. It uses frame's memory.
func (s *station) say(sock socket, b batch, frame []byte) (unsaid []claims.Send, err error) {
	for _, send := range b.sends {
		said := true
		for _, say := range saying(send) {
			frame = say(frame[:0], s.mac, send.Address)
			left, err := s.write(sock, frame, b.pass)
			if err != nil {
				return unsaid, err
			}
			said = said && left
		}
		switch {
		case !said:
			unsaid = append(unsaid, send)
		case send.Say != claims.Probe:
			s.counts.gratuitous.Inc()
		}
	}
	return unsaid, nil
}

// write sends a frame unless the gate holds it back. That the interface's queue is full
// is no reason to give the socket up.
func (s *station) write(sock socket, frame []byte, p pass) (left bool, err error) {
	a := s.announce
	if !a.mayLeave(p) {
		a.metrics.drop(gateShut, 1)
		return false, nil
	}
	err = sock.Write(frame)
	switch {
	case err == nil:
		return true, nil
	case isCongested(err) && !a.mayLeave(p): // the kernel's gate was shut before us
		a.metrics.drop(gateShut, 1)
		return false, nil
	case isCongested(err):
		a.metrics.drop(congested, 1)
		return true, nil
	}
	return false, fmt.Errorf("send %s on %s: %w", s.protocol, s.name, err)
}
