package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/doctor"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/status"
)

// diagnosis is what was found out about one cloud.
type diagnosis struct {
	Cloud    string           `json:"cloud"`
	Findings []doctor.Finding `json:"findings"`
}

func doctorCommand(cluster *clusterFlags) *cobra.Command {
	var cloud cloudFlags
	var output, name string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything that Services need of an OpenStack, and say what would fail and why",
		Long: "Check everything that Services need of an OpenStack: credentials, rights, versions, quotas, networks, the nodes and\n" +
			"their ports, and say what would fail, why, and what to do. Nothing is changed. It ends with 1 where something would\n" +
			"fail.\n\n" +
			"With --cloud-config it needs no cluster: that is how to look at a project before anything is installed.",
		Example: "  fairlead doctor\n  fairlead doctor --cloud-config cloud.conf -o yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			all, err := diagnose(c.Context(), cluster, &cloud, name)
			if err != nil {
				return err
			}
			if err := writeDiagnoses(c.OutOrStdout(), all, output); err != nil {
				return err
			}
			problems := 0
			for _, d := range all {
				problems += doctor.Failing(d.Findings)
			}
			if problems > 0 {
				return errors.New(plural(problems, "problem"))
			}
			return nil
		},
	}
	cloud.add(c.Flags())
	addClusterName(c.Flags(), &name)
	c.Flags().StringVarP(&output, "output", "o", "", "table, json or yaml")
	completeOutput(c, "table", "json", "yaml")
	return c
}

// diagnose looks at every cloud that a class names, or at the one of the flags.
func diagnose(ctx context.Context, cluster *clusterFlags, f *cloudFlags, name string) ([]diagnosis, error) {
	s, noCluster := cluster.visit(ctx, 3*patience) // a large one lists for longer
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var doors []door
	if s != nil {
		doors = s.doors()
	}
	if f.config == "" {
		switch {
		case s == nil:
			return nil, fmt.Errorf("%w; to check a cloud without a cluster, give --cloud-config FILE", noCluster)
		case len(doors) == 0:
			return nil, errors.New("no LoadBalancerClass has provider Octavia: create one, or give --cloud-config FILE to check a cloud before")
		}
	}
	if s == nil {
		s = &site{namespace: cluster.namespace}
	}
	if len(doors) == 0 {
		doors = []door{{}}
	}
	var out []diagnosis
	for i := range doors {
		facts := s.facts(ctx, &doors[i], f, name)
		facts.Cluster.Unread = noCluster
		out = append(out, diagnosis{Cloud: facts.Source, Findings: doctor.Judge(facts)})
	}
	return out, ctx.Err()
}

// facts reads what is to be judged of one cloud and of those that use it.
func (s *site) facts(ctx context.Context, d *door, f *cloudFlags, name string) *doctor.Facts {
	facts := &doctor.Facts{Source: d.origin(s, f), Cluster: doctor.Cluster{UID: s.uid, Nodes: s.world.Nodes}}
	from, refusal := s.source(ctx, d, f)
	if refusal != nil {
		facts.Unread = refusal
		return facts
	}
	config, warnings, err := access.Read(from)
	facts.Config, facts.Warnings = config, warnings
	if err != nil {
		facts.Unread = lb.Refuse(lb.BadCloudConfig, "", "%s: %s", facts.Source, err)
		if errors.Is(err, access.ErrNoConfiguration) {
			facts.Unread = lb.Refuse(lb.SecretMissing, "put one of them in", "%s has neither a key cloud.conf nor a key clouds.yaml", facts.Source)
		}
		return facts
	}
	facts.Uses = d.uses(facts)
	d.customers(facts)
	open, err := access.Open(ctx, from, access.Options{})
	if err != nil {
		facts.SignIn = err
		return facts
	}
	defer open.Close()
	facts.Cloud = doctor.Observe(ctx, open, facts)
	s.foretell(ctx, d, open, name, facts)
	return facts
}

// uses are the classes, and the sections of cloud.conf that Services may name.
func (d *door) uses(f *doctor.Facts) []doctor.Use {
	var out []doctor.Use
	add := func(where string, class lb.Octavia) {
		options, refusal := f.Config.Options(class, &lb.Service{})
		out = append(out, doctor.Use{Where: where, Options: options, Refusal: refusal})
	}
	for i := range d.classes {
		c := &d.classes[i]
		add(fmt.Sprintf("LoadBalancerClass %q", c.Name), *c.Octavia)
		if c.Problem != nil {
			out[i].Refusal = c.Problem
		}
	}
	var base lb.Octavia
	if len(out) > 0 {
		base = *d.classes[0].Octavia
	} else {
		add("the configuration", base)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Config.Classes)) {
		class := base
		class.Section = name
		add(fmt.Sprintf("[LoadBalancerClass %q]", name), class)
	}
	return out
}

// customers are the Services that use the cloud.
func (d *door) customers(f *doctor.Facts) {
	for _, service := range d.services {
		c := doctor.Service{Service: service.Service, Refusal: service.Problem}
		if service.Class.Octavia != nil {
			options, refusal := f.Config.Options(*service.Class.Octavia, &service.Service)
			c.Options = options
			if refusal != nil {
				c.Refusal = refusal
			}
		}
		f.Cluster.Services = append(f.Cluster.Services, c)
	}
	for _, r := range d.refused {
		f.Cluster.Services = append(f.Cluster.Services, doctor.Service{Service: lb.Service{Key: r.Service}, Refusal: &r})
	}
}

// foretell notes which Services have a load balancer, and what they cannot have.
func (s *site) foretell(ctx context.Context, d *door, open *access.Cloud, name string, f *doctor.Facts) {
	if len(d.services) == 0 {
		return
	}
	foreseen, err := s.foresee(ctx, d, open, name)
	if err != nil {
		f.Cluster.Unplanned = err
		return
	}
	for _, x := range foreseen {
		i := slices.IndexFunc(f.Cluster.Services, func(c doctor.Service) bool { return c.Key == x.Service })
		if i < 0 {
			continue
		}
		c := &f.Cluster.Services[i]
		c.Built = x.LoadBalancer != ""
		if c.Refusal == nil {
			c.Refusal = x.Refusal
		}
	}
}

func writeDiagnoses(w io.Writer, all []diagnosis, format string) error {
	if format == "json" || format == "yaml" {
		return status.WriteData(w, map[string]any{"clouds": all}, format)
	}
	for i, d := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, d.Cloud)
		t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
		fmt.Fprintln(t, "CHECK\tSTATE\tDETAIL")
		for _, f := range d.Findings {
			fmt.Fprintln(t, strings.Join([]string{f.Check, string(f.State), f.String()}, "\t"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}
