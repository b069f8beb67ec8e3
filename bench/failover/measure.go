package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// measure does everything that is asked for on segments of n nodes, and adds it to
// what was found.
func measure(ctx context.Context, o options, n int, found *report) error {
	ours := newFairlead(o.program, o.silent)
	err := onSegmentOf(ctx, o, ours, n, func(s *segment) error { return measureOurs(ctx, o, s, ours, found) })
	if err != nil || !o.wants("power loss") {
		return err
	}
	if !o.peer.complete() {
		found.note("METALLB_SPEAKER, METALLB_CONTROLLER and METALLB_CRDS are not all set, so there is no peer in the table.")
		return nil
	}
	peer := o.peer
	return onSegmentOf(ctx, o, &peer, n, func(s *segment) error { return s.trials(ctx, o, faults[0], found) })
}

// onSegmentOf runs something on a segment of its own.
func onSegmentOf(ctx context.Context, o options, side balancer, n int, do func(*segment) error) (err error) {
	s, err := newSegment(ctx, side, n, o.grace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	return do(s)
}

func measureOurs(ctx context.Context, o options, s *segment, ours *fairlead, found *report) error {
	for _, f := range faults {
		if o.wants(f.name) && (f.fits == nil || f.fits(len(s.Nodes()))) {
			if err := s.trials(ctx, o, f, found); err != nil {
				return err
			}
		}
	}
	if o.wants(addressesName) && o.addresses > 0 {
		if err := s.manyTrials(ctx, o, found); err != nil {
			return err
		}
	}
	if o.wants(costName) {
		say("%d nodes: cost of an idle segment", len(s.Nodes()))
		c, err := s.idle(ctx, ours, o.idle)
		if err != nil {
			return err
		}
		found.Cost = append(found.Cost, c)
	}
	if o.wants(soakName) && o.soak > 0 {
		say("%d nodes: %s with all processors busy", len(s.Nodes()), o.soak)
		result, err := s.soak(ctx, o.soak, os.Stderr)
		if err != nil {
			return err
		}
		found.Soak = append(found.Soak, result)
	}
	return nil
}

// trials does a fault as often as is asked for.
func (s *segment) trials(ctx context.Context, o options, f fault, found *report) error {
	n := o.trials
	if f.rounds != nil {
		each := f.rounds(len(s.Nodes()))
		n = (n + each - 1) / each
	}
	again, misled := 0, 0
	for i := range n {
		settled := f.name == "power loss" && i < o.settled
		m, err := s.trial(ctx, f, settled)
		if err != nil {
			return err
		}
		say("%s, %d nodes, %s, trial %d of %d: %s", s.side.name(), len(s.Nodes()), f.name, i+1, n, m)
		found.Rows.take(s.side.name(), len(s.Nodes()), f, m)
		if m.movedAgain() {
			again++
		}
		if m.misled {
			misled++
		}
	}
	where := fmt.Sprintf("%s, %d nodes, %s", s.side.name(), len(s.Nodes()), f.name)
	if again > 0 {
		found.note(fmt.Sprintf("%s: in %d of %d trials the address moved once more when the fault was over.", where, again, n))
	}
	if misled > 0 {
		found.note(fmt.Sprintf("%s: before %d of %d trials a neighbour cache named a node that did not own the address (it was flushed).", where, misled, n))
	}
	return nil
}

// manyTrials does a tenth of the trials: each moves all addresses twice.
func (s *segment) manyTrials(ctx context.Context, o options, found *report) error {
	say("%d nodes: making %d Services", len(s.Nodes()), o.addresses)
	addresses, err := s.create(ctx, o.addresses)
	if err != nil {
		return err
	}
	n := (o.trials + 9) / 10
	for i := range n {
		lost, took, err := s.manyTrial(ctx, addresses)
		if err != nil {
			return err
		}
		say("%s, %d nodes, power loss with %d addresses, trial %d of %d: the last answers after %s", s.side.name(), len(s.Nodes()), lost, i+1, n, figure(took))
		found.Rows.add(row{
			Side: s.side.name(), Fault: "power loss, many addresses: all answer", Nodes: len(s.Nodes()), Client: uncached,
			Values: []time.Duration{took}, Target: target{P99: time.Second},
		})
	}
	return s.discard(ctx)
}
