package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/lab"
)

// belief is what a neighbour cache says of the address.
type belief struct {
	at    time.Time
	cache string // machine
	mac   ether.MAC
}

// caches looks into the neighbour caches of the client and the router.
type caches struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu   sync.Mutex
	seen []belief
}

// cache reads a machine's neighbour cache.
type cache struct {
	machine string
	handle  *netlink.Handle
}

func openCache(machine *lab.Host) (cache, error) {
	c := cache{machine: machine.Name()}
	err := machine.Do(func() (err error) {
		c.handle, err = netlink.NewHandle()
		return err
	})
	if err != nil {
		return c, fmt.Errorf("neighbour cache of %s: %w", c.machine, err)
	}
	return c, nil
}

// of is the MAC that the cache has for an address; ok is false if it has none.
func (c cache) of(address netip.Addr) (mac ether.MAC, ok bool) {
	neighbours, err := c.handle.NeighList(0, netlink.FAMILY_V4)
	if err != nil {
		return mac, false // it changed while it was read
	}
	for _, n := range neighbours {
		if n.IP.String() == address.String() {
			return ether.ParseMAC(n.HardwareAddr)
		}
	}
	return mac, false
}

// watchCaches looks a hundred times a second until its end.
func (s *segment) watchCaches(ctx context.Context) (*caches, error) {
	ctx, stop := context.WithCancel(ctx)
	all := &caches{stop: stop}
	for _, machine := range []*lab.Host{s.Client(), s.Router()} {
		c, err := openCache(machine)
		if err != nil {
			all.end()
			return nil, err
		}
		all.done.Go(func() {
			defer c.handle.Close()
			all.look(ctx, c, s.vip)
		})
	}
	return all, nil
}

func (all *caches) look(ctx context.Context, c cache, address netip.Addr) {
	for pause(ctx, 10*time.Millisecond) == nil {
		if mac, ok := c.of(address); ok {
			all.mu.Lock()
			all.seen = append(all.seen, belief{at: time.Now(), cache: c.machine, mac: mac})
			all.mu.Unlock()
		}
	}
}

// correctCaches makes the client and the router forget a MAC that is not the owner's,
// since then a fault of the owner would not be theirs. It says whether they had one.
func (s *segment) correctCaches(ctx context.Context, owner *lab.Host) (wrong bool, err error) {
	for _, machine := range []*lab.Host{s.Client(), s.Router()} {
		c, err := openCache(machine)
		if err != nil {
			return wrong, err
		}
		mac, ok := c.of(s.vip)
		c.handle.Close()
		if !ok || mac == s.macOf(owner) {
			continue
		}
		wrong = true
		say("%s believes that %s is %s, not %s", machine.Name(), s.vip, s.nameOf(mac), owner.Name())
		if _, err := machine.Output(ctx, "ip", "neigh", "flush", "to", s.vip.String()); err != nil {
			return wrong, err
		}
	}
	return wrong, nil
}

// end stops to look, and returns what was seen, in the order of time.
func (all *caches) end() []belief {
	all.stop()
	all.done.Wait()
	return all.seen
}

// lastWrong is how long after from a cache was last seen with another MAC than the right one.
func lastWrong(seen []belief, right ether.MAC, from time.Time) time.Duration {
	var last time.Duration
	for _, b := range seen {
		if b.mac != right {
			last = max(last, b.at.Sub(from))
		}
	}
	return last
}

// parseMAC reads 02:fa:….
func parseMAC(text string) (ether.MAC, error) {
	var mac ether.MAC
	_, err := fmt.Sscanf(text, "%02x:%02x:%02x:%02x:%02x:%02x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5])
	return mac, err
}

func (s *segment) macOf(node *lab.Host) ether.MAC {
	for mac, n := range s.nodes {
		if n.Name() == node.Name() {
			return mac
		}
	}
	return ether.MAC{}
}
