package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"

	"fairlead.dev/fairlead/internal/lb"
)

// writers is how many Services are written at once: the API server takes no more
// when more ask.
const writers = 32

// ServiceWriter makes Services say what was decided, with one patch each and only
// where they do not say so yet.
type ServiceWriter struct {
	client   metadata.Interface
	observer *Observer
	events   *Events
	log      *slog.Logger
	queue    workqueue.TypedRateLimitingInterface[lb.Key]

	mu   sync.Mutex
	want map[lb.Key]ServiceStatus
	// waiting are Services whose new address another one still shows.
	waiting map[lb.Key]bool
}

// NewServiceWriter makes a writer that Run starts.
func NewServiceWriter(c metadata.Interface, o *Observer, events *Events, log *slog.Logger) *ServiceWriter {
	return &ServiceWriter{
		client: c, observer: o, events: events, log: log,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[lb.Key](20*time.Millisecond, 30*time.Second)),
		want:    make(map[lb.Key]ServiceStatus),
		waiting: make(map[lb.Key]bool),
	}
}

// Want replaces all that Services should say, and queues those that do not.
func (w *ServiceWriter) Want(want map[lb.Key]ServiceStatus) {
	w.mu.Lock()
	w.want = want
	w.mu.Unlock()
	for _, key := range w.observer.diverging(want) {
		w.queue.Add(key)
	}
}

// Pending is how many Services wait to be written.
func (w *ServiceWriter) Pending() int { return w.queue.Len() }

// Run writes until ctx is done.
func (w *ServiceWriter) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for range writers {
		g.Go(func() error {
			for {
				key, shutdown := w.queue.Get()
				if shutdown {
					return nil
				}
				w.settle(ctx, key)
				w.queue.Done(key)
			}
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		w.queue.ShutDown()
		return nil
	})
	return g.Wait()
}

// settle writes one Service, and decides when it is looked at again.
func (w *ServiceWriter) settle(ctx context.Context, key lb.Key) {
	if ctx.Err() != nil {
		return
	}
	err := w.write(ctx, key)
	switch {
	case err == nil:
		w.queue.Forget(key)
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err):
		// The Service is not what it was; its next event leads to a new decision. An
		// event that never comes must not leave it unwritten.
		w.log.Debug("service changed meanwhile", "service", key, "err", err)
		w.queue.AddRateLimited(key)
	case unreachable(err):
		// What the API server's return should wait for is the API server, not how long
		// it was gone.
		w.log.Warn("service not written", "service", key, "err", err)
		w.queue.Forget(key)
		w.queue.AddAfter(key, rand.N(2*patience))
	default:
		w.log.Warn("service not written", "service", key, "err", err)
		w.queue.AddRateLimited(key)
	}
}

func (w *ServiceWriter) write(ctx context.Context, key lb.Key) error {
	w.mu.Lock()
	want, known := w.want[key]
	if !known {
		w.mu.Unlock()
		w.observer.abandon(key)
		return nil
	}
	if w.observer.blocked(key, want.Addresses, w.want) {
		w.waiting[key] = true
		w.mu.Unlock()
		return nil
	}
	from, ok := w.observer.begin(key, want)
	w.mu.Unlock()
	if !ok {
		return nil
	}
	defer w.wake()
	want = from.want
	base := from.status
	if from.unsure {
		base = want.unlike(from.status)
	}
	patch, err := base.patch(want, from.uid, time.Now())
	if err != nil {
		w.observer.failed(key, true)
		return fmt.Errorf("write status of Service %s: %w", key, err)
	}
	written, err := w.client.Resource(corev1.SchemeGroupVersion.WithResource("services")).Namespace(key.Namespace).
		Patch(ctx, key.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "fairlead"}, "status")
	if err != nil {
		w.observer.failed(key, definite(err))
		return fmt.Errorf("write status of Service %s: %w", key, err)
	}
	version := versionOf(written)
	if written.DeletionTimestamp != nil && len(written.Finalizers) == 0 {
		version = gone // the answer has the version before
	}
	w.observer.done(key, version)
	w.report(key, from.uid, from.status, want)
	return nil
}

