package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

// cloud is one project of one OpenStack, with its driver.
type cloud struct {
	source source
	owner  *clouds
	driver *octavia.Driver
	wake   chan struct{}

	mu      sync.Mutex
	clients *octavia.Clients
	denied  *lb.Refusal
	fresh   bool         // the driver was not told of clients and denied yet
	config  *occm.Config // the last good one
	refusal *lb.Refusal  // what is wrong with the one after it
	// seen and state are of the Secret that config or refusal is about.
	seen  string
	state kube.SecretState
}

func (c *cloud) trouble() *lb.Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusal
}

// look makes connect look at the Secret when it changed.
func (c *cloud) look() {
	_, version, state := c.owner.secrets.Get(c.source.secret)
	c.mu.Lock()
	same := state == kube.SecretUnknown || c.seen == version && c.state == state
	c.mu.Unlock()
	if same {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// configured is the configuration in force, or why there is none.
func (c *cloud) configured() (*occm.Config, *lb.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.config != nil {
		return c.config, nil
	}
	return nil, cmp.Or(c.refusal, lb.Refuse(lb.CloudUnreachable, "wait", "the cloud configuration was not read yet"))
}

// forward wakes the loop when the driver has news, until ctx is done.
func (c *cloud) forward(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.driver.Changed():
			c.owner.signal()
		}
	}
}

// offer keeps clients, or why there are none, for the loop to hand over.
func (c *cloud) offer(clients *octavia.Clients, denied *lb.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients, c.denied, c.fresh = clients, denied, true
}

// want hands over what is wanted, and only then the clients that can do it: options
// that were made without the configuration must never be acted upon.
func (c *cloud) want(in octavia.Input) {
	c.driver.Want(in)
	c.mu.Lock()
	clients, denied, fresh := c.clients, c.denied, c.fresh
	c.fresh = false
	c.mu.Unlock()
	if fresh {
		c.driver.Connect(clients, denied)
	}
}

// connect signs in with what the Secret says, again when that changes, and again and
// again while the cloud refuses, until ctx is done. While a new configuration is no
// good, the one before it stays in force.
func (c *cloud) connect(ctx context.Context) error {
	const first, longest = time.Second, time.Minute
	pause := first
	var again <-chan time.Time
	var open *access.Cloud
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
			pause = first
		case <-again:
		}
		again = nil
		fresh, refusal, lasting := c.open(ctx)
		switch {
		case ctx.Err() != nil:
			continue
		case fresh != nil:
			if open != nil {
				open.Close()
			}
			open = fresh
			c.offer(&octavia.Clients{LoadBalancer: open.LoadBalancer, Network: open.Network, Project: open.ProjectID}, nil)
		case open == nil:
			c.offer(nil, refusal)
		}
		if refusal != nil && !lasting {
			again = time.After(pause + rand.N(pause/2))
			pause = min(2*pause, longest)
		}
		c.owner.signal()
	}
}

// open tries what the Secret says now. A lasting refusal is one that only a change of
// the Secret can mend.
func (c *cloud) open(ctx context.Context) (_ *access.Cloud, _ *lb.Refusal, lasting bool) {
	data, version, state := c.owner.secrets.Get(c.source.secret)
	c.mu.Lock()
	c.seen, c.state = version, state // from now on: signing in takes a while
	c.mu.Unlock()
	if r := c.owner.unread(c.source.secret, state); r != nil {
		c.note(nil, r)
		return nil, r, true
	}
	from := access.Source{Data: data, Cloud: c.source.entry}
	config, warnings, err := access.Read(from)
	if err != nil {
		r := c.badConfig(err)
		c.note(nil, r)
		return nil, r, true
	}
	for _, w := range warnings {
		c.owner.log.Warn("cloud configuration", "secret", c.source.secret, "warning", w.String())
	}
	open, err := access.Open(ctx, from, access.Options{Metrics: c.owner.metrics, Log: c.owner.log})
	if err == nil {
		c.note(config, nil)
		c.owner.log.Info("signed in", "cloud", c.source.String(), "project", open.ProjectID)
		return open, nil, false
	}
	var failure access.Failure
	if !errors.As(err, &failure) {
		r := c.badConfig(err)
		c.note(config, r)
		return nil, r, true
	}
	reason, remedy := lb.CloudUnreachable, "it is tried again"
	if failure.Kind == access.Denied {
		reason, remedy = lb.CloudDenied, fmt.Sprintf("renew the credentials in the Secret %q", c.source.secret)
	}
	r := lb.Refuse(reason, remedy, "cannot sign in to the cloud: %s", failure.Message)
	c.note(config, r)
	c.owner.log.Warn("cannot sign in", "cloud", c.source.String(), "err", failure.Message)
	return nil, r, false
}

func (c *cloud) badConfig(err error) *lb.Refusal {
	if errors.Is(err, access.ErrNoConfiguration) {
		return lb.Refuse(lb.SecretMissing, "put cloud.conf or clouds.yaml in", "the Secret %q has neither a key cloud.conf nor a key clouds.yaml", c.source.secret)
	}
	return lb.Refuse(lb.BadCloudConfig, "", "the Secret %q: %s", c.source.secret, err)
}

// note keeps a configuration, or what is wrong with it.
func (c *cloud) note(config *occm.Config, refusal *lb.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if config != nil {
		c.config = config
	}
	c.refusal = refusal
}
