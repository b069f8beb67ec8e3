package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
	"fairlead.dev/fairlead/internal/plan"
)

const (
	// keysTold is how long a rotation waits before it tells for what, and how often it
	// tells at most.
	keysTold = 5 * time.Minute
	// keysAgain is when a write that failed is tried again.
	keysAgain = 10 * time.Second
	// keyOctets is the length of the keys that are made: that of the hash in the
	// heartbeats' HMAC. RFC 2104 s.3: shorter is weaker, longer no stronger.
	keyOctets = 32
)

// keySecret is the Secret that the keys are in; kube.HeartbeatKeys is one.
type keySecret interface {
	Run(ctx context.Context) error
	Changed() <-chan struct{}
	Keyring() (kube.Keyring, error)
	Write(ctx context.Context, ring kube.Keyring) error
}

// keys makes the keys of heartbeats and rotates them while this replica leads.
type keys struct {
	secret keySecret
	keyAge time.Duration // 0 is for ever
	log    *slog.Logger
	kick   chan struct{}

	mu       sync.Mutex
	nodes    []lb.Node
	speakers []lb.Speaker

	// The rest belongs to follow.
	last   []kube.HeartbeatKey // that the Secret had; none before it had one
	since  time.Time           // when it came to have them
	told   string              // the last of what is told once
	toldAt time.Time           // when a wait was told last
}

func newKeys(secret keySecret, keyAge time.Duration, log *slog.Logger) *keys {
	return &keys{secret: secret, keyAge: keyAge, log: log, kick: make(chan struct{}, 1)}
}

// want tells what the world is now.
func (k *keys) want(w *lb.World) {
	k.mu.Lock()
	k.nodes, k.speakers = w.Nodes, w.Speakers
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// run works until ctx is done.
func (k *keys) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.secret.Run(ctx) })
	g.Go(func() error {
		k.follow(ctx)
		return nil
	})
	return g.Wait()
}

func (k *keys) follow(ctx context.Context) {
	// Not before the Secret was read: a rotation that somebody began goes on.
	select {
	case <-ctx.Done():
		return
	case <-k.secret.Changed():
	}
	// Nor before the speakers were: what none reports, none seems to lack.
	select {
	case <-ctx.Done():
		return
	case <-k.kick:
	}
	for {
		var later <-chan time.Time
		if again := k.step(ctx, time.Now()); again > 0 {
			later = time.After(again)
		}
		select {
		case <-ctx.Done():
			return
		case <-k.secret.Changed():
		case <-k.kick:
		case <-later:
		}
	}
}

// step takes the next step of a rotation if it is due. It tells when to look again
// though nothing changes; 0 is never.
func (k *keys) step(ctx context.Context, now time.Time) (again time.Duration) {
	ring, err := k.secret.Keyring()
	if err != nil {
		k.tell(err.Error(), func() { k.log.Error("keys of heartbeats not read", "err", err) })
		return 0
	}
	if len(ring.Keys) == 0 && len(k.last) > 0 {
		// Speakers go on with the keys that they have; one that starts has none until
		// these are back. A new key now would take all from all.
		ring.Keys = k.last
		if again = k.write(ctx, ring, now); again == 0 {
			k.log.Warn("keys of heartbeats written back: the Secret had lost them")
		}
		return again
	}
	k.note(ring, now)
	rotation := k.rotation(ring, now)
	next := plan.RotateKeys(rotation)
	if next.Do != plan.KeepKeys {
		return k.take(ctx, next, ring, rotation.Keys, now)
	}
	if next.Wait == "" {
		k.told = ""
		return next.Again
	}
	if rotation.Age >= keysTold && now.Sub(k.toldAt) >= keysTold {
		k.tell(next.Wait, func() { k.log.Warn("rotation of the keys of heartbeats waits", "reason", next.Wait) })
		k.toldAt = now
	}
	if next.Again == 0 || next.Again > keysTold {
		return keysTold
	}
	return next.Again
}

// note remembers the keys, and since when they are these. The date in the Secret is
// believed once, at the beginning: later changes are seen, whatever clocks say.
func (k *keys) note(ring kube.Keyring, now time.Time) {
	switch {
	case slices.EqualFunc(ring.Keys, k.last, sameKey):
		return
	case len(k.last) == 0 && !ring.Since.IsZero() && ring.Since.Before(now):
		k.since = ring.Since
	default:
		k.since = now
	}
	k.last, k.told = ring.Keys, ""
}

func sameKey(a, b kube.HeartbeatKey) bool {
	return slices.Equal(a.Secret, b.Secret) && a.Made.Equal(b.Made)
}

// rotation is what the decision depends on.
func (k *keys) rotation(ring kube.Keyring, now time.Time) plan.Rotation {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := plan.Rotation{
		Age: now.Sub(k.since), KeyAge: k.keyAge, Now: now, Nodes: k.nodes, Speakers: k.speakers,
		Asked: ring.Rotate != "" && ring.Rotate != ring.Rotated,
	}
	var secrets liveness.Keyring
	for _, key := range ring.Keys {
		secrets = append(secrets, key.Secret)
	}
	for i, id := range secrets.IDs() {
		out.Keys = append(out.Keys, plan.HeartbeatKey{ID: id.String(), Made: ring.Keys[i].Made})
	}
	return out
}

// take writes the keys as they are after a step.
func (k *keys) take(ctx context.Context, step plan.KeyStep, ring kube.Keyring, names []plan.HeartbeatKey, now time.Time) (again time.Duration) {
	after := ring
	after.Keys = nil
	for _, id := range step.Keep {
		at := slices.IndexFunc(names, func(n plan.HeartbeatKey) bool { return n.ID == id })
		after.Keys = append(after.Keys, ring.Keys[at])
	}
	if step.Do == plan.AddKey {
		after.Keys = append(after.Keys, freshKey(ring.Keys, now))
		after.Rotated = ring.Rotate
	}
	if again = k.write(ctx, after, now); again > 0 {
		return again
	}
	k.log.Info("keys of heartbeats changed", "step", step.Do)
	if len(step.Left) > 0 {
		k.log.Warn("keys of heartbeats changed without nodes that Kubernetes has not reached for a day: they may not hear the others",
			"step", step.Do, "nodes", step.Left)
	}
	return 0
}

// freshKey is younger than all others whatever the clock says: the order of dates is
// the order of the rotation.
func freshKey(others []kube.HeartbeatKey, now time.Time) kube.HeartbeatKey {
	key := kube.HeartbeatKey{Secret: make([]byte, keyOctets), Made: now.UTC().Truncate(time.Second)}
	rand.Read(key.Secret) // never returns an error
	for _, other := range others {
		if !key.Made.After(other.Made) {
			key.Made = other.Made.Add(time.Second)
		}
	}
	return key
}

// write tells when to try again, 0 where it is done. That it is done is then seen.
func (k *keys) write(ctx context.Context, ring kube.Keyring, now time.Time) (again time.Duration) {
	ring.Since = now
	err := k.secret.Write(ctx, ring)
	if err == nil {
		k.told = ""
		return 0
	}
	if !errors.Is(err, kube.ErrKeyringChanged) && ctx.Err() == nil {
		k.tell(err.Error(), func() { k.log.Warn("keys of heartbeats not written", "err", err) })
	}
	return keysAgain
}

// tell says the same thing once.
func (k *keys) tell(what string, say func()) {
	if what != k.told {
		say()
	}
	k.told = what
}
