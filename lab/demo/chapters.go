package demo

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"fairlead.dev/fairlead/lab"
)

const pool = `apiVersion: fairlead.dev/v1alpha1
kind: AddressPool
metadata: {name: lan}
spec:
  addresses: [172.31.0.200-172.31.0.250, "fd31::1:0/112"]
`

const nginxService = `apiVersion: v1
kind: Service
metadata: {name: nginxservice}
spec:
  ports: [{port: 80, targetPort: 80, protocol: TCP}]
  selector: {run: nginx}
  type: LoadBalancer
`

// install brings Fairlead into the cluster as on any other.
func (s *story) install(ctx context.Context) error {
	s.chapter("Fairlead, from the image and the manifests that a production cluster gets")
	// The path means nothing inside the lab's machines; the file goes in by stdin.
	manifest, err := readFile(s.Manifest)
	if err != nil {
		return err
	}
	s.say("$ kubectl apply -f %s", "deploy/install.yaml")
	cmd := s.lab.KubectlCommand(ctx, "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install Fairlead: %w: %s", err, out)
	}
	for _, role := range []string{"deployment/fairlead-controller", "daemonset/fairlead-speaker"} {
		if _, err := s.kubectl(ctx, "", "-n", "fairlead-system", "rollout", "status", role, "--timeout=120s"); err != nil {
			return err
		}
	}
	return nil
}

// serve gives an nginx pod an address, and asks it from the client.
func (s *story) serve(ctx context.Context) error {
	s.chapter("A pool of addresses, the pod nginx, and a Service of type LoadBalancer")
	s.say("%s---\n%s", pool, nginxService)
	if _, err := s.kubectl(ctx, pool, "apply", "-f", "-"); err != nil {
		return err
	}
	// The lab has no registry: the image was imported, and must not be pulled.
	if _, err := s.kubectl(ctx, "", "run", "nginx", "--image=nginx", "--image-pull-policy=IfNotPresent"); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, nginxService, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "wait", "--for=condition=Ready", "pod/nginx", "--timeout=60s"); err != nil {
		return err
	}
	if err := s.readAddresses(ctx, 1); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "get", "services"); err != nil {
		return err
	}
	return s.curl(ctx, s.lab.Client())
}

// bothFamilies adds an IPv6 address to the same Service, and asks both, from the
// segment and from behind a router.
func (s *story) bothFamilies(ctx context.Context) error {
	s.chapter("The same Service over IPv6 as well; the IPv4 address stays")
	if _, err := s.kubectl(ctx, "", "patch", "service", "nginxservice", "-p", `{"spec":{"ipFamilyPolicy":"PreferDualStack"}}`); err != nil {
		return err
	}
	if err := s.readAddresses(ctx, 2); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "get", "services"); err != nil {
		return err
	}
	if err := s.curl(ctx, s.lab.Client()); err != nil {
		return err
	}
	return s.curl(ctx, s.lab.Remote())
}

// readAddresses waits until the Service shows n addresses.
func (s *story) readAddresses(ctx context.Context, n int) error {
	return eventually(ctx, 30*time.Second, fmt.Sprintf("nginxservice has %d addresses", n), func() error {
		out, err := s.lab.Kubectl(ctx, "get", "service", "nginxservice", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}")
		if err != nil {
			return err
		}
		s.result.Addresses = nil
		for _, field := range strings.Fields(out) {
			addr, err := netip.ParseAddr(field)
			if err != nil {
				return err
			}
			s.result.Addresses = append(s.result.Addresses, addr)
		}
		if len(s.result.Addresses) != n {
			return fmt.Errorf("it has %v", s.result.Addresses)
		}
		return nil
	})
}

// curl asks every address from a machine of the lab.
func (s *story) curl(ctx context.Context, from *lab.Host) error {
	for _, addr := range s.result.Addresses {
		url := "http://" + host(addr)
		var out string
		start := time.Now()
		err := eventually(ctx, 30*time.Second, url+" answers", func() (err error) {
			out, err = from.Output(ctx, "curl", "-sS", "--max-time", "1", url)
			return err
		})
		if err != nil {
			return err
		}
		title, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
		s.say("%s$ curl %s      # answered after %d ms", from.Name(), url, time.Since(start).Milliseconds())
		s.say("  %s", title)
	}
	return nil
}

