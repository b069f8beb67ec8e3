package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// Paces of outages.
const (
	// outagePace is how often a trouble is looked at again that lasts: endpoints come
	// and go, and what was held may be free. It reads what is known, and calls nobody.
	outagePace = 500 * time.Millisecond
	// silenceLasts is how long a kubelet's silence counts; askAgain is when one that
	// answered is asked the next time.
	silenceLasts = 2 * time.Second
	askAgain     = 5 * time.Second
	// heldFor is how long something must be held before it is told: while the speakers
	// find out one after the other, they are not of one mind.
	heldFor = time.Second
	// podWriters work side by side, and podPatience bounds each call.
	podWriters  = 32
	podPatience = 5 * time.Second
	// permitPace is how often a missing right is looked for again.
	permitPace = 10 * time.Second
)

// podReadiness takes pods out of service and puts them back; kube.PodReadiness does.
type podReadiness interface {
	Permitted(ctx context.Context) error
	Withdraw(ctx context.Context, w lb.Withdrawal, now time.Time) error
	Restore(ctx context.Context, w lb.Withdrawal, now time.Time) error
	Find(ctx context.Context, pod lb.Pod) (lb.Withdrawal, bool, error)
}

// nodeEvents tells what is done about a node; kube.Events does.
type nodeEvents interface {
	WarnNode(node, reason, note string)
	NoteNode(node, reason, note string)
}

// outages takes the endpoints of dead nodes out of service while this replica leads.
// What it did is written on the pods, so that the next leader goes on from there.
type outages struct {
	pods     podReadiness
	backends func(context.Context) ([]lb.Backend, error)
	kubelet  func(ctx context.Context, node string) (answers bool)
	events   nodeEvents
	figures  *outageFigures
	log      *slog.Logger
	kick     chan struct{}
	answers  chan answer

	mu    sync.Mutex
	world plan.Outage // what want was told

	// The rest belongs to run.
	recalled  bool
	withdrawn map[lb.Pod]lb.Withdrawal
	questions map[string]*question // by node
	held      map[cause]*hold
	trouble   string // the last error that was logged; empty after a step without one
}

// question is what was asked of a node's kubelet.
type question struct {
	asking bool
	said   plan.Kubelet // the last answer
	at     time.Time    // of it
}

type answer struct {
	node    string
	answers bool
}

// cause is what holds a node's endpoints in service.
type cause struct {
	node   string
	reason lb.Reason
}

type hold struct {
	since time.Time
	told  bool
}

func newOutages(pods podReadiness, backends func(context.Context) ([]lb.Backend, error), kubelet func(context.Context, string) bool, events nodeEvents, figures *outageFigures, log *slog.Logger) *outages {
	return &outages{
		pods: pods, backends: backends, kubelet: kubelet, events: events, figures: figures, log: log,
		kick: make(chan struct{}, 1), answers: make(chan answer),
		withdrawn: make(map[lb.Pod]lb.Withdrawal), questions: make(map[string]*question), held: make(map[cause]*hold),
	}
}

// watchOutages wires outages to a cluster. From the cache nothing is called that is not
// watched anyway: EndpointSlices and Nodes.
func watchOutages(core kubernetes.Interface, cached client.Reader, events *kube.Events, log *slog.Logger) *outages {
	backends := func(ctx context.Context) ([]lb.Backend, error) { return kube.Backends(ctx, cached) }
	kubelet := func(ctx context.Context, node string) bool {
		addresses, err := kube.KubeletOf(ctx, cached, node)
		if err != nil {
			log.Debug("kubelet not asked", "node", node, "err", err)
		}
		return kube.KubeletAnswers(ctx, addresses)
	}
	return newOutages(kube.NewPodReadiness(core), backends, kubelet, events, newOutageFigures(metrics.Registry), log)
}