// definite tells whether the API server surely did not do what was asked. After a
// timeout it may have.
func definite(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= 400 && code < 500 && code != http.StatusRequestTimeout
}

// wake looks again at the Services that waited for an address to be let go.
func (w *ServiceWriter) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.waiting {
		w.queue.Add(key)
		delete(w.waiting, key)
	}
}

// report tells the Service's owner what changed.
func (w *ServiceWriter) report(key lb.Key, uid string, before, after ServiceStatus) {
	c := after.Condition
	switch {
	case c.Reason == "" || c.Reason == ReasonAssigned || c == before.Condition:
	case c.Reason == string(lb.Building) || c.Reason == string(lb.Deleting): // as it should be
		w.events.Note(key, uid, c.Reason, c.Message)
	default:
		w.events.Warn(key, uid, c.Reason, c.Message)
	}
	if slices.Equal(before.Addresses, after.Addresses) && before.Hostname == after.Hostname {
		return
	}
	switch {
	case len(after.Addresses) > 0 || after.Hostname != "":
		w.log.Info("address assigned", "service", key, "vip", after.shown(), "from", before.shown())
		if c.True || after.Cloud.Class == "" {
			w.events.Note(key, uid, ReasonAssigned, c.Message)
		}
	default:
		w.log.Info("address released", "service", key, "vip", before.shown())
	}
}

// diverging are the Services that do not say what they should, sorted.
func (o *Observer) diverging(want map[lb.Key]ServiceStatus) []lb.Key {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []lb.Key
	for _, key := range o.services.keys() {
		if s, ok := want[key]; ok && !o.services.rows[key].status.says(s) {
			out = append(out, key)
		}
	}
	return out
}

// blocked tells whether another Service still shows one of the addresses and is
// about to lose it: an address is given only after it was let go, so that nobody
// ever sees it twice.
func (o *Observer) blocked(key lb.Key, addrs []netip.Addr, want map[lb.Key]ServiceStatus) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, addr := range addrs {
		for _, other := range o.shown[addr] {
			if other == key {
				continue
			}
			s, ours := want[other]
			if ours && !slices.Contains(s.Addresses, addr) || !ours && o.services.rows[other].writing {
				return true
			}
		}
	}
	return false
}

// origin is what a write starts from.
type origin struct {
	uid    string
	status ServiceStatus // last seen
	want   ServiceStatus // completed by what it leaves as it is
	// unsure is set when an earlier write may have changed the status since.
	unsure bool
}

// begin counts want as written, and returns what the Service says so far. It is
// not ok when there is nothing to write.
func (o *Observer) begin(key lb.Key, want ServiceStatus) (from origin, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.services.rows[key]
	if r == nil || r.status.says(want) && r.unsure == 0 {
		return origin{}, false
	}
	want = want.over(r.seen)
	from = origin{uid: r.uid, status: r.seen, want: want, unsure: r.unsure > 0}
	o.hide(key)
	r.assume(want)
	o.show(key, r)
	return from, true
}

// done tells that the status counted as written was, as this version.
func (o *Observer) done(key lb.Key, version uint64) {
	if o.answered(key, func(r *record) bool { return r.confirm(version) }) {
		o.signal()
	}
}

// failed tells that it was not, or that nobody knows. That is no news for a plan:
// what was planned is tried again.
func (o *Observer) failed(key lb.Key, definite bool) {
	o.answered(key, func(r *record) bool {
		if definite {
			r.revert()
		} else {
			r.lose()
		}
		return false
	})
}

// abandon forgets what is unsure of a Service that nothing is wanted of any more.
func (o *Observer) abandon(key lb.Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.services.rows[key]; r != nil && r.unsure > 0 {
		o.hide(key)
		r.abandon()
		o.show(key, r)
	}
}

func (o *Observer) answered(key lb.Key, f func(*record) bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.services.rows[key]
	if r == nil || !r.writing {
		return false // the Service is gone, or another one of its name came after
	}
	o.hide(key)
	defer o.show(key, r)
	return f(r)
}
