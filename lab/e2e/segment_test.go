//go:build lab

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/lab"
)

// segment is a cluster in which a few Services are announced, with their backend on a
// machine that no fault of a node reaches: what fails is the announcement's.
type segment struct {
	*cluster
	backend *lab.Host
	vips    []netip.Addr      // IPv4 and IPv6 in turn
	nodes   map[string]string // by MAC
}

const segmentServices = 4

// newSegment starts speakers that mend no imbalance: what moves, moves for a fault.
func newSegment(t *testing.T, o lab.Options, backend string) *segment {
	t.Helper()
	c := newCluster(t, o)
	c.controller("controller", "--leader-elect=false")
	c.speakers("--mend-every=0")
	c.pool("lan", "172.31.0.200-172.31.0.250", "fd31::1:0/112")
	s := &segment{cluster: c, backend: c.Host(backend), nodes: make(map[string]string)}
	// kube-proxy hides all clients behind a node's address. One that was rebooted does not
	// know which ports it used, and the backend refuses those that it still has in
	// TIME-WAIT: at a hundred connections a second, one in ten.
	if _, err := s.backend.Output(t.Context(), "sysctl", "-w", "net.ipv4.tcp_max_tw_buckets=0"); err != nil {
		t.Fatal(err)
	}
	if err := s.backend.Start(t.Context(), "backend", "inside", "echo", "--port=8080"); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		s.nodes[c.macOf(n)] = n.Name()
	}
	for i := range segmentServices {
		s.vips = append(s.vips, s.announce(fmt.Sprintf("web-%d", i))...)
	}
	s.homes()
	for _, vip := range s.vips {
		c.answers(c.Client(), vip)
		c.answers(c.Remote(), vip)
	}
	return s
}

// in is the segment for a subtest.
func (s *segment) in(t *testing.T) *segment {
	c := *s.cluster
	c.t = t
	out := *s
	out.cluster = &c
	return &out
}

// announce makes a Service with the segment's backend, and returns its addresses: IPv4
// and IPv6.
func (s *segment) announce(name string) []netip.Addr {
	s.t.Helper()
	s.service(name, preferDualStack, func(svc *corev1.Service) { svc.Spec.Selector = nil })
	for family, addr := range map[discoveryv1.AddressType]netip.Addr{discoveryv1.AddressTypeIPv4: s.backend.IP4(), discoveryv1.AddressTypeIPv6: s.backend.IP6()} {
		port, ready, http := int32(8080), true, "http"
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: metav1.NamespaceDefault, Name: name + "-" + strings.ToLower(string(family)),
				Labels: map[string]string{discoveryv1.LabelServiceName: name},
			},
			AddressType: family,
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{addr.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
			Ports:       []discoveryv1.EndpointPort{{Name: &http, Port: &port}},
		}
		if err := s.api.Create(s.t.Context(), slice); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.addresses(name, 2)
}

// homes waits until each address is announced by one node, as the Speaker objects of
// those that are up say.
func (s *segment) homes() map[netip.Addr]string {
	s.t.Helper()
	homes := make(map[netip.Addr]string)
	s.eventually(15*time.Second, "each address is announced by one node", func() error {
		claimed, err := s.claimed()
		if err != nil {
			return err
		}
		for _, vip := range s.vips {
			if len(claimed[vip]) != 1 {
				return fmt.Errorf("%s is announced by %v", vip, claimed[vip])
			}
			homes[vip] = claimed[vip][0]
		}
		return nil
	})
	return homes
}

// claimed are the nodes, of those that are up, whose Speakers say that they announce an
// address. The dead take nothing back that they said.
func (s *segment) claimed() (map[netip.Addr][]string, error) {
	var list v1alpha1.SpeakerList
	if err := s.api.List(s.t.Context(), &list); err != nil {
		return nil, err
	}
	out := make(map[netip.Addr][]string)
	for _, speaker := range list.Items {
		if !s.Host(speaker.Name).Up() {
			continue
		}
		for _, claim := range speaker.Status.Claims {
			if claim.State == v1alpha1.ClaimAnnounced {
				addr := netip.MustParseAddr(claim.Address)
				out[addr] = append(out[addr], speaker.Name)
			}
		}
	}
	return out, nil
}

// epochs are how often each address was taken over, as its announcer counts.
func (s *segment) epochs() map[netip.Addr]int64 {
	s.t.Helper()
	var list v1alpha1.SpeakerList
	if err := s.api.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	out := make(map[netip.Addr]int64)
	for _, speaker := range list.Items {
		for _, claim := range speaker.Status.Claims {
			addr := netip.MustParseAddr(claim.Address)
			out[addr] = max(out[addr], claim.Epoch)
		}
	}
	return out
}

// of are the addresses that a node announces.
func (s *segment) of(homes map[netip.Addr]string, node string) []netip.Addr {
	var out []netip.Addr
	for _, vip := range s.vips {
		if homes[vip] == node {
			out = append(out, vip)
		}
	}
	return out
}

