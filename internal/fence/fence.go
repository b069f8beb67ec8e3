package fence

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// DefaultHold is below the 200 ms after which others take over, by enough for a clock
// that is read late and a frame that is under way.
const DefaultHold = 120 * time.Millisecond

// Options of a Fence; the zero value is usable.
type Options struct {
	// Hold is how long a push lasts, more than zero; zero is DefaultHold.
	Hold time.Duration
	// Log gets one line a change; nil is slog.Default.
	Log *slog.Logger
	// Metrics is where the collector is registered; nil is nowhere.
	Metrics prometheus.Registerer
}

// Fence keeps this node from being heard unless it is pushed. It is shut at first. Its
// methods may be called from any goroutine.
type Fence struct {
	hold time.Duration
	log  *slog.Logger
	now  func() Moment
	gate gate

	// kernel is nil where there is the process's gate only; lack says why.
	kernel hook
	lack   string

	mu      sync.Mutex
	guarded map[string]post
	gaps    map[string]error // interfaces that could not be guarded
}

// New makes a fence. Where the kernel's part is not to be had, the process's alone
// works, and Mode tells why.
func New(o Options) *Fence {
	f := newFence(o, bootClock)
	k, err := loadKernel(f.now, f.hold)
	if err != nil {
		f.lack = err.Error()
		f.log.Warn("a frozen speaker is not silenced by the kernel", "err", f.lack)
	} else {
		f.kernel, f.gate.page = k, k.page
	}
	f.register(o.Metrics)
	return f
}

func newFence(o Options, now func() Moment) *Fence {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Fence{
		hold:    cmp.Or(o.Hold, DefaultHold),
		log:     o.Log,
		now:     now,
		gate:    gate{page: new(page)},
		guarded: map[string]post{},
		gaps:    map[string]error{},
	}
}

func (f *Fence) register(r prometheus.Registerer) {
	promauto.With(r).NewCounterFunc(prometheus.CounterOpts{
		Name: "fairlead_fence_dropped_total",
		Help: "Frames that the kernel did not let out, as the speaker had not told in time that it may be heard.",
	}, func() float64 { return float64(f.gate.dropped.Load()) })
}

// Push opens the gate until Hold from now. It takes no lock, allocates nothing, and asks
// the kernel for nothing but the time. To be called every 20 to 30 ms while this node
// may be heard, by somebody who has just found that it may: where time can have passed
// since, PushFrom says so.
func (f *Fence) Push() {
	was := f.gate.deadline.Load()
	now := f.now()
	f.gate.push(was, now, now, f.hold)
}

// Now is the time for PushFrom.
func (f *Fence) Now() Moment { return f.now() }

// PushFrom opens the gate until Hold from the moment at which it was known that this
// node may be heard, such as the one before its last heartbeat was sent. However long
// the process was stopped since, the gate is not open for longer: a push that comes too
// late opens nothing.
func (f *Fence) PushFrom(at Moment) {
	was := f.gate.deadline.Load()
	f.gate.push(was, at, f.now(), f.hold)
}

// Shut closes the gate at once. A push that is under way opens nothing.
func (f *Fence) Shut() { f.gate.shut() }

// Open tells whether frames may leave now.
func (f *Fence) Open() bool { return f.gate.open(f.now()) }

// Opened counts how often the gate was opened. What was composed at another number may
// be out of date, even where the gate is open again.
func (f *Fence) Opened() uint64 { return f.gate.openings.Load() }

// Mark is for SO_MARK of the sockets that the kernel's gate is for; 0 where there is
// none. It does not change.
func (f *Fence) Mark() uint32 {
	if f.kernel == nil {
		return 0
	}
	return Mark
}

// Mode tells whether the kernel silences this node on all guarded interfaces, and which
// they are, or why not and what to do.
func (f *Fence) Mode() (kernel bool, detail string) {
	if f.kernel == nil {
		return false, f.lack
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.gaps) > 0 {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(f.gaps)) {
			all = append(all, f.gaps[name].Error())
		}
		return false, strings.Join(all, "; ")
	}
	if len(f.guarded) == 0 {
		return true, "on no interface yet"
	}
	return true, "on " + strings.Join(slices.Sorted(maps.Keys(f.guarded)), ", ")
}

// Close shuts the gate for good and takes the kernel's part away. Sockets with the mark
// are to be closed before: nothing holds them back afterwards.
func (f *Fence) Close() error {
	f.gate.close()
	if f.kernel == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.guarded {
		f.leave(name)
	}
	clear(f.gaps)
	return f.kernel.Close()
}
