package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/lab"
)

const (
	// manyPool is for more addresses than the nodes' segment has room for. The client
	// has a route to it, and resolves its addresses like any other.
	manyPool = "10.77.0.0/21"
	manyMost = 2000

	// excluded keeps a node from announcing.
	excluded = "node.kubernetes.io/exclude-from-external-load-balancers"
)

// ofMany marks the Services of create.
var ofMany = map[string]string{"bench": "many"}

// create makes n Services more, and returns their addresses when all of them are
// answered for.
func (s *segment) create(ctx context.Context, n int) ([]netip.Addr, error) {
	if _, err := s.Client().Output(ctx, "ip", "route", "replace", manyPool, "dev", "eth0"); err != nil {
		return nil, err
	}
	const atOnce = 8
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error {
			// A busy API server may not answer in time, and make the Service all the same.
			return until(each, 2*time.Minute, "a Service is made", func() error {
				return client.IgnoreAlreadyExists(s.api.Create(each, oneOfMany(i)))
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("make %d Services: %w", n, err)
	}
	var addresses []netip.Addr
	err := until(ctx, 5*time.Minute, "all Services have an address", func() error {
		var list corev1.ServiceList
		if err := s.api.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault), client.MatchingLabels(ofMany)); err != nil {
			return err
		}
		addresses = nil
		for i := range list.Items {
			for _, ingress := range list.Items[i].Status.LoadBalancer.Ingress {
				address, err := netip.ParseAddr(ingress.IP)
				if err != nil {
					return err
				}
				addresses = append(addresses, address)
			}
		}
		if len(addresses) != n {
			return fmt.Errorf("%d of %d have", len(addresses), n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = s.owners(ctx, addresses)
	return addresses, err
}

// served says which of many Services have pods. That all had some would cost the lab
// minutes of kube-proxy and of the endpoints' controller, and is nothing to those who
// announce.
const served = 20 // one in twenty

func oneOfMany(i int) *corev1.Service {
	one := newService(fmt.Sprintf("many-%04d", i))
	one.Labels = ofMany
	none := false
	one.Spec.AllocateLoadBalancerNodePorts = &none
	if i%served != 0 {
		one.Spec.Selector = nil
	}
	return one
}

// discard deletes what create made.
func (s *segment) discard(ctx context.Context) error {
	_, err := s.Kubectl(ctx, "delete", "services", "--selector="+labels.FormatLabels(ofMany), "--wait=false")
	return err
}

// owners waits until each address is answered for, by one node.
func (s *segment) owners(ctx context.Context, addresses []netip.Addr) (map[netip.Addr]ether.MAC, error) {
	owners := make(map[netip.Addr]ether.MAC)
	err := until(ctx, 5*time.Minute, fmt.Sprintf("all %d addresses are answered for", len(addresses)), func() error {
		clear(owners)
		s.newcomer.take()
		if err := s.newcomer.sweep(ctx, addresses, 500*time.Millisecond); err != nil {
			return err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		for _, w := range s.newcomer.take() {
			if w.announced || !slices.Contains(addresses, w.address) {
				continue
			}
			if other, ok := owners[w.address]; ok && other != w.mac {
				return fmt.Errorf("%s and %s answer for %s", s.nameOf(other), s.nameOf(w.mac), w.address)
			}
			owners[w.address] = w.mac
		}
		if len(owners) < len(addresses) {
			return fmt.Errorf("%d are", len(owners))
		}
		return nil
	})
	return owners, err
}

// sweep asks for each address once, evenly spread over a time.
func (n *newcomer) sweep(ctx context.Context, addresses []netip.Addr, during time.Duration) error {
	const chunks = 20
	began := time.Now()
	for i, chunk := range slices.Collect(slices.Chunk(addresses, max(1, (len(addresses)+chunks-1)/chunks))) {
		for _, address := range chunk {
			if err := n.ask(address); err != nil {
				return err
			}
		}
		if err := pause(ctx, time.Until(began.Add(during/chunks*time.Duration(i+1)))); err != nil {
			return err
		}
	}
	return pause(ctx, time.Until(began.Add(during)))
}

// gather has every address announced by one node.
func (s *segment) gather(ctx context.Context, node *lab.Host, n int) error {
	var others []string
	for _, other := range s.Nodes() {
		if other.Name() != node.Name() {
			others = append(others, other.Name())
		}
	}
	label := func(change string) error {
		_, err := s.Kubectl(ctx, slices.Concat([]string{"label", "node"}, others, []string{"--overwrite", change})...)
		return err
	}
	if err := label(excluded + "="); err != nil {
		return err
	}
	err := until(ctx, 5*time.Minute, node.Name()+" announces everything", func() error {
		var speaker v1alpha1.Speaker
		if err := s.api.Get(ctx, client.ObjectKey{Name: node.Name()}, &speaker); err != nil {
			return err
		}
		if int(speaker.Status.Announced) < n {
			return fmt.Errorf("it announces %d of %d", speaker.Status.Announced, n)
		}
		return nil
	})
	return errors.Join(err, label(excluded+"-"))
}

// manyTrial cuts the power of a node that announces every address, and returns how many
// that were and when the last of them was somebody else's.
func (s *segment) manyTrial(ctx context.Context, addresses []netip.Addr) (lost int, took time.Duration, err error) {
	node, err := s.owner(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := s.gather(ctx, node, len(addresses)+1); err != nil {
		return 0, 0, err
	}
	owners, err := s.owners(ctx, addresses)
	if err != nil {
		return 0, 0, err
	}
	dead := s.macOf(node)
	waiting := make(map[netip.Addr]bool)
	for address, mac := range owners {
		if mac == dead {
			waiting[address] = true
		}
	}
	lost = len(waiting)
	s.newcomer.take()
	struck := time.Now()
	if err := node.Crash(ctx); err != nil {
		return lost, 0, err
	}
	if took, err = s.newcomer.awaitOthers(ctx, waiting, dead, struck); err != nil {
		return lost, took, err
	}
	if err := node.Recover(ctx); err != nil {
		return lost, took, err
	}
	if err := s.side.start(ctx, s, node); err != nil {
		return lost, took, err
	}
	if err := s.whole(ctx); err != nil {
		return lost, took, err
	}
	return lost, took, s.sample(ctx, addresses)
}

// awaitOthers waits until each address was announced by another node than the dead one,
// or one answers for it. It asks slowly: announcements tell when, and answering takes
// the time of those that announce.
func (n *newcomer) awaitOthers(ctx context.Context, waiting map[netip.Addr]bool, dead ether.MAC, struck time.Time) (took time.Duration, err error) {
	err = until(ctx, longest, "every address has another owner", func() error {
		var missing []netip.Addr
		for address := range waiting {
			missing = append(missing, address)
		}
		if err := n.sweep(ctx, missing, 250*time.Millisecond); err != nil {
			return err
		}
		for _, w := range n.take() {
			if waiting[w.address] && w.mac != dead {
				delete(waiting, w.address)
				took = max(took, w.at.Sub(struck))
			}
		}
		if len(waiting) > 0 {
			return fmt.Errorf("%d have none", len(waiting))
		}
		return nil
	})
	return took, err
}

// sample makes a connection to every address that has pods.
func (s *segment) sample(ctx context.Context, addresses []netip.Addr) error {
	for i := 0; i < len(addresses); i += served {
		err := until(ctx, 30*time.Second, addresses[i].String()+" serves", func() error {
			return s.get(ctx, s.Client(), netip.AddrPortFrom(addresses[i], 80).String())
		})
		if err != nil {
			return err
		}
	}
	return nil
}
