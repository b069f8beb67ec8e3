//go:build lab

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/lab"
)

func TestAServiceAnswersOverBothFamilies(t *testing.T) {
	c := newCluster(t, lab.Options{})
	c.controller("controller")
	c.speakers()
	c.pool("lan", "172.31.0.200-172.31.0.250", "fd31::1:0/112")
	c.backends("web")
	c.service("web", preferDualStack)
	for _, addr := range c.addresses("web", 2) {
		c.answers(c.Client(), addr)
		c.answers(c.Remote(), addr)
	}
	s := c.get("web")
	for _, i := range s.Status.LoadBalancer.Ingress {
		if i.IPMode == nil || *i.IPMode != corev1.LoadBalancerIPModeVIP {
			t.Errorf("ipMode of %s is %v, want VIP", i.IP, i.IPMode)
		}
	}

	// Deleted, it is gone at once, and nobody answers for what it had.
	vip := c.addresses("web", 2)[0]
	c.kubectl("delete", "service", "web", "--timeout=5s")
	c.eventually(5*time.Second, "nobody announces "+vip.String(), func() error {
		if node, err := c.announcer(vip); err == nil {
			return fmt.Errorf("%s does", node)
		}
		return nil
	})
	if _, err := c.Client().Output(t.Context(), "ip", "neigh", "flush", "all"); err != nil {
		t.Fatal(err)
	}
	if err := c.ask(c.Client(), vip); err == nil {
		t.Errorf("%s still answers", vip)
	}
}

func TestAddressesAreKeptAndReleased(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	c.controller("controller", "--leader-elect=false")
	c.pool("lan", "172.31.0.200-172.31.0.202")
	for _, name := range []string{"a", "b", "c"} {
		c.service(name)
		c.addresses(name, 1)
	}

	t.Run("a restart changes nothing", func(t *testing.T) {
		c.steady(time.Second) // the pool's counters are written at a pace
		before := c.versions()
		c.stop(c.Host("fabric"), "controller", syscall.SIGKILL)
		c.controller("controller", "--leader-elect=false")
		c.steady(2 * time.Second)
		if after := c.versions(); before != after {
			t.Errorf("written after a restart:\nbefore %s\nafter  %s", before, after)
		}
	})
	t.Run("a change of ports keeps the address", func(t *testing.T) {
		c.edit("b", func(s *corev1.Service) { s.Spec.Ports[0].Port = 8080 })
		c.steady(500 * time.Millisecond)
		c.wantState("b", "172.31.0.201")
	})
	t.Run("the first that waits gets what is freed within a second", func(t *testing.T) {
		c.service("d")
		c.wantState("d", "PoolExhausted")
		c.service("e")
		c.wantState("e", "PoolExhausted")
		start := time.Now()
		c.kubectl("delete", "service", "b", "--timeout=5s")
		c.wantState("d", "172.31.0.201")
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %s", took)
		}
		c.wantState("e", "PoolExhausted")
	})
	t.Run("a changed type releases", func(t *testing.T) {
		c.edit("d", ofType(corev1.ServiceTypeClusterIP))
		c.wantState("e", "172.31.0.201")
		c.eventually(5*time.Second, "d carries nothing of ours", func() error {
			s := c.get("d")
			if len(s.Finalizers) > 0 || len(s.Status.Conditions) > 0 || len(s.Status.LoadBalancer.Ingress) > 0 {
				return fmt.Errorf("it has %v, %v, %v", s.Finalizers, s.Status.Conditions, s.Status.LoadBalancer)
			}
			return nil
		})
	})
	t.Run("a changed request moves it, one that cannot be had does not", func(t *testing.T) {
		c.edit("e", annotated("fairlead.dev/addresses", "172.31.0.200"))
		c.wantState("e", "172.31.0.201 AddressTaken")
		c.kubectl("delete", "service", "a", "--timeout=5s")
		c.wantState("e", "172.31.0.200")
	})
	t.Run("a pool edit that takes many away is held until it is confirmed", func(t *testing.T) {
		c.kubectl("patch", "addresspool", "lan", "--type=merge", "-p", `{"spec":{"addresses":["172.31.0.210-172.31.0.219"]}}`)
		c.kubectl("wait", "addresspool/lan", "--for=condition=Accepted=False", "--timeout=5s")
		c.wantState("c", "172.31.0.202")
		message := c.kubectl("get", "addresspool", "lan", "-o", `jsonpath={.status.conditions[0].reason}: {.status.conditions[0].message}`)
		_, command, found := strings.Cut(message, "confirm it: kubectl ")
		if !strings.HasPrefix(message, "ShrinkHeld: ") || !found {
			t.Fatalf("the pool says %q", message)
		}
		c.stop(c.Host("fabric"), "controller", syscall.SIGKILL)
		c.controller("controller", "--leader-elect=false")
		c.steady(time.Second)
		c.wantState("c", "172.31.0.202")
		c.kubectl(strings.Fields(command)...) // as the message says
		c.wantState("c", "172.31.0.210")
		c.wantState("e", "AddressOutsidePools")
	})
}

