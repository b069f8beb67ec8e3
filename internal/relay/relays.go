package relay

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"fairlead.dev/fairlead/internal/nft"
)

// Options of Relays.
type Options struct {
	Log *slog.Logger
}

// Relays are the relays of this node. Its methods may be called from any goroutine.
type Relays struct {
	log *slog.Logger

	mu sync.Mutex
	// known is set while what is in the kernel is what is in has.
	known bool
	has   []ingress
}

// New returns Relays that have not touched the kernel yet.
func New(o Options) *Relays {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Relays{log: o.Log}
}

// Set makes the kernel relay what is wanted and nothing else; the first call also
// removes what a killed process left. Saying the same again costs one look at the
// kernel, or nothing if nothing is wanted. Relays that stay keep what they learned.
//
// Relay first and announce then: a connection that reaches this node before its relay
// is set up is begun here only if conntrack knows it.
//
// What is possible is done also if an error names a relay that is not. The error is
// errors.ErrUnsupported if the kernel lacks what any relay needs.
func (r *Relays) Set(ctx context.Context, want Want) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var interfaces []netif
	if len(want.Relays) > 0 {
		var err error
		if interfaces, err = look(); err != nil {
			return fmt.Errorf("relay: list interfaces: %w", err)
		}
	}
	next, impossible := plan(want, interfaces)
	if err := r.apply(ctx, next); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return impossible
}

// Close removes everything of ours from the kernel.
func (r *Relays) Close() error {
	return r.Set(context.Background(), Want{})
}

func (r *Relays) apply(ctx context.Context, next []ingress) error {
	if len(next) == 0 {
		if r.known && len(r.has) == 0 {
			return nil
		}
		if err := nft.Remove(table()); err != nil {
			return err
		}
		r.known, r.has = true, nil
		return nil
	}
	if r.known && !intact(r.has) {
		r.log.Info("relay rules are gone, making them anew")
		r.known = false
	}
	if !r.known {
		r.has = nil
	}
	if r.known && reflect.DeepEqual(r.has, next) {
		return nil
	}
	has := r.has
	r.known = false // until the last step has succeeded
	if err := r.change(ctx, has, next); err != nil {
		if len(has) == 0 {
			_ = nft.Remove(table()) // there is none, or what was begun just now
		}
		return explain(err)
	}
	r.known, r.has = true, next
	return nil
}

// change makes the kernel relay next instead of has. The rules change at once; what
// comes before has no effect without them.
func (r *Relays) change(ctx context.Context, has, next []ingress) error {
	if len(has) == 0 {
		if err := makeTable(); err != nil {
			return err
		}
	}
	if err := r.recall(ctx, has, next); err != nil {
		return err
	}
	return replace(rules(has), rules(next))
}
