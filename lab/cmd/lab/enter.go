package main

import (
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

func kubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl ARGS...",
		Short:              "Run kubectl as an administrator (lab --name N kubectl …)",
		DisableFlagParsing: true, // all flags are kubectl's
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := attach(cmd)
			if err != nil {
				return err
			}
			return attended(l.KubectlCommand(cmd.Context(), args...))
		},
	}
}

func execCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "exec MACHINE COMMAND...",
		Short:   "Run a command inside a machine: n1, client, remote, router, fabric",
		Example: "  lab exec client arping -c1 172.31.0.200\n  lab exec n1 nft list ruleset",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := attach(cmd)
			if err != nil {
				return err
			}
			return attended(l.Host(args[0]).Command(cmd.Context(), args[1], args[2:]...))
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the machine is the command's
	return cmd
}

// attended runs a command on our own terminal.
func attended(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
