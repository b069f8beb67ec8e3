// Package speaker makes one node announce what it owns: the loop of observe, plan
// and apply of every node.
//
// Which node owns what is decided in plan, by every speaker for itself; how the
// segment is told is in announce.
package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"fairlead.dev/fairlead/internal/announce"
	"fairlead.dev/fairlead/internal/fence"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/relay"
	"fairlead.dev/fairlead/internal/stray"
	"fairlead.dev/fairlead/internal/version"
)

// Options of a speaker.
type Options struct {
	// Node is the name of the Node object of this machine.
	Node string
	// Exclude are patterns of interfaces never to announce on; nil is the default.
	Exclude []string
	// Pods is the headless Service of the speakers' pods, whose EndpointSlices tell
	// which of them are ready.
	Pods lb.Key
	// Namespace has the Secret with the keys of heartbeats.
	Namespace string
	// HeartbeatPort is the UDP port of heartbeats, the same on all nodes; 0 exchanges
	// none, and believes Kubernetes.
	HeartbeatPort uint16
	// MendEvery is how long all must be quiet before one address moves from a node that
	// has more than its share; 0 is never.
	MendEvery time.Duration
	// Address that metrics and probes are served on, such as ":7473"; "0" is none.
	Address string
	Log     *slog.Logger
}

// ServiceName is the headless Service of the speakers' pods.
const ServiceName = "fairlead-speakers"

// Run announces until ctx is done, then hands over and returns.
func Run(ctx context.Context, cfg *rest.Config, o Options) error {
	// What serves the loop outlives ctx until the addresses are handed over.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var observer *kube.Observer
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: kube.NewScheme(),
		Cache:  kube.CacheOptions(),
		Metrics: metricsserver.Options{BindAddress: o.Address, ExtraHandlers: map[string]http.Handler{
			"/healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }),
			"/readyz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if observer == nil || !observer.Synced() || ctx.Err() != nil {
					http.Error(w, "starting, or stopping", http.StatusServiceUnavailable)
					return
				}
				fmt.Fprintln(w, "ok")
			}),
		}},
	})
	if err != nil {
		return fmt.Errorf("start the speaker: %w", err)
	}
	observer, err = kube.Observe(serving, mgr.GetCache(), kube.Services|kube.Classes|kube.Nodes|kube.Endpoints|kube.Speakers, o.Pods)
	if err != nil {
		return fmt.Errorf("start the speaker: %w", err)
	}
	barrier := fence.New(fence.Options{Log: o.Log, Metrics: metrics.Registry})
	neighbours, hearing, err := o.heartbeats(cfg)
	if err != nil {
		return fmt.Errorf("start the speaker: %w", err)
	}
	l := &loop{
		node:       o.Node,
		observer:   observer,
		announcer:  announce.New(announce.Options{Exclude: o.Exclude, Log: o.Log, Metrics: metrics.Registry, Gate: barrier, Mark: barrier.Mark()}),
		neighbours: neighbours,
		sight:      newSight(o.Node, neighbours, o.Log),
		listener:   hearing.listener(o.Node, barrier),
		gate:       &gate{fence: barrier, neighbours: neighbours},
		fence:      barrier,
		writer:     newStatusWriter(kube.SpeakerWriter{Client: mgr.GetClient(), Version: version.Version}, o.Log),
		tenure:     newTenure(o.Node),
		contests:   contests{},
		records:    records{},
		patience:   newPatience(o.Node),
		mending:    &mending{node: o.Node, every: o.MendEvery},
		passages:   passages{},
		relays:     relay.New(relay.Options{Log: o.Log}),
		strays:     stray.New(),
		figures:    newFigures(metrics.Registry),
		log:        o.Log,
	}
	g, serving := errgroup.WithContext(serving)
	g.Go(func() error { return mgr.Start(serving) })
	g.Go(func() error { return l.announcer.Run(serving) })
	g.Go(func() error { return l.writer.run(serving) })
	g.Go(func() error { return hearing.run(serving, l.gate.check) })
	g.Go(func() error {
		defer stop()
		return l.run(serving, ctx.Done())
	})
	return errors.Join(g.Wait(), l.relays.Close(), l.strays.Close(), barrier.Close())
}
