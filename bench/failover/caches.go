package main

import (
	"context"
	"fmt"
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

// watchCaches looks a hundred times a second until its end.
func (s *segment) watchCaches(ctx context.Context) (*caches, error) {
	ctx, stop := context.WithCancel(ctx)
	c := &caches{stop: stop}
	for _, machine := range []*lab.Host{s.Client(), s.Router()} {
		var handle *netlink.Handle
		err := machine.Do(func() (err error) {
			handle, err = netlink.NewHandle()
			return err
		})
		if err != nil {
			stop()
			return nil, fmt.Errorf("neighbour cache of %s: %w", machine.Name(), err)
		}
		c.done.Go(func() {
			defer handle.Close()
			c.look(ctx, machine.Name(), handle, s)
		})
	}
	return c, nil
}

func (c *caches) look(ctx context.Context, machine string, handle *netlink.Handle, s *segment) {
	for pause(ctx, 10*time.Millisecond) == nil {
		neighbours, err := handle.NeighList(0, netlink.FAMILY_V4)
		if err != nil {
			continue // the cache changed while it was read
		}
		for _, n := range neighbours {
			mac, ok := ether.ParseMAC(n.HardwareAddr)
			if ok && n.IP.String() == s.vip.String() {
				c.mu.Lock()
				c.seen = append(c.seen, belief{at: time.Now(), cache: machine, mac: mac})
				c.mu.Unlock()
			}
		}
	}
}

// end stops to look, and returns what was seen, in the order of time.
func (c *caches) end() []belief {
	c.stop()
	c.done.Wait()
	return c.seen
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
