package fence

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"pgregory.net/rapid"
)

const ms = time.Millisecond

// clock is a boot clock that a test sets. then runs once, after it was read.
type clock struct {
	now  Moment
	then func()
}

func (c *clock) read() Moment {
	now := c.now
	if then := c.then; then != nil {
		c.then = nil
		then()
	}
	return now
}

func (c *clock) pass(d time.Duration) { c.now = c.now.add(d) }

// begin makes a fence without a kernel, an hour after the machine was started.
func begin() (*Fence, *clock) {
	c := &clock{now: Moment(time.Hour)}
	return newFence(Options{Log: slog.New(slog.DiscardHandler)}, c.read), c
}

func TestGateIsShutUntilItIsPushed(t *testing.T) {
	f, _ := begin()
	if f.Open() || f.Opened() != 0 {
		t.Error("open before anybody pushed it")
	}
	f.Push()
	if !f.Open() || f.Opened() != 1 {
		t.Errorf("open %v, opened %d times", f.Open(), f.Opened())
	}
}

func TestPushHoldsForHoldAndNoLonger(t *testing.T) {
	f, c := begin()
	f.Push()
	c.pass(DefaultHold - 1)
	if !f.Open() {
		t.Error("shut before its time")
	}
	c.pass(1)
	if f.Open() {
		t.Error("open after its time")
	}
}

func TestPushesInTimeKeepTheGateOpen(t *testing.T) {
	f, c := begin()
	for range 100 {
		f.Push()
		c.pass(25 * ms)
		if !f.Open() {
			t.Fatal("shut between two pushes")
		}
	}
	if f.Opened() != 1 {
		t.Errorf("opened %d times", f.Opened())
	}
}

func TestPushAfterALapseIsAnotherOpening(t *testing.T) {
	f, c := begin()
	f.Push()
	c.pass(DefaultHold)
	f.Push()
	if f.Opened() != 2 {
		t.Errorf("opened %d times", f.Opened())
	}
	f.Shut()
	f.Push()
	if f.Opened() != 3 {
		t.Errorf("opened %d times", f.Opened())
	}
}

func TestPushFromCountsFromWhenItWasKnown(t *testing.T) {
	f, c := begin()
	known := f.Now()
	c.pass(50 * ms)
	f.PushFrom(known)
	c.pass(69 * ms)
	if !f.Open() {
		t.Error("shut before its time")
	}
	c.pass(ms)
	if f.Open() {
		t.Error("open longer than Hold after it was known")
	}
}

// A process that was stopped between finding that it may be heard and saying so.
func TestPushThatComesTooLateOpensNothing(t *testing.T) {
	f, c := begin()
	known := f.Now()
	c.pass(DefaultHold)
	f.PushFrom(known)
	if f.Open() || f.Opened() != 0 {
		t.Errorf("open %v, opened %d times", f.Open(), f.Opened())
	}
}

func TestPushFromTheFutureHoldsFromNow(t *testing.T) {
	f, c := begin()
	f.PushFrom(c.now.add(time.Hour))
	c.pass(DefaultHold)
	if f.Open() {
		t.Error("open longer than Hold")
	}
}

// A thread that was stopped inside Push, after it read the clock.
func TestPushThatIsStoppedInTheMiddleOpensNothing(t *testing.T) {
	f, c := begin()
	c.then = func() { c.pass(time.Second) }
	f.Push()
	if f.Open() {
		t.Error("a push from a second ago opened the gate")
	}
}

func TestOlderPushDoesNotShortenANewerOne(t *testing.T) {
	f, c := begin()
	old := f.Now()
	c.pass(50 * ms)
	f.Push()
	f.PushFrom(old)
	c.pass(119 * ms)
	if !f.Open() {
		t.Error("an older push brought the deadline forward")
	}
}

func TestShutClosesAtOnceAndPushOpensAgain(t *testing.T) {
	f, _ := begin()
	f.Push()
	f.Shut()
	if f.Open() {
		t.Error("open after Shut")
	}
	f.Push()
	if !f.Open() {
		t.Error("shut after Push")
	}
}

