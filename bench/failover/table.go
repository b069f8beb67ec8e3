package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// target is what a figure shall be at most. The zero target is none.
type target struct {
	Median time.Duration `json:"median,omitempty"`
	P99    time.Duration `json:"p99,omitempty"`
	// Lossless is that no connection at all fails.
	Lossless bool `json:"lossless,omitempty"`
}

func (t target) String() string {
	var parts []string
	if t.Median > 0 {
		parts = append(parts, "median <= "+figure(t.Median))
	}
	if t.P99 > 0 {
		parts = append(parts, "p99 <= "+figure(t.P99))
	}
	if t.Lossless {
		parts = append(parts, "none failed")
	}
	return strings.Join(parts, ", ")
}

// row is one line of the table: a figure with a value from each trial.
type row struct {
	Side   string          `json:"side"` // who was measured
	Fault  string          `json:"fault"`
	Nodes  int             `json:"nodes"`
	Client string          `json:"client"` // who saw it
	Values []time.Duration `json:"values"` // nanoseconds, in the order of the trials
	Failed int             `json:"failed"` // connections, of all trials
	Target target          `json:"target"`
}

// verdict says whether the target is met.
func (r row) verdict() string {
	t := r.Target
	switch {
	case t == target{}:
		return ""
	case t.Lossless && r.Failed > 0,
		t.Median > 0 && quantile(r.Values, 0.5) > t.Median,
		t.P99 > 0 && quantile(r.Values, 0.99) > t.P99:
		return "MISSED"
	}
	return "met"
}

// rows are a table that grows. Values of the same figure go into the same row.
type rows []row

func (all *rows) add(r row) {
	for i := range *all {
		old := &(*all)[i]
		if old.Side == r.Side && old.Fault == r.Fault && old.Nodes == r.Nodes && old.Client == r.Client {
			old.Values, old.Failed = append(old.Values, r.Values...), old.Failed+r.Failed
			return
		}
	}
	*all = append(*all, r)
}

// take adds what a trial of a fault measured.
func (all *rows) take(side string, nodes int, f fault, m measurement) {
	for _, seen := range m.seen {
		outage := row{Side: side, Fault: f.name, Nodes: nodes, Client: seen.client, Values: []time.Duration{seen.outage}, Failed: seen.failed, Target: f.target}
		back := row{Side: side, Fault: f.name + ": after the repair", Nodes: nodes, Client: seen.client, Values: []time.Duration{seen.back}, Failed: seen.failedBack}
		if f.target.Lossless {
			back.Target = f.target
			if seen.client == uncached { // it makes no connections
				outage.Target, back.Target = target{}, target{}
			}
		}
		all.add(outage)
		if f.rounds == nil { // a rolling restart is its own repair
			all.add(back)
		}
		if seen.settled > 0 {
			all.add(row{Side: side, Fault: f.name + ": twenty in a row", Nodes: nodes, Client: seen.client, Values: []time.Duration{seen.settled}})
		}
	}
	for _, found := range m.findings {
		all.add(row{Side: side, Fault: f.name + ", " + found.name, Nodes: nodes, Client: "-", Values: []time.Duration{found.took}, Target: found.target})
	}
}

// grouped are the rows with all of one fault beside each other, in the order in which
// the faults came first.
func (all rows) grouped() rows {
	first := make(map[string]int)
	for i, r := range all {
		if _, ok := first[r.Fault]; !ok {
			first[r.Fault] = i
		}
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b row) int { return cmp.Compare(first[a.Fault], first[b.Fault]) })
}

// figure is a duration as the table has it.
func figure(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

// report is what the command found out.
type report struct {
	Rows  rows     `json:"rows"`
	Cost  []cost   `json:"cost,omitempty"`
	Soak  []soaked `json:"soak,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// note adds a remark once.
func (r *report) note(text string) {
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

func (r report) write(out io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if len(r.Rows) > 0 {
		fmt.Fprintln(w, "\nFAULT\tNODES\tSIDE\tCLIENT\tTRIALS\tMEDIAN\tP99\tMAX\tFAILED\tTARGET\t")
	}
	for _, line := range r.Rows.grouped() {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\t%s\t%s\t%d\t%s\t%s\n", line.Fault, line.Nodes, line.Side, line.Client, len(line.Values),
			figure(quantile(line.Values, 0.5)), figure(quantile(line.Values, 0.99)), figure(slices.Max(line.Values)), line.Failed, line.Target, line.verdict())
	}
	if len(r.Cost) > 0 {
		fmt.Fprintln(w, "\nIDLE SEGMENT, EACH NODE\tNODES\tCPU\tRSS\tFRAMES AT THE OWNER\tTARGET\t")
	}
	for _, c := range r.Cost {
		for _, line := range []struct {
			mode string
			usage
			target, verdict string
		}{{"with heartbeats", c.With, "<= 1 % and 20 MiB more", c.verdict()}, {"without", c.Without, "", ""}} {
			fmt.Fprintf(w, "%s\t%d\t%.2f %% of a core\t%.1f MiB\t%.0f/s in, %.0f/s out\t%s\t%s\n", line.mode, c.Nodes,
				100*line.CPU, line.RSS/(1<<20), line.In, line.Out, line.target, line.verdict)
		}
	}
	if len(r.Soak) > 0 {
		fmt.Fprintln(w, "\nBUSY\tNODES\tTIME\tTAKE-OVERS\tMENDED\tFAILED\tSLOWEST ANSWER\tTARGET\t")
	}
	for _, s := range r.Soak {
		fmt.Fprintf(w, "%d hogs on %d cores\t%d\t%s\t%d\t%d\t%d of %d\t%s\tno take-over\t%s\n", s.Hogs, s.Cores, s.Nodes, s.Took.Round(time.Second), s.TakeOvers, s.Mended,
			s.Failed, s.Total, figure(s.Slowest), s.verdict())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range r.Notes {
		fmt.Fprintln(out, "\nNote:", note)
	}
	return nil
}
