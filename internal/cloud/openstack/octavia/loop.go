package octavia

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/lb"
)

// run is a driver at work. Everything in it belongs to the loop: calls run beside it,
// and hand their results back as functions for the loop to run.
type run struct {
	d       *Driver
	log     *slog.Logger
	results chan func()
	calls   sync.WaitGroup
	slots   chan struct{}

	input   *Input
	clients *Clients
	denied  *lb.Refusal
	// nodes is the nodesKey of input.
	nodes string

	// stale: something changed since all was looked at; until settled, nothing is to do
	// but reading, unless something was busy.
	stale, busy bool
	settled     time.Time
	// rested is when the next look may be: the longer the last one took, the later, so
	// that thousands of Services that are built at once leave the processor to others.
	rested time.Time

	scene    Scene
	security *neutron.Security
	// turn counts changes; what a read that began before a change says of its object is
	// old.
	turn uint64

	listed  bool      // everything was read once
	audit   time.Time // when everything is to be read again
	audits  int
	reading bool
	trouble failureState // of reads

	polling  bool
	nextPoll time.Time
	polled   uint64 // turn at which the last poll that came back began

	ports     string        // the nodes that scene.Ports is about
	portsLate time.Time     // when ports that were not found are looked for again
	portsWait time.Duration // and how long that was put off
	portsBusy bool
	portsFail failureState

	floatsStale bool
	floatsBusy  bool
	floatsFail  failureState

	secured         bool // the security groups are as wanted by openings, with the ports of portsKey
	securityCurrent bool // and that is what is wanted now
	openings        []opening
	portsKey        string
	groupsRead      map[string]bool // names that were looked for
	securityBusy    bool
	securityFresh   bool                  // they are to be read first
	open            map[neutron.Rule]bool // the rules that there are
	securityFail    failureState

	// orphans are what seems to be left of Services that do not exist, by id, and at how
	// many audits it did.
	orphans      map[string]int
	clearing     failureState
	clearingBusy bool

	lbs    map[string]*lbState
	memos  map[string]*memo
	absent map[string]bool // ids that were asked for and do not exist
	hold   time.Time       // the cloud asked to be left alone until then
}

// lbState is what is known of a load balancer beside what it is.
type lbState struct {
	touched uint64 // turn of our last change
	own     bool   // the next change of updated_at is ours
	verify  bool   // what is below it is to be asked for its state when it is ACTIVE
	missing bool   // a list did not have it
	pending time.Time
	busy    bool
	fail    failureState
	// nextLook is the earliest time to read it again.
	nextLook time.Time
	// sick since it was in ERROR, until it is ACTIVE again.
	sick bool
	// used: a unit has it. What such a load balancer is not seen in a list is asked for.
	used bool
	// key of the memo of the unit that has it.
	key string
}

// memo is what is remembered of a unit between two looks.
type memo struct {
	busy         bool
	fail         failureState
	floatBusy    bool
	floatFail    failureState
	floatRefusal *lb.Refusal
	// lost is when the answer to a create was lost.
	lost      time.Time
	lostAt    uint64
	began     time.Time // when it was first wanted, for the figure
	failovers int
	rebuilds  int
	notBefore time.Time // of the next create after a rebuild
	healthy   time.Time
	vip       VIP        // to have again
	asked     netip.Addr // a floating IP that the list was read again for
	forget    bool
	repeat    repetition
	// yield: the address that the Service shows cannot be had again, and is not asked for.
	yield bool
}

// repetition is how often the same step was taken in a row. Each was answered well, and
// yet it is still to do: somebody undoes it, or the cloud fails at it later.
type repetition struct {
	step  string
	count int
	until time.Time
}

func newRun(d *Driver) *run {
	return &run{
		d: d, log: d.o.Log, results: make(chan func()), slots: make(chan struct{}, maxCalls),
		lbs: make(map[string]*lbState), memos: make(map[string]*memo), absent: make(map[string]bool), orphans: make(map[string]int),
	}
}

// drain runs what else came back, so that the next look counts it all.
func (r *run) drain() {
	for {
		select {
		case f := <-r.results:
			f()
		default:
			return
		}
	}
}

