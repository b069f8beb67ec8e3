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
	good := func(ms int) attempt { return attempt{start: at(ms), answered: "web"} }
	bad := func(ms int) attempt { return attempt{start: at(ms), err: lost} }
	cases := []struct {
		name     string
		attempts []attempt
		want     []Gap
	}{
		{"nothing failed", []attempt{good(0), good(10)}, nil},
		{"a gap lasts until the next good attempt began", []attempt{good(0), bad(10), bad(20), good(30)}, []Gap{{at(10), 20 * time.Millisecond, 2}}},
		{"attempts that ended late are put in order", []attempt{good(0), good(30), bad(20), bad(10)}, []Gap{{at(10), 20 * time.Millisecond, 2}}},
		{"a success in between makes two gaps", []attempt{bad(0), good(10), bad(20), good(40)},
			[]Gap{{at(0), 10 * time.Millisecond, 1}, {at(20), 20 * time.Millisecond, 1}}},
		{"a gap that does not end lasts to the last attempt", []attempt{good(0), bad(10), bad(50)}, []Gap{{at(10), 40 * time.Millisecond, 2}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, evaluate(c.attempts).Gaps, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluateCountsAnswers(t *testing.T) {
	o := evaluate([]attempt{{answered: "a"}, {answered: "b"}, {answered: "a"}, {err: errors.New("lost")}, {}})
	if diff := cmp.Diff(map[string]int{"a": 2, "b": 1}, o.Answers); diff != "" || o.Total != 5 || o.Failures != 1 {
		t.Errorf("%+v\n%s", o, diff)
	}
}
