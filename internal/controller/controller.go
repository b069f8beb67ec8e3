// Package controller gives Services their addresses: the loop of observe, plan
// and apply, for the one replica that leads.
//
// It decides nothing (plan does) and knows no Kubernetes object (kube does).
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

// Options of a controller.
type Options struct {
	// Namespace of the Lease by which replicas agree on a leader.
	Namespace string
	// LeaderElection may be off where there is one replica only.
	LeaderElection bool
	// ClusterName is in the names and descriptions of cloud objects: OCCM's
	// --cluster-name. It need not be unique.
	ClusterName string
	// DeadNodeEndpoints takes the endpoints of a node out of service at once that the
	// speakers agree is dead.
	DeadNodeEndpoints bool
	// HeartbeatKeyAge is how old the key of heartbeats becomes before it is replaced; 0 is
	// for ever.
	HeartbeatKeyAge time.Duration
	// Address that metrics and probes are served on, such as ":7472"; "0" is none.
	Address string
	Log     *slog.Logger
}

// LeaseName is the Lease of the leader.
const LeaseName = "fairlead-controller"

// Run works until ctx is done, or until another replica leads.
func Run(ctx context.Context, cfg *rest.Config, o Options) error {
	var observer *kube.Observer
	probe := func(w http.ResponseWriter, _ *http.Request) {
		if observer == nil || !observer.Synced() {
			http.Error(w, "the first list of every kind is not complete", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                        kube.NewScheme(),
		Cache:                         kube.CacheOptions(),
		LeaderElection:                o.LeaderElection,
		LeaderElectionID:              LeaseName,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics: metricsserver.Options{BindAddress: o.Address, ExtraHandlers: map[string]http.Handler{
			"/healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }),
			"/readyz":  http.HandlerFunc(probe),
		}},
	})
	if err != nil {
		return fmt.Errorf("start the controller: %w", err)
	}
	observer, err = kube.Observe(ctx, mgr.GetCache(), kube.AllKinds, lb.Key{})
	if err != nil {
		return fmt.Errorf("start the controller: %w", err)
	}
	l, err := newLoop(cfg, mgr, observer, o)
	if err != nil {
		return fmt.Errorf("start the controller: %w", err)
	}
	if err := mgr.Add(l); err != nil {
		return fmt.Errorf("start the controller: %w", err)
	}
	return mgr.Start(ctx)
}

func newLoop(cfg *rest.Config, mgr manager.Manager, observer *kube.Observer, o Options) (*loop, error) {
	log := o.Log
	services, err := metadata.NewForConfigAndClient(metadata.ConfigFor(cfg), mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	core, err := kubernetes.NewForConfigAndClient(cfg, mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	events := kube.NewEvents(core.EventsV1(), log)
	writer := kube.NewServiceWriter(services, observer, events, log)
	events.Busy = func() bool { return writer.Pending() > 0 }
	var dead *outages
	if o.DeadNodeEndpoints {
		dead = watchOutages(core, mgr.GetCache(), events, log)
	}
	return &loop{
		outages:  dead,
		keys:     newKeys(kube.HeartbeatKeysFrom(core, o.Namespace, log), o.HeartbeatKeyAge, log),
		observer: observer,
		services: writer,
		events:   events,
		config:   &configWriter{client: mgr.GetClient(), observer: observer, log: log, kick: make(chan struct{}, 1)},
		clouds:   newClouds(o.ClusterName, o.Namespace, kube.NewSecrets(core, o.Namespace, log), metrics.Registry, log),
		figures:  newFigures(metrics.Registry),
		log:      log,
	}, nil
}
