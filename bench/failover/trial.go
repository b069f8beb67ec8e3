package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fairlead.dev/fairlead/lab"
)

// fault is a way in which an owner can go.
type fault struct {
	name string
	// fits says whether a segment of n nodes can have it; nil is yes.
	fits func(n int) bool
	// target of the outage.
	target target
	// timeout of one connection.
	timeout time.Duration
	// strike is the fault. mend takes it back, and may have found something out.
	strike func(ctx context.Context, s *segment, owner *lab.Host) error
	mend   func(ctx context.Context, s *segment, owner *lab.Host) ([]finding, error)
	// rounds of one trial, when a trial is as good as several; 1 if zero.
	rounds func(n int) int
}

// finding is something else than an outage that a trial measured.
type finding struct {
	name   string
	took   time.Duration
	target target
}

// measurement is what one trial found out.
type measurement struct {
	owner     string // before the fault
	successor string // when it was taken back; empty if nobody answered
	last      string // in the end
	misled    bool   // neighbour caches named somebody else before the fault
	struck    time.Time
	mended    time.Time
	seen      []sighting
	findings  []finding
}

func (m measurement) String() string {
	var parts []string
	for _, seen := range m.seen {
		part := fmt.Sprintf("%s %s", seen.client, figure(seen.outage))
		if seen.failed > 0 {
			part += fmt.Sprintf(" (%d failed)", seen.failed)
		}
		if seen.settled > 0 {
			part += fmt.Sprintf(", twenty in a row after %s", figure(seen.settled))
		}
		if seen.back > 0 {
			part += fmt.Sprintf(", again %s after the repair", figure(seen.back))
		}
		parts = append(parts, part)
	}
	for _, f := range m.findings {
		parts = append(parts, f.name+" "+figure(f.took))
	}
	who := fmt.Sprintf("%s to %s", m.owner, m.successor)
	if m.movedAgain() {
		who += ", and then to " + m.last
	}
	return who + "; " + strings.Join(parts, "; ")
}

// movedAgain tells whether the address moved when the fault was over, though its owner was well.
func (m measurement) movedAgain() bool { return m.successor != m.last }

// sighting is what one client saw of a fault.
type sighting struct {
	client  string
	outage  time.Duration // the longest time without an answer
	failed  int
	settled time.Duration // from the fault to the first of twenty answers in a row; zero if not measured

	// After the fault was taken back:
	back       time.Duration // the longest time without an answer
	failedBack int
}

const (
	// shortest is how long a fault lasts at least: what is seen late must be seen.
	shortest = 2 * time.Second
	// longest is how long the end of an outage is waited for. One that has no end by then
	// counts for what it lasted.
	longest = 90 * time.Second
	// twenty answers in a row count as service as before.
	twenty = 20
)

// watch is all that looks at the address during a trial.
type watch struct {
	timeout time.Duration           // of a connection
	probes  map[string]*lab.Probing // by client
	asking  *asking
}

func (s *segment) watch(timeout time.Duration) *watch {
	return &watch{
		timeout: timeout,
		probes:  map[string]*lab.Probing{onSegment: s.probe(s.Client(), timeout), offSegment: s.probe(s.Remote(), timeout)},
		asking:  s.newcomer.keepAsking(s.vip, 10*time.Millisecond),
	}
}

func (w *watch) end() (map[string]lab.Outcome, error) {
	seen := make(map[string]lab.Outcome)
	for client, p := range w.probes {
		seen[client] = p.Stop()
	}
	var err error
	seen[uncached], err = w.asking.end()
	return seen, err
}

// trial does a fault to the owner of the address, takes it back, and says what was seen.
// settled is whether to wait for twenty answers in a row.
func (s *segment) trial(ctx context.Context, f fault, settled bool) (m measurement, err error) {
	owner, err := s.owner(ctx)
	if err != nil {
		return m, err
	}
	if m.misled, err = s.correctCaches(ctx, owner); err != nil {
		return m, err
	}
	s.newcomer.take() // old news
	w := s.watch(f.timeout)
	defer func() {
		outcomes, watched := w.end()
		if err = errors.Join(err, watched); err == nil {
			m.seen = sightings(outcomes, m.struck, m.mended, settled)
		}
	}()
	m.owner = owner.Name()
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return m, err
	}
	m.struck = time.Now()
	if err := f.strike(ctx, s, owner); err != nil {
		return m, err
	}
	if err := s.outlast(ctx, w, m.struck, settled); err != nil {
		return m, err
	}
	m.mended = time.Now()
	m.successor = s.answering(m.struck)
	if m.findings, err = f.mend(ctx, s, owner); err != nil {
		return m, err
	}
	if err := s.whole(ctx); err != nil {
		return m, err
	}
	last, err := s.owner(ctx)
	if err != nil {
		return m, err
	}
	m.last = last.Name()
	return m, nil
}

// answering is the node that answered the newcomer last, since a time; empty if none did.
func (s *segment) answering(since time.Time) string {
	var name string
	for _, w := range s.newcomer.since(since, s.vip) {
		if !w.announced {
			name = s.nameOf(w.mac)
		}
	}
	return name
}

// outlast waits until a fault has lasted, and the address is answered everywhere again.
func (s *segment) outlast(ctx context.Context, w *watch, struck time.Time, settled bool) error {
	if err := pause(ctx, time.Until(struck.Add(shortest))); err != nil {
		return err
	}
	err := until(ctx, longest, "the address answers again", func() error {
		recently := time.Now().Add(-w.timeout - 300*time.Millisecond)
		for client, p := range w.probes {
			seen := p.SoFar()
			if !answeredSince(seen, recently) {
				return fmt.Errorf("%s: %w: %w", client, errNoAnswer, seen.LastError)
			}
			if _, ok := inARow(seen, twenty, struck); settled && !ok {
				return fmt.Errorf("%s: not twenty answers in a row: %w", client, seen.LastError)
			}
		}
		seen, err := w.asking.soFar()
		if err != nil {
			return err
		}
		if !answeredSince(seen, recently) {
			return fmt.Errorf("ARP: %w", errNoAnswer)
		}
		return nil
	})
	if errors.Is(err, errLate) {
		say("%v", err)
		return nil
	}
	return err
}

// sightings are what each client saw of a fault between two times. settled says whether
// all of them waited for twenty answers in a row.
func sightings(outcomes map[string]lab.Outcome, struck, mended time.Time, settled bool) []sighting {
	var all []sighting
	end := mended.Add(time.Hour)
	for _, client := range []string{onSegment, offSegment, uncached} {
		o := outcomes[client]
		seen := sighting{
			client: client,
			outage: longestGap(o, struck, mended), failed: failed(o, time.Time{}, mended),
			back: longestGap(o, mended, end), failedBack: failed(o, mended, end),
		}
		if settled && client != uncached {
			seen.settled = mended.Sub(struck) // at least, if there was no such row
			if at, ok := inARow(o, twenty, struck); ok && at.Before(mended) {
				seen.settled = at.Sub(struck)
			}
		}
		all = append(all, seen)
	}
	return all
}
