package controller

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/cloud/openstack/octavia"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// source is where a cloud's configuration comes from: a Secret, and an entry of its
// clouds.yaml where that has several.
type source struct{ secret, entry string }

func sourceOf(c *lb.Class) source { return source{c.Octavia.Secret, c.Octavia.Cloud} }

func (s source) String() string {
	if s.entry == "" {
		return s.secret
	}
	return s.secret + "/" + s.entry
}

// clouds has a driver for every source that a class names.
type clouds struct {
	cluster   string // its name, as OCCM knows it
	namespace string // of the Secrets
	secrets   *kube.Secrets
	metrics   prometheus.Registerer
	log       *slog.Logger
	changed   chan struct{}

	mu      sync.Mutex
	running map[source]*cloud
	fresh   []*cloud // not started yet
	begin   chan struct{}
}

func newClouds(cluster, namespace string, secrets *kube.Secrets, metrics prometheus.Registerer, log *slog.Logger) *clouds {
	return &clouds{cluster: cluster, namespace: namespace, secrets: secrets, metrics: metrics, log: log, changed: make(chan struct{}, 1), begin: make(chan struct{}, 1), running: make(map[source]*cloud)}
}

// run keeps the drivers going that want asks for, until ctx is done.
func (c *clouds) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.secrets.Run(ctx) })
	for {
		select {
		case <-ctx.Done():
			return g.Wait()
		case <-c.begin:
		}
		c.mu.Lock()
		fresh := c.fresh
		c.fresh = nil
		c.mu.Unlock()
		for _, one := range fresh {
			g.Go(func() error { return one.driver.Run(ctx) })
			g.Go(func() error { return one.connect(ctx) })
			g.Go(func() error { return one.forward(ctx) })
		}
	}
}

// want tells every cloud what the world wants of it, and returns what they have built.
func (c *clouds) want(w *lb.World, uid string) []lb.Built {
	if uid == "" {
		return nil // the namespace kube-system was not seen yet
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	byClass := make(map[string]source)
	var names []string
	for i := range w.Classes {
		class := &w.Classes[i]
		if !class.Provider.Cloud() || class.Octavia == nil {
			continue
		}
		s := sourceOf(class)
		byClass[class.Name] = s
		names = append(names, s.secret)
		if c.running[s] == nil {
			c.start(s)
		}
	}
	slices.Sort(names)
	c.secrets.Need(slices.Compact(names))
	services := make(map[source][]plan.CloudService, len(c.running))
	for _, service := range plan.CloudServices(*w) {
		at := byClass[service.Class.Name]
		services[at] = append(services[at], service)
	}
	cluster := octavia.Cluster{UID: uid, Name: c.cluster}
	var built []lb.Built
	for s, one := range c.running {
		one.look()
		config, problem := one.configured()
		one.want(octavia.InputOf(cluster, w, services[s], config, problem))
		built = append(built, one.driver.Built()...)
	}
	slices.SortFunc(built, func(x, y lb.Built) int { return cmp.Or(x.Service.Compare(y.Service), cmp.Compare(x.UID, y.UID)) })
	return built
}

// start asks run to begin with a cloud; the lock is held.
func (c *clouds) start(s source) {
	one := &cloud{
		source: s, owner: c, wake: make(chan struct{}, 1),
		driver: octavia.New(octavia.Options{Cloud: s.String(), Pace: octavia.DefaultPace(), Log: c.log.With("cloud", s.String()), Metrics: c.metrics}),
	}
	c.running[s] = one
	c.fresh = append(c.fresh, one)
	select {
	case c.begin <- struct{}{}:
	default:
	}
}

func (c *clouds) signal() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// unread says why a Secret could not be read, nil where it was.
func (c *clouds) unread(name string, state kube.SecretState) *lb.Refusal {
	switch state {
	case kube.SecretMissing:
		return lb.Refuse(lb.SecretMissing, fmt.Sprintf("kubectl -n %s create secret generic %s --from-file=cloud.conf", c.namespace, name),
			"there is no Secret %q in namespace %q", name, c.namespace)
	case kube.SecretForbidden:
		return lb.Refuse(lb.SecretMissing, fmt.Sprintf("add its name to the resourceNames of the Role %s in namespace %s", LeaseName, c.namespace),
			"the controller may not read the Secret %q in namespace %q", name, c.namespace)
	}
	return nil
}

// refusals puts what is wrong with a cloud's configuration on the classes that use it.
func (c *clouds) refusals(w *lb.World, states []lb.ClassState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range states {
		at := slices.IndexFunc(w.Classes, func(class lb.Class) bool { return class.Name == states[i].Name })
		if at < 0 || states[i].Refusal != nil || w.Classes[at].Octavia == nil {
			continue
		}
		if one := c.running[sourceOf(&w.Classes[at])]; one != nil {
			states[i].Refusal = one.trouble()
		}
	}
}