func TestAPoolIsRenamedWithoutLosingAnAddress(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	c.controller("controller", "--leader-elect=false")
	c.pool("old", "172.31.0.200-172.31.0.250")
	for i := range 5 {
		c.service(fmt.Sprintf("s%d", i))
		c.addresses(fmt.Sprintf("s%d", i), 1)
	}
	c.eventually(5*time.Second, "the pool is protected", func() error {
		if got := c.kubectl("get", "addresspool", "old", "-o", "jsonpath={.metadata.finalizers}"); !strings.Contains(got, kube.PoolFinalizer) {
			return fmt.Errorf("its finalizers are %q", got)
		}
		return nil
	})
	c.kubectl("delete", "addresspool", "old", "--wait=false")
	c.eventually(5*time.Second, "the deletion is held", func() error {
		if got := c.kubectl("get", "addresspool", "old", "-o", "jsonpath={.status.conditions[0].reason}"); got != "PoolInUse" {
			return fmt.Errorf("the pool says %q", got)
		}
		return nil
	})
	c.pool("young", "172.31.0.200-172.31.0.250")
	c.kubectl("wait", "addresspool/old", "--for=delete", "--timeout=10s")
	for i := range 5 {
		c.wantState(fmt.Sprintf("s%d", i), fmt.Sprintf("172.31.0.%d", 200+i))
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 1, NoKubeProxy: true})
	c.controller("controller", "--leader-elect=false")
	c.pool("lan", "172.31.0.200-172.31.0.201")
	c.service("first")
	c.addresses("first", 1)
	class := func(name string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.LoadBalancerClass = &name }
	}
	for _, bad := range []struct {
		name, reason string
		says         []string
		edits        []func(*corev1.Service)
	}{
		{"syntax", "BadRequest", []string{"fairlead.dev/addresses", `"172.31.0"`, "write it as"}, []func(*corev1.Service){annotated("fairlead.dev/addresses", "172.31.0")}},
		{"outside", "AddressOutsidePools", []string{"192.0.2.1", `"lan"`}, []func(*corev1.Service){annotated("fairlead.dev/addresses", "192.0.2.1")}},
		{"taken", "AddressTaken", []string{"172.31.0.200", "default/first", "sharing-key"}, []func(*corev1.Service){annotated("fairlead.dev/addresses", "172.31.0.200")}},
		{"twice", "FamilyMismatch", []string{"both IPv4"}, []func(*corev1.Service){annotated("fairlead.dev/addresses", "172.31.0.200,172.31.0.201")}},
		{"no-pool", "PoolNotFound", []string{`"nope"`, `name one of "lan"`}, []func(*corev1.Service){annotated("fairlead.dev/pool", "nope")}},
		{"both", "ContradictoryRequest", []string{"spec.loadBalancerIP", "keep the annotation"}, []func(*corev1.Service){annotated("fairlead.dev/addresses", "172.31.0.201"), func(s *corev1.Service) { s.Spec.LoadBalancerIP = "172.31.0.200" }}},
		{"class", "UnknownClass", []string{"spec.loadBalancerClass", `"fairlead.dev/gold"`}, []func(*corev1.Service){class("fairlead.dev/gold")}},
		{"six", "FamilyUnavailable", []string{"IPv6"}, []func(*corev1.Service){func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} }}},
	} {
		c.service(bad.name, bad.edits...)
		c.wantState(bad.name, bad.reason)
		for _, part := range bad.says {
			if !strings.Contains(c.message(bad.name), part) {
				t.Errorf("%s: %q does not say %s", bad.name, c.message(bad.name), part)
			}
		}
		c.oneEvent(bad.name, bad.reason)
	}
	// Kubernetes itself refuses these.
	for field, edit := range map[string]func(*corev1.Service){
		"spec.ports":     func(s *corev1.Service) { s.Spec.Ports = nil },
		"spec.clusterIP": func(s *corev1.Service) { s.Spec.ClusterIP = "None" },
	} {
		err := c.api.Create(t.Context(), newService("kubernetes-refuses", edit))
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	// A foreign class is not touched at all.
	c.service("foreign", class("example.com/other"))
	c.steady(time.Second)
	if s := c.get("foreign"); len(s.Finalizers)+len(s.Status.Conditions)+len(s.Status.LoadBalancer.Ingress) > 0 {
		t.Errorf("a Service of another class was touched: %+v %+v", s.Finalizers, s.Status)
	}
	// And a Service that asks for nothing odd still gets the last address.
	c.service("last")
	c.wantState("last", "172.31.0.201")
}

