package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/status"
)

func statusCommand(cluster *clusterFlags) *cobra.Command {
	var output string
	var watch, nodes bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show every Service with its address, the node that announces it, and the pools",
		Long: "Show every Service with its address, the node that announces it, and the pools.\n\n" +
			"With --nodes: who hears whom and how late, and which node has which address since when and why. " +
			"A node that is cut off from the API server is shown as it was when it last wrote.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := cluster.config()
			if err != nil {
				return err
			}
			take := func(w lb.World) view { return status.Take(w) }
			if nodes {
				take = func(w lb.World) view { return status.TakeSegment(w) }
			}
			if watch {
				return follow(c.Context(), cfg, cluster.speakers(), c.OutOrStdout(), take, output)
			}
			w, err := look(c.Context(), cfg, cluster.speakers())
			if err != nil {
				return err
			}
			return take(w).Write(c.OutOrStdout(), output)
		},
	}
	c.Flags().BoolVar(&nodes, "nodes", false, "show the nodes and what each of them has")
	c.Flags().StringVarP(&output, "output", "o", "", "json, yaml or wide")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes")
	completeOutput(c, "json", "yaml", "wide")
	return c
}

// view is what a command shows of a world.
type view interface {
	Write(w io.Writer, format string) error
}

func explainCommand(cluster *clusterFlags) *cobra.Command {
	var output, namespace string
	c := &cobra.Command{
		Use:     "explain SERVICE",
		Short:   "Tell why a Service has what it has, and what to change first",
		Example: "  fairlead explain web -n shop\n  fairlead explain shop/web",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return serviceNames(c.Context(), cluster), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := cluster.config()
			if err != nil {
				return err
			}
			w, err := look(c.Context(), cfg, cluster.speakers())
			if err != nil {
				return err
			}
			key := lb.Key{Namespace: namespace, Name: args[0]}
			if ns, name, qualified := strings.Cut(args[0], "/"); qualified {
				key = lb.Key{Namespace: ns, Name: name}
			} else if key.Namespace == "" {
				key.Namespace = cluster.currentNamespace()
			}
			e, err := status.Explain(w, key)
			if err != nil {
				return err
			}
			return e.Write(c.OutOrStdout(), output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	c.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace of the Service (default that of the kubeconfig's context)")
	completeOutput(c, "json", "yaml")
	return c
}

func completeOutput(c *cobra.Command, formats ...string) {
	err := c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is defined a line above
	}
}

// look reads the world once.
func look(ctx context.Context, cfg *rest.Config, speakers lb.Key) (lb.World, error) {
	reader, err := client.New(cfg, client.Options{Scheme: kube.NewScheme()})
	if err != nil {
		return lb.World{}, fmt.Errorf("reach the API server: %w", err)
	}
	return kube.List(ctx, reader, speakers)
}

// follow prints a snapshot whenever it differs from the one before, until ctx is
// done.
func follow(ctx context.Context, cfg *rest.Config, speakers lb.Key, out io.Writer, take func(lb.World) view, output string) error {
	objects, err := cache.New(cfg, cache.Options{Scheme: kube.NewScheme()})
	if err != nil {
		return fmt.Errorf("reach the API server: %w", err)
	}
	o, err := kube.Observe(ctx, objects, kube.AllKinds, speakers)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	g.Go(func() error { return objects.Start(ctx) })
	g.Go(func() error {
		defer stop()
		return show(ctx, o, out, take, output)
	})
	return g.Wait()
}

// show prints what an observer sees, whenever that changes.
func show(ctx context.Context, o *kube.Observer, out io.Writer, take func(lb.World) view, output string) error {
	if err := o.WaitForSync(ctx); ctx.Err() == nil && err != nil {
		return err
	}
	var last []byte
	for {
		var now bytes.Buffer
		if err := take(o.World()).Write(&now, output); err != nil {
			return err
		}
		if !bytes.Equal(now.Bytes(), last) {
			last = bytes.Clone(now.Bytes())
			if _, err := fmt.Fprintf(out, "%s\n", bytes.TrimRight(last, "\n")); err != nil {
				return fmt.Errorf("print the status: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.Changed():
		}
	}
}

// currentNamespace is that of the kubeconfig's context.
func (f *clusterFlags) currentNamespace() string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.context}
	namespace, _, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).Namespace()
	if err != nil {
		return corev1.NamespaceDefault
	}
	return namespace
}

// serviceNames lists the load balancer Services for shell completion.
func serviceNames(ctx context.Context, cluster *clusterFlags) []string {
	cfg, err := cluster.config()
	if err != nil {
		return nil
	}
	w, err := look(ctx, cfg, cluster.speakers())
	if err != nil {
		return nil
	}
	var out []string
	for _, s := range w.Services {
		if s.LoadBalancer {
			out = append(out, s.Key.String())
		}
	}
	return out
}
