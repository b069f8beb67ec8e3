// Command lab starts, inspects, breaks and ends a lab from the shell. See
// lab/README.md.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:              "lab",
		Short:            "A real Kubernetes with several nodes, clients and a router on this machine",
		SilenceUsage:     true,
		SilenceErrors:    true,
		TraverseChildren: true, // so that --name before kubectl is ours, and what follows kubectl is not
	}
	root.PersistentFlags().String("name", cmp.Or(os.Getenv("LAB"), "lab"), "which lab; LAB in the environment is the default")
	root.AddCommand(buildCommand(), upCommand(), downCommand(), sweepCommand(), statusCommand(),
		kubectlCommand(), execCommand(), loadCommand(), faultCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) { // of a command that ran in the lab and has said why
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
