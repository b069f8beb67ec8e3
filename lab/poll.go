package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// poll tries until it succeeds. When ctx ends first, the error says what was
// awaited and why the last try was not enough.
func poll(ctx context.Context, every time.Duration, what string, try func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		var f *fatalError
		if errors.As(err, &f) {
			return fmt.Errorf("wait until %s: %w", what, f.err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; at last: %w", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// fatalError ends a poll: waiting longer cannot help.
type fatalError struct{ err error }

func fatal(err error) error         { return &fatalError{err} }
func (e *fatalError) Error() string { return e.err.Error() }

func unlessExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