// settled waits until every address is answered by the one node that says so, and
// returns who that is.
func (s *segment) settled(limit time.Duration, n *newcomer) map[netip.Addr]string {
	s.t.Helper()
	homes := make(map[netip.Addr]string)
	s.eventually(limit, "each address is answered by the node that says so", func() error {
		claimed, err := s.claimed()
		if err != nil {
			return err
		}
		for _, vip := range s.vips {
			macs := n.now(vip)
			if len(macs) != 1 || !slices.Equal(claimed[vip], []string{s.nodes[macs[0]]}) {
				return fmt.Errorf("%s is answered by %v, and %v say that they do", vip, s.named(macs), claimed[vip])
			}
			homes[vip] = claimed[vip][0]
		}
		return nil
	})
	return homes
}

func (s *segment) named(macs []string) []string {
	var out []string
	for _, mac := range macs {
		out = append(out, s.nodes[mac])
	}
	return out
}

// stayed fails the test if an address moved that had no reason to.
func (s *segment) stayed(before, after map[netip.Addr]string, but ...string) {
	s.t.Helper()
	for _, vip := range s.vips {
		if before[vip] != after[vip] && !slices.Contains(but, before[vip]) {
			s.t.Errorf("%s moved from %s to %s for no reason", vip, before[vip], after[vip])
		}
	}
}

// restart starts a node's speaker, and waits until it is another process that says what
// the Speaker says.
func (s *segment) restart(node *lab.Host) {
	s.t.Helper()
	old := s.boot(node)
	s.speaker(node)
	s.rebooted(node, old)
}

func (s *segment) boot(node *lab.Host) string {
	s.t.Helper()
	var speaker v1alpha1.Speaker
	err := s.api.Get(s.t.Context(), client.ObjectKey{Name: node.Name()}, &speaker)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	if speaker.Status.Hearing == nil {
		return ""
	}
	return speaker.Status.Hearing.Boot
}

func (s *segment) rebooted(node *lab.Host, old string) {
	s.t.Helper()
	s.eventually(20*time.Second, "the speaker of "+node.Name()+" is a new one", func() error {
		if now := s.boot(node); now == old || now == "" {
			return fmt.Errorf("it is %q, as before", now)
		}
		return nil
	})
}

// nothingLeft deletes the Services, and fails the test if anybody answers for what they
// had.
func (s *segment) nothingLeft() {
	s.t.Helper()
	n := s.newcomer(s.Client(), s.vips...)
	s.kubectl("delete", "service", "--all", "--timeout=10s")
	s.eventually(10*time.Second, "nobody announces anything", func() error {
		claimed, err := s.claimed()
		if err != nil || len(claimed) > 0 {
			return fmt.Errorf("announced are %v, %w", slices.Collect(maps.Keys(claimed)), err)
		}
		return nil
	})
	s.steady(20 * askEvery)
	for _, vip := range s.vips {
		if macs := n.now(vip); len(macs) > 0 {
			s.t.Errorf("%v still answer for %s", s.named(macs), vip)
		}
	}
}

// clients are the probes of one address, by the machine that asks: the client on the
// segment, and the one behind the router, which has its own neighbour cache.
type clients map[string]*lab.Probing

// How long one connection may take. An impatient client sees the ends of an outage
// exactly; a patient one takes no hiccup of a busy machine for a lost connection, and
// still counts each whose SYN was lost: Linux repeats it after 1 s.
const (
	impatient = 250 * time.Millisecond
	patient   = 900 * time.Millisecond
)

// probing opens fresh connections to an address every 10 ms.
func (s *segment) probing(vip netip.Addr, patience time.Duration, from ...*lab.Host) clients {
	if len(from) == 0 {
		from = []*lab.Host{s.Client(), s.Remote()}
	}
	out := make(clients)
	for _, host := range from {
		p := lab.Probe{From: host, Addr: netip.AddrPortFrom(vip, 80).String(), HTTP: true, Timeout: patience}.Start()
		s.t.Cleanup(func() { p.Stop() })
		out[host.Name()] = p
	}
	return out
}

// within ends the probes, and fails the test if one of them saw an outage that was
// longer than the bound.
func (c clients) within(t *testing.T, bound time.Duration, what string) {
	t.Helper()
	for _, from := range slices.Sorted(maps.Keys(c)) {
		o := c[from].Stop()
		t.Logf("%s, from %s: %s", what, from, o)
		if o.Longest() > bound || bound == 0 && o.Failures > 0 {
			t.Errorf("%s: %s could not connect for %s, want at most %s: %s", what, from, o.Longest(), bound, o)
		}
		if o.Total < 10 {
			t.Errorf("%s: %s asked %d times only", what, from, o.Total)
		}
	}
}

// answering waits until every client was answered for a while without a failure.
func (s *segment) answering(limit time.Duration, c clients) {
	s.t.Helper()
	began := time.Now()
	s.eventually(limit, "the address answers", func() error {
		// Attempts that are younger may still be waiting for their answer.
		until := time.Now().Add(-impatient)
		from := until.Add(-impatient)
		if from.Before(began) {
			return errors.New("it was hardly asked")
		}
		for host, p := range c {
			answered := 0
			for _, a := range p.SoFar().Attempts {
				switch {
				case a.Start.Before(from) || a.Start.After(until):
				case a.Err != nil:
					return fmt.Errorf("from %s: %w", host, a.Err)
				default:
					answered++
				}
			}
			if answered < 10 {
				return fmt.Errorf("from %s: %d answers", host, answered)
			}
		}
		return nil
	})
}
