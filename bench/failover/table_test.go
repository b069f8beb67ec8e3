package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVerdictOfARow(t *testing.T) {
	limits := target{Median: 300 * ms, P99: 500 * ms}
	for _, c := range []struct {
		name string
		row  row
		want string
	}{
		{"no target, no verdict", row{Values: []time.Duration{time.Hour}}, ""},
		{"at the limits", row{Values: []time.Duration{300 * ms, 300 * ms, 500 * ms}, Target: limits}, "met"},
		{"median above", row{Values: []time.Duration{100 * ms, 301 * ms, 302 * ms}, Target: limits}, "MISSED"},
		{"one of thirty above", row{Values: append(make([]time.Duration, 29), 501*ms), Target: limits}, "MISSED"},
		{"an outage that failed nothing", row{Values: []time.Duration{0}, Target: lossless}, "met"},
		{"one failed connection", row{Values: []time.Duration{0}, Failed: 1, Target: lossless}, "MISSED"},
	} {
		if got := c.row.verdict(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTrialsOfOneFigureShareARow(t *testing.T) {
	var all rows
	stop := fault{name: "stop", target: lossless}
	for _, outage := range []time.Duration{10 * ms, 30 * ms} {
		all.take("us", 3, stop, measurement{
			seen:     []sighting{{client: onSegment, outage: outage, failed: 1}, {client: uncached, outage: outage, back: 5 * ms, failedBack: 2}},
			findings: []finding{{name: "healed", took: ms, target: target{P99: ms}}},
		})
	}
	all.take("them", 3, stop, measurement{seen: []sighting{{client: onSegment}}})
	want := rows{
		{Side: "us", Fault: "stop", Nodes: 3, Client: onSegment, Values: []time.Duration{10 * ms, 30 * ms}, Failed: 2, Target: lossless},
		{Side: "us", Fault: "stop: after the repair", Nodes: 3, Client: onSegment, Values: []time.Duration{0, 0}, Target: lossless},
		{Side: "us", Fault: "stop", Nodes: 3, Client: uncached, Values: []time.Duration{10 * ms, 30 * ms}},
		{Side: "us", Fault: "stop: after the repair", Nodes: 3, Client: uncached, Values: []time.Duration{5 * ms, 5 * ms}, Failed: 4},
		{Side: "us", Fault: "stop, healed", Nodes: 3, Client: "-", Values: []time.Duration{ms, ms}, Target: target{P99: ms}},
		{Side: "them", Fault: "stop", Nodes: 3, Client: onSegment, Values: []time.Duration{0}, Target: lossless},
		{Side: "them", Fault: "stop: after the repair", Nodes: 3, Client: onSegment, Values: []time.Duration{0}, Target: lossless},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestSidesAreBesideEachOtherInTheTable(t *testing.T) {
	all := rows{
		{Side: "us", Fault: "power loss", Nodes: 3}, {Side: "us", Fault: "stop", Nodes: 3},
		{Side: "them", Fault: "power loss", Nodes: 3}, {Side: "us", Fault: "power loss", Nodes: 5},
	}
	var got []string
	for _, r := range all.grouped() {
		got = append(got, r.Fault+" "+r.Side)
	}
	want := []string{"power loss us", "power loss them", "power loss us", "stop us"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTheReportIsATableOrJSON(t *testing.T) {
	r := report{
		Rows: rows{{Side: "us", Fault: "power loss", Nodes: 3, Client: onSegment, Values: []time.Duration{200 * ms, 600 * ms}, Target: takeOver}},
		Cost: []cost{{Nodes: 20, With: usage{CPU: 0.03, RSS: 30 << 20}, Without: usage{CPU: 0.01, RSS: 20 << 20}}},
		Soak: []soaked{{Nodes: 3, Hogs: 2, Cores: 2, Took: 30 * time.Minute}},
	}
	r.note("once")
	r.note("once")
	var text bytes.Buffer
	if err := r.write(&text, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"power loss", "200 ms", "600 ms", "median <= 300 ms, p99 <= 500 ms", "MISSED", "3.00 % of a core", "30m0s", "met"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, text.String())
		}
	}
	if n := strings.Count(text.String(), "once"); n != 1 {
		t.Errorf("the note is there %d times", n)
	}
	var data bytes.Buffer
	if err := r.write(&data, "json"); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(data.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("JSON read back (-want +got):\n%s", diff)
	}
}

func TestCostIsJudgedByWhatHeartbeatsAdd(t *testing.T) {
	for _, c := range []struct {
		with, without usage
		want          string
	}{
		{usage{CPU: 0.019, RSS: 60 << 20}, usage{CPU: 0.01, RSS: 45 << 20}, "met"},
		{usage{CPU: 0.021, RSS: 60 << 20}, usage{CPU: 0.01, RSS: 45 << 20}, "MISSED"},
		{usage{CPU: 0.01, RSS: 70 << 20}, usage{CPU: 0.01, RSS: 45 << 20}, "MISSED"},
	} {
		if got := (cost{With: c.with, Without: c.without}).verdict(); got != c.want {
			t.Errorf("%+v beside %+v: %s, want %s", c.with, c.without, got, c.want)
		}
	}
}

func TestUsageIsPerNodeAndSecond(t *testing.T) {
	before := reading{at: at(0), cpu: time.Second, rss: 10, in: 100, out: 200}
	after := reading{at: at(10 * time.Second), cpu: 3 * time.Second, rss: 40, in: 300, out: 250}
	want := usage{CPU: 0.1, RSS: 20, In: 20, Out: 5}
	if diff := cmp.Diff(want, usageBetween(before, after, 2)); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestCommandLineThatCannotBeIsRefused(t *testing.T) {
	for _, args := range []string{"-nodes=1", "-nodes=3,x", "-trials=0", "-only=flood", "-addresses=5000", "-o=xml"} {
		if _, err := parse([]string{args}); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
	o, err := parse([]string{"-nodes=4,6", "-only=power loss,cost"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{4, 6}, o.nodes); diff != "" || !o.wants("cost") || o.wants("NIC down") {
		t.Errorf("options %+v\n%s", o, diff)
	}
}
