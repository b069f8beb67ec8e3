package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/speaker"
)

// clusterFlags say which cluster, and where in it Fairlead is installed.
type clusterFlags struct {
	kubeconfig string
	context    string
	namespace  string
}

func (f *clusterFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "file that names the API server (default $KUBECONFIG, ~/.kube/config, or the pod's own)")
	flags.StringVar(&f.context, "context", "", "context of the kubeconfig to use")
	namespace := os.Getenv("FAIRLEAD_NAMESPACE")
	if namespace == "" {
		namespace = "fairlead-system"
	}
	flags.StringVar(&f.namespace, "fairlead-namespace", namespace, "namespace that Fairlead is installed in (default $FAIRLEAD_NAMESPACE)")
}

func (f *clusterFlags) config() (*rest.Config, error) { return kube.Config(f.kubeconfig, f.context) }

// speakers is the headless Service of the speakers' pods.
func (f *clusterFlags) speakers() lb.Key {
	return lb.Key{Namespace: f.namespace, Name: speaker.ServiceName}
}

// logFlags say how a role writes its log.
type logFlags struct {
	level  string
	format string
}

func (f *logFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringVar(&f.format, "log-format", "text", "text or json")
}

// logger writes to standard error. The Kubernetes libraries write there too, from
// warnings up: what they say below that is theirs.
func (f *logFlags) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is unknown: write debug, info, warn or error", f.level)
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler
	switch f.format {
	case "text":
		handler = slog.NewTextHandler(os.Stderr, options)
	case "json":
		handler = slog.NewJSONHandler(os.Stderr, options)
	default:
		return nil, fmt.Errorf("--log-format %q is unknown: write text or json", f.format)
	}
	log := slog.New(handler)
	quiet := logr.FromSlogHandler(warnings{handler})
	ctrl.SetLogger(quiet)
	klog.SetLogger(quiet)
	return log, nil
}
