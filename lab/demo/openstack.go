package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/openstack"
)

// CloudOptions of the story with OpenStack.
type CloudOptions struct {
	Options
	// Dir is where the cloud is; openstack.DefaultDir if empty. One that runs there
	// already is used, and stays.
	Dir string
}

// CloudResult is what the story with OpenStack saw.
type CloudResult struct {
	Address netip.Addr
	// Built is how long the Service waited for its address, and Gone how long its
	// deletion took.
	Built, Gone time.Duration
}

// cloudStory is a story with OpenStack under way.
type cloudStory struct {
	story
	dir      string
	kept     bool // the cloud was there before
	cloud    *openstack.Cloud
	inside   *openstack.Cloud // the same, as pods see it
	before   openstack.Contents
	balancer string // id
	found    CloudResult
}

// The catalog's region in which the services are where pods reach them.
const podRegion = "kubernetes-lab"

// RunCloud tells the story of a Service that becomes an OpenStack load balancer, and
// ends the lab and the cloud unless they are to be kept. Each chapter checks what it
// shows.
func RunCloud(ctx context.Context, o CloudOptions) (result CloudResult, err error) {
	s := &cloudStory{story: story{Options: o.Options, began: time.Now()}, dir: cmp.Or(o.Dir, openstack.DefaultDir)}
	for _, f := range []string{o.Image, o.Manifest, o.Program} {
		if _, err := os.Stat(f); err != nil {
			return CloudResult{}, fmt.Errorf("find what make demo-openstack builds: %w", err)
		}
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, s.end(context.WithoutCancel(ctx))) }()
	}
	for _, chapter := range []func(context.Context) error{
		s.startCloud, s.startLab, s.install, s.configure, s.serve, s.look, s.changePorts, s.addNode, s.remove,
	} {
		if err := chapter(ctx); err != nil {
			return s.found, err
		}
	}
	s.goodbye()
	return s.found, nil
}

func (s *cloudStory) startCloud(ctx context.Context) (err error) {
	s.chapter("A real OpenStack on this machine: Keystone, Neutron and Octavia of Debian")
	_, err = openstack.Attach(s.dir)
	s.kept = err == nil
	if s.cloud, err = openstack.Up(ctx, openstack.Options{Dir: s.dir, Progress: s.Out}); err != nil {
		return fmt.Errorf("start the cloud: %w", err)
	}
	if s.before, err = s.cloud.Contents(ctx); err != nil {
		return err
	}
	s.say("This is the control plane of a cloud, with real states, quotas and policies. Below the API there is nothing:\n" +
		"no hypervisor runs, and no packet gets to a floating IP. What the load balancers are told is real and is checked.")
	return nil
}

func (s *cloudStory) startLab(ctx context.Context) (err error) {
	s.chapter("A real Kubernetes with three nodes; each is a port of the cloud")
	s.lab, err = lab.Up(ctx, lab.Options{Name: s.Name, Nodes: 3, Kubelets: true, Images: []string{s.Image}, Keep: s.Keep, Progress: s.Out})
	if err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	if err := s.bringIn(ctx); err != nil {
		return err
	}
	for _, node := range s.lab.Nodes() {
		if err := s.addPort(ctx, node); err != nil {
			return err
		}
	}
	_, err = s.kubectl(ctx, "", "get", "nodes", "-o", "custom-columns=NAME:.metadata.name,ADDRESS:.status.addresses[0].address,PROVIDER-ID:.spec.providerID")
	return err
}

// bringIn makes the services, which are on the loopback of the host, reachable from
// pods: on the machine that the API server is on. A region of the catalog says so.
func (s *cloudStory) bringIn(ctx context.Context) (err error) {
	fabric := s.lab.Host("fabric")
	move := func(url string) (string, error) {
		_, hostport, _ := strings.Cut(url, "://")
		there, err := netip.ParseAddrPort(hostport)
		if err != nil {
			return "", err
		}
		at := netip.AddrPortFrom(fabric.IP4(), there.Port())
		return "http://" + at.String(), fabric.Publish(at, there)
	}
	at := openstack.Direct()
	for _, url := range []*string{&at.Identity, &at.Network, &at.LoadBalancer} {
		if *url, err = move(*url); err != nil {
			return err
		}
	}
	s.inside, err = s.cloud.AddRegion(ctx, podRegion, at)
	return err
}

