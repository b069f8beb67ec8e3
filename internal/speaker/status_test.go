package speaker

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slowClient is an API server that holds every call until it is let go, and tells
// what patches said.
type slowClient struct {
	client.Client

	mu    sync.Mutex
	calls int
	said  []string
	stuck bool
	fail  error
}

func (c *slowClient) call(ctx context.Context) error {
	c.mu.Lock()
	c.calls++
	stuck, err := c.stuck, c.fail
	c.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (c *slowClient) Get(ctx context.Context, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return c.call(ctx)
}

func (c *slowClient) Status() client.SubResourceWriter { return slowStatus{c: c} }

type slowStatus struct {
	client.SubResourceWriter
	c *slowClient
}

func (s slowStatus) Patch(ctx context.Context, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
	if err := s.c.call(ctx); err != nil {
		return err
	}
	data, err := p.Data(o)
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.said = append(s.c.said, string(data))
	return err
}

func (c *slowClient) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func speakerWith(n int) lb.Speaker {
	s := lb.Speaker{Node: "n1"}
	for i := range n {
		s.Claims = append(s.Claims, lb.Claim{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), State: lb.Announced, Since: noon})
	}
	return s
}

// speak runs f beside a statusWriter, inside a bubble.
func speak(t *testing.T, f func(*testing.T, *statusWriter, *slowClient)) {
	synctest.Test(t, func(t *testing.T) {
		c := &slowClient{}
		w := newStatusWriter(kube.SpeakerWriter{Client: c, Version: "test"}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() {
			if err := w.run(ctx); err != nil {
				t.Error(err)
			}
		})
		f(t, w, c)
	})
}

func TestASilentAPIServerDoesNotHoldUpTheLoop(t *testing.T) {
	speak(t, func(t *testing.T, w *statusWriter, c *slowClient) {
		c.set(func() { c.stuck = true })
		started := time.Now()
		for i := range 1000 {
			w.write(speakerWith(i % 3))
			synctest.Wait() // the writer is in its call by now
		}
		if took := time.Since(started); took != 0 {
			t.Errorf("1000 looks took %s", took)
		}
		w.write(speakerWith(2))
		time.Sleep(30 * time.Second)
		c.set(func() { c.stuck = false })
		time.Sleep(statusTimeout + statusRetry + time.Second)
		c.set(func() {
			if len(c.said) != 1 {
				t.Errorf("when it is back it is told %q, want the latest once", c.said)
			}
			if c.calls > 15 {
				t.Errorf("%d calls while it was silent for 30 s", c.calls)
			}
		})
	})
}

func TestTheStatusIsWrittenAtItsPaceAndOnlyWhenItDiffers(t *testing.T) {
	speak(t, func(t *testing.T, w *statusWriter, c *slowClient) {
		for i := range 1000 { // for one second
			w.write(speakerWith(i % 100))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		said := 0
		c.set(func() { said = len(c.said) })
		if most := int(time.Second/statusPace) + 2; said > most || said < most/2 {
			t.Errorf("a second of changes makes %d writes, want about %d", said, most)
		}
		for range 100 {
			w.write(speakerWith(99))
			time.Sleep(statusPace)
		}
		c.set(func() {
			if len(c.said) != said {
				t.Errorf("nothing changed, and %d more writes: %q", len(c.said)-said, c.said[said:])
			}
		})
	})
}

func TestARefusedStatusIsTriedAgain(t *testing.T) {
	speak(t, func(t *testing.T, w *statusWriter, c *slowClient) {
		c.set(func() { c.fail = errors.New("refused") })
		w.write(speakerWith(1))
		time.Sleep(10 * time.Second)
		c.set(func() {
			if c.calls < 5 || c.calls > 15 {
				t.Errorf("%d calls in 10 s, want about one a second", c.calls)
			}
			c.fail = nil
		})
		time.Sleep(2 * statusRetry)
		c.set(func() {
			if len(c.said) != 1 {
				t.Errorf("said %q, want one write", c.said)
			}
		})
	})
}

func TestTheLastWordIsThatNothingIsAnnounced(t *testing.T) {
	speak(t, func(t *testing.T, w *statusWriter, c *slowClient) {
		w.write(speakerWith(2))
		time.Sleep(time.Second)
		leaving := speakerWith(2)
		leaving.Leaving = true
		if err := w.last(t.Context(), leaving); err != nil {
			t.Error(err)
		}
		c.set(func() {
			want := `{"status":{"announced":0,"claims":null,"leaving":true}}`
			if got := c.said[len(c.said)-1]; got != want {
				t.Errorf("the last patch is %s, want %s", got, want)
			}
		})
	})
}

func TestALastWordThatNobodyHearsTakesNoLongerThanOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &slowClient{stuck: true}
		w := newStatusWriter(kube.SpeakerWriter{Client: c}, slog.New(slog.DiscardHandler))
		started := time.Now()
		if err := w.last(t.Context(), speakerWith(1)); err != nil {
			t.Error(err)
		}
		if took := time.Since(started); took != statusTimeout {
			t.Errorf("it took %s, want %s", took, statusTimeout)
		}
	})
}

// A patch that timed out at our end may be delivered after a later look found the object
// as it should be.
func TestAnObjectThatShowsSomethingElseForLongIsWrittenAnew(t *testing.T) {
	speak(t, func(t *testing.T, w *statusWriter, c *slowClient) {
		w.write(speakerWith(2))
		time.Sleep(time.Second)
		asked := func() (calls int) {
			c.set(func() { calls = c.calls })
			return calls
		}
		before := asked()
		if next := w.compare(time.Now(), new(speakerWith(2))); !next.IsZero() {
			t.Errorf("what is as it should be is looked at again at %s", next)
		}
		next := w.compare(time.Now(), new(speakerWith(1)))
		if want := time.Now().Add(doubtAfter); !next.Equal(want) {
			t.Fatalf("looks again at %s, not at %s", next, want)
		}
		time.Sleep(time.Until(next) - time.Millisecond)
		w.compare(time.Now(), new(speakerWith(1)))
		time.Sleep(statusPace)
		if got := asked(); got != before {
			t.Errorf("%d calls while it may still be on its way", got-before)
		}
		w.compare(time.Now(), new(speakerWith(1)))
		time.Sleep(statusPace)
		if got := asked(); got == before {
			t.Error("it is not looked at anew")
		}
	})
}

func TestAnObjectThatIsDeletedIsMadeAnewAtOnce(t *testing.T) {
	speak(t, func(t *testing.T, w *statusWriter, c *slowClient) {
		w.compare(time.Now(), nil)
		w.write(speakerWith(2))
		time.Sleep(time.Second)
		w.compare(time.Now(), new(speakerWith(2)))
		var before int
		c.set(func() { before = c.calls })
		w.compare(time.Now(), nil)
		time.Sleep(statusPace)
		c.set(func() {
			if c.calls == before {
				t.Error("it is not looked at anew")
			}
		})
	})
}
