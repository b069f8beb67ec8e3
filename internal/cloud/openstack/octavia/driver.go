package octavia

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/lb"
)

// Clients talk to one project of a cloud.
type Clients struct {
	LoadBalancer *gophercloud.ServiceClient
	Network      *gophercloud.ServiceClient
	// Project restricts lists for credentials that see all projects.
	Project string
}

// Pace says how often the cloud is looked at.
type Pace struct {
	// Busy is the time between polls while the cloud is at work for us, Idle otherwise.
	Busy, Idle time.Duration
	// Audit is the time after which everything is read again, floating IPs and security
	// groups too: what a poll shows is the load balancers alone.
	Audit time.Duration
	// Stuck is how long a load balancer may be PENDING before it is called stuck.
	Stuck time.Duration
	// Retry is the first pause after a failure; it doubles up to RetryMax.
	Retry, RetryMax time.Duration
	// Lost is how long a create whose answer was lost is looked for before it is tried
	// again.
	Lost time.Duration
}

// DefaultPace is for clouds that answer in parts of a second.
func DefaultPace() Pace {
	return Pace{
		Busy: time.Second, Idle: 10 * time.Second, Audit: 10 * time.Minute, Stuck: 15 * time.Minute,
		Retry: time.Second, RetryMax: 5 * time.Minute, Lost: 10 * time.Second,
	}
}

// Options of a Driver.
type Options struct {
	// Cloud names it in metrics and logs: the Secret that its credentials are in.
	Cloud   string
	Pace    Pace
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// maxCalls is how many load balancers are worked on at once.
const maxCalls = 32

// Driver keeps the load balancers of one project as the cluster wants them.
type Driver struct {
	o       Options
	figures *figures
	wake    chan struct{}
	changed chan struct{}

	mu      sync.Mutex
	input   *Input
	clients *Clients
	denied  *lb.Refusal // why there are no clients
	built   []lb.Built
	looks   atomic.Int64 // how often the loop went round
}

// New makes a driver that Run runs.
func New(o Options) *Driver {
	return &Driver{o: o, figures: newFigures(o.Metrics, o.Cloud), wake: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

// Connect hands over clients, new ones after credentials were renewed, or why there
// are none. What was read stays, and what exists goes on working.
func (d *Driver) Connect(c *Clients, denied *lb.Refusal) {
	d.mu.Lock()
	d.clients, d.denied = c, denied
	d.mu.Unlock()
	signal(d.wake)
}

// Want says what should be there from now on.
func (d *Driver) Want(in Input) {
	d.mu.Lock()
	d.input = &in
	d.mu.Unlock()
	signal(d.wake)
}

// Built is what there is of every Service that was wanted, by Service. One that was
// not looked at yet is not in it.
func (d *Driver) Built() []lb.Built {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.built)
}

// Changed fires after Built changed; several changes may fire once.
func (d *Driver) Changed() <-chan struct{} { return d.changed }

func (d *Driver) report(built []lb.Built) {
	d.mu.Lock()
	same := slices.EqualFunc(d.built, built, func(x, y lb.Built) bool { return reflect.DeepEqual(x, y) })
	d.built = built
	d.mu.Unlock()
	if !same {
		signal(d.changed)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run works until ctx is done. Calls that are under way then are given up; what they
// did is found at the next start.
func (d *Driver) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	r := newRun(d)
	defer r.calls.Wait()
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-timer.C:
		case f := <-r.results:
			f()
		}
		r.drain()
		d.looks.Add(1)
		timer.Reset(max(r.advance(ctx, time.Now()), time.Millisecond))
	}
}
