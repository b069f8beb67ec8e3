package main

import (
	"math"
	"slices"
	"time"

	"fairlead.dev/fairlead/lab"
)

// quantile is the smallest value that a share q of all do not exceed (nearest rank).
// There must be a value.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// longestGap is the longest of the gaps that began before to and ended after from.
func longestGap(o lab.Outcome, from, to time.Time) time.Duration {
	var longest time.Duration
	for _, g := range o.Gaps {
		if g.Start.Before(to) && g.Start.Add(g.Length).After(from) {
			longest = max(longest, g.Length)
		}
	}
	return longest
}

// failed counts the attempts that began in [from, to) and failed.
func failed(o lab.Outcome, from, to time.Time) int {
	n := 0
	for _, a := range o.Attempts {
		if a.Err != nil && !a.Start.Before(from) && a.Start.Before(to) {
			n++
		}
	}
	return n
}

// inARow is when the first of n good attempts in a row began, after the first failure
// since from. ok is false if there were none, or no failure.
func inARow(o lab.Outcome, n int, from time.Time) (at time.Time, ok bool) {
	failure, row := false, 0
	for _, a := range o.Attempts {
		switch {
		case a.Start.Before(from):
		case a.Err != nil:
			failure, row = true, 0
		case failure:
			if row == 0 {
				at = a.Start
			}
			if row++; row == n {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// trailing counts the good attempts at the end.
func trailing(o lab.Outcome) int {
	n := 0
	for _, a := range slices.Backward(o.Attempts) {
		if a.Err != nil {
			break
		}
		n++
	}
	return n
}

// answeredSince tells whether an attempt that began at that time or later was good.
func answeredSince(o lab.Outcome, from time.Time) bool {
	return slices.ContainsFunc(o.Attempts, func(a lab.Attempt) bool { return a.Err == nil && !a.Start.Before(from) })
}

// attemptsOf makes attempts of questions and answers that do not name each other. A
// question is answered by the first answer after it, and has failed if that took longer
// than patience. Both are in the order of time.
func attemptsOf(questions, answers []time.Time, patience time.Duration) []lab.Attempt {
	attempts := make([]lab.Attempt, 0, len(questions))
	for _, q := range questions {
		for len(answers) > 0 && answers[0].Before(q) {
			answers = answers[1:]
		}
		a := lab.Attempt{Start: q, Took: patience, Err: errNoAnswer}
		if len(answers) > 0 && answers[0].Sub(q) <= patience {
			a.Took, a.Err = answers[0].Sub(q), nil
		}
		attempts = append(attempts, a)
	}
	return attempts
}
