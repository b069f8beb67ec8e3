package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"fairlead.dev/fairlead/lab"
)

// Options of the demo.
type Options struct {
	// Name of the lab; a lab of that name must not run.
	Name string
	// Image is Fairlead's image archive, Manifest its install.yaml, and Program its
	// binary for the user's commands.
	Image, Manifest, Program string
	// Keep leaves the lab running.
	Keep bool
	Out  io.Writer
}

// Result is what the demo saw.
type Result struct {
	Addresses []netip.Addr
	// Outage is how long new connections got no answer after the crash.
	Outage time.Duration
	// Before and After are the nodes that announced the IPv4 address.
	Before, After string
}

// story is a demo under way.
type story struct {
	Options
	lab    *lab.Lab
	began  time.Time // where chapters tell how long the story has taken
	result Result
}

// Run tells the whole story, and ends the lab unless it is to be kept.
func Run(ctx context.Context, o Options) (result Result, err error) {
	s := &story{Options: o}
	for _, f := range []string{o.Image, o.Manifest, o.Program} {
		if _, err := os.Stat(f); err != nil {
			return Result{}, fmt.Errorf("find what make demo builds: %w", err)
		}
	}
	s.chapter("A real Kubernetes with three nodes, on this machine")
	s.lab, err = lab.Up(ctx, lab.Options{Name: o.Name, Nodes: 3, Kubelets: true, Images: []string{o.Image}, Keep: o.Keep, Progress: o.Out})
	if err != nil {
		return Result{}, fmt.Errorf("start the lab: %w", err)
	}
	if !o.Keep {
		defer func() {
			if down := s.lab.Down(context.WithoutCancel(ctx)); down != nil {
				err = errors.Join(err, fmt.Errorf("end the lab: %w", down))
			}
		}()
	}
	for _, chapter := range []func(context.Context) error{s.install, s.serve, s.bothFamilies, s.look, s.crash} {
		if err := chapter(ctx); err != nil {
			return s.result, err
		}
	}
	s.goodbye()
	return s.result, nil
}

func (s *story) chapter(title string) {
	if !s.began.IsZero() {
		title = fmt.Sprintf("%.0f s  %s", time.Since(s.began).Seconds(), title)
	}
	fmt.Fprintf(s.Out, "\n\033[1m%s\033[0m\n", title)
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.Out, format+"\n", args...) }

// kubectl runs and shows a kubectl command, with input on its standard input.
func (s *story) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	s.say("$ kubectl %s", strings.Join(args, " "))
	cmd := s.lab.KubectlCommand(ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	fmt.Fprint(s.Out, indent(string(out)))
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// eventually waits until check is nil.
func eventually(ctx context.Context, limit time.Duration, what string, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		switch {
		case err == nil:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("not within %s: %s: %w", limit, what, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *story) goodbye() {
	if !s.Keep {
		s.chapter("That was it; nothing is left running")
		s.say("Try next: make demo KEEP=1 leaves the cluster up, and docs/tutorial.md goes on from there.")
		return
	}
	s.chapter("The cluster goes on running")
	s.say(`  export KUBECONFIG=%s
  kubectl get services -A            # or: bin/lab --name %s kubectl get services -A
  bin/fairlead status
  bin/fairlead explain nginxservice
  bin/lab --name %s exec client -- curl -s http://%s
  make lab-down NAME=%s              # ends it
docs/tutorial.md goes on from here.`, s.lab.HostKubeconfig(), s.lab.Name(), s.lab.Name(), s.result.Addresses[0], s.lab.Name())
}
