// Command failover measures for how long an address is away when the node that announces
// it fails, on light labs with a real Kubernetes.
//
//	go run ./bench/failover [-nodes 3,5,20] [-trials 30] [-only "power loss,NIC down"]
//
// Two clients open a new connection every 10 ms, one on the nodes' segment and one behind
// a router, and a third asks by ARP each time, as a host does that has no cache. An outage
// is from the first attempt that failed to the first answer after it (package lab, Probe).
//
// After a power loss a share of connections fails until Kubernetes takes the dead node's
// pods out of service, though the address answers. The row "twenty in a row" is that
// second figure, from the fault on.
//
// With METALLB_SPEAKER, METALLB_CONTROLLER and METALLB_CRDS in the environment, paths of
// MetalLB's programs and of config/crd/bases in its source, it measures their power loss
// too, in a lab of the same kind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// options are what the command line asks for.
type options struct {
	nodes     []int
	trials    int
	only      []string
	addresses int
	settled   int
	grace     time.Duration
	idle      time.Duration
	soak      time.Duration
	program   string // path of a built fairlead; empty is to build one
	silent    bool   // without heartbeats
	output    string
	peer      metallb
}

// What is measured besides the faults.
const (
	addressesName = "addresses"
	costName      = "cost"
	soakName      = "soak"
)

// wants says whether -only lets something pass.
func (o options) wants(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }

func main() {
	ctrl.SetLogger(logr.Discard())
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{peer: metallb{speaker: os.Getenv("METALLB_SPEAKER"), controller: os.Getenv("METALLB_CONTROLLER"), crds: os.Getenv("METALLB_CRDS")}}
	flags := flag.NewFlagSet("failover", flag.ContinueOnError)
	nodes := flags.String("nodes", "3,5,20", "sizes of the segments")
	only := flags.String("only", "", "what to measure, by name, separated by commas (default all): "+strings.Join(names(), ", "))
	flags.IntVar(&o.trials, "trials", 30, "how often each fault happens; a rolling restart of n nodes counts as n")
	flags.IntVar(&o.addresses, "addresses", 1000, "addresses on the node that fails in the trial of many")
	flags.IntVar(&o.settled, "settled", 3, "in how many power losses to wait for twenty answers in a row, which takes about -grace")
	flags.DurationVar(&o.grace, "grace", 40*time.Second, "silence after which Kubernetes takes a node for dead (its own default is 50s)")
	flags.DurationVar(&o.idle, "idle", time.Minute, "how long the cost of an idle segment is measured")
	flags.DurationVar(&o.soak, "soak", 0, "how long to keep all processors busy and count take-overs; 0 is not at all")
	flags.StringVar(&o.program, "program", "", "a built fairlead to measure, instead of this tree's")
	flags.BoolVar(&o.silent, "without-heartbeats", false, "measure what Kubernetes alone finds out")
	flags.StringVar(&o.output, "o", "", "json for a report to be read by programs")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for _, text := range strings.Split(*nodes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 2 {
			return o, fmt.Errorf("-nodes %s: write numbers from 2 on, separated by commas", *nodes)
		}
		o.nodes = append(o.nodes, n)
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("-only %q: there are %s", name, strings.Join(names(), ", "))
		}
	}
	switch {
	case o.trials < 1:
		return o, errors.New("-trials: at least 1")
	case o.addresses < 0 || o.addresses > manyMost:
		return o, fmt.Errorf("-addresses: at most %d", manyMost)
	case o.output != "" && o.output != "json":
		return o, errors.New("-o: json or nothing")
	}
	return o, nil
}

func names() []string {
	var all []string
	for _, f := range faults {
		all = append(all, f.name)
	}
	return append(all, addressesName, costName, soakName)
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.program != "" { // it runs in another directory
		if o.program, err = filepath.Abs(o.program); err != nil {
			return err
		}
	} else {
		o.program = filepath.Join(dir, "fairlead")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", o.program, "fairlead.dev/fairlead/cmd/fairlead")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build fairlead: %w\n%s", err, out)
		}
	}
	var found report
	for _, n := range o.nodes {
		if err = measure(ctx, o, n, &found); err != nil {
			err = fmt.Errorf("%d nodes: %w", n, err)
			break
		}
	}
	// What was measured before a failure took hours, perhaps.
	return errors.Join(err, found.write(os.Stdout, o.output))
}

// say tells what is going on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
