package speaker

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"fairlead.dev/fairlead/internal/fence"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/liveness"
)

// heartbeats are the mesh of this node and the keys that it is given; nil where none
// are exchanged.
type heartbeats struct {
	mesh *liveness.Mesh
	keys *kube.HeartbeatKeys
	boot uint64
	log  *slog.Logger
}

// heartbeats makes what Options ask for.
func (o *Options) heartbeats(cfg *rest.Config) (Neighbours, *heartbeats, error) {
	if o.HeartbeatPort == 0 {
		return kubernetesKnows{}, nil, nil
	}
	keys, err := kube.NewHeartbeatKeys(cfg, o.Namespace, o.Log)
	if err != nil {
		return nil, nil, err
	}
	h := &heartbeats{keys: keys, boot: rand.Uint64() | 1, log: o.Log}
	h.mesh = liveness.New(liveness.Options{
		Node: o.Node, Boot: h.boot, Cluster: o.Namespace, Port: o.HeartbeatPort, Log: o.Log, Metrics: metrics.Registry,
	})
	return h.mesh, h, nil
}

// run exchanges heartbeats, with the keys as they change, until ctx is done. pulse is
// called again and again, as liveness.Mesh.Run tells; it is for what must not be held up
// by anything, and cost no wake-up of its own.
func (h *heartbeats) run(ctx context.Context, pulse func()) error {
	if h == nil {
		return tick(ctx, pulse)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.mesh.Run(ctx, pulse) })
	g.Go(func() error { return h.keys.Run(ctx) })
	g.Go(func() error { h.follow(ctx); return nil })
	return g.Wait()
}

// pulseEvery is how often the pulse comes where there are no heartbeats.
const pulseEvery = 25 * time.Millisecond

func tick(ctx context.Context, pulse func()) error {
	ticker := time.NewTicker(pulseEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			pulse()
		}
	}
}

// follow sets the keys whenever they change. Bad ones leave those before in force.
func (h *heartbeats) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.keys.Changed():
		}
		ring, err := h.keys.Ring()
		if err == nil {
			err = h.mesh.SetKeys(ring)
		}
		if err != nil {
			h.log.Warn("keys of heartbeats not taken", "err", err)
		}
	}
}

// listener tells what the heartbeats tell; nil where there are none.
func (h *heartbeats) listener(node string, f *fence.Fence) *listener {
	if h == nil {
		return nil
	}
	turn := fnv.New32a()
	turn.Write([]byte(node))
	return &listener{
		boot: fmt.Sprintf("%016x", h.boot), turn: turn.Sum32(), fence: f.Mode,
		keys: h.keyNames,
	}
}

// keyNames are the ids of the keys in force.
func (h *heartbeats) keyNames() []string {
	var out []string
	for _, id := range h.mesh.Keys() {
		out = append(out, id.String())
	}
	return out
}
