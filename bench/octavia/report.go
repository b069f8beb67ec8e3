package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// recorded is what OCCM v1.36 took for the same things on the same services, measured
// when this provider was planned: calls for a new Service of 1 and 5 ports whose load
// balancer was ACTIVE after 4.7 s, for its deletion, and the time of 20 at once.
var recorded = struct {
	created map[shape]int
	deleted int
	at20    time.Duration
}{map[shape]int{{1, false}: 17, {5, false}: 26}, 11, 139 * time.Second}

// report prints all sides beside each other, with ratios to the first.
func report(o options, all []figures) {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "\nWhat one Service costs, medians of %d\tside\twrites\treads\tpolls\tcalls\ttime\n", o.rounds)
	for _, of := range shapes {
		what := fmt.Sprintf("new, %d ports", of.ports)
		if of.groups {
			what += ", security groups"
		}
		for _, f := range all {
			line(w, what, f.side, middle(f.created[of]))
		}
		if n := recorded.created[of]; n > 0 {
			fmt.Fprintf(w, "%s\tOCCM v1.36, recorded\t2\t\t\t%d\t\n", what, n)
		}
		for _, f := range all {
			line(w, "its deletion", f.side, middle(f.deleted[of]))
		}
		if of == shapes[0] {
			fmt.Fprintf(w, "its deletion\tOCCM v1.36, recorded\t\t\t\t%d\t\n", recorded.deleted)
		}
	}
	fmt.Fprintf(w, "\nWhat %d Services cost\tside\twrites\treads\tpolls\tcalls\ttime\n", o.services)
	for _, f := range all {
		line(w, "created at once, until all show an address", f.side, f.many)
	}
	if o.services == 20 {
		fmt.Fprintf(w, "\tOCCM v1.36, recorded\t\t\t\t\t%.1f s\n", recorded.at20.Seconds())
	}
	for _, f := range all {
		fmt.Fprintf(w, "  until the cloud had built the last\t%s\t\t\t\t\t%.0f s\n", f.side, f.built.Seconds())
	}
	for _, f := range all {
		line(w, "a node more, until all send to it", f.side, f.node)
	}
	for _, f := range all {
		fmt.Fprintf(w, "nothing happens, a minute\t%s\t%d\t%d\t%d\t%.0f\t\n", f.side, f.steady.writes, f.steady.reads, f.steady.polls,
			float64(f.steady.all())/float64(o.minutes))
	}
	for _, f := range all {
		line(w, "deleted at once", f.side, f.gone)
	}
	fmt.Fprintf(w, "\nRatios\n")
	for _, of := range shapes[:2] {
		mine := middle(all[0].created[of])
		fmt.Fprintf(w, "calls for %d ports\trecorded / ours\t%.1f\n", of.ports, float64(recorded.created[of])/float64(mine.all()))
		for _, f := range all[1:] {
			peer := middle(f.created[of])
			fmt.Fprintf(w, "\t%s here / ours\t%.1f\ttime %.1f\n", f.side, float64(peer.all())/float64(mine.all()), peer.took.Seconds()/mine.took.Seconds())
		}
	}
	for _, f := range all[1:] {
		fmt.Fprintf(w, "%d at once, time\t%s here / ours\t%.1f\n", o.services, f.side, f.many.took.Seconds()/all[0].many.took.Seconds())
	}
}

func line(w *tabwriter.Writer, what, side string, c cost) {
	took := fmt.Sprintf("%.1f s", c.took.Seconds())
	if c.took == never {
		took = "never"
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", what, side, c.writes, c.reads, c.polls, c.all(), took)
}

// middle is the median, each figure for itself.
func middle(costs []cost) cost {
	at := func(of func(cost) int) int {
		values := make([]int, len(costs))
		for i, c := range costs {
			values[i] = of(c)
		}
		slices.SortFunc(values, cmp.Compare)
		return values[len(values)/2]
	}
	return cost{
		calls: calls{
			writes: at(func(c cost) int { return c.writes }), reads: at(func(c cost) int { return c.reads }),
			polls: at(func(c cost) int { return c.polls }), logins: at(func(c cost) int { return c.logins }),
		},
		took: time.Duration(at(func(c cost) int { return int(c.took) })),
	}
}
