package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"fairlead.dev/fairlead/internal/lb"
)

// fakeAPI is an API server for PATCH services/status that keeps Services, counts
// calls, and hurts the caller as told. It is a RoundTripper: no socket, so that
// time is that of a synctest bubble.
type fakeAPI struct {
	t      *testing.T
	events chan event // watched by pump

	mu       sync.Mutex
	random   *rand.Rand
	clock    uint64
	services map[string]*stored
	calls    map[string]int
	faults   []string // still to be met, in this order
	problems []string
}

type event struct {
	deleted bool
	service *corev1.Service
}

func newFakeAPI(t *testing.T, names ...string) *fakeAPI {
	f := &fakeAPI{t: t, events: make(chan event, 10000), random: rand.New(rand.NewPCG(1, 2)), clock: 100,
		services: make(map[string]*stored), calls: make(map[string]int)}
	for _, name := range names {
		f.services[name] = newStored(name, &f.clock)
		f.events <- event{service: f.services[name].service}
	}
	return f
}

// RoundTrip answers a PATCH after a while, with a fault if one is left.
func (f *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	fault := ""
	if len(f.faults) > 0 {
		fault, f.faults = f.faults[0], f.faults[1:]
	}
	before, after := f.pause(), f.pause()
	f.mu.Unlock()
	time.Sleep(before)
	answer := httptest.NewRecorder()
	switch fault {
	case "":
		f.ServeHTTP(answer, r)
	case "409", "422", "404", "429", "500", "503":
		f.count(r)
		failure(answer, fault)
	case "timeout, not done":
		f.count(r)
		time.Sleep(time.Second)
		return nil, timeout{}
	case "timeout, done":
		f.ServeHTTP(answer, r)
		time.Sleep(time.Second)
		return nil, timeout{}
	case "malformed":
		f.ServeHTTP(answer, r)
		answer.Body = bytes.NewBufferString(`{"kind":"PartialObjectMetadata","metadata":{"na`)
	default:
		f.t.Errorf("no fault %q", fault)
	}
	time.Sleep(after)
	return answer.Result(), nil
}

