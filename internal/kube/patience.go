package kube

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// patience is how long to wait between two tries to reach an API server that is
// gone, drawn anew each time up to twice this, so that a thousand speakers do not
// come back at once.
const patience = time.Second

// patientInformer waits out an API server that cannot be reached. Left to itself
// the reflector doubles its pause up to half a minute, which every new Service
// would wait after the API server is back.
func patientInformer(lw cache.ListerWatcher, example runtime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(patient{cache.ToListerWatcherWithContext(lw)}, example, resync, indexers)
}

// patient tries a call that found no API server again, until there is one. What
// the API server itself answers, also an error, is passed on.
type patient struct{ cache.ListerWatcherWithContext }

// IsWatchListSemanticsUnSupported passes on what the client says of itself: that of
// tests sends no bookmark, which a reflector would wait for.
func (p patient) IsWatchListSemanticsUnSupported() bool {
	c, says := p.ListerWatcherWithContext.(interface{ IsWatchListSemanticsUnSupported() bool })
	return says && c.IsWatchListSemanticsUnSupported()
}

func (p patient) List(o metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), o)
}

func (p patient) Watch(o metav1.ListOptions) (apiwatch.Interface, error) {
	return p.WatchWithContext(context.Background(), o)
}

func (p patient) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	return untilReached(ctx, func() (runtime.Object, error) { return p.ListerWatcherWithContext.ListWithContext(ctx, o) })
}

func (p patient) WatchWithContext(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
	return untilReached(ctx, func() (apiwatch.Interface, error) { return p.ListerWatcherWithContext.WatchWithContext(ctx, o) })
}

func untilReached[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for {
		out, err := call()
		if err == nil || !unreachable(err) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, err
		case <-time.After(rand.N(2 * patience)):
		}
	}
}

// unreachable tells an error of the way to the API server from one of its own.
func unreachable(err error) bool {
	var network net.Error
	return errors.As(err, &network)
}