// call runs f beside the loop, and then done in the loop.
func (r *run) call(ctx context.Context, f func(ctx context.Context) error, done func(error)) {
	r.quietly(ctx, f, func(err error) {
		r.stale = true
		done(err)
	})
}

// quietly is call for what mostly changes nothing: done says so where it did.
func (r *run) quietly(ctx context.Context, f func(ctx context.Context) error, done func(error)) {
	r.calls.Add(1)
	go func() {
		defer r.calls.Done()
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := f(ctx)
		<-r.slots
		select {
		case r.results <- func() { done(err) }:
		case <-ctx.Done():
		}
	}()
}

// advance looks at everything, begins what can be begun, reports, and tells when to
// look again.
func (r *run) advance(ctx context.Context, now time.Time) time.Duration {
	r.accept()
	if r.input == nil {
		return time.Hour
	}
	next := &deadline{now: now, at: now.Add(time.Hour)}
	if r.clients == nil {
		r.d.report(r.unreachable(r.denied))
		return next.in()
	}
	held := now.Before(r.hold)
	if next.by(r.hold); !held {
		r.read(ctx, now, next)
	}
	switch {
	case !r.listed:
		if r.trouble.refusal != nil {
			r.d.report(r.unreachable(r.trouble.refusal))
		}
	case now.Before(r.rested):
		next.by(r.rested)
	case r.stale || r.busy || !now.Before(r.settled):
		r.survey(ctx, held, now, next)
	default:
		next.by(r.settled)
	}
	if r.listed && !held {
		r.poll(ctx, r.busy, now, next)
	}
	return next.in()
}

// accept notes what was handed over since.
func (r *run) accept() {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if r.input != r.d.input {
		r.stale = true
		r.input, r.nodes = r.d.input, nodesKey(r.d.input.Nodes)
	}
	if r.clients != r.d.clients {
		// What was refused may be allowed now.
		r.stale, r.security, r.hold, r.audit = true, nil, time.Time{}, time.Time{}
		r.secured, r.securityFresh = false, true
		for _, f := range []*failureState{&r.trouble, &r.portsFail, &r.floatsFail, &r.securityFail, &r.clearing} {
			f.clear()
		}
		for _, m := range r.memos {
			m.fail.clear()
			m.floatFail.clear()
		}
		for _, s := range r.lbs {
			s.fail.clear()
		}
	}
	r.clients, r.denied = r.d.clients, r.d.denied
}

// survey goes through all units. It is not done again until something changes or is due.
func (r *run) survey(ctx context.Context, held bool, now time.Time, next *deadline) {
	v := newView(r.input, &r.scene)
	units := slices.Concat(v.units(), r.deserted(v))
	r.name(units)
	due := &deadline{now: now, at: now.Add(time.Hour)}
	r.stale = false
	if r.securityCurrent = false; !held {
		r.busy = false
		for _, u := range units {
			r.busy = r.unit(ctx, v, u, now, due) || r.busy
		}
		r.busy = r.secure(ctx, v, units, now, due) || r.busy
		r.busy = r.sweep(ctx, now, due) || r.busy
	}
	r.forget(units)
	r.d.report(r.reports(v, units, now))
	r.d.figures.scene(units, r)
	r.settled, r.rested = due.at, time.Now().Add(time.Since(now))
	if held {
		r.settled = r.hold
	}
	next.by(r.settled)
}

// name gives every unit the key that it had before: which of its Services it begins
// with may change, and what is remembered of it must not be lost then.
func (r *run) name(units []*unit) {
	taken := make(map[string]bool, len(units))
	for _, s := range r.lbs {
		s.used = false
	}
	for _, u := range units {
		if u.have == nil {
			taken[u.key] = true
		}
	}
	for _, u := range units {
		if u.have == nil {
			continue
		}
		s := r.state(u.have.ID)
		if s.used = true; s.key != "" {
			u.key = s.key
		}
		if taken[u.key] {
			u.key = "lb " + u.have.ID
		}
		s.key = u.key
		taken[u.key] = true
	}
}

// forget drops what is remembered of units that are gone.
func (r *run) forget(units []*unit) {
	for _, m := range r.memos {
		m.forget = true
	}
	for _, u := range units {
		r.memo(u.key).forget = false
	}
	for key, m := range r.memos {
		if m.forget && !m.busy && !m.floatBusy {
			delete(r.memos, key)
		}
	}
}

