package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab"
)

// The clients that see a fault, by where their neighbour cache is.
const (
	onSegment  = "on-segment"  // in the client itself
	offSegment = "off-segment" // in the router before it
	uncached   = "no cache"    // asks by ARP each time
)

// balancer is a side that is measured.
type balancer interface {
	name() string
	// install brings it up in a lab, all but what runs on nodes.
	install(ctx context.Context, s *segment) error
	// start starts what announces on a node.
	start(ctx context.Context, s *segment, node *lab.Host) error
	// settled is nil when everything that was started takes part.
	settled(ctx context.Context, s *segment) error
}

// speakerProcess is what announces on a node, of either side.
const speakerProcess = "speaker"

// segment is a lab in which a Service with a pod on every node is announced.
type segment struct {
	*lab.Lab
	side     balancer
	api      client.Client
	newcomer *newcomer
	nodes    map[ether.MAC]*lab.Host
	pods     map[string]string // address and port, by node
	vip      netip.Addr
	nodePort int32
}

const (
	service = "web"
	pool    = "172.31.0.200-172.31.0.250"
)

// newSegment brings a side up on n nodes.
func newSegment(ctx context.Context, side balancer, n int, grace time.Duration) (*segment, error) {
	l, err := lab.Up(ctx, lab.Options{Nodes: n, NodeMonitorGrace: grace, Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	s := &segment{Lab: l, side: side, nodes: make(map[ether.MAC]*lab.Host), pods: make(map[string]string)}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.end(ctx))
	}
	return s, nil
}

// begin installs the side and the Service, and waits until all is there.
func (s *segment) begin(ctx context.Context) (err error) {
	if s.api, err = client.New(s.RESTConfig(), client.Options{Scheme: kube.NewScheme()}); err != nil {
		return err
	}
	if s.newcomer, err = newNewcomer(s.Client()); err != nil {
		return err
	}
	for _, node := range s.Nodes() {
		out, err := node.Output(ctx, "cat", "/sys/class/net/eth0/address")
		if err != nil {
			return err
		}
		mac, err := parseMAC(strings.TrimSpace(out))
		if err != nil {
			return fmt.Errorf("MAC of %s: %w", node.Name(), err)
		}
		s.nodes[mac] = node
	}
	if err := s.side.install(ctx, s); err != nil {
		return fmt.Errorf("install %s: %w", s.side.name(), err)
	}
	for _, node := range s.Nodes() {
		if err := s.side.start(ctx, s, node); err != nil {
			return err
		}
	}
	if err := s.serve(ctx); err != nil {
		return err
	}
	return s.whole(ctx)
}

// end takes the lab down.
func (s *segment) end(ctx context.Context) error {
	if s.newcomer != nil {
		s.newcomer.close()
	}
	return s.Down(context.WithoutCancel(ctx))
}

// serve makes the pods and the Service, and learns its address.
func (s *segment) serve(ctx context.Context) error {
	for _, node := range s.Nodes() {
		pod, err := s.RunPod(ctx, node.Name(), service+"-"+node.Name(), map[string]string{"run": service}, 8080)
		if err != nil {
			return err
		}
		s.pods[node.Name()] = pod.Status.PodIP + ":8080"
	}
	if err := s.api.Create(ctx, newService(service)); err != nil {
		return fmt.Errorf("make the Service: %w", err)
	}
	return until(ctx, time.Minute, "the Service has an address", func() error {
		var svc corev1.Service
		if err := s.api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: service}, &svc); err != nil {
			return err
		}
		if len(svc.Status.LoadBalancer.Ingress) == 0 {
			return fmt.Errorf("its conditions are %v", svc.Status.Conditions)
		}
		var err error
		s.nodePort = svc.Spec.Ports[0].NodePort
		s.vip, err = netip.ParseAddr(svc.Status.LoadBalancer.Ingress[0].IP)
		return err
	})
}

// newService has the pods of serve behind port 80.
func newService(name string) *corev1.Service {
	single := corev1.IPFamilyPolicySingleStack
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"run": service}, IPFamilyPolicy: &single,
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}

// whole waits until every node serves and announces as if nothing had ever happened.
func (s *segment) whole(ctx context.Context) error {
	for _, node := range s.Nodes() {
		if err := s.WaitNodesReady(ctx, node.Name()); err != nil {
			return err
		}
		err := until(ctx, 2*time.Minute, "the pod of "+node.Name()+" serves", func() error {
			return s.get(ctx, s.Host("fabric"), s.pods[node.Name()])
		})
		if err != nil {
			return err
		}
		err = until(ctx, 2*time.Minute, "kube-proxy of "+node.Name()+" answers", func() error {
			return s.get(ctx, s.Client(), fmt.Sprintf("%s:%d", node.IP4(), s.nodePort))
		})
		if err != nil {
			return err
		}
	}
	if err := until(ctx, 2*time.Minute, "all speakers take part", func() error { return s.side.settled(ctx, s) }); err != nil {
		return err
	}
	return s.steady(ctx)
}

// steady waits until the address was answered for a second without a failure, near and far.
func (s *segment) steady(ctx context.Context) error {
	const row = 100
	near, far := s.probe(s.Client(), patient), s.probe(s.Remote(), patient)
	defer near.Stop()
	defer far.Stop()
	return until(ctx, 2*time.Minute, "the address answers for a second", func() error {
		if n := min(trailing(near.SoFar()), trailing(far.SoFar())); n < row {
			return fmt.Errorf("%d answers in a row; at last: %w, %w", n, near.SoFar().LastError, far.SoFar().LastError)
		}
		return nil
	})
}

// How long one connection may take. An impatient probe sees an outage's ends exactly; a
// patient one takes no hiccup of a busy machine for a lost connection, and still counts
// each whose SYN was lost: Linux repeats it after 1 s.
const (
	impatient = 250 * time.Millisecond
	patient   = 900 * time.Millisecond
)

func (s *segment) probe(from *lab.Host, timeout time.Duration) *lab.Probing {
	return lab.Probe{From: from, Addr: netip.AddrPortFrom(s.vip, 80).String(), HTTP: true, Timeout: timeout}.Start()
}

// owner waits until one node answers for the address, and returns it.
func (s *segment) owner(ctx context.Context) (*lab.Host, error) {
	var owner *lab.Host
	err := until(ctx, time.Minute, "one node answers for "+s.vip.String(), func() error {
		macs, err := s.newcomer.who(ctx, s.vip)
		if err != nil {
			return err
		}
		if len(macs) != 1 || s.nodes[macs[0]] == nil {
			return fmt.Errorf("%v answer", macs)
		}
		owner = s.nodes[macs[0]]
		return nil
	})
	return owner, err
}

// get asks addr once by HTTP, from a machine of the lab.
func (s *segment) get(ctx context.Context, from *lab.Host, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	if err != nil {
		return err
	}
	c := http.Client{Transport: &http.Transport{DialContext: from.Dial, DisableKeepAlives: true}}
	answer, err := c.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// apply creates or changes what a manifest says.
func (s *segment) apply(ctx context.Context, manifest string) error {
	cmd := s.KubectlCommand(ctx, "apply", "--server-side", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, out)
	}
	return nil
}

// errLate is of what does not happen.
var errLate = errors.New("not within the limit")

// until asks again and again until the answer is nil.
func until(ctx context.Context, patience time.Duration, what string, ask func() error) error {
	for began := time.Now(); ; {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("wait until %s: %w of %s: %w", what, errLate, patience, err)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