// addPort makes a node a server of the cloud: it has a port there, and says so in
// spec.providerID.
func (s *cloudStory) addPort(ctx context.Context, node *lab.Host) error {
	_, server, err := s.cloud.AddNode(ctx, node.Name(), node.IP4(), node.IP6())
	if err != nil {
		return err
	}
	if out, err := s.lab.Kubectl(ctx, "patch", "node", node.Name(), "-p", fmt.Sprintf(`{"spec":{"providerID":"openstack:///%s"}}`, server)); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

const publicClass = `apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerClass
metadata: {name: public}
spec:
  default: true
  provider: Octavia
  octavia: {configSecret: cloud-config, securityGroups: Managed}
`

func (s *cloudStory) configure(ctx context.Context) error {
	s.chapter("The cloud's credentials in a Secret, and a class that uses them")
	conf := string(s.inside.CloudConf())
	if _, err := s.kubectl(ctx, conf, "-n", "fairlead-system", "create", "secret", "generic", "cloud-config", "--from-file=cloud.conf=/dev/stdin"); err != nil {
		return err
	}
	s.say("%s", strings.TrimSuffix(publicClass, "\n"))
	if _, err := s.kubectl(ctx, publicClass, "apply", "-f", "-"); err != nil {
		return err
	}
	_, err := s.kubectl(ctx, "", "wait", "--for=condition=Accepted", "loadbalancerclass/public", "--timeout=60s")
	return err
}

// serve gives an nginx pod a load balancer.
func (s *cloudStory) serve(ctx context.Context) error {
	s.chapter("The pod nginx, and a Service of type LoadBalancer")
	// The lab has no registry: the image was imported, and must not be pulled.
	if _, err := s.kubectl(ctx, "", "run", "nginx", "--image=nginx", "--image-pull-policy=IfNotPresent"); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "wait", "--for=condition=Ready", "pod/nginx", "--timeout=60s"); err != nil {
		return err
	}
	s.say("%s", strings.TrimSuffix(nginxService, "\n"))
	began := time.Now()
	if _, err := s.kubectl(ctx, nginxService, "apply", "-f", "-"); err != nil {
		return err
	}
	if err := s.readAddress(ctx); err != nil {
		return err
	}
	s.found.Built = time.Since(began)
	if _, err := s.kubectl(ctx, "", "get", "services"); err != nil {
		return err
	}
	s.say("EXTERNAL-IP was there after %.1f s.", s.found.Built.Seconds())
	return nil
}

func (s *cloudStory) readAddress(ctx context.Context) error {
	return eventually(ctx, 2*time.Minute, "nginxservice has an address", func() error {
		out, err := s.lab.Kubectl(ctx, "get", "service", "nginxservice", "-o",
			`jsonpath={.status.loadBalancer.ingress[*].ip}|{range .status.conditions[?(@.type=="fairlead.dev/Ready")]}{.reason}: {.message}{end}`)
		if err != nil {
			return err
		}
		ip, condition, _ := strings.Cut(out, "|")
		if ip == "" {
			return errors.New(cmp.Or(condition, "nobody has looked at it yet"))
		}
		s.found.Address, err = netip.ParseAddr(ip)
		return err
	})
}

// openstack shows what OpenStack's own client says.
func (s *cloudStory) openstack(ctx context.Context, args ...string) error {
	s.say("$ openstack %s", shellWords(args))
	cmd := exec.CommandContext(ctx, "/usr/bin/openstack", args...)
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+filepath.Join(s.cloud.Options.Dir, "clouds.yaml"), "OS_CLOUD=lab", "PYTHONWARNINGS=ignore")
	out, err := cmd.Output()
	fmt.Fprint(s.Out, indent(string(out)))
	if err != nil {
		return fmt.Errorf("openstack %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// shellWords are arguments as a shell would take them.
func shellWords(args []string) string {
	var out []string
	for _, a := range args {
		if strings.Contains(a, " ") {
			a = "'" + a + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

func (s *cloudStory) goodbye() {
	if !s.Keep {
		s.chapter("That was it; nothing is left running")
		s.say("Try next: make demo-openstack KEEP=1 leaves the cluster and the cloud up.")
		return
	}
	s.chapter("The cluster and the cloud go on running")
	s.say(`  export KUBECONFIG=%s
  . %s/openrc; openstack loadbalancer list
  bin/fairlead status
  make lab-down NAME=%s; make openstack-down DIR=%s   # end them`, s.lab.HostKubeconfig(), s.cloud.Options.Dir, s.lab.Name(), s.cloud.Options.Dir)
}

// end takes everything down that the story began.
func (s *cloudStory) end(ctx context.Context) error {
	var errs []error
	if s.cloud != nil && s.kept {
		if s.lab != nil {
			for _, node := range s.lab.Nodes() {
				errs = append(errs, s.cloud.RemoveNode(ctx, node.Name()))
			}
		}
		errs = append(errs, s.cloud.RemoveRegion(ctx, podRegion))
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Down(ctx))
	}
	if s.cloud != nil && !s.kept {
		errs = append(errs, s.cloud.Down(ctx))
	}
	return errors.Join(errs...)
}
