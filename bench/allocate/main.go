// Command allocate measures how fast Fairlead gives addresses, beside how fast the
// API server could take them.
//
//	go run ./bench/allocate [-services 5000] [-rounds 3]
//
// In each round the same Services get their statuses patched by a bare client with
// 32 connections (the ceiling), are cleared, and get them from a controller that is
// started for it. Both are in one run because these machines are never equally fast
// twice.
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
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"fairlead.dev/fairlead/lab"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	services := flag.Int("services", 5000, "how many Services get an address at once")
	rounds := flag.Int("rounds", 3, "how often, for the median")
	single := flag.Int("single", 200, "how many Services are created one at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *services, *rounds, *single); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, services, rounds, single int) (err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "fairlead")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "fairlead.dev/fairlead/cmd/fairlead").CombinedOutput(); err != nil {
		return fmt.Errorf("build fairlead: %w\n%s", err, out)
	}
	l, err := lab.Up(ctx, lab.Options{Nodes: 1, NoKubeProxy: true, Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer func() {
		if down := l.Down(context.WithoutCancel(ctx)); down != nil {
			err = errors.Join(err, down)
		}
	}()
	b, err := newBench(ctx, l, program, services)
	if err != nil {
		return err
	}
	var ceiling, ours []time.Duration
	var used []usage
	for round := range rounds {
		bare, err := b.ceiling(ctx)
		if err != nil {
			return err
		}
		took, u, err := b.fairlead(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("round %d: ceiling %6.2f s (%4.0f/s)   fairlead %6.2f s (%4.0f/s)   ratio %.2f   %.2f CPU s   %.0f MiB peak RSS\n", round+1,
			bare.Seconds(), rate(services, bare), took.Seconds(), rate(services, took), bare.Seconds()/took.Seconds(), u.cpu.Seconds(), u.rss/(1<<20))
		ceiling, ours, used = append(ceiling, bare), append(ours, took), append(used, u)
	}
	latencies, err := b.oneAtATime(ctx, single)
	if err != nil {
		return err
	}
	report(services, ceiling, ours, used, latencies, planTimes())
	return nil
}

func rate(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// report prints medians beside their targets.
func report(services int, ceiling, ours []time.Duration, used []usage, latencies, plans []time.Duration) {
	var ratios, cpu, rss []float64
	for i := range ours {
		ratios = append(ratios, ceiling[i].Seconds()/ours[i].Seconds())
		cpu = append(cpu, used[i].cpu.Seconds())
		rss = append(rss, used[i].rss/(1<<20))
	}
	slices.Sort(latencies)
	slices.Sort(plans)
	fmt.Printf("\n%d Services at once, %d rounds          median (min to max)      target\n", services, len(ours))
	line := func(what, unit string, values []float64, target string) {
		slices.Sort(values)
		fmt.Printf("%-40s %7.2f (%.2f to %.2f) %-6s %s\n", what, values[len(values)/2], values[0], values[len(values)-1], unit, target)
	}
	line("share of the API server's ceiling", "", ratios, ">= 0.8")
	line("CPU of the controller", "s", cpu, "<= 5")
	line("peak RSS of the controller", "MiB", rss, "<= 80")
	fmt.Printf("\nOne Service at a time, %d times: created to address in status p50 %s, p99 %s, max %s (target p99 <= 50ms)\n", len(latencies),
		ms(quantile(latencies, 0.5)), ms(quantile(latencies, 0.99)), ms(latencies[len(latencies)-1]))
	fmt.Printf("Plan alone, 10,000 Services and 1,000 nodes: median %s, max %s (target <= 50ms)\n", ms(quantile(plans, 0.5)), ms(plans[len(plans)-1]))
}

func ms(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

// quantile of sorted values, by nearest rank.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
