package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

// estate is a cluster of three nodes with a pod of one Service on each, as the API
// server and the EndpointSlice controller show it.
type estate struct {
	t     *testing.T
	world lb.World

	mu       sync.Mutex
	written  map[lb.Pod]lb.Withdrawal // what the pods say
	extra    []lb.Backend
	calls    []string
	asked    int
	kubelet  bool  // answers
	fail     error // of every write
	allowed  error
	events   []string
	log      bytes.Buffer
	registry *prometheus.Registry
}

func newEstate(t *testing.T) *estate {
	e := &estate{t: t, written: make(map[lb.Pod]lb.Withdrawal)}
	for _, name := range []string{"n1", "n2", "n3"} {
		e.world.Nodes = append(e.world.Nodes, lb.Node{Name: name, Alive: true})
		e.world.Speakers = append(e.world.Speakers, lb.Speaker{Node: name, Hearing: &lb.Hearing{Boot: "boot-" + name, Quorate: true, Counted: 2}})
	}
	e.world.Services = []lb.Service{{Key: key("web"), LoadBalancer: true, Marked: true}}
	return e
}

func podOf(node string) lb.Pod {
	return lb.Pod{Namespace: "default", Name: "web-" + node, UID: "uid-" + node}
}

func (e *estate) call(what string, w lb.Withdrawal, write func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, what+" "+w.Pod.Name)
	if e.fail != nil {
		return e.fail
	}
	write()
	return nil
}

func (e *estate) Permitted(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.allowed
}

func (e *estate) Withdraw(_ context.Context, w lb.Withdrawal, _ time.Time) error {
	return e.call("withdraw", w, func() { e.written[w.Pod] = w })
}

func (e *estate) Restore(_ context.Context, w lb.Withdrawal, _ time.Time) error {
	return e.call("restore", w, func() { delete(e.written, w.Pod) })
}

func (e *estate) Find(_ context.Context, pod lb.Pod) (lb.Withdrawal, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, "find "+pod.Name)
	w, ours := e.written[pod]
	return w, ours, nil
}

func (e *estate) WarnNode(node, reason, _ string) { e.event(node + " " + reason) }
func (e *estate) NoteNode(node, reason, _ string) { e.event(node + " " + reason) }

func (e *estate) event(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, text)
}

func (e *estate) backends(context.Context) ([]lb.Backend, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := slices.Clone(e.extra)
	for _, n := range e.world.Nodes {
		_, gone := e.written[podOf(n.Name)]
		out = append(out, lb.Backend{Service: key("web"), Family: lb.IPv4, Pod: podOf(n.Name), Node: n.Name, Ready: !gone})
	}
	return out, nil
}

func (e *estate) answers(ctx context.Context, _ string) bool {
	e.mu.Lock()
	e.asked++
	answers := e.kubelet
	e.mu.Unlock()
	if answers {
		return true
	}
	select { // silence is known when patience ends
	case <-ctx.Done():
	case <-time.After(300 * time.Millisecond):
	}
	return false
}

// lead is a controller that begins to lead; it ends with its context.
func (e *estate) lead(ctx context.Context) *outages {
	e.registry = prometheus.NewRegistry()
	o := newOutages(e, e.backends, e.answers, e, newOutageFigures(e.registry), slog.New(slog.NewTextHandler(&e.log, nil)))
	go func() {
		if err := o.run(ctx); err != nil {
			e.t.Error(err)
		}
	}()
	o.want(&e.world)
	return o
}

// hears makes the speakers write who is dead; a new World each time, as an Observer's.
func (e *estate) hears(o *outages, dead ...string) {
	e.mu.Lock()
	e.world.Speakers = slices.Clone(e.world.Speakers)
	for i := range e.world.Speakers {
		s := &e.world.Speakers[i]
		h := *s.Hearing
		h.Missing, h.Counted = nil, 2-len(dead)
		for _, d := range dead {
			if d != s.Node {
				h.Missing = append(h.Missing, lb.Missing{Node: d, State: "Dead"})
			}
		}
		if !slices.Contains(dead, s.Node) {
			s.Hearing = &h
		}
	}
	w := e.world
	e.mu.Unlock()
	o.want(&w)
}

// wants compares what was called since the last time.
func (e *estate) wants(calls ...string) {
	e.t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if diff := cmp.Diff(calls, e.calls); diff != "" {
		e.t.Errorf("calls (-want +got):\n%s\n%s", diff, e.log.String())
	}
	e.calls = nil
}

func (e *estate) told(events ...string) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if diff := cmp.Diff(events, e.events); diff != "" {
		e.t.Errorf("Events (-want +got):\n%s", diff)
	}
	e.events = nil
}

// figure is the sum of a metric over its labels.
func (e *estate) figure(name string) float64 {
	e.t.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name {
				sum += m.Gauge.GetValue() + m.Counter.GetValue()
			}
		}
	}
	return sum
}

func (e *estate) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// outage runs a test in a bubble, with a controller that leads until it ends.
func outage(t *testing.T, test func(ctx context.Context, e *estate)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		test(ctx, newEstate(t))
		cancel()
		synctest.Wait()
	})
}

