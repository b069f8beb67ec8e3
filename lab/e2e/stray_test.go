//go:build lab

package e2e

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/lab"
)

// kube-proxy learns of an address at the same time as the speakers do, and is slower now
// and then: it programs once a second at most. It knows the pods here: where it learns of
// a Service before it learns of them, it refuses until it programs again.
func TestAConnectionThatIsFasterThanKubeProxyIsServed(t *testing.T) {
	c := newCluster(t, lab.Options{})
	c.controller("controller", "--leader-elect=false")
	c.speakers()
	c.pool("lan", "172.31.0.200", "fd31::1:0")
	c.backends("web")
	s := c.service("web", preferDualStack, ofType(corev1.ServiceTypeClusterIP))
	for _, n := range c.Nodes() {
		for _, ip := range s.Spec.ClusterIPs {
			c.answers(n, netip.MustParseAddr(ip))
		}
		if err := n.Freeze(t.Context(), "kube-proxy"); err != nil {
			t.Fatal(err)
		}
	}
	c.edit("web", ofType(corev1.ServiceTypeLoadBalancer))
	vips := c.addresses("web", 2)
	served := make(chan error, len(vips))
	for _, vip := range vips {
		c.owner(vip)
		p := lab.Probe{From: c.Client(), Addr: netip.AddrPortFrom(vip, 80).String(), HTTP: true, Every: time.Hour, Timeout: 20 * time.Second}.Start()
		go func() { served <- p.Stop().LastError }()
	}
	c.steady(2 * time.Second) // the first SYN, and the second
	if len(served) > 0 {
		t.Fatalf("a connection ended without kube-proxy: %v", <-served)
	}
	for _, n := range c.Nodes() {
		if err := n.Thaw(t.Context(), "kube-proxy"); err != nil {
			t.Fatal(err)
		}
	}
	for range vips {
		if err := <-served; err != nil {
			t.Errorf("a connection that began before kube-proxy knew the address: %v", err)
		}
	}
}

// What kube-proxy refuses is its to refuse: a client of a Service without pods is told so.
// The client waits for its second SYN, after 1 s: in a lab the refusal of the first may be
// there while connect(2) still holds the socket, and such a refusal does not end it.
func TestAServiceWithoutPodsRefuses(t *testing.T) {
	c := newCluster(t, lab.Options{})
	c.controller("controller", "--leader-elect=false")
	c.speakers()
	c.pool("lan", "172.31.0.200", "fd31::1:0")
	c.service("web", preferDualStack)
	for _, vip := range c.addresses("web", 2) {
		c.owner(vip)
		c.eventually(15*time.Second, "a connection is refused", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			conn, err := c.Client().Dial(ctx, "tcp", netip.AddrPortFrom(vip, 80).String())
			switch {
			case err == nil:
				conn.Close()
				return errors.New("somebody answers")
			case !errors.Is(err, syscall.ECONNREFUSED):
				return err
			}
			return nil
		})
	}
}
