package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/lab/build"
	"fairlead.dev/fairlead/lab/images"
)

// Options describe a lab. The zero value is a light dual-stack lab of three nodes.
type Options struct {
	// Name tells labs on one machine apart; without one it is made up.
	Name string
	// Nodes are n1, n2 …; 3 if zero, at most 89.
	Nodes int
	// Kubelets makes real nodes, with containerd and kubelet. Otherwise nodes
	// are light: every pod is an echo server.
	Kubelets bool
	// Family of the cluster; Dual if empty.
	Family Family
	// NodeMonitorGrace is how long heartbeats may be missing before a node is
	// NotReady; 40 s if zero (Kubernetes itself: 50 s).
	NodeMonitorGrace time.Duration
	// Images are archives that every real node imports, besides the lab's own.
	Images []string
	// NoKubeProxy leaves Services to whatever the test brings.
	NoKubeProxy bool
	// FirstNodeIsControlPlane marks n1 the way kubeadm marks a control plane node.
	FirstNodeIsControlPlane bool
	// Keep lets the lab outlive this process. Someone must call Down.
	Keep bool
	// Progress is told what takes time; nil for silence.
	Progress io.Writer `json:"-"`
}

// Lab is a running lab.
type Lab struct {
	options  Options
	programs build.Programs
	archives []string
	wiring   map[string]wiring
	pki      *pki
	progress io.Writer
	started  time.Time

	machines sync.WaitGroup // waits for the PID 1s that are children of this process
}

var labCount atomic.Int32

