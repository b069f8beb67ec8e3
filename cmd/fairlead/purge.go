package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/doctor"
	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
)

// purge is one run of the command.
type purge struct {
	cloud        cloudFlags
	uid          string
	name         string
	yes          bool
	dryRun       bool
	evenInUse    bool
	in           io.Reader
	out, warning io.Writer
	// interactive tells whether somebody can answer.
	interactive bool
}

func purgeCommand(cluster *clusterFlags) *cobra.Command {
	var p purge
	c := &cobra.Command{
		Use:   "purge --cluster UID",
		Short: "Delete everything that a cluster has in the cloud, also when the cluster is gone",
		Long: "Delete everything that a cluster has in the cloud: load balancers, floating IPs, security groups and ports. What a\n" +
			"Service marked as kept stays. It shows the list first, asks, and can be run again after it was stopped. Without\n" +
			"--cluster it lists the clusters that have something in the project.\n\n" +
			"The UID is that of the namespace kube-system: kubectl get namespace kube-system -o jsonpath='{.metadata.uid}'.\n" +
			"With --cluster-name also goes what OCCM made for a cluster of that name, of which nothing tells the UID: make sure\n" +
			"that no other cluster of the project is called the same.\n\n" +
			"Credentials are those of --cloud-config or --cloud; else of the Secret that a LoadBalancerClass names, while the\n" +
			"cluster is there; else of $OS_CLOUD and clouds.yaml, or of OS_AUTH_URL and the other variables of the openstack\n" +
			"command.",
		Example: "  fairlead purge --cloud mycloud\n  fairlead purge --cloud-config cloud.conf --cluster 5b3d2f6a-9f0e-4c1d-8f5e-0a8f3c1e7d42 --dry-run\n" +
			"  fairlead purge --cloud-config cloud.conf --cluster 5b3d2f6a-9f0e-4c1d-8f5e-0a8f3c1e7d42",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p.in, p.out, p.warning = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
			p.interactive = isTerminal(p.in)
			return p.run(c.Context(), cluster)
		},
	}
	p.cloud.add(c.Flags())
	c.Flags().StringVar(&p.uid, "cluster", "", "UID of the cluster's namespace kube-system")
	c.Flags().StringVar(&p.name, "cluster-name", "", "name of the cluster, to delete also what OCCM made for it")
	c.Flags().BoolVar(&p.yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&p.dryRun, "dry-run", false, "show what would be deleted, and delete nothing")
	c.Flags().BoolVar(&p.evenInUse, "even-in-use", false, "delete also load balancers that Services of a living cluster use")
	return c
}

// isTerminal tells whether there may be a person to read from.
func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

var uidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (p *purge) run(ctx context.Context, cluster *clusterFlags) error {
	if p.uid != "" && !uidForm.MatchString(p.uid) {
		return fmt.Errorf("--cluster %q is no UID: write that of the namespace kube-system, which fairlead purge shows without --cluster; a name goes with --cluster-name", p.uid)
	}
	s, noCluster := cluster.visit(ctx, patience)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	from, err := p.source(ctx, s, noCluster)
	if err != nil {
		return err
	}
	open, err := access.Open(ctx, from, access.Options{})
	if err != nil {
		return err
	}
	defer open.Close()
	if p.uid == "" && p.name == "" {
		return p.tenants(ctx, open)
	}
	estate, err := octavia.Find(ctx, clients(open), p.uid, p.name)
	if err != nil {
		return access.Classify(err)
	}
	fmt.Fprintf(p.out, "%s, %s\n", open, p.whose())
	if err := inventory(&estate).write(p.out); err != nil {
		return err
	}
	if estate.Empty() {
		fmt.Fprintln(p.out, "nothing to delete (without --cluster, the clusters that have something are listed)")
		return nil
	}
	if err := p.guard(s, noCluster, &estate); err != nil {
		return err
	}
	if p.dryRun {
		fmt.Fprintln(p.out, "\nSteps, none of which was taken:")
		for _, step := range estate.Steps() {
			fmt.Fprintln(p.out, " ", step)
		}
		return nil
	}
	if err := p.confirm(ctx); err != nil {
		return err
	}
	return p.remove(ctx, open, estate)
}

func (p *purge) whose() string {
	switch {
	case p.name == "":
		return "cluster " + p.uid
	case p.uid == "":
		return "cluster called " + p.name
	}
	return "cluster " + p.uid + " called " + p.name
}

