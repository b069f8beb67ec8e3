package speaker

import (
	"testing"
	"time"
)

func TestASpeakerThatStartsListensUntilItIsInformedAndNotForLong(t *testing.T) {
	began := time.Unix(1000, 0)
	for _, c := range []struct {
		after    time.Duration
		informed bool
		again    time.Duration // from the begin, 0 for never
	}{
		{0, true, 0},
		{0, false, listenEvery},
		{100 * time.Millisecond, false, 100*time.Millisecond + listenEvery},
		{100 * time.Millisecond, true, 0},
		{listenLimit - time.Millisecond, false, listenLimit},
		{listenLimit, false, 0},
	} {
		a := arrival{}
		a.listen(began, false)
		var want time.Time
		if c.again > 0 {
			want = began.Add(c.again)
		}
		if got := a.listen(began.Add(c.after), c.informed); !got.Equal(want) {
			t.Errorf("after %s, informed %v: again at %s, want %s", c.after, c.informed, got, want)
		}
	}
}
