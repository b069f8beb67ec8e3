package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/status"
)

// cloudPlan is what the controller would do to one cloud.
type cloudPlan struct {
	Cloud string `json:"cloud"`
	// Project and where it is; empty where nobody could sign in.
	Project  string         `json:"project,omitempty"`
	Services []plannedSteps `json:"services"`
	// Error is why the cloud could not be asked.
	Error string `json:"error,omitempty"`
}

// plannedSteps are what is to do for one Service, or for all at once.
type plannedSteps struct {
	// Service is empty for the nodes' security groups.
	Service      string   `json:"service,omitempty"`
	LoadBalancer string   `json:"loadBalancer,omitempty"`
	Steps        []string `json:"steps,omitempty"`
	Reason       string   `json:"reason,omitempty"`
	Message      string   `json:"message,omitempty"`
}

func planCommand(cluster *clusterFlags) *cobra.Command {
	var cloud cloudFlags
	var output, name string
	var detailed bool
	c := &cobra.Command{
		Use:   "plan [NAMESPACE/SERVICE]",
		Short: "Show what the controller would do to the cloud now, step by step; nothing is done",
		Long: "Show what the controller would do to the cloud now, step by step, and what it refuses. Nothing is done.\n\n" +
			"It signs in with the Secret that a LoadBalancerClass names, so that you need the right to read that.",
		Example: "  fairlead plan\n  fairlead plan shop/web -o yaml\n  fairlead plan --cloud-config cloud.conf --detailed-exitcode",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return serviceNames(c.Context(), cluster), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			s, err := cluster.visit(c.Context(), 0)
			if err != nil {
				return err
			}
			only := ""
			if len(args) == 1 {
				if only, err = s.service(args[0], cluster); err != nil {
					return err
				}
			}
			plans, err := s.plans(c.Context(), &cloud, name)
			if err != nil {
				return err
			}
			steps := narrow(plans, only)
			if err := writePlans(c.OutOrStdout(), plans, output); err != nil {
				return err
			}
			for _, p := range plans {
				if p.Error != "" {
					return errors.New("not every cloud could be asked")
				}
			}
			if detailed && steps > 0 {
				return exitCode(2)
			}
			return nil
		},
	}
	cloud.add(c.Flags())
	addClusterName(c.Flags(), &name)
	c.Flags().StringVarP(&output, "output", "o", "", "table, json or yaml")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "end with 2 where there is something to do")
	completeOutput(c, "table", "json", "yaml")
	return c
}

// service finds the Service that an argument names.
func (s *site) service(arg string, cluster *clusterFlags) (string, error) {
	if !strings.Contains(arg, "/") {
		arg = cluster.currentNamespace() + "/" + arg
	}
	if !slices.ContainsFunc(s.world.Services, func(x lb.Service) bool { return x.Key.String() == arg }) {
		return "", fmt.Errorf("there is no Service %s (see kubectl get services -A)", arg)
	}
	return arg, nil
}

// plans asks every cloud.
func (s *site) plans(ctx context.Context, f *cloudFlags, clusterName string) ([]cloudPlan, error) {
	doors := s.doors()
	if len(doors) == 0 {
		return nil, errors.New("no LoadBalancerClass has provider Octavia: there is no cloud to plan for (see docs/reference/objects.md)")
	}
	out := make([]cloudPlan, 0, len(doors))
	for i := range doors {
		p, err := s.plan(ctx, &doors[i], f, clusterName)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			p.Error = err.Error()
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *site) plan(ctx context.Context, d *door, f *cloudFlags, clusterName string) (cloudPlan, error) {
	p := cloudPlan{Cloud: d.origin(s, f), Services: []plannedSteps{}}
	from, refusal := s.source(ctx, d, f)
	if refusal != nil {
		return p, errors.New(refusal.Message())
	}
	open, err := access.Open(ctx, from, access.Options{})
	if err != nil {
		return p, fmt.Errorf("%w (see fairlead doctor)", err)
	}
	defer open.Close()
	p.Project = open.String()
	foreseen, err := s.foresee(ctx, d, open, clusterName)
	if err != nil {
		return p, err
	}
	for _, x := range foreseen {
		line := plannedSteps{LoadBalancer: x.LoadBalancer, Steps: x.Steps}
		if x.Service != (lb.Key{}) {
			line.Service = x.Service.String()
		}
		if x.Refusal != nil {
			line.Reason, line.Message = string(x.Refusal.Reason), x.Refusal.Message()
		}
		p.Services = append(p.Services, line)
	}
	for _, r := range d.refused {
		p.Services = append(p.Services, plannedSteps{Service: r.Service.String(), Reason: string(r.Reason), Message: r.Message()})
	}
	// Last is what is for all Services.
	slices.SortStableFunc(p.Services, func(x, y plannedSteps) int {
		return cmp.Compare(cmp.Or(x.Service, "~"), cmp.Or(y.Service, "~"))
	})
	return p, nil
}

// foresee asks what is to do in a cloud.
func (s *site) foresee(ctx context.Context, d *door, open *access.Cloud, clusterName string) ([]octavia.Foreseen, error) {
	in := octavia.InputOf(octavia.Cluster{UID: s.uid, Name: clusterName}, &s.world, d.services, open.Config, nil)
	foreseen, err := octavia.Foresee(ctx, clients(open), in)
	if err != nil {
		return nil, access.Classify(err)
	}
	return foreseen, nil
}

// narrow leaves what concerns one Service, and counts the steps.
func narrow(plans []cloudPlan, only string) (steps int) {
	for i := range plans {
		p := &plans[i]
		if only != "" {
			p.Services = slices.DeleteFunc(p.Services, func(s plannedSteps) bool { return s.Service != only })
		}
		for _, s := range p.Services {
			steps += len(s.Steps)
		}
	}
	return steps
}

func writePlans(w io.Writer, plans []cloudPlan, format string) error {
	if format == "json" || format == "yaml" {
		return status.WriteData(w, map[string]any{"clouds": plans}, format)
	}
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(w)
		}
		p.table(w)
	}
	return nil
}

// table shows a plan for reading.
func (p *cloudPlan) table(w io.Writer) {
	fmt.Fprint(w, p.Cloud)
	if p.Project != "" {
		fmt.Fprintf(w, " (%s)", p.Project)
	}
	fmt.Fprintln(w)
	if p.Error != "" {
		fmt.Fprintln(w, "cannot be asked:", p.Error)
		return
	}
	total, services := 0, 0
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tSTEP\tWHAT")
	for _, s := range p.Services {
		name := cmp.Or(s.Service, "(all)")
		for i, step := range s.Steps {
			fmt.Fprintf(t, "%s\t%d\t%s\n", name, i+1, step)
			name = ""
		}
		if total += len(s.Steps); len(s.Steps) > 0 && s.Service != "" {
			services++
		}
		switch {
		case s.Reason != "":
			fmt.Fprintf(t, "%s\t-\trefused: %s (%s)\n", name, s.Reason, s.Message)
		case len(s.Steps) == 0:
			fmt.Fprintf(t, "%s\t-\tnothing to do\n", name)
		}
	}
	t.Flush()
	if total == 0 {
		fmt.Fprintln(w, "nothing to do")
		return
	}
	fmt.Fprintf(w, "%s for %s; nothing was done\n", plural(total, "step"), plural(services, "Service"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