func TestADeathIsAnsweredWithinTheKubeletsPatience(t *testing.T) {
	outage(t, func(ctx context.Context, e *estate) {
		o := e.lead(ctx)
		e.wants()
		e.hears(o, "n2")
		e.wants() // its kubelet has time to answer
		time.Sleep(301 * time.Millisecond)
		e.wants("withdraw web-n2")
		e.told("n2 EndpointsWithdrawn")
		if got := e.figure("fairlead_endpoints_withdrawn"); got != 1 {
			t.Errorf("fairlead_endpoints_withdrawn is %v", got)
		}
		time.Sleep(time.Minute)
		e.wants()
		e.hears(o)
		e.wants("restore web-n2")
		e.told("n2 EndpointsRestored")
		time.Sleep(time.Second)
		if got := e.figure("fairlead_endpoints_withdrawn"); got != 0 {
			t.Errorf("fairlead_endpoints_withdrawn is %v", got)
		}
	})
}

func TestAHealthyClusterCausesNoCall(t *testing.T) {
	outage(t, func(ctx context.Context, e *estate) {
		o := e.lead(ctx)
		for range 10 {
			time.Sleep(time.Minute)
			e.hears(o)
		}
		e.wants()
		e.told()
		if e.asked > 0 {
			t.Errorf("%d kubelets were asked", e.asked)
		}
	})
}

func TestALeaderThatIsKilledBetweenTwoPatchesIsFollowedByOneThatGoesOn(t *testing.T) {
	outage(t, func(ctx context.Context, e *estate) {
		second := lb.Pod{Namespace: "default", Name: "web2-n2", UID: "uid-2"}
		w := lb.Withdrawal{Pod: podOf("n2"), Node: "n2", Boot: "boot-n2", Account: "as before"}
		e.written[w.Pod] = w
		e.extra = []lb.Backend{{Service: key("web"), Family: lb.IPv4, Pod: second, Node: "n2", Ready: true}}
		o := e.lead(ctx)
		e.hears(o, "n2")
		e.wants("find web-n2", "withdraw web2-n2")
		if e.asked > 0 {
			t.Error("what was begun is gone on with, without another question")
		}
		e.hears(o)
		synctest.Wait()
		slices.Sort(e.calls)
		e.wants("restore web-n2", "restore web2-n2")
	})
}

func TestANodeThatCameBackWhileNobodyLedIsRestored(t *testing.T) {
	outage(t, func(ctx context.Context, e *estate) {
		e.written[podOf("n2")] = lb.Withdrawal{Pod: podOf("n2"), Node: "n2", Boot: "boot-n2"}
		e.lead(ctx)
		e.wants("find web-n2", "restore web-n2")
	})
}

func TestAKubeletThatAnswersIsAskedAgainAndTold(t *testing.T) {
	outage(t, func(ctx context.Context, e *estate) {
		e.kubelet = true
		o := e.lead(ctx)
		e.hears(o, "n2")
		time.Sleep(900 * time.Millisecond)
		e.told() // not at once: it may be over in a moment
		time.Sleep(3 * time.Second)
		e.wants()
		e.told("n2 KubeletAnswers")
		if got := e.figure("fairlead_endpoints_held_total"); got != 1 || e.asked != 1 {
			t.Errorf("held %v times, asked %d times", got, e.asked)
		}
		e.set(func() { e.kubelet = false })
		time.Sleep(2 * time.Second)
		e.wants("withdraw web-n2")
	})
}

func TestWhatFailsIsTriedAgain(t *testing.T) {
	outage(t, func(ctx context.Context, e *estate) {
		e.fail = errors.New("no answer")
		o := e.lead(ctx)
		e.hears(o, "n2")
		time.Sleep(400 * time.Millisecond)
		e.wants("withdraw web-n2")
		time.Sleep(time.Second)
		e.wants("withdraw web-n2", "withdraw web-n2")
		if n := strings.Count(e.log.String(), "no answer"); n != 1 {
			t.Errorf("the same error is logged %d times:\n%s", n, e.log.String())
		}
		e.set(func() { e.fail = nil })
		time.Sleep(time.Second)
		e.wants("withdraw web-n2")
		e.set(func() { e.fail = errors.New("conflict") })
		e.hears(o)
		e.wants("restore web-n2")
		e.set(func() { e.fail = fmt.Errorf("it is %w", kube.ErrPodChanged) })
		time.Sleep(time.Minute)
		e.wants("restore web-n2") // and no more: the kubelet has spoken
	})
}

func TestWithoutTheRightsNothingIsDoneAndItIsSaidOnce(t *testing.T) {
	outage(t, func(ctx context.Context, e *estate) {
		e.allowed = errors.New("no right to patch pods/status")
		o := e.lead(ctx)
		e.hears(o, "n2")
		time.Sleep(5 * time.Minute)
		e.wants()
		if n := strings.Count(e.log.String(), "no right to patch"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
		e.set(func() { e.allowed = nil })
		time.Sleep(time.Minute)
		e.wants("withdraw web-n2")
	})
}
