package speaker

import (
	"testing"
	"time"
)

func TestASpeakerThatWasAwayListensUntilItIsInformedAndNotForLong(t *testing.T) {
	back := time.Unix(1000, 0)
	for _, c := range []struct {
		after    time.Duration
		informed bool
		again    time.Duration // after it was back, 0 for never
	}{
		{0, true, 0},
		{0, false, listenEvery},
		{100 * time.Millisecond, false, 100*time.Millisecond + listenEvery},
		{100 * time.Millisecond, true, 0},
		{listenLimit - time.Millisecond, false, listenLimit},
		{listenLimit, false, 0},
	} {
		a := absence{}
		a.listen(back, false)
		var want time.Time
		if c.again > 0 {
			want = back.Add(c.again)
		}
		if got := a.listen(back.Add(c.after), c.informed); !got.Equal(want) {
			t.Errorf("after %s, informed %v: again at %s, want %s", c.after, c.informed, got, want)
		}
	}
}

func TestEachAbsenceIsWaitedOutAnew(t *testing.T) {
	a := absence{}
	a.listen(time.Unix(1000, 0), false)
	a.listen(time.Unix(1001, 0), true)
	if again := a.listen(time.Unix(1002, 0), false); again.IsZero() {
		t.Error("the second absence is taken for the first")
	}
}
