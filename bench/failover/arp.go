package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/lab"
)

// errNoAnswer is of a question that nobody answered in time.
var errNoAnswer = errors.New("nobody answered")

// The newcomer is a host without a neighbour cache. It has a MAC of its own, so that
// the answers it gets refresh no cache of the client whose port it uses.
var (
	newcomerMAC = ether.MAC{0x02, 0xfa, 0, 0, 0, 99}
	newcomerIP  = netip.MustParseAddr("172.31.0.99")
)

// word is what was heard about an IPv4 address.
type word struct {
	at        time.Time
	address   netip.Addr
	mac       ether.MAC
	announced bool // unasked, to everybody; otherwise it answers the newcomer
}

// newcomer asks for addresses by ARP on the nodes' segment, and hears the answers and
// all announcements.
type newcomer struct {
	conn    *packet.Conn
	reading sync.WaitGroup

	mu    sync.Mutex
	words []word
}

func newNewcomer(client *lab.Host) (*newcomer, error) {
	n := &newcomer{}
	err := client.Do(func() error {
		iface, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if n.conn, err = packet.Listen(iface, packet.Raw, int(ether.ARP), nil); err != nil {
			return err
		}
		return n.conn.SetPromiscuous(true) // answers go to a MAC that is not the interface's
	})
	if err != nil {
		return nil, fmt.Errorf("listen to ARP at %s: %w", client.Name(), err)
	}
	n.reading.Go(n.read)
	return n, nil
}

func (n *newcomer) close() {
	n.conn.Close()
	n.reading.Wait()
}

func (n *newcomer) read() {
	frame := make([]byte, 128)
	for {
		size, _, err := n.conn.ReadFrom(frame)
		if err != nil {
			return // it was closed
		}
		p, drop := arp.Parse(frame[:size])
		if drop != "" || !p.Claims() && (p.Operation != arp.Reply || p.TargetMAC != newcomerMAC) {
			continue
		}
		n.mu.Lock()
		n.words = append(n.words, word{at: time.Now(), address: p.SenderIP, mac: p.SenderMAC, announced: p.Claims()})
		n.mu.Unlock()
	}
}

// ask asks who has an address.
func (n *newcomer) ask(address netip.Addr) error {
	question := arp.Packet{
		Destination: ether.Broadcast, Source: newcomerMAC, Operation: arp.Request,
		SenderMAC: newcomerMAC, SenderIP: newcomerIP, TargetIP: address,
	}
	_, err := n.conn.WriteTo(question.Append(nil), &packet.Addr{HardwareAddr: ether.Broadcast.Hardware()})
	if err != nil {
		return fmt.Errorf("ask for %s: %w", address, err)
	}
	return nil
}

// since is what was heard of address from then on.
func (n *newcomer) since(from time.Time, address netip.Addr) []word {
	n.mu.Lock()
	defer n.mu.Unlock()
	var heard []word
	for _, w := range n.words {
		if !w.at.Before(from) && w.address == address {
			heard = append(heard, w)
		}
	}
	return heard
}

// take is everything that was heard since the last time.
func (n *newcomer) take() []word {
	n.mu.Lock()
	defer n.mu.Unlock()
	heard := n.words
	n.words = nil
	return heard
}

// who asks three times who has address, and returns the MACs that answer.
func (n *newcomer) who(ctx context.Context, address netip.Addr) ([]ether.MAC, error) {
	from := time.Now()
	for range 3 {
		if err := n.ask(address); err != nil {
			return nil, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	var macs []ether.MAC
	for _, w := range n.since(from, address) {
		if !w.announced && !slices.Contains(macs, w.mac) {
			macs = append(macs, w.mac)
		}
	}
	return macs, nil
}

// asking asks for an address again and again.
type asking struct {
	newcomer *newcomer
	address  netip.Addr
	stop     context.CancelFunc
	done     chan struct{}

	mu        sync.Mutex
	questions []time.Time
	err       error
}

// keepAsking asks for address at a steady pace until the asking ends.
func (n *newcomer) keepAsking(address netip.Addr, every time.Duration) *asking {
	ctx, stop := context.WithCancel(context.Background())
	a := &asking{newcomer: n, address: address, stop: stop, done: make(chan struct{})}
	go a.run(ctx, every)
	return a
}

func (a *asking) run(ctx context.Context, every time.Duration) {
	defer close(a.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		now := time.Now()
		err := a.newcomer.ask(a.address)
		a.mu.Lock()
		a.questions, a.err = append(a.questions, now), errors.Join(a.err, err)
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// soFar says which questions were answered, of those whose time is up.
func (a *asking) soFar() (lab.Outcome, error) {
	a.mu.Lock()
	questions, err := slices.Clone(a.questions), a.err
	a.mu.Unlock()
	if err != nil || len(questions) == 0 {
		return lab.Outcome{}, err
	}
	var answers []time.Time
	for _, w := range a.newcomer.since(questions[0], a.address) {
		answers = append(answers, w.at)
	}
	due := time.Now().Add(-answerPatience)
	for len(questions) > 0 && questions[len(questions)-1].After(due) {
		questions = questions[:len(questions)-1]
	}
	return lab.Evaluate(attemptsOf(questions, answers, answerPatience)), nil
}

// end stops the asking.
func (a *asking) end() (lab.Outcome, error) {
	a.stop()
	<-a.done
	if err := pause(context.Background(), answerPatience); err != nil {
		return lab.Outcome{}, err
	}
	return a.soFar()
}

// answerPatience is how long an ARP question waits. A question of the outage is lost,
// not held back, so it is at the same time how exactly the end is known.
const answerPatience = 30 * time.Millisecond
