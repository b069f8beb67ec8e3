package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// run is a cloud while it is being started.
type run struct {
	options Options
	cloud   *Cloud
	started time.Time
	say     func(format string, args ...any)
	mariadb *daemon
}

func newRun(o Options) *run {
	r := &run{options: o, started: time.Now()}
	r.cloud = &Cloud{Options: o, AuthURL: authURL, Region: region, Flavors: map[string]string{}}
	var mu sync.Mutex // several services report at once
	r.say = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(o.Progress, "%5.1f s  %s\n", time.Since(r.started).Seconds(), fmt.Sprintf(format, args...))
	}
	return r
}

func (r *run) path(elements ...string) string {
	return filepath.Join(append([]string{r.options.Dir}, elements...)...)
}

// up brings everything up, from a snapshot or from nothing.
func (r *run) up(ctx context.Context) error {
	snapshot, err := r.snapshotDir(ctx)
	if err != nil {
		return err
	}
	restored, err := r.restore(ctx, snapshot)
	if err != nil {
		return err
	}
	if err := r.configure(); err != nil {
		return err
	}
	if restored {
		err = r.again(ctx)
	} else {
		err = r.first(ctx, snapshot)
	}
	if err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.publish(); err != nil {
		return err
	}
	r.say("ready")
	return nil
}

// again starts all services on databases that are filled.
func (r *run) again(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	// Nobody waits for RabbitMQ, which takes as long as the others take to load
	// their code: they try again until it listens.
	g.Go(func() error { return r.startRabbitMQ(gctx) })
	g.Go(r.writeCA)
	g.Go(func() error {
		// These are waited for: a service that does not find its database tries
		// again after ten seconds.
		databases, dctx := errgroup.WithContext(gctx)
		databases.Go(func() error { return r.startMariaDB(dctx) })
		databases.Go(func() error { return r.startOVN(dctx) })
		if err := databases.Wait(); err != nil {
			return err
		}
		g.Go(func() error { return r.startKeystone(gctx) })
		g.Go(func() error { return r.startNeutron(gctx) })
		return r.startOctavia(gctx)
	})
	return g.Wait()
}

// first makes and fills the databases, and keeps a copy of them.
func (r *run) first(ctx context.Context, snapshot string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.startRabbitMQ(gctx) })
	g.Go(r.writeCA)
	g.Go(r.writeFernetKeys)
	g.Go(func() error { return r.makeDatabases(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := r.startOVN(ctx); err != nil {
		return err
	}
	if err := r.bootstrap(ctx); err != nil {
		return err
	}
	g, gctx = errgroup.WithContext(ctx)
	g.Go(func() error { return r.startKeystone(gctx) })
	g.Go(func() error { return r.startNeutron(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := r.pretendAgents(ctx); err != nil {
		return err
	}
	if err := r.seedIdentity(ctx); err != nil {
		return fmt.Errorf("fill Keystone: %w", err)
	}
	if err := r.seedNetworks(ctx); err != nil {
		return fmt.Errorf("fill Neutron: %w", err)
	}
	r.say("accounts and networks made")
	if err := r.configure(); err != nil { // with the ids of the amphora network
		return err
	}
	if err := r.startOctavia(ctx); err != nil {
		return err
	}
	if err := r.seedOctavia(ctx); err != nil {
		return fmt.Errorf("fill Octavia: %w", err)
	}
	return r.keep(ctx, snapshot)
}

// settle waits until each service has done something that needs a token and a
// database: they load half of their code at the first request.
func (r *run) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := r.touch(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the services are up and do not work: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r *run) touch(ctx context.Context) error {
	s, err := login(ctx, r.cloud.Lab)
	if err != nil {
		return err
	}
	for _, url := range []string{neutronURL + "/v2.0/networks", octaviaURL + "/v2/lbaas/loadbalancers"} {
		if err := s.call(ctx, http.MethodGet, url, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// publish writes what users of the cloud read. cloud.json is the last: it
// stands for a cloud that is up.
func (r *run) publish() error {
	data, err := json.MarshalIndent(r.cloud, "", "  ")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{"clouds.yaml", r.cloud.CloudsYAML()}, {"cloud.conf", r.cloud.CloudConf()}, {"openrc", r.cloud.openRC()}, {"cloud.json", data}} {
		partial := r.path("." + f.name)
		if err := os.WriteFile(partial, f.content, 0o600); err != nil {
			return err
		}
		if err := os.Rename(partial, r.path(f.name)); err != nil {
			return err
		}
	}
	return nil
}

// command runs a program to its end, with the environment of the services.
func (r *run) command(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = r.environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out[max(0, len(out)-3000):])
	}
	return string(out), nil
}

// python is command for a program of OpenStack, by its entry point. A log
// keeps what it said.
func (r *run) python(ctx context.Context, log string, argv ...string) error {
	f, err := os.Create(r.path("log", log+".log"))
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5", "/usr/bin/python3", r.path("python", "run.py")}, argv...)...)
	cmd.Env = r.environment()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, r.tail(log))
	}
	return nil
}

// answers tells whether a service replies to HTTP, whatever it replies.
func answers(url string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := direct.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode < http.StatusInternalServerError
	}
}

func exists(path string) func(context.Context) bool {
	return func(context.Context) bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

// logged tells whether a service has written a text to its log.
func (r *run) logged(name, text string) func(context.Context) bool {
	return func(context.Context) bool {
		data, err := os.ReadFile(r.path("log", name+".log"))
		return err == nil && strings.Contains(string(data), text)
	}
}
