package lab

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestEvaluateFindsGaps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	lost := errors.New("lost")
	good := func(ms int) Attempt { return Attempt{Start: at(ms), Answer: "web"} }
	slow := func(ms, took int) Attempt {
		return Attempt{Start: at(ms), Took: time.Duration(took) * time.Millisecond, Answer: "web"}
	}
	bad := func(ms int) Attempt { return Attempt{Start: at(ms), Took: 250 * time.Millisecond, Err: lost} }
	cases := []struct {
		name     string
		attempts []Attempt
		want     []Gap
	}{
		{"nothing failed", []Attempt{good(0), good(10)}, nil},
		{"a gap lasts until the next good attempt", []Attempt{good(0), bad(10), bad(20), good(30)}, []Gap{{at(10), 20 * time.Millisecond, 2}}},
		{"an attempt of the outage that is answered late does not shorten it",
			[]Attempt{good(0), bad(10), slow(20, 180), slow(30, 170), slow(210, 1)}, []Gap{{at(10), 190 * time.Millisecond, 1}}},
		{"an attempt that is late for its own reasons does not lengthen it",
			[]Attempt{good(0), bad(10), slow(20, 180), slow(30, 2), slow(40, 2)}, []Gap{{at(10), 22 * time.Millisecond, 1}}},
		{"attempts that ended late are put in order", []Attempt{good(0), good(30), bad(20), bad(10)}, []Gap{{at(10), 20 * time.Millisecond, 2}}},
		{"a success in between makes two gaps", []Attempt{bad(0), good(10), bad(20), good(40)},
			[]Gap{{at(0), 10 * time.Millisecond, 1}, {at(20), 20 * time.Millisecond, 1}}},
		{"a gap that does not end lasts to the last attempt", []Attempt{good(0), bad(10), bad(50)}, []Gap{{at(10), 40 * time.Millisecond, 2}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Evaluate(c.attempts).Gaps, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluateCountsAnswers(t *testing.T) {
	o := Evaluate([]Attempt{{Answer: "a", Took: 3}, {Answer: "b", Took: 5}, {Answer: "a"}, {Err: errors.New("lost"), Took: 9}, {}})
	if diff := cmp.Diff(map[string]int{"a": 2, "b": 1}, o.Answers); diff != "" || o.Total != 5 || o.Failures != 1 || o.Slowest != 5 {
		t.Errorf("%+v\n%s", o, diff)
	}
}

func TestWhatBeganWhileAnotherIsUnderWayIsNotKnownYet(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	finished := []Attempt{{Start: at(30)}, {Start: at(0)}, {Start: at(10)}}
	for _, c := range []struct {
		underWay []time.Time
		want     []Attempt
	}{
		{nil, finished},
		{[]time.Time{at(40)}, finished},
		{[]time.Time{at(40), at(20)}, []Attempt{{Start: at(0)}, {Start: at(10)}}},
		{[]time.Time{at(0)}, nil},
	} {
		if diff := cmp.Diff(c.want, before(c.underWay, finished)); diff != "" {
			t.Errorf("under way %v (-want +got):\n%s", c.underWay, diff)
		}
	}
}