func (f *fakeAPI) pause() time.Duration {
	return time.Duration(f.random.Int64N(int64(5 * time.Millisecond)))
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

var _ net.Error = timeout{}

func failure(w http.ResponseWriter, code string) {
	reasons := map[string]metav1.StatusReason{
		"409": metav1.StatusReasonConflict, "422": metav1.StatusReasonInvalid, "404": metav1.StatusReasonNotFound,
		"429": metav1.StatusReasonTooManyRequests, "500": metav1.StatusReasonInternalError, "503": metav1.StatusReasonServiceUnavailable,
	}
	status := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: reasons[code], Message: "injected"}
	fmt.Sscan(code, &status.Code)
	w.Header().Set("Content-Type", "application/json")
	if code == "429" {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}

func (f *fakeAPI) count(r *http.Request) string {
	name, _ := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/default/services/"), "/status")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[name]++
	return name
}

// ServeHTTP does what is asked.
func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := f.count(r)
	patch, err := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method != http.MethodPatch || r.Header.Get("Content-Type") != "application/strategic-merge-patch+json" || r.URL.Query().Get("fieldManager") != "fairlead" || err != nil {
		f.problems = append(f.problems, fmt.Sprintf("%s %s %v: %v", r.Method, r.URL, r.Header, err))
	}
	s := f.services[name]
	if s == nil {
		failure(w, "404")
		return
	}
	before := s.service
	changed, err := s.patch(patch)
	if err != nil {
		failure(w, "409")
		return
	}
	answer := metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"}, ObjectMeta: s.service.ObjectMeta}
	switch {
	case s.service.DeletionTimestamp != nil && len(s.service.Finalizers) == 0:
		delete(f.services, name)
		answer.ResourceVersion = before.ResourceVersion // as the real one answers
		f.events <- event{deleted: true, service: s.service}
	case changed:
		f.events <- event{service: s.service}
		f.checkAddresses(name)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// checkAddresses: nobody ever sees an address on two Services.
func (f *fakeAPI) checkAddresses(name string) {
	for other, s := range f.services {
		for _, a := range StatusFrom(s.service).Addresses {
			if other != name && slices.Contains(StatusFrom(f.services[name].service).Addresses, a) {
				f.problems = append(f.problems, fmt.Sprintf("%s and %s both show %s", name, other, a))
			}
		}
	}
}

// change is what a user does.
func (f *fakeAPI) change(name string, edit func(*corev1.Service)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services[name].change(edit)
	f.events <- event{service: f.services[name].service}
}

func (f *fakeAPI) status(name string) (ServiceStatus, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.services[name]
	if !ok {
		return ServiceStatus{}, false
	}
	return StatusFrom(s.service), true
}

func (f *fakeAPI) callsMade() (total int, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.calls {
		total += n
		most = max(most, n)
	}
	return total, most
}

// writing is a ServiceWriter at work on a fakeAPI.
type writing struct {
	*fakeAPI
	observer *Observer
	writer   *ServiceWriter
	events   *Events

	mu   sync.Mutex
	want map[lb.Key]ServiceStatus
}

// write runs f with a writer that works on the Services, inside a bubble.
func write(t *testing.T, names []string, f func(*writing)) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t, names...)
		client, err := metadata.NewForConfigAndClient(metadata.ConfigFor(&rest.Config{Host: "http://api", QPS: -1}), &http.Client{Transport: api})
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		w := &writing{fakeAPI: api, observer: newObserver(lb.Key{}), events: NewEvents(nil, log)}
		w.writer = NewServiceWriter(client, w.observer, w.events, log)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.writer.Run(ctx) })
		running.Go(func() { w.watch(ctx) })
		running.Go(func() { w.plan(ctx) })
		defer running.Wait()
		defer cancel()
		synctest.Wait()
		f(w)
		api.mu.Lock()
		defer api.mu.Unlock()
		for _, problem := range api.problems {
			t.Error(problem)
		}
		w.observer.mu.Lock()
		defer w.observer.mu.Unlock()
		checkIndex(t, w.observer)
	})
}

// watch delivers events in order, each after a while.
func (w *writing) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.fakeAPI.events:
			w.fakeAPI.mu.Lock()
			pause := w.random.Int64N(int64(10 * time.Millisecond))
			w.fakeAPI.mu.Unlock()
			time.Sleep(time.Duration(pause))
			w.observer.mu.Lock()
			var changed bool
			if e.deleted {
				changed = w.observer.removeService(e.service)
			} else {
				changed = w.observer.setService(e.service)
			}
			w.observer.mu.Unlock()
			if changed {
				w.observer.signal()
			}
		}
	}
}

// plan is the controller's loop, for decisions that a test makes. Like the real one
// it leaves out what carries nothing of ours, and gives no address twice: the
// first by name has it until its deletion is seen.
func (w *writing) plan(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.observer.Changed():
		}
		want := make(map[lb.Key]ServiceStatus)
		taken := make(map[netip.Addr]bool)
		w.mu.Lock()
		for _, s := range w.observer.World().Services {
			if s.Deleting {
				if s.Marked {
					want[s.Key] = ServiceStatus{}
				}
				continue
			}
			status, decided := w.want[s.Key]
			if !decided {
				continue
			}
			if slices.ContainsFunc(status.Addresses, func(a netip.Addr) bool { return taken[a] }) {
				status = refused()
			}
			for _, a := range status.Addresses {
				taken[a] = true
			}
			want[s.Key] = status
		}
		w.mu.Unlock()
		w.writer.Want(want)
	}
}

// decide sets what the Services should say.
func (w *writing) decide(want map[string]ServiceStatus) {
	w.mu.Lock()
	w.want = make(map[lb.Key]ServiceStatus)
	for name, s := range want {
		w.want[lb.Key{Namespace: "default", Name: name}] = s
	}
	w.mu.Unlock()
	w.observer.signal()
}

