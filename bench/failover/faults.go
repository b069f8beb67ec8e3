package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/lab"
)

// takeOver is what is allowed to a fault that nobody announces.
var takeOver = target{Median: 300 * time.Millisecond, P99: 500 * time.Millisecond}

// lossless is what is allowed to a fault that is announced.
var lossless = target{Lossless: true}

// faults are all that are measured by trials, in the order in which they are.
var faults = []fault{
	{
		name: "power loss", target: takeOver, timeout: impatient,
		strike: func(ctx context.Context, _ *segment, owner *lab.Host) error { return owner.Crash(ctx) },
		mend: func(ctx context.Context, s *segment, owner *lab.Host) ([]finding, error) {
			if err := owner.Recover(ctx); err != nil {
				return nil, err
			}
			return nil, s.side.start(ctx, s, owner)
		},
	},
	{
		name: "frozen speaker", target: takeOver, timeout: impatient,
		strike: func(ctx context.Context, _ *segment, owner *lab.Host) error { return owner.Freeze(ctx, speakerProcess) },
		mend: func(ctx context.Context, _ *segment, owner *lab.Host) ([]finding, error) {
			return nil, owner.Thaw(ctx, speakerProcess)
		},
	},
	{
		name: "hanging kernel", target: takeOver, timeout: impatient,
		strike: func(ctx context.Context, _ *segment, owner *lab.Host) error { return owner.Hang(ctx) },
		mend: func(ctx context.Context, _ *segment, owner *lab.Host) ([]finding, error) {
			return nil, owner.Unhang(ctx)
		},
	},
	{
		name: "NIC down", target: target{P99: 250 * time.Millisecond}, timeout: impatient,
		strike: func(ctx context.Context, _ *segment, owner *lab.Host) error { return owner.LinkDown(ctx) },
		mend: func(ctx context.Context, _ *segment, owner *lab.Host) ([]finding, error) {
			return nil, owner.LinkUp(ctx)
		},
	},
	{
		name: "cable out", target: takeOver, timeout: impatient,
		strike: func(ctx context.Context, _ *segment, owner *lab.Host) error { return owner.CableOut(ctx) },
		mend: func(ctx context.Context, _ *segment, owner *lab.Host) ([]finding, error) {
			return nil, owner.CableIn(ctx)
		},
	},
	{
		name: "clean stop", target: lossless, timeout: patient, // a drain ends the speaker in the same way
		strike: func(ctx context.Context, _ *segment, owner *lab.Host) error {
			return owner.Stop(ctx, speakerProcess, syscall.SIGTERM)
		},
		mend: func(ctx context.Context, s *segment, owner *lab.Host) ([]finding, error) {
			return nil, s.side.start(ctx, s, owner)
		},
	},
	{
		name: "rolling restart", target: lossless, timeout: patient,
		rounds: func(n int) int { return n }, // each speaker is stopped once
		strike: rollingRestart,
		mend:   func(context.Context, *segment, *lab.Host) ([]finding, error) { return nil, nil },
	},
	{
		name: "partition", target: target{P99: 500 * time.Millisecond}, timeout: impatient,
		fits: func(n int) bool { return n >= 3 },
		strike: func(ctx context.Context, s *segment, owner *lab.Host) error {
			return s.split(ctx, owner, (len(s.Nodes())-1)/2, nil)
		},
		mend: heal,
	},
	{
		name: "two halves", target: target{P99: 500 * time.Millisecond}, timeout: impatient,
		fits: func(n int) bool { return n >= 4 && n%2 == 0 },
		strike: func(ctx context.Context, s *segment, owner *lab.Host) error {
			return s.split(ctx, owner, len(s.Nodes())/2, s.Router())
		},
		mend: heal,
	},
}

// rollingRestart stops and starts the speakers one after the other, as a DaemonSet does.
func rollingRestart(ctx context.Context, s *segment, _ *lab.Host) error {
	for _, node := range s.Nodes() {
		if err := node.Stop(ctx, speakerProcess, syscall.SIGTERM); err != nil {
			return err
		}
		if err := s.side.start(ctx, s, node); err != nil {
			return err
		}
		err := until(ctx, time.Minute, "the speaker of "+node.Name()+" is ready", func() error { return s.side.settled(ctx, s) })
		if err != nil {
			return err
		}
	}
	return nil
}

// split cuts a part of the nodes off, the owner among them, and with them what else is
// beside them. The control plane and the client are on the other side.
func (s *segment) split(ctx context.Context, owner *lab.Host, size int, beside *lab.Host) error {
	cut := []*lab.Host{owner}
	rest := []*lab.Host{s.Host("fabric"), s.Client()}
	for _, node := range s.Nodes() {
		switch {
		case node.Name() == owner.Name():
		case len(cut) < size:
			cut = append(cut, node)
		default:
			rest = append(rest, node)
		}
	}
	if beside != nil {
		cut = append(cut, beside)
	} else {
		rest = append(rest, s.Router())
	}
	return s.Partition(ctx, cut, rest)
}

// heal joins the segment, and measures until one node answers, and until the neighbour
// caches of the client and the router name it.
func heal(ctx context.Context, s *segment, _ *lab.Host) ([]finding, error) {
	caches, err := s.watchCaches(ctx)
	if err != nil {
		return nil, err
	}
	healed := time.Now()
	if err := s.Heal(ctx); err != nil {
		caches.end()
		return nil, err
	}
	err = pause(ctx, 5*time.Second) // as long as something may still be wrong
	changes := caches.end()
	if err != nil {
		return nil, err
	}
	owner, err := s.owner(ctx)
	if err != nil {
		return nil, err
	}
	mac := s.macOf(owner)
	var other time.Time // when another answered last
	for _, w := range s.newcomer.since(healed, s.vip) {
		if !w.announced && w.mac != mac {
			other = w.at
		}
	}
	return []finding{
		{"healed: one owner", max(0, other.Sub(healed)), target{P99: 200 * time.Millisecond}},
		{"healed: caches right", lastWrong(changes, mac, healed), target{P99: time.Second}},
	}, nil
}

// together runs something on all nodes at once.
func together(ctx context.Context, nodes []*lab.Host, do func(ctx context.Context, node *lab.Host) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		g.Go(func() error {
			if err := do(ctx, node); err != nil {
				return fmt.Errorf("%s: %w", node.Name(), err)
			}
			return nil
		})
	}
	return g.Wait()
}