func host(addr netip.Addr) string {
	if addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}

// look shows what fairlead status says, from inside the cluster's controller.
func (s *story) look(ctx context.Context) error {
	s.chapter("Who announces what, and why")
	for _, args := range [][]string{{"status"}, {"explain", "default/nginxservice"}} {
		s.say("$ fairlead %s", strings.Join(args, " "))
		out, err := s.fairlead(ctx, args...)
		if err != nil {
			return err
		}
		fmt.Fprint(s.Out, indent(out))
	}
	return nil
}

// fairlead runs the user's commands where the administrator's kubeconfig is.
func (s *story) fairlead(ctx context.Context, args ...string) (string, error) {
	out, err := s.lab.Host("fabric").Output(ctx, s.program(), append(args, "--kubeconfig="+s.lab.Kubeconfig())...)
	if err != nil {
		return "", fmt.Errorf("fairlead %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, nil
}

// crash takes the power of the node that announces the address, while the client
// goes on asking.
func (s *story) crash(ctx context.Context) error {
	s.chapter("The node that announces the address loses its power")
	vip := s.result.Addresses[0]
	if err := s.moveAwayFromPod(ctx, vip); err != nil {
		return err
	}
	before, err := s.announcer(ctx, vip)
	if err != nil {
		return err
	}
	s.result.Before = before
	s.say("%s announces %s. The client opens a new connection every 10 ms.", before, vip)
	probing := lab.Probe{From: s.lab.Client(), Addr: netip.AddrPortFrom(vip, 80).String(), HTTP: true}.Start()
	stopped := false
	defer func() {
		if !stopped {
			probing.Stop()
		}
	}()
	time.Sleep(500 * time.Millisecond) // of good answers, to compare with
	crashed := time.Now()
	if err := s.lab.Host(before).Crash(ctx); err != nil {
		return fmt.Errorf("crash %s: %w", before, err)
	}
	s.say("%s is dead. Its neighbours miss its heartbeats; Kubernetes will notice in 40 s.", before)
	err = eventually(ctx, 30*time.Second, "another node announces "+vip.String(), func() (err error) {
		s.result.After, err = s.announcer(ctx, vip)
		if err == nil && s.result.After == before {
			return fmt.Errorf("it is still %s", before)
		}
		return err
	})
	if err != nil {
		return err
	}
	time.Sleep(time.Second) // for the first good answers
	stopped = true
	out := probing.Stop()
	s.result.Outage = out.Longest()
	s.say("%s announces it now. curl got no answer for %d ms, from %d ms after the crash (%d of %d connections).",
		s.result.After, s.result.Outage.Milliseconds(), gapStart(out, crashed).Milliseconds(), out.Failures, out.Total)
	return s.curl(ctx, s.lab.Client())
}

func gapStart(o lab.Outcome, since time.Time) time.Duration {
	for _, g := range o.Gaps {
		if g.Length == o.Longest() {
			return g.Start.Sub(since)
		}
	}
	return 0
}

// moveAwayFromPod moves the address if the node that announces it also runs the
// only pod: its crash would take both, and no load balancer could help.
func (s *story) moveAwayFromPod(ctx context.Context, vip netip.Addr) error {
	runs, err := s.lab.Kubectl(ctx, "get", "pod", "nginx", "-o", "jsonpath={.spec.nodeName}")
	if err != nil {
		return err
	}
	node, err := s.announcer(ctx, vip)
	if err != nil || node != runs {
		return err
	}
	const label = "node.kubernetes.io/exclude-from-external-load-balancers"
	s.say("%s runs the only nginx pod as well, so the address moves away from it first: a planned move, without a lost connection.", node)
	if _, err := s.kubectl(ctx, "", "label", "node", node, label+"="); err != nil {
		return err
	}
	err = eventually(ctx, 30*time.Second, "the address moves", func() error {
		now, err := s.announcer(ctx, vip)
		if err == nil && now == node {
			err = fmt.Errorf("%s still announces it", now)
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.kubectl(ctx, "", "label", "node", node, label+"-")
	return err
}

// announcer is the node that says it announces addr, if it is one.
func (s *story) announcer(ctx context.Context, addr netip.Addr) (string, error) {
	out, err := s.fairlead(ctx, "status", "-o", "json")
	if err != nil {
		return "", err
	}
	return announcedBy(out, addr)
}