// guard keeps the load balancers of a cluster that lives.
func (p *purge) guard(s *site, noCluster error, estate *octavia.Estate) error {
	if s == nil {
		fmt.Fprintf(p.warning, "\nNo cluster was looked at (%s): whether Services still use these load balancers is not known.\n", noCluster)
		return nil
	}
	users := s.users(p.uid, estate)
	if len(users) == 0 {
		if p.uid != "" && s.uid != p.uid {
			fmt.Fprintf(p.warning, "\nThe cluster that was looked at is another one, %s: whether Services of %s still use these load balancers is not known.\n", s.uid, p.uid)
		}
		return nil
	}
	fmt.Fprintf(p.warning, "\nWARNING: this cluster lives, and %s there would lose what is listed:\n", plural(len(users), "Service"))
	const enough = 10
	for i, u := range users {
		if i == enough {
			fmt.Fprintf(p.warning, "  and %d more\n", len(users)-enough)
			break
		}
		fmt.Fprintln(p.warning, " ", u)
	}
	if p.dryRun || p.evenInUse {
		return nil
	}
	return errors.New("the load balancers are in use: delete the Services (kubectl delete service), or give --even-in-use")
}

// users are the Services of the cluster that have what is in the estate.
func (s *site) users(uid string, estate *octavia.Estate) []string {
	shown := make(map[string]bool)
	for _, l := range slices.Concat(estate.LoadBalancers, estate.Visited) {
		shown[l.VIP.Address.String()] = true
		for _, v := range l.Additional {
			shown[v.Address.String()] = true
		}
	}
	for _, f := range estate.FloatingIPs {
		shown[f.Address.String()] = true
	}
	var out []string
	for _, x := range s.world.Services {
		var addresses []string
		uses := s.uid == uid && x.CloudClass != ""
		for _, a := range x.Held {
			uses = uses || shown[a.String()]
			addresses = append(addresses, a.String())
		}
		if uses {
			out = append(out, strings.TrimSpace(x.Key.String()+" "+strings.Join(addresses, ", ")))
		}
	}
	return out
}

// confirm asks for what nobody types by mistake.
func (p *purge) confirm(ctx context.Context) error {
	if p.yes {
		return nil
	}
	if !p.interactive {
		return errors.New("nobody can be asked here: look at the list, and give --yes")
	}
	what, phrase := "the first 8 characters of the cluster's UID", p.uid
	if phrase == "" {
		what, phrase = "the cluster's name", p.name
	} else {
		phrase = phrase[:8]
	}
	fmt.Fprintf(p.out, "\nAll this will be deleted and cannot be brought back. Type %s to go on: ", what)
	answer := make(chan string, 1)
	// A terminal cannot be told to stop waiting for its user: after Ctrl-C this ends with
	// the program.
	go func() {
		line, _ := bufio.NewReader(p.in).ReadString('\n') // what was read before an error is the answer
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
	case typed := <-answer:
		if typed == phrase {
			return nil
		}
	}
	return errors.New("that was not confirmed: nothing was deleted")
}

// remove deletes, and tells what is left.
func (p *purge) remove(ctx context.Context, open *access.Cloud, estate octavia.Estate) error {
	fmt.Fprintln(p.out)
	began := time.Now()
	failed := estate.Remove(ctx, clients(open), func(step string) {
		fmt.Fprintf(p.out, "%6s  %s\n", time.Since(began).Round(time.Second), step)
	})
	if ctx.Err() != nil {
		return errors.New("stopped: run the same again to go on")
	}
	left, err := octavia.Find(ctx, clients(open), p.uid, p.name)
	if err != nil {
		return fmt.Errorf("look at what is left: %w", access.Classify(err))
	}
	fmt.Fprintln(p.out)
	if left.Empty() {
		fmt.Fprintf(p.out, "nothing is left of the cluster (%s)\n", time.Since(began).Round(time.Second))
		return inventory(&left).stays(p.out)
	}
	fmt.Fprintln(p.out, "What is left:")
	if err := inventory(&left).remaining().write(p.out); err != nil {
		return err
	}
	for _, why := range reasons(failed) {
		fmt.Fprintln(p.out, "because:", why)
	}
	return errors.New("something is left: run the same again, or ask the cloud's operator")
}

// reasons are the parts of a joined error, as the cloud said them.
func reasons(err error) []string {
	if err == nil {
		return nil
	}
	if all, joined := err.(interface{ Unwrap() []error }); joined {
		var out []string
		for _, one := range all.Unwrap() {
			out = append(out, reasons(one)...)
		}
		return slices.Compact(out)
	}
	return []string{access.Classify(err).Message}
}

// tenants lists the clusters that have something in the project.
func (p *purge) tenants(ctx context.Context, open *access.Cloud) error {
	all, err := doctor.Tenants(ctx, open)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, open)
	if len(all) == 0 {
		fmt.Fprintln(p.out, "no cluster has anything here")
		return nil
	}
	t := tabwriter.NewWriter(p.out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(t, "CLUSTER\tNAME\tLOAD BALANCERS\tFLOATING IPS\tSECURITY GROUPS\tTO DELETE IT")
	for _, c := range all {
		write := "fairlead purge --cluster " + c.UID
		if c.UID == "" {
			write = "fairlead purge --cluster-name " + c.Name
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\n", cmp.Or(c.UID, "(made by OCCM)"), cmp.Or(c.Name, "-"), c.LoadBalancers, c.FloatingIPs, c.SecurityGroups, write)
	}
	return t.Flush()
}