// settled waits until the Services say what they should, and then until nothing
// happens any more.
func (w *writing) settled(want map[string]ServiceStatus) {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Minute)
	for {
		odd := ""
		for name, s := range want {
			if got, there := w.status(name); !there || !got.Equal(s) {
				odd = fmt.Sprintf("%s says %+v, want %+v", name, got, s)
			}
		}
		if odd == "" {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not settled: %s", odd)
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(2 * time.Minute) // longer than any back-off
}

func serviceNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("s%02d", i)
	}
	return out
}

// spread gives every Service an address, shifted by some.
func spread(names []string, shift int) map[string]ServiceStatus {
	out := make(map[string]ServiceStatus)
	for i, name := range names {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i + shift)})
		out[name] = assigned(a.String())
	}
	return out
}

func TestWithoutFaultsEveryServiceIsWrittenOnceAndNeverAgain(t *testing.T) {
	names := serviceNames(60)
	write(t, names, func(w *writing) {
		want := spread(names, 0)
		w.decide(want)
		w.settled(want)
		if total, most := w.callsMade(); total != len(names) || most != 1 {
			t.Errorf("%d calls, %d for one Service; want one each", total, most)
		}
		w.decide(want) // again
		w.change("s00", func(s *corev1.Service) { s.Spec.Ports = []corev1.ServicePort{{Port: 81}} })
		w.settled(want)
		if total, _ := w.callsMade(); total != len(names) {
			t.Errorf("%d calls after nothing changed, want %d as before", total, len(names))
		}
		// Everybody moves on by one: each address is let go before it is given.
		want = spread(names, 1)
		w.decide(want)
		w.settled(want)
		if total, most := w.callsMade(); total != 2*len(names) || most != 2 {
			t.Errorf("%d calls after all moved, %d for one Service; want two each", total, most)
		}
		if got := w.writer.Pending(); got != 0 || len(w.writer.waiting) != 0 {
			t.Errorf("%d are pending and %v wait", got, w.writer.waiting)
		}
	})
}

func TestADeletedServiceIsReleasedOnceAndItsAddressGivenAfterwards(t *testing.T) {
	names := serviceNames(20)
	for _, fault := range []string{"", "500", "timeout, done", "timeout, not done", "409"} {
		t.Run("fault "+fault, func(t *testing.T) {
			write(t, append(names, "young"), func(w *writing) {
				want := spread(names, 0)
				want["young"] = refused()
				w.decide(want)
				w.settled(want)
				calls, _ := w.callsMade()
				if fault != "" {
					w.fakeAPI.mu.Lock()
					w.faults = []string{fault}
					w.fakeAPI.mu.Unlock()
				}
				now := metav1.Now()
				w.change("s07", func(s *corev1.Service) { s.DeletionTimestamp = &now })
				want["young"] = assigned("192.0.2.8") // that s07 has
				w.decide(want)
				delete(want, "s07")
				// Other events lead to plans in between; none may forget the release.
				for range 20 {
					w.change("s01", func(s *corev1.Service) {
						s.Spec.Ports = []corev1.ServicePort{{Port: int32(w.random.Int64N(1000)) + 1}}
					})
					time.Sleep(time.Millisecond)
				}
				w.settled(want)
				if s, there := w.status("s07"); there {
					t.Errorf("the deleted Service is still there: %+v", s)
				}
				bound := calls + 2
				if fault != "" {
					bound++
				}
				if total, _ := w.callsMade(); total > bound {
					t.Errorf("%d calls, want at most %d", total-calls, bound-calls)
				}
			})
		})
	}
}

func TestEveryFaultIsOvercomeWithOneMoreCall(t *testing.T) {
	names := serviceNames(40)
	for _, fault := range []string{"409", "422", "404", "429", "500", "503", "timeout, done", "timeout, not done", "malformed"} {
		t.Run(fault, func(t *testing.T) {
			write(t, names, func(w *writing) {
				const n, few = 25, 8 // few: only one Service can move at a time, and meets them all
				w.faults = slices.Repeat([]string{fault}, n)
				want := spread(names, 0)
				w.decide(want)
				w.settled(want)
				if total, _ := w.callsMade(); total > len(names)+n {
					t.Errorf("%d calls for %d Services and %d faults", total, len(names), n)
				}
				w.fakeAPI.mu.Lock()
				w.faults = slices.Repeat([]string{fault}, few)
				w.fakeAPI.mu.Unlock()
				want = spread(names, 1)
				w.decide(want)
				w.settled(want)
				if total, _ := w.callsMade(); total > 2*len(names)+n+few {
					t.Errorf("%d calls for %d Services that moved and %d faults", total, len(names), n+few)
				}
			})
		})
	}
}

