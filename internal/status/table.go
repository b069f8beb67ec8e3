package status

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Write prints a snapshot as "json", "yaml", "wide" or, for "", as a table.
func (s Snapshot) Write(w io.Writer, format string) error {
	return write(w, format, s, s.table)
}

// write prints a value in a format: for programs, or by its table.
func write(w io.Writer, format string, v any, table func(w io.Writer, wide bool) error) error {
	switch format {
	case "json", "yaml":
		return WriteData(w, v, format)
	case "", "wide":
		return table(w, format == "wide")
	}
	return fmt.Errorf("--output %q is unknown: write json, yaml or wide", format)
}

func (s Snapshot) table(w io.Writer, wide bool) error {
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	head := []string{"SERVICE", "VIP", "CLASS", "POOL", "NODE", "STATE"}
	if wide {
		head = append(head, "INTERFACES")
	}
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, l := range s.Services {
		row := []string{l.Service, dash(l.VIP), dash(l.Class), dash(l.Pool), dash(cmp.Or(l.Node, l.LoadBalancer)), l.state()}
		if wide {
			row = append(row, dash(strings.Join(l.Interfaces, ",")))
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if len(s.Services) == 0 {
		fmt.Fprintln(t, "(no Service of ours)")
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "POOL\tFAMILY\tADDRESSES\tIN USE\tFREE\tSTATE")
	for _, p := range s.Pools {
		state := "in force"
		if p.Reason != "" {
			state = p.Reason + ": " + p.Message
		}
		fmt.Fprintln(t, strings.Join([]string{p.Pool, dash(p.Family), dash(p.Addresses), count(p.InUse), count(p.Free), state}, "\t"))
	}
	if len(s.Pools) == 0 {
		fmt.Fprintln(t, "(no pool: create an AddressPool)")
	}
	return t.Flush()
}

// state is the last column: it ends with what to do where something is wrong.
func (l Service) state() string {
	switch {
	case l.Reason == "":
		return string(l.State)
	case strings.EqualFold(l.Reason, string(l.State)):
		return fmt.Sprintf("%s (%s)", l.State, l.Message)
	}
	return fmt.Sprintf("%s: %s (%s)", l.State, l.Reason, l.Message)
}

func dash(s string) string { return cmp.Or(s, "-") }

func count(n int64) string {
	if n == math.MaxInt64 {
		return "over 9e18"
	}
	return strconv.FormatInt(n, 10)
}