// want tells what the world is now.
func (o *outages) want(w *lb.World) {
	o.mu.Lock()
	o.world = plan.Outage{Nodes: w.Nodes, Speakers: w.Speakers, Services: w.Services}
	o.mu.Unlock()
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// run works until ctx is done.
func (o *outages) run(ctx context.Context) error {
	if !o.permitted(ctx) {
		return nil
	}
	asking, ctx := errgroup.WithContext(ctx)
	for again := false; ; {
		var later <-chan time.Time
		if again {
			later = time.After(outagePace)
		}
		select {
		case <-ctx.Done():
			return asking.Wait()
		case <-o.kick:
		case a := <-o.answers:
			o.note(a, time.Now())
		case <-later:
		}
		again = o.step(ctx, asking)
	}
}

// permitted waits for the rights, which are given apart from the others.
func (o *outages) permitted(ctx context.Context) bool {
	for told := false; ; told = true {
		err := o.pods.Permitted(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() == nil && !told {
			o.log.Error("endpoints of dead nodes stay in service", "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(permitPace):
		}
	}
}

// step looks at the world and does what there is to do. It tells whether to look again
// although nothing else happens.
func (o *outages) step(ctx context.Context, asking *errgroup.Group) (again bool) {
	o.mu.Lock()
	in := o.world
	o.mu.Unlock()
	now := time.Now()
	if !o.recalled {
		if err := o.recall(ctx, in.Services); err != nil {
			o.complain(ctx, err)
			return true
		}
		o.recalled = true
	}
	in.Kubelets = o.kubelets(now)
	for _, w := range o.withdrawn {
		in.Withdrawn = append(in.Withdrawn, w)
	}
	todo := plan.Relieve(in)
	if len(todo.Gone) > 0 {
		var err error
		if in.Backends, err = o.backends(ctx); err != nil {
			o.complain(ctx, err)
			return true
		}
		todo = plan.Relieve(in)
	}
	o.ask(ctx, asking, todo.Ask, now)
	for _, w := range todo.Forget {
		delete(o.withdrawn, w.Pod)
	}
	o.complain(ctx, cmp.Or(o.withdraw(ctx, todo.Withdraw), o.restore(ctx, todo.Restore)))
	o.tellHeld(todo.Held, now)
	o.figures.withdrawn.Set(float64(len(o.withdrawn)))
	return len(todo.Ask)+len(todo.Gone)+len(todo.Restore)+len(todo.Held) > 0
}

// recall finds what an earlier leader took out of service: among the pods of our
// Services that are not ready.
func (o *outages) recall(ctx context.Context, services []lb.Service) error {
	backends, err := o.backends(ctx)
	if err != nil {
		return err
	}
	ours := make(map[lb.Key]bool, len(services))
	for i := range services {
		ours[services[i].Key] = services[i].Marked
	}
	unready := make(map[lb.Pod]bool)
	for i := range backends {
		if b := &backends[i]; !b.Ready && b.Pod != (lb.Pod{}) && ours[b.Service] {
			unready[b.Pod] = true
		}
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(podWriters)
	for pod := range unready {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, podPatience)
			defer cancel()
			w, is, err := o.pods.Find(ctx, pod)
			if is {
				mu.Lock()
				o.withdrawn[pod] = w
				mu.Unlock()
			}
			return err
		})
	}
	return g.Wait()
}

// kubelets is what is known of them now.
func (o *outages) kubelets(now time.Time) map[string]plan.Kubelet {
	out := make(map[string]plan.Kubelet, len(o.questions))
	for node, q := range o.questions {
		if q.said != plan.KubeletSilent || now.Sub(q.at) < silenceLasts {
			out[node] = q.said
		}
	}
	return out
}

// ask asks the kubelets that are due, without waiting for them.
func (o *outages) ask(ctx context.Context, asking *errgroup.Group, nodes []string, now time.Time) {
	for node, q := range o.questions {
		fresh := q.said == plan.KubeletSilent && now.Sub(q.at) < silenceLasts
		if !q.asking && !fresh && !slices.Contains(nodes, node) {
			delete(o.questions, node)
		}
	}
	for _, node := range nodes {
		q := o.questions[node]
		if q == nil {
			q = &question{}
			o.questions[node] = q
		}
		if q.asking || q.said == plan.KubeletAnswers && now.Sub(q.at) < askAgain {
			continue
		}
		q.asking = true
		asking.Go(func() error {
			a := answer{node, o.kubelet(ctx, node)}
			select {
			case o.answers <- a:
			case <-ctx.Done():
			}
			return nil
		})
	}
}

func (o *outages) note(a answer, now time.Time) {
	q := &question{said: plan.KubeletSilent, at: now}
	if a.answers {
		q.said = plan.KubeletAnswers
	}
	o.questions[a.node] = q
}

// withdraw takes pods out of service. What fails is found again at the next look; the
// first error is returned.
func (o *outages) withdraw(ctx context.Context, list []lb.Withdrawal) (failure error) {
	pods := make(map[string]int)
	account := make(map[string]string)
	for i, err := range each(ctx, list, o.pods.Withdraw) {
		w := list[i]
		if err != nil {
			if !errors.Is(err, kube.ErrPodChanged) {
				failure = cmp.Or(failure, err)
			}
			continue
		}
		o.withdrawn[w.Pod] = w
		pods[w.Node]++
		account[w.Node] = w.Account
	}
	for _, node := range slices.Sorted(maps.Keys(pods)) {
		o.log.Info("endpoints withdrawn", "node", node, "pods", pods[node], "reason", account[node])
		o.events.WarnNode(node, "EndpointsWithdrawn", fmt.Sprintf("%d pods are out of service: %s", pods[node], account[node]))
	}
	return failure
}

// restore puts pods back into service; whoever changed one meanwhile knew better.
func (o *outages) restore(ctx context.Context, list []lb.Withdrawal) (failure error) {
	pods := make(map[string]int)
	for i, err := range each(ctx, list, o.pods.Restore) {
		w := list[i]
		if err != nil && !errors.Is(err, kube.ErrPodChanged) {
			failure = cmp.Or(failure, err)
			continue
		}
		delete(o.withdrawn, w.Pod)
		if err == nil {
			pods[w.Node]++
		}
	}
	for _, node := range slices.Sorted(maps.Keys(pods)) {
		o.log.Info("endpoints restored", "node", node, "pods", pods[node])
		o.events.NoteNode(node, "EndpointsRestored", fmt.Sprintf("%d pods are in service again: the node is back, and was never down", pods[node]))
	}
	return failure
}

// complain logs an error, once for as long as it stays the same.
func (o *outages) complain(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != o.trouble && ctx.Err() == nil {
		o.log.Warn("endpoints of dead nodes", "err", err)
	}
	o.trouble = text
}

// each writes on pods, many at a time, and returns the errors in the order of the list.
func each(ctx context.Context, list []lb.Withdrawal, write func(context.Context, lb.Withdrawal, time.Time) error) []error {
	errs := make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(podWriters)
	for i, w := range list {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, podPatience)
			defer cancel()
			errs[i] = write(ctx, w, time.Now())
			return nil
		})
	}
	_ = g.Wait() // none is returned
	return errs
}

// tellHeld tells what is held in service, once it has been for a while.
func (o *outages) tellHeld(list []plan.Held, now time.Time) {
	seen := make(map[cause]bool, len(list))
	for _, h := range list {
		c := cause{h.Node, h.Refusal.Reason}
		seen[c] = true
		if o.held[c] == nil {
			o.held[c] = &hold{since: now}
		}
		if at := o.held[c]; !at.told && now.Sub(at.since) >= heldFor {
			at.told = true
			o.figures.held.WithLabelValues(string(c.reason)).Inc()
			o.log.Warn("endpoints held", "node", h.Node, "reason", c.reason, "detail", h.Refusal.Detail)
			o.events.WarnNode(h.Node, string(c.reason), h.Refusal.Message())
		}
	}
	maps.DeleteFunc(o.held, func(c cause, _ *hold) bool { return !seen[c] })
}
