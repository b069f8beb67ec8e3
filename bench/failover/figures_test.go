package main

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/lab"
)

const ms = time.Millisecond

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(offset time.Duration) time.Time { return start.Add(offset) }

// attempts are 10 ms apart: x fails, everything else is good.
func attempts(signs string) lab.Outcome {
	var all []lab.Attempt
	for i, sign := range signs {
		a := lab.Attempt{Start: at(time.Duration(i) * 10 * ms)}
		if sign == 'x' {
			a.Err = errors.New("lost")
		}
		all = append(all, a)
	}
	return lab.Evaluate(all)
}

func TestQuantileIsOfNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[99-i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
		{hundred[:30], 0.99, 100}, // of 30 values, only the highest is above 98 %
		{[]time.Duration{7}, 0.5, 7},
		{[]time.Duration{3, 1, 2}, 0.5, 2},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %d values is %d, want %d", c.q, len(c.values), got, c.want)
		}
	}
}

func TestLongestGapCountsWhatReachesIntoItsTime(t *testing.T) {
	o := attempts("xxx.....xx....xxxxx..")
	for _, c := range []struct{ from, to, want time.Duration }{
		{50 * ms, 140 * ms, 20 * ms},
		{90 * ms, 140 * ms, 20 * ms}, // an attempt that was under way when the fault struck began before it
		{100 * ms, 140 * ms, 0},
		{0, time.Second, 50 * ms},
	} {
		if got := longestGap(o, at(c.from), at(c.to)); got != c.want {
			t.Errorf("from %s to %s the longest gap is %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func TestFailedCountsWhatBeganInTime(t *testing.T) {
	if got := failed(attempts("x.xx.x"), at(20*ms), at(50*ms)); got != 2 {
		t.Errorf("%d failed, want 2", got)
	}
}

func TestInARowBeginsAfterTheLastFailureBeforeIt(t *testing.T) {
	for _, c := range []struct {
		signs string
		from  time.Duration
		want  time.Duration
		ok    bool
	}{
		{"...xx.x..x....", 0, 100 * ms, true},
		{"...xx.x..x...", 0, 0, false},
		{"..............", 0, 0, false}, // nothing failed, so nothing came back
		{"x....xx....", 30 * ms, 70 * ms, true},
	} {
		got, ok := inARow(attempts(c.signs), 4, at(c.from))
		if ok != c.ok || ok && !got.Equal(at(c.want)) {
			t.Errorf("%s from %s: %s (%t), want %s (%t)", c.signs, c.from, got.Sub(start), ok, c.want, c.ok)
		}
	}
}

func TestTrailingCountsTheGoodOnesAtTheEnd(t *testing.T) {
	for signs, want := range map[string]int{"": 0, "..x": 0, "x..": 2, "...": 3} {
		if got := trailing(attempts(signs)); got != want {
			t.Errorf("%q: %d, want %d", signs, got, want)
		}
	}
}

func TestAnsweredSinceTakesNoOlderAnswer(t *testing.T) {
	o := attempts("..xx")
	if !answeredSince(o, at(10*ms)) || answeredSince(o, at(20*ms)) {
		t.Error("the last good attempt began after 10 ms")
	}
}

func TestAQuestionIsAnsweredByTheFirstAnswerAfterIt(t *testing.T) {
	times := func(offsets ...int) []time.Time {
		var out []time.Time
		for _, o := range offsets {
			out = append(out, at(time.Duration(o)*ms))
		}
		return out
	}
	o := lab.Evaluate(attemptsOf(times(0, 10, 20, 30, 200), times(1, 11, 130, 131, 202), 100*ms))
	var took []time.Duration
	for _, a := range o.Attempts {
		took = append(took, a.Took)
	}
	if diff := cmp.Diff([]time.Duration{ms, ms, 100 * ms, 100 * ms, 2 * ms}, took); diff != "" {
		t.Errorf("attempts took (-want +got):\n%s", diff)
	}
	if o.Failures != 1 {
		t.Errorf("%d failed, want the one that waited for 110 ms", o.Failures)
	}
}
