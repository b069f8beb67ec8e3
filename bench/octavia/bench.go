package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"fairlead.dev/fairlead/deploy"
	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/openstack"
)

// bench is a cluster whose nodes are ports of a cloud, seen through a tally.
type bench struct {
	options
	dir    string
	lab    *lab.Lab
	cloud  *openstack.Cloud // by way of the tally
	tally  *openstack.Tally
	client kubernetes.Interface
	before openstack.Contents
}

// side is a controller that is measured.
type side interface {
	name() string
	// start starts it, with or without security groups of its own.
	start(ctx context.Context, groups bool) error
	stop(ctx context.Context) error
}

func newBench(ctx context.Context, o options, l *lab.Lab, cloud *openstack.Cloud, dir string) (*bench, error) {
	b := &bench{options: o, dir: dir, lab: l}
	var err error
	if b.client, err = kubernetes.NewForConfig(l.RESTConfig()); err != nil {
		return nil, err
	}
	if b.before, err = cloud.Contents(ctx); err != nil {
		return nil, err
	}
	if b.tally, err = openstack.NewTally(); err != nil {
		return nil, err
	}
	if b.cloud, err = cloud.AddRegion(ctx, "bench", b.tally.Endpoints()); err != nil {
		return nil, err
	}
	for _, at := range b.tally.Addresses() {
		if err := l.Host("fabric").Publish(at, at); err != nil {
			return nil, err
		}
	}
	for _, node := range l.Nodes() {
		if err := b.addPort(ctx, node); err != nil {
			return nil, err
		}
	}
	return b, b.install(ctx)
}

// end takes out of the cloud what the bench put there.
func (b *bench) end(ctx context.Context) error {
	errs := []error{b.tally.Close(), b.cloud.RemoveRegion(ctx, b.cloud.Region)}
	for _, node := range b.lab.Nodes() {
		errs = append(errs, b.cloud.RemoveNode(ctx, node.Name()))
	}
	return errors.Join(errs...)
}

func (b *bench) addPort(ctx context.Context, node *lab.Host) error {
	_, server, err := b.cloud.AddNode(ctx, node.Name(), node.IP4(), node.IP6())
	if err != nil {
		return err
	}
	_, err = b.lab.Kubectl(ctx, "patch", "node", node.Name(), "-p", fmt.Sprintf(`{"spec":{"providerID":"openstack:///%s"}}`, server))
	return err
}

// install gives the cluster Fairlead's kinds, and the Secret.
func (b *bench) install(ctx context.Context) error {
	objects, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		return err
	}
	var manifest bytes.Buffer
	for _, o := range objects {
		if kind := o.GetObjectKind().GroupVersionKind().Kind; kind == "CustomResourceDefinition" || kind == "Namespace" {
			if err := deploy.Write(&manifest, append(objects[:0:0], o)); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(&manifest, "---\napiVersion: v1\nkind: Secret\nmetadata: {namespace: fairlead-system, name: cloud-config}\nstringData: {cloud.conf: %q}\n", b.conf())
	if err := b.apply(ctx, manifest.String()); err != nil {
		return err
	}
	out, err := b.lab.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
	if err != nil {
		return fmt.Errorf("wait for the CRDs: %w: %s", err, out)
	}
	return nil
}

// conf is the same for both sides. OCCM reads the floating subnet by its id, which
// members of a project may not, so that it is left out.
func (b *bench) conf() string {
	var kept []string
	for line := range strings.Lines(string(b.cloud.CloudConf())) {
		if !strings.HasPrefix(line, "floating-subnet-id=") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func (b *bench) apply(ctx context.Context, manifest string) error {
	cmd := b.lab.KubectlCommand(ctx, "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, out)
	}
	return nil
}

// fairlead is our side.
type fairlead struct {
	*bench
	program string
}

func (*fairlead) name() string { return "Fairlead" }

func (f *fairlead) start(ctx context.Context, groups bool) error {
	managed := map[bool]string{true: "Managed", false: "None"}[groups]
	err := f.apply(ctx, fmt.Sprintf(`apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerClass
metadata: {name: public}
spec: {default: true, provider: Octavia, octavia: {configSecret: cloud-config, securityGroups: %s}}
`, managed))
	if err != nil {
		return err
	}
	return f.run(ctx, f.program, "controller", "--leader-elect=false", "--address=0", "--cluster-name=bench", "--kubeconfig="+f.lab.Kubeconfig(), "--log-level=debug")
}

// occm is the peer, with the controllers of nodes and routes left out.
type occm struct {
	*bench
	program string
}

func (*occm) name() string { return "OCCM" }

func (p *occm) start(ctx context.Context, groups bool) error {
	conf := filepath.Join(p.dir, "occm.conf")
	text := fmt.Sprintf("%smanage-security-groups=%t\n", p.conf(), groups)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	return p.run(ctx, p.program, "--cloud-provider=openstack", "--cloud-config="+conf, "--cluster-name=bench", "--controllers=service",
		"--leader-elect=false", "--kubeconfig="+p.lab.Kubeconfig(), "--secure-port=0", "--v=2")
}

const process = "controller"

// long is more than anything takes that happens at all.
const long = 10 * time.Minute

func (b *bench) run(ctx context.Context, argv ...string) error {
	return b.lab.Host("fabric").Start(ctx, process, argv...)
}

func (b *bench) stop(ctx context.Context) error {
	return b.lab.Host("fabric").Stop(ctx, process, syscall.SIGTERM)
}

// service has TCP ports from 80 on.
func service(name string, ports int) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	for i := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", i), Port: int32(80 + i)})
	}
	return s
}

// errLate is what until says of what does not happen.
var errLate = errors.New("it does not happen")

// until asks until the answer is yes.
func until(ctx context.Context, patience time.Duration, what string, yes func() (bool, error)) error {
	for began := time.Now(); ; {
		done, err := yes()
		if err != nil || done {
			return err
		}
		if time.Since(began) > patience {
			return fmt.Errorf("wait %s until %s: %w", patience, what, errLate)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
}