// oneEvent checks that a Service got one Event with the reason, also after a while.
func (c *cluster) oneEvent(name, reason string) {
	c.t.Helper()
	count := func() (n int) {
		clients, err := kubernetes.NewForConfig(c.RESTConfig())
		if err != nil {
			c.t.Fatal(err)
		}
		list, err := clients.EventsV1().Events(metav1.NamespaceDefault).List(c.t.Context(), metav1.ListOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Regarding.Name == name && e.Reason == reason && e.Type == corev1.EventTypeWarning && e.Note == c.message(name) {
				n++
			}
		}
		return n
	}
	c.eventually(5*time.Second, "Service "+name+" has an Event "+reason, func() error {
		if count() == 0 {
			return errors.New("it has none")
		}
		return nil
	})
	if n := count(); n != 1 {
		c.t.Errorf("Service %s has %d Events %s, want 1", name, n, reason)
	}
}

func TestASteadyClusterWritesNothing(t *testing.T) {
	c := newCluster(t, lab.Options{Nodes: 2})
	c.controller("controller-1")
	c.controller("controller-2")
	c.speakers()
	c.pool("lan", "172.31.0.200-172.31.0.209", "fd31::1:0/112")
	for i := range 12 { // two are refused
		c.service(fmt.Sprintf("s%02d", i))
	}
	for i := range 10 {
		c.owner(c.addresses(fmt.Sprintf("s%02d", i), 1)[0])
	}
	c.wantState("s11", "PoolExhausted")
	c.steady(2 * time.Second)
	before := c.versions()
	c.steady(3 * time.Second)
	if after := c.versions(); before != after {
		t.Errorf("written without a change:\nbefore %s\nafter  %s", before, after)
	}
	t.Run("nor does a take-over by the other replica", func(t *testing.T) {
		leader, other := "controller-1", "controller-2"
		if c.leading(other) {
			leader, other = other, leader
		}
		if !c.leading(leader) || c.leading(other) {
			t.Fatalf("%s and %s do not agree on who leads", leader, other)
		}
		c.stop(c.Host("fabric"), leader, syscall.SIGTERM)
		c.eventually(20*time.Second, "the other replica leads", func() error {
			if !c.leading(other) {
				return errors.New("it does not")
			}
			return nil
		})
		c.steady(2 * time.Second)
		if after := c.versions(); before != after {
			t.Errorf("written by a take-over:\nbefore %s\nafter  %s", before, after)
		}
		c.kubectl("delete", "service", "s00", "--timeout=5s")
		c.addresses("s10", 1)
	})
}

// steady lets time pass in which nothing should happen.
func (c *cluster) steady(d time.Duration) { time.Sleep(d) }

// versions are the resource versions of everything that Fairlead writes.
func (c *cluster) versions() string {
	c.t.Helper()
	const line = `{range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion} {end}`
	return c.kubectl("get", "services,addresspools,loadbalancerclasses,speakers", "-o", "jsonpath="+line) +
		c.kubectl("get", "events.events.k8s.io", "-A", "-o", `jsonpath={range .items[?(@.reportingController=="fairlead.dev/controller")]}{.metadata.name} {end}`)
}

// leading tells whether the log of a controller says that it leads.
func (c *cluster) leading(name string) bool {
	log, err := os.ReadFile(c.Host("fabric").LogFile(name))
	return err == nil && bytes.Contains(log, []byte("msg=leading"))
}
