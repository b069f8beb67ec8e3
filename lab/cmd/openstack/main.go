// Command openstack starts and ends a real Keystone, Neutron and Octavia on
// this machine's loopback (see package lab/openstack).
package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/openstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "openstack",
		Short:         "A real Keystone, Neutron and Octavia on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	dir := root.PersistentFlags().StringP("dir", "d", cmp.Or(os.Getenv("FAIRLEAD_OPENSTACK_DIR"), openstack.DefaultDir),
		"where the cloud is; FAIRLEAD_OPENSTACK_DIR in the environment is the default")
	root.AddCommand(installCommand(), upCommand(dir), downCommand(dir), statusCommand(dir))
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "openstack:", err)
		os.Exit(1)
	}
}

func installCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "install",
		Short: "Install the Debian packages it needs; up does it too",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return openstack.Install(cmd.Context(), os.Stderr) },
	}
}

func upCommand(dir *string) *cobra.Command {
	o := openstack.Options{Progress: os.Stderr}
	var ipv4, ipv6 string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cloud that runs until openstack down",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			o.Dir = *dir
			if o.IPv4, err = netip.ParsePrefix(ipv4); err != nil {
				return err
			}
			if o.IPv6, err = netip.ParsePrefix(ipv6); err != nil {
				return err
			}
			c, err := openstack.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Printf(`
OpenStack is up: %s
  in a shell:  . %s/openrc && openstack loadbalancer list
  others are:  . %s/openrc lab-other (lab-observer, lab-admin, lab-appcred)
  programs:    %s/clouds.yaml, or cloud.conf beside it
  end it with: go run ./lab/cmd/openstack down -d %s
`, c.AuthURL, c.Options.Dir, c.Options.Dir, c.Options.Dir, c.Options.Dir)
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.NoOVN, "no-ovn", false, "without Octavia's ovn provider")
	f.StringVar(&ipv4, "ipv4", "172.31.0.0/24", "IPv4 subnet of the tenant network")
	f.StringVar(&ipv6, "ipv6", "fd31::/64", "IPv6 subnet of the tenant network")
	return cmd
}

func downCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the cloud and delete its directory",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return openstack.Remove(cmd.Context(), *dir) },
	}
}

func statusCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the services of the cloud",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := openstack.Attach(*dir)
			if err != nil {
				return err
			}
			daemons, err := c.Daemons()
			if err != nil {
				return err
			}
			out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(out, "SERVICE\tPID\tMEMORY\tLOG")
			var total int64
			for _, d := range daemons {
				fmt.Fprintf(out, "%s\t%d\t%d MiB\t%s\n", d.Name, d.PID, d.Memory>>20, d.Log)
				total += d.Memory
			}
			fmt.Fprintf(out, "total\t\t%d MiB\t%s\n", total>>20, c.AuthURL)
			return out.Flush()
		},
	}
}