func TestAnyMixtureOfFaultsAndDecisionsConverges(t *testing.T) {
	kinds := []string{"", "", "409", "422", "404", "429", "500", "503", "timeout, done", "timeout, not done", "malformed"}
	names := serviceNames(15)
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			write(t, names, func(w *writing) {
				random := rand.New(rand.NewPCG(seed, 0))
				var want map[string]ServiceStatus
				faults := 0
				for round := range 8 {
					w.fakeAPI.mu.Lock()
					for range 20 {
						w.faults = append(w.faults, kinds[random.IntN(len(kinds))])
						faults++
					}
					w.fakeAPI.mu.Unlock()
					want = spread(names, round)
					for _, name := range names {
						if random.IntN(3) == 0 {
							want[name] = refused()
						}
					}
					w.decide(want)
					time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond) // less than it takes
				}
				w.fakeAPI.mu.Lock()
				w.faults = nil // else a back-off could last longer than the test waits
				w.fakeAPI.mu.Unlock()
				w.settled(want)
				if total, _ := w.callsMade(); total > 8*len(names)+faults {
					t.Errorf("%d calls for 8 decisions on %d Services and %d faults", total, len(names), faults)
				}
			})
		})
	}
}

func TestWhatHappenedIsReportedOnce(t *testing.T) {
	write(t, []string{"web"}, func(w *writing) {
		next := func() string {
			t.Helper()
			select {
			case e := <-w.events.queue:
				return fmt.Sprintf("%s %s %s: %s (%s)", e.Type, e.Reason, e.Regarding.Name, e.Note, e.Regarding.UID)
			default:
				return ""
			}
		}
		for _, c := range []struct {
			want ServiceStatus
			says []string
		}{
			{refused(), []string{"Warning PoolExhausted web: none is free (uid-web)"}},
			{assigned("192.0.2.1"), []string{"Normal Assigned web: 192.0.2.1 (uid-web)"}},
			{ServiceStatus{Addresses: addrs("192.0.2.1"), Finalizer: true, Condition: Condition{Reason: "AddressConflict", Message: "x answers"}},
				[]string{"Warning AddressConflict web: x answers (uid-web)"}},
			{assigned("192.0.2.1"), nil},
			{ServiceStatus{}, nil},
			{inCloud("public", ""), []string{"Normal Building web: wait (uid-web)"}},
			{inCloud("public", "lb-1", "192.0.2.1"), []string{"Normal Assigned web: 192.0.2.1 (uid-web)"}},
			{ServiceStatus{}, nil},
		} {
			want := map[string]ServiceStatus{"web": c.want}
			w.decide(want)
			w.settled(want)
			for _, says := range append(c.says, "") {
				if got := next(); got != says {
					t.Errorf("%+v: Event %q, want %q", c.want, got, says)
				}
			}
		}
	})
}

func TestOnlyAnAnswerOfTheAPIServerIsDefinite(t *testing.T) {
	for code, want := range map[int32]bool{400: true, 404: true, 409: true, 422: true, 429: true, 408: false, 500: false, 503: false, 504: false} {
		err := fmt.Errorf("write: %w", &statusError{metav1.Status{Code: code}})
		if definite(err) != want {
			t.Errorf("%d: definite %v", code, !want)
		}
	}
	if definite(timeout{}) || definite(errors.New("decode")) {
		t.Error("an error on the way is no answer")
	}
}

type statusError struct{ s metav1.Status }

func (e *statusError) Error() string         { return "status" }
func (e *statusError) Status() metav1.Status { return e.s }
