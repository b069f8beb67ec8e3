// Command octavia measures what a Service of provider Octavia costs: calls to the cloud
// and time, on real OpenStack services (package lab/openstack) in which every call goes
// through a proxy that counts it.
//
//	go run ./bench/octavia [-services 20] [-rounds 3]
//
// Beside ours it prints what the OpenStack cloud controller manager (OCCM) was measured
// at. With OCCM_BINARY in the environment, the path of a built
// openstack-cloud-controller-manager, it measures that too, in the same run on the same
// lab: these machines are never equally fast twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/openstack"
)

type options struct {
	services, rounds, minutes int
	dir                       string // of a cloud that is up; empty is one of our own
	occm                      string // path of its binary; empty is none
}

func main() {
	ctrl.SetLogger(logr.Discard())
	o := options{occm: os.Getenv("OCCM_BINARY")}
	flag.IntVar(&o.services, "services", 20, "how many Services are created at once")
	flag.IntVar(&o.rounds, "rounds", 3, "how often a single Service is created, for the median")
	flag.IntVar(&o.minutes, "minutes", 1, "how long the steady state is watched")
	flag.StringVar(&o.dir, "dir", os.Getenv("FAIRLEAD_OPENSTACK_DIR"), "a cloud that is up, with room for the Services; without it one is started")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	tidy := func(what func(context.Context) error) { err = errors.Join(err, what(context.WithoutCancel(ctx))) }
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "fairlead")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "fairlead.dev/fairlead/cmd/fairlead").CombinedOutput(); err != nil {
		return fmt.Errorf("build fairlead: %w\n%s", err, out)
	}
	var cloud *openstack.Cloud
	if o.dir != "" {
		cloud, err = openstack.Attach(o.dir)
	} else {
		// An amphora load balancer takes two addresses, and a /24 has too few of them.
		cloud, err = openstack.Up(ctx, openstack.Options{Dir: filepath.Join(dir, "os"), IPv4: netip.MustParsePrefix("172.31.0.0/16"), Progress: os.Stderr})
		if err == nil {
			defer tidy(cloud.Down)
		}
	}
	if err != nil {
		return err
	}
	l, err := lab.Up(ctx, lab.Options{Nodes: 3, NoKubeProxy: true, Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer tidy(l.Down)
	b, err := newBench(ctx, o, l, cloud, dir)
	if err != nil {
		return err
	}
	defer tidy(b.end)
	sides := []side{&fairlead{bench: b, program: program}}
	if o.occm != "" {
		sides = append(sides, &occm{bench: b, program: o.occm})
	}
	var figures []figures
	for _, s := range sides {
		f, err := b.measure(ctx, s)
		if err != nil {
			return fmt.Errorf("measure %s: %w", s.name(), err)
		}
		figures = append(figures, f)
	}
	report(o, figures)
	return nil
}
