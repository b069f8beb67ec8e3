package controller

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// loop observes, plans and applies while this replica leads.
type loop struct {
	observer *kube.Observer
	services *kube.ServiceWriter
	events   *kube.Events
	config   *configWriter
	clouds   *clouds
	outages  *outages // nil where they are left to Kubernetes
	keys     *keys
	figures  *figures
	log      *slog.Logger
}

// NeedLeaderElection makes the manager start the loop on the leader only.
func (l *loop) NeedLeaderElection() bool { return true }

// Start runs until ctx is done (controller-runtime's manager.Runnable).
func (l *loop) Start(ctx context.Context) error {
	if err := l.observer.WaitForSync(ctx); err != nil {
		return nil // stopped before it began
	}
	l.log.Info("leading")
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.services.Run(ctx) })
	g.Go(func() error { return l.events.Run(ctx) })
	g.Go(func() error { return l.config.run(ctx) })
	g.Go(func() error { return l.clouds.run(ctx) })
	g.Go(func() error { return l.keys.run(ctx) })
	if l.outages != nil {
		g.Go(func() error { return l.outages.run(ctx) })
	}
	g.Go(func() error { return l.run(ctx) })
	return g.Wait()
}

func (l *loop) run(ctx context.Context) error {
	for {
		l.step()
		select {
		case <-ctx.Done():
			return nil
		case <-l.observer.Changed():
		case <-l.clouds.changed:
		case <-l.clouds.secrets.Changed():
		}
	}
}

// step plans the world as it is now, and hands on what differs.
func (l *loop) step() {
	started := time.Now()
	w := l.observer.World()
	if l.outages != nil {
		l.outages.want(&w) // first: every connection to a dead node is lost
	}
	l.keys.want(&w)
	w.Built = l.clouds.want(&w, l.observer.ClusterUID())
	d := plan.Plan(w)
	l.clouds.refusals(&w, d.Classes)
	l.figures.planned(&d, time.Since(started))
	l.services.Want(statuses(&d))
	l.config.want(&d)
}

// statuses are what every Service of ours should say.
func statuses(d *lb.Desired) map[lb.Key]kube.ServiceStatus {
	out := make(map[lb.Key]kube.ServiceStatus, len(d.Balancers)+len(d.Refusals)+len(d.Released))
	for i := range d.Balancers {
		out[d.Balancers[i].Service] = kube.StatusOf(&d.Balancers[i])
	}
	for i := range d.Refusals {
		out[d.Refusals[i].Service] = kube.StatusOfRefused(&d.Refusals[i])
	}
	for _, key := range d.Released {
		out[key] = kube.ServiceStatus{}
	}
	return out
}
