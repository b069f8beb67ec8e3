// Command fairlead is the whole program: the controller and the speaker that run
// in a cluster, and the commands of its users. It only wires things together.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // public CAs, where the machine has none: the image does not

	"fairlead.dev/fairlead/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		var code exitCode
		if errors.As(err, &code) {
			os.Exit(int(code))
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "fairlead",
		Short:         "Load balancers for Kubernetes clusters that no hyperscaler serves",
		Version:       version.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	// As kubectl-fairlead on the PATH it is kubectl's subcommand.
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "kubectl-"); ok {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl " + name}
	}
	var cluster clusterFlags
	cluster.add(root.PersistentFlags())
	root.AddCommand(controllerCommand(&cluster), speakerCommand(&cluster), statusCommand(&cluster), explainCommand(&cluster),
		planCommand(&cluster), purgeCommand(&cluster), doctorCommand(&cluster))
	return root
}