func (o Options) complete() (Options, error) {
	if o.Name == "" {
		o.Name = fmt.Sprintf("p%d-%d", os.Getpid(), labCount.Add(1))
	}
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`).MatchString(o.Name) {
		return o, fmt.Errorf("lab name %q: use up to 31 of a-z, 0-9 and -", o.Name)
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Nodes < 0 || o.Nodes > maxNodes {
		return o, fmt.Errorf("%d nodes: a lab has 1 to %d", o.Nodes, maxNodes)
	}
	if o.Family == "" {
		o.Family = Dual
	}
	if o.Family != Dual && o.Family != IPv4 {
		return o, fmt.Errorf("family %q: use %q or %q", o.Family, Dual, IPv4)
	}
	if o.NodeMonitorGrace == 0 {
		o.NodeMonitorGrace = 40 * time.Second
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	for i, path := range o.Images {
		abs, err := filepath.Abs(path)
		if err != nil {
			return o, err
		}
		o.Images[i] = abs
	}
	return o, nil
}

// Up starts a lab and returns when its API server answers and its nodes are
// Ready. It first builds what is missing, which takes minutes once, and sweeps
// away what killed processes left behind.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("a lab needs root: it makes namespaces, mounts and cgroups")
	}
	o.Images = slices.Clone(o.Images)
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	l := &Lab{options: o, wiring: topology(o.Nodes), progress: &steps{w: o.Progress}, started: time.Now()}
	if err := l.gather(ctx); err != nil {
		return nil, err
	}
	if err := Sweep(ctx); err != nil {
		return nil, err
	}
	loadModules()
	owner, err := identify(os.Getpid())
	if err != nil {
		return nil, err
	}
	s := state{Options: o, Programs: l.programs, Archives: l.archives, Owner: owner, Started: l.started}
	if err := claim(s); err != nil {
		return nil, err
	}
	if err := l.up(ctx, s); err != nil {
		// Not ctx: if that has ended, the lab must go away all the more.
		return nil, errors.Join(fmt.Errorf("start lab %s (logs in %s): %w", o.Name, logDir(o.Name), err), l.Down(context.WithoutCancel(ctx)))
	}
	return l, nil
}

// gather gets the programs and images this lab needs.
func (l *Lab) gather(ctx context.Context) (err error) {
	families := []string{build.InsideFamily, build.KubernetesFamily}
	if l.options.Kubelets {
		families = append(families, build.ImagesFamily, build.ContainerdFamily, build.RuncFamily, build.CNIFamily)
	}
	if l.programs, err = build.Some(ctx, l.progress, families...); err != nil {
		return err
	}
	if l.options.Kubelets {
		l.archives, err = images.All(ctx, l.programs, l.progress)
	}
	return err
}

func (l *Lab) up(ctx context.Context, s state) error {
	if err := os.RemoveAll(logDir(l.options.Name)); err != nil {
		return err
	}
	var err error
	if l.pki, err = newPKI(filepath.Join(runDir(l.options.Name), "pki")); err != nil {
		return err
	}
	if err := l.boot(ctx, l.fabric()); err != nil {
		return err
	}
	if err := l.buildSwitch(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.startControlPlane(gctx) })
	for name := range l.wiring {
		if name != fabricName {
			g.Go(func() error { return l.boot(gctx, l.Host(name)) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	l.say("control plane ready")
	if s.Port, err = l.startForwarder(); err != nil {
		return err
	}
	if err := l.startNodes(ctx); err != nil {
		return err
	}
	l.say("%d nodes ready", l.options.Nodes)
	if l.options.Keep {
		s.Owner = identity{}
	}
	return s.write()
}

// Attach returns a lab that another process started. It belongs to that
// process still; Down ends it all the same.
func Attach(name string) (*Lab, error) {
	s, err := readState(name)
	if errors.Is(err, os.ErrNotExist) {
		names, _ := Names()
		return nil, fmt.Errorf("no lab called %s is running (there are: %v)", name, names)
	}
	if err != nil {
		return nil, err
	}
	l := &Lab{
		options: s.Options, programs: s.Programs, archives: s.Archives,
		wiring: topology(s.Options.Nodes), progress: io.Discard, started: s.Started,
	}
	l.pki, err = loadPKI(filepath.Join(runDir(name), "pki"))
	return l, err
}

// Down ends everything in the lab and removes it. Only the logs stay.
func (l *Lab) Down(context.Context) error {
	if err := Remove(l.options.Name); err != nil {
		return err
	}
	l.machines.Wait()
	return nil
}

// Remove is Down for a lab by name, also for one that is half started or half gone.
func Remove(name string) error {
	if err := os.MkdirAll(runTop, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(runTop, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := demolish(name); err != nil {
		return fmt.Errorf("end lab %s: %w", name, err)
	}
	return nil
}

// Name is what Attach takes.
func (l *Lab) Name() string { return l.options.Name }

// Options are what the lab was started with, completed.
func (l *Lab) Options() Options { return l.options }

// Logs is the directory with the logs of all programs, one folder a machine.
func (l *Lab) Logs() string { return logDir(l.options.Name) }

// Host is a machine by name: client, remote, router, fabric, n1, n2 …
func (l *Lab) Host(name string) *Host { return &Host{lab: l, name: name} }

// Node is the i-th node, from 1.
func (l *Lab) Node(i int) *Host { return l.Host(nodeName(i)) }

// Nodes are all nodes, in order.
func (l *Lab) Nodes() []*Host {
	var nodes []*Host
	for i := 1; i <= l.options.Nodes; i++ {
		nodes = append(nodes, l.Node(i))
	}
	return nodes
}

// Hosts are all machines of the lab.
func (l *Lab) Hosts() []*Host {
	return append([]*Host{l.fabric(), l.Client(), l.Router(), l.Remote()}, l.Nodes()...)
}

// Client is the client on the nodes' own segment: it resolves load balancer addresses by ARP and NDP.
func (l *Lab) Client() *Host { return l.Host(clientName) }

// Remote is the client behind the router.
func (l *Lab) Remote() *Host { return l.Host(remoteName) }

// Router is between the nodes' segment and the remote client, and is the place for a BGP peer.
func (l *Lab) Router() *Host { return l.Host(routerName) }

func (l *Lab) fabric() *Host { return l.Host(fabricName) }

func (l *Lab) say(format string, args ...any) {
	fmt.Fprintf(l.progress, "%5.1f s  %s\n", time.Since(l.started).Seconds(), fmt.Sprintf(format, args...))
}

// steps lets several machines report at once.
type steps struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *steps) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
