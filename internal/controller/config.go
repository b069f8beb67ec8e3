package controller

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

// configPace bounds how often a pool's counters are written: thousands of Services
// that come at once change them thousands of times.
const configPace = 500 * time.Millisecond

// configWriter keeps the statuses of pools and classes.
type configWriter struct {
	client   client.Client
	observer *kube.Observer
	log      *slog.Logger
	kick     chan struct{}

	mu      sync.Mutex
	pools   []lb.PoolState
	classes []lb.ClassState
}

func (c *configWriter) want(d *lb.Desired) {
	c.mu.Lock()
	c.pools, c.classes = d.Pools, d.Classes
	c.mu.Unlock()
	c.again()
}

func (c *configWriter) again() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// run writes what is wanted, at once and then at its pace, until ctx is done.
func (c *configWriter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
		}
		// A look that wrote nothing costs nothing: the next pool is protected at once.
		wrote, ok := c.write(ctx)
		if !ok {
			c.again()
		}
		if !wrote {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(configPace):
		}
	}
}

// write tells whether there was a pool to write, and whether all is written now.
func (c *configWriter) write(ctx context.Context) (wrote, ok bool) {
	c.mu.Lock()
	pools, classes := c.pools, c.classes
	c.mu.Unlock()
	ok = true
	seenPools := c.observer.PoolObjects()
	for _, state := range pools {
		pool, there := seenPools[state.Name]
		if !there {
			continue
		}
		did, err := kube.WritePool(ctx, c.client, &pool, state)
		wrote = wrote || did
		if err != nil {
			c.log.Warn("pool not written", "pool", state.Name, "err", err)
			ok = false
		}
	}
	seenClasses := c.observer.ClassObjects()
	for _, state := range classes {
		class, there := seenClasses[state.Name]
		if !there {
			continue
		}
		if err := kube.WriteClass(ctx, c.client, &class, state); err != nil {
			c.log.Warn("class not written", "class", state.Name, "err", err)
			ok = false
		}
	}
	return wrote || !ok, ok
}