func TestPushThatIsUnderWayDuringShutOpensNothing(t *testing.T) {
	for name, before := range map[string]func(f *Fence){
		"never opened": func(*Fence) {},
		"open":         (*Fence).Push,
		"shut before":  (*Fence).Shut,
	} {
		t.Run(name, func(t *testing.T) {
			f, c := begin()
			before(f)
			c.pass(ms)
			c.then = f.Shut
			f.Push()
			if f.Open() {
				t.Error("open after Shut")
			}
		})
	}
}

func TestClosedFenceStaysShut(t *testing.T) {
	f, _ := begin()
	f.Push()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	f.Push()
	f.Shut()
	f.Push()
	if f.Open() {
		t.Error("open after Close")
	}
}

func TestWithoutAClockTheGateIsShut(t *testing.T) {
	f := newFence(Options{}, func() Moment { return forever })
	f.Push()
	if f.Open() {
		t.Error("open at a time that nobody knows")
	}
}

func TestBootClockIsNotBehindTheMonotonicOne(t *testing.T) {
	mono := time.Now()
	start := bootClock()
	for bootClock() < start.add(ms) {
	}
	if passed := time.Since(mono); passed < ms {
		t.Errorf("a millisecond of the boot clock took %s", passed)
	}
}

// Whatever is called in whatever order, the gate is open if and only if somebody knew
// less than Hold ago that it may be, and nobody shut it since.
func TestGateIsOpenExactlyWhenItMayBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, c := begin()
		var until Moment
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				f.Push()
				until = c.now.add(DefaultHold)
			},
			"push from": func(t *rapid.T) {
				at := c.now - Moment(rapid.Int64Range(0, int64(2*DefaultHold)).Draw(t, "ago"))
				f.PushFrom(at)
				until = max(until, at.add(DefaultHold))
			},
			"shut": func(t *rapid.T) {
				f.Shut()
				until = 0
			},
			"shut during a push": func(t *rapid.T) {
				c.then = f.Shut
				f.Push()
				until = 0
			},
			"stopped during a push": func(t *rapid.T) {
				stopped := time.Duration(rapid.Int64Range(0, int64(2*DefaultHold)).Draw(t, "for"))
				until = max(until, c.now.add(DefaultHold))
				c.then = func() { c.pass(stopped) }
				f.Push()
			},
			"pass": func(t *rapid.T) {
				c.pass(time.Duration(rapid.Int64Range(0, int64(2*DefaultHold)).Draw(t, "d")))
			},
			"": func(t *rapid.T) {
				if want := c.now < until; f.Open() != want {
					t.Fatalf("open %v, want %v: until %d, now %d", f.Open(), want, until, c.now)
				}
			},
		})
	})
}

// Under the race detector.
func TestManyMayPushAndShut(t *testing.T) {
	f := newFence(Options{}, bootClock)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 200 {
				f.Push()
				f.Open()
				f.Opened()
				if i == 0 {
					f.Shut()
				}
			}
		})
	}
	all.Wait()
	f.Shut()
	if f.Open() {
		t.Error("open after Shut")
	}
}

func TestPushAndOpenAllocateNothing(t *testing.T) {
	f := newFence(Options{}, bootClock)
	for name, call := range map[string]func(){
		"Push": f.Push, "Open": func() { f.Open() }, "PushFrom": func() { f.PushFrom(f.Now()) }, "Shut": f.Shut,
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func TestDroppedFramesAreCounted(t *testing.T) {
	f, _ := begin()
	registry := prometheus.NewRegistry()
	f.register(registry)
	f.gate.dropped.Store(7)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "fairlead_fence_dropped_total" {
		t.Fatal(families, err)
	}
	if got := families[0].Metric[0].Counter.GetValue(); got != 7 {
		t.Errorf("counted %v", got)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) != 0 {
		t.Error(problems, err)
	}
	f.register(nil)
}

func BenchmarkPush(b *testing.B) {
	f := New(Options{Log: slog.New(slog.DiscardHandler)})
	defer f.Close()
	b.ReportAllocs()
	for b.Loop() {
		f.Push()
	}
}

func BenchmarkOpen(b *testing.B) {
	f := New(Options{Log: slog.New(slog.DiscardHandler)})
	defer f.Close()
	b.ReportAllocs()
	for b.Loop() {
		f.Open()
	}
}
