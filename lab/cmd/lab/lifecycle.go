package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/build"
	"fairlead.dev/fairlead/lab/images"
)

func attach(cmd *cobra.Command) (*lab.Lab, error) {
	name, err := cmd.Flags().GetString("name")
	if err != nil {
		return nil, err
	}
	return lab.Attach(name)
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build all programs and images that labs need, unless they are cached",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			programs, err := build.All(cmd.Context(), os.Stderr)
			if err != nil {
				return err
			}
			_, err = images.All(cmd.Context(), programs, os.Stderr)
			return err
		},
	}
}

func upCommand() *cobra.Command {
	o := lab.Options{Keep: true, Progress: os.Stderr}
	var light bool
	var family string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a lab that runs until lab down",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Name, err = cmd.Flags().GetString("name"); err != nil {
				return err
			}
			o.Kubelets, o.Family = !light, lab.Family(family)
			l, err := lab.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Printf("export KUBECONFIG=%s\n", l.HostKubeconfig())
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Nodes, "nodes", 3, "number of nodes")
	f.BoolVar(&light, "light", false, "nodes without containers: every pod is an echo server")
	f.StringVar(&family, "family", string(lab.Dual), "IP families of the cluster, dual or ipv4")
	f.DurationVar(&o.NodeMonitorGrace, "node-monitor-grace", 40*time.Second, "silence after which a node is NotReady")
	f.StringArrayVar(&o.Images, "image", nil, "image archive for the nodes (repeatable)")
	f.BoolVar(&o.NoKubeProxy, "no-kube-proxy", false, "leave Services to something else")
	f.BoolVar(&o.FirstNodeIsControlPlane, "control-plane-node", false, "mark n1 as a control plane node")
	return cmd
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End a lab and remove all of it but its logs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := cmd.Flags().GetString("name")
			if err != nil {
				return err
			}
			return lab.Remove(name)
		},
	}
}

func sweepCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sweep",
		Short: "Remove what killed test runs left behind",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return lab.Sweep(cmd.Context()) },
	}
}

func loadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "load ARCHIVE...",
		Short: "Import image archives into all nodes",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, archives []string) error {
			l, err := attach(cmd)
			if err != nil {
				return err
			}
			for _, archive := range archives {
				if err := l.LoadImage(cmd.Context(), archive); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show all labs and what runs in them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := lab.Names()
			if err != nil {
				return err
			}
			out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(out, "LAB\tMACHINE\tADDRESSES\tRUNNING")
			for _, name := range names {
				l, err := lab.Attach(name)
				if err != nil {
					fmt.Fprintf(out, "%s\t-\t-\t%v\n", name, err)
					continue
				}
				for _, h := range l.Hosts() {
					fmt.Fprintf(out, "%s\t%s\t%s %s\t%s\n", name, h.Name(), h.IP4(), h.IP6(), running(cmd, h))
				}
			}
			return out.Flush()
		},
	}
}

func running(cmd *cobra.Command, h *lab.Host) string {
	if !h.Up() {
		return "(down)"
	}
	processes, err := h.Processes(cmd.Context())
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, p := range processes {
		if p.Running {
			names = append(names, p.Name)
		} else {
			names = append(names, fmt.Sprintf("%s (%s)", p.Name, p.Exit))
		}
	}
	return strings.Join(names, ", ")
}