func (r *run) memo(key string) *memo {
	m := r.memos[key]
	if m == nil {
		m = &memo{}
		r.memos[key] = m
	}
	return m
}

func (r *run) state(id string) *lbState {
	s := r.lbs[id]
	if s == nil {
		s = &lbState{}
		r.lbs[id] = s
	}
	return s
}

// deadline is the earliest of several moments.
type deadline struct{ now, at time.Time }

// by names a moment. One that has passed was seen to, or waits for something else.
func (d *deadline) by(t time.Time) {
	if t.After(d.now) && t.Before(d.at) {
		d.at = t
	}
}

func (d *deadline) in() time.Duration { return d.at.Sub(d.now) }

// failureState is how often something failed, and when it may be tried again.
type failureState struct {
	count   int
	until   time.Time
	refusal *lb.Refusal
	// step that failed: another one may be tried at once.
	step string
}

func (f *failureState) clear() { *f = failureState{} }

// waits tells whether a step must wait, and when it need not.
func (f *failureState) waits(step string, now time.Time, next *deadline) bool {
	if f.count == 0 || f.step != step || !now.Before(f.until) {
		return false
	}
	next.by(f.until)
	return true
}

// failed notes a failure of a step, and decides when to try again.
func (r *run) failed(f *failureState, step string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	why := access.Classify(err)
	if f.step != step {
		f.count = 0
	}
	f.step = step
	f.count++
	f.refusal = refusalOf(why, err)
	const soon = 5 // times that a load balancer at work is asked again without a longer pause
	pause := r.d.o.Pace.Retry << min(f.count-1, 10)
	switch why.Kind {
	case access.Conflict:
		// The load balancer is at work: the poll tells when it is not. What goes on for
		// long is no such thing.
		if f.count <= soon {
			pause = r.d.o.Pace.Busy
		}
	case access.Limited:
		pause = max(why.RetryAfter, pause)
		r.hold = time.Now().Add(pause)
	case access.Denied, access.Quota, access.Invalid:
		pause = max(pause, 10*r.d.o.Pace.Retry)
	}
	pause = min(pause, r.d.o.Pace.RetryMax)
	f.until = time.Now().Add(pause + rand.N(pause/4+1))
	r.log.Warn("cloud call failed", "step", step, "err", why.Message, "attempt", f.count)
	r.d.figures.failed(string(f.refusal.Reason))
}

// refusalOf says to a Service's owner what the cloud answered.
func refusalOf(why access.Failure, err error) *lb.Refusal {
	var refusal *neutron.RefusalError
	if errors.As(err, &refusal) {
		return refusal.Refusal
	}
	switch why.Kind {
	case access.Denied:
		return lb.Refuse(lb.CloudDenied, "run fairlead doctor", "the cloud refuses: %s", why.Message)
	case access.Quota:
		return lb.Refuse(lb.CloudQuota, "raise it, or delete what is not needed", "a quota is used up: %s", why.Message)
	case access.Invalid, access.NotFound:
		return lb.Refuse(lb.CloudRefused, "change the option that it names", "the cloud answers: %s", why.Message)
	default:
		return lb.Refuse(lb.CloudUnreachable, "it is tried again; run fairlead doctor if it stays", "the cloud did not do it: %s", why.Message)
	}
}

// requested tells whether any Service is to be served or cleaned up.
func (r *run) requested() bool { return len(r.input.Requests) > 0 }

// nodesKey changes when the ports of nodes have to be looked up again.
func nodesKey(nodes []lb.Node) string {
	key := ""
	for _, n := range nodes {
		key += n.Name + "/" + n.ServerID
		for _, a := range n.Addresses {
			key += "," + a.String()
		}
		key += ";"
	}
	return key
}

// setFloats replaces what is known of floating IPs.
func (r *run) setFloats(all []neutron.FloatingIP) {
	r.stale = true
	slices.SortFunc(all, func(x, y neutron.FloatingIP) int { return x.Address.Compare(y.Address) })
	r.scene.FloatingIPs = all
}
