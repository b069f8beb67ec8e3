package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/lb"
)

// soaked is how a segment fared while all processors were busy with something else.
type soaked struct {
	Nodes     int           `json:"nodes"`
	Hogs      int           `json:"hogs"`
	Cores     int           `json:"cores"`
	Took      time.Duration `json:"took"`
	TakeOvers int           `json:"takeOvers"`
	Mended    int           `json:"mended"` // moves to spread addresses evenly, which are no take-overs
	Failed    int           `json:"failed"`
	Total     int           `json:"total"`
	Slowest   time.Duration `json:"slowest"` // answer
}

func (s soaked) verdict() string {
	if s.TakeOvers > 0 {
		return "MISSED"
	}
	return "met"
}

// soakAddresses are announced by each node, about: a node that owns nothing cannot lose it.
const soakAddresses = 10

// soak keeps all processors busy, and counts how often an address changes hands.
func (s *segment) soak(ctx context.Context, during time.Duration, progress io.Writer) (result soaked, err error) {
	result = soaked{Nodes: len(s.Nodes()), Hogs: runtime.NumCPU(), Cores: runtime.NumCPU()}
	addresses, err := s.create(ctx, soakAddresses*len(s.Nodes()))
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, s.discard(context.WithoutCancel(ctx))) }()
	owners, err := s.owners(ctx, addresses)
	if err != nil {
		return result, err
	}
	probe := s.probe(s.Client(), patient)
	defer func() {
		seen := probe.Stop()
		result.Failed, result.Total, result.Slowest = seen.Failures, seen.Total, seen.Slowest
	}()
	if err := s.Client().Hog(ctx, result.Hogs); err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, s.Client().StopHogs(context.WithoutCancel(ctx))) }()
	s.newcomer.take()
	for began := time.Now(); result.Took < during; result.Took = time.Since(began) {
		if err := s.newcomer.sweep(ctx, addresses, time.Second); err != nil {
			return result, err
		}
		for _, w := range s.newcomer.take() {
			last, ok := owners[w.address]
			if !ok || last == w.mac {
				continue
			}
			owners[w.address] = w.mac
			cause, err := s.cause(ctx, w.address, w.mac)
			if err != nil {
				return result, err
			}
			if cause == string(lb.Mended) {
				result.Mended++
			} else {
				result.TakeOvers++
			}
			fmt.Fprintf(progress, "  after %s %s took %s from %s: %s\n", time.Since(began).Round(time.Second), s.nameOf(w.mac), w.address, s.nameOf(last), cause)
		}
	}
	return result, nil
}

// cause is why a node took an address, by its own account; empty if it does not say.
func (s *segment) cause(ctx context.Context, address netip.Addr, mac ether.MAC) (string, error) {
	var cause string
	err := until(ctx, 5*time.Second, "the new owner says why", func() error {
		var speaker v1alpha1.Speaker
		if err := s.api.Get(ctx, client.ObjectKey{Name: s.nameOf(mac)}, &speaker); err != nil {
			return err
		}
		for _, claim := range speaker.Status.Claims {
			if claim.Address == address.String() {
				cause = claim.Cause
				return nil
			}
		}
		return fmt.Errorf("%s claims no %s", speaker.Name, address)
	})
	if errors.Is(err, errLate) {
		return "", nil
	}
	return cause, err
}

func (s *segment) nameOf(mac ether.MAC) string {
	if node := s.nodes[mac]; node != nil {
		return node.Name()
	}
	return mac.String()
}
