package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"fairlead.dev/fairlead/deploy"
	"fairlead.dev/fairlead/lab"
)

// connections of the bare client; more made the API server no faster.
const connections = 32

// bench is a lab with Services that wait for addresses.
type bench struct {
	lab      *lab.Lab
	program  string
	services int
	clients  []kubernetes.Interface // one a connection
}

// usage is what a process used until it was done.
type usage struct {
	cpu time.Duration
	rss float64 // bytes, the highest
}

func newBench(ctx context.Context, l *lab.Lab, program string, services int) (*bench, error) {
	b := &bench{lab: l, program: program, services: services}
	for range connections {
		cfg := rest.CopyConfig(l.RESTConfig())
		cfg.QPS = -1
		cfg.ContentType = "application/vnd.kubernetes.protobuf"
		cfg.UserAgent = fmt.Sprintf("bench-%d", len(b.clients))
		own, err := rest.HTTPClientFor(withOwnTransport(cfg))
		if err != nil {
			return nil, err
		}
		c, err := kubernetes.NewForConfigAndClient(cfg, own)
		if err != nil {
			return nil, err
		}
		b.clients = append(b.clients, c)
	}
	if err := b.install(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	err := b.each(ctx, func(c kubernetes.Interface, i int) error {
		_, err := c.CoreV1().Services(metav1.NamespaceDefault).Create(ctx, service(name(i)), metav1.CreateOptions{})
		return err
	})
	fmt.Fprintf(os.Stderr, "%d Services created in %.1f s\n", services, time.Since(start).Seconds())
	return b, err
}

// withOwnTransport keeps client-go from sharing one connection among clients.
func withOwnTransport(cfg *rest.Config) *rest.Config {
	own := rest.CopyConfig(cfg)
	own.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	return own
}

func name(i int) string { return fmt.Sprintf("bench-%05d", i) }

func service(name string) *corev1.Service {
	none := false
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: &none,
			Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

// each does something for every Service, spread over all connections.
func (b *bench) each(ctx context.Context, do func(c kubernetes.Interface, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for worker, c := range b.clients {
		g.Go(func() error {
			for i := worker; i < b.services && ctx.Err() == nil; i += len(b.clients) {
				if err := do(c, i); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

func (b *bench) install(ctx context.Context) error {
	objects, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		return err
	}
	var manifest bytes.Buffer
	for _, o := range objects {
		if o.GetObjectKind().GroupVersionKind().Kind == "CustomResourceDefinition" {
			if err := deploy.Write(&manifest, append(objects[:0:0], o)); err != nil {
				return err
			}
		}
	}
	if err := b.apply(ctx, &manifest); err != nil {
		return err
	}
	if out, err := b.lab.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"); err != nil {
		return fmt.Errorf("wait for the CRDs: %w: %s", err, out)
	}
	return b.apply(ctx, strings.NewReader(`
apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: bench}
spec: {addresses: [10.200.0.0/16]}
`))
}

func (b *bench) apply(ctx context.Context, manifest interface{ Read([]byte) (int, error) }) error {
	cmd := b.lab.KubectlCommand(ctx, "apply", "-f", "-")
	cmd.Stdin = manifest
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, out)
	}
	return nil
}

// ceiling is how long a bare client takes to give every Service an address, with
// nothing to decide. It leaves the Services without one.
func (b *bench) ceiling(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	err := b.each(ctx, func(c kubernetes.Interface, i int) error {
		patch := fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":"10.200.%d.%d","ipMode":"VIP"}]}}}`, i/256, i%256)
		return patchStatus(ctx, c, name(i), patch)
	})
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("patch statuses: %w", err)
	}
	return took, b.clear(ctx)
}

// patchStatus asks for no more of the answer than whether it worked.
func patchStatus(ctx context.Context, c kubernetes.Interface, name, patch string) error {
	return c.CoreV1().RESTClient().Patch(types.StrategicMergePatchType).Namespace(metav1.NamespaceDefault).
		Resource("services").Name(name).SubResource("status").Body([]byte(patch)).Do(ctx).Error()
}

// clear makes every Service what it was when it was created.
func (b *bench) clear(ctx context.Context) error {
	err := b.each(ctx, func(c kubernetes.Interface, i int) error {
		return patchStatus(ctx, c, name(i), `{"metadata":{"finalizers":null},"status":{"loadBalancer":{"ingress":null},"conditions":null}}`)
	})
	if err != nil {
		return fmt.Errorf("clear statuses: %w", err)
	}
	return nil
}

// fairlead is how long a controller takes from its start until every Service shows
// an address, and what it used until then. It leaves the Services without one.
func (b *bench) fairlead(ctx context.Context) (time.Duration, usage, error) {
	arrived, err := b.watch(ctx)
	if err != nil {
		return 0, usage{}, err
	}
	defer arrived.stop()
	start := time.Now()
	if err := b.start(ctx); err != nil {
		return 0, usage{}, err
	}
	if err := arrived.wait(ctx, b.services); err != nil {
		return 0, usage{}, err
	}
	took := time.Since(start)
	used, err := b.lab.Host("fabric").Usage(ctx, "controller")
	if err != nil {
		return 0, usage{}, err
	}
	if err := b.stop(ctx); err != nil {
		return 0, usage{}, err
	}
	return took, usage{cpu: used.CPU, rss: float64(used.Peak)}, b.clear(ctx)
}

func (b *bench) start(ctx context.Context) error {
	on := b.lab.Host("fabric")
	return on.Start(ctx, "controller", b.program, "controller", "--leader-elect=false", "--address=0", "--kubeconfig="+b.lab.Kubeconfig())
}

func (b *bench) stop(ctx context.Context) error {
	return b.lab.Host("fabric").Stop(ctx, "controller", syscall.SIGTERM)
}
