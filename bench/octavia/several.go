package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/lab/openstack"
)

func many(i int) string { return fmt.Sprintf("many-%02d", i) }

// several measures what many Services cost: together, when a node comes, while nothing
// happens, and when they go.
func (b *bench) several(ctx context.Context, f *figures) (err error) {
	services := b.client.CoreV1().Services(metav1.NamespaceDefault)
	b.tally.Take()
	began := time.Now()
	for i := range b.services {
		if _, err := services.Create(ctx, service(many(i), 1), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if err := b.published(ctx, b.services+1); err != nil {
		return err
	}
	shown := time.Now()
	built, err := b.built(ctx)
	if err != nil {
		return err
	}
	f.built = built.Sub(began)
	seen, err := b.calm(ctx)
	if err != nil {
		return err
	}
	f.many = spent(seen, began, shown)
	fmt.Fprintf(os.Stderr, "%s: %d Services: %+v, the last was built after %s\n", f.side, b.services, f.many, f.built)
	if f.node, err = b.addNode(ctx); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: a node more: %+v\n", f.side, f.node)
	time.Sleep(time.Duration(b.minutes) * time.Minute)
	f.steady = count(b.tally.Take())
	fmt.Fprintf(os.Stderr, "%s: %d min: %+v\n", f.side, b.minutes, f.steady)

	began = time.Now()
	for i := range b.services {
		if err := services.Delete(ctx, many(i), metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	err = until(ctx, long, "all Services are gone", func() (bool, error) {
		list, err := services.List(ctx, metav1.ListOptions{})
		return err == nil && len(list.Items) == 2, err // the standing one, and "kubernetes"
	})
	if err != nil {
		return err
	}
	gone := time.Now()
	if seen, err = b.calm(ctx); err != nil {
		return err
	}
	f.gone = spent(seen, began, gone)
	return b.removeNode(ctx)
}

// built is when the cloud had finished the last load balancer, by its own clock, which
// shows seconds. It is this machine's clock.
func (b *bench) built(ctx context.Context) (time.Time, error) {
	var reply struct {
		LoadBalancers []struct {
			Updated string `json:"updated_at"`
		}
	}
	err := b.cloud.Call(ctx, b.cloud.Lab, http.MethodGet, openstack.Direct().LoadBalancer+"/v2/lbaas/loadbalancers", nil, &reply)
	if err != nil {
		return time.Time{}, err
	}
	var last time.Time
	for _, l := range reply.LoadBalancers {
		updated, err := time.Parse("2006-01-02T15:04:05", l.Updated)
		if err != nil {
			return time.Time{}, err
		}
		if updated.After(last) {
			last = updated
		}
	}
	return last, nil
}

// addNode adds a node and waits until every load balancer sends to it. The clock
// begins when the node is Ready, since what comes before is the lab's.
func (b *bench) addNode(ctx context.Context) (cost, error) {
	node, err := b.lab.AddNode(ctx)
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	if err := b.addPort(ctx, node); err != nil {
		return cost{}, err
	}
	var done time.Time
	err = until(ctx, 3*time.Minute, "every load balancer sends to "+node.Name(), func() (bool, error) {
		done = time.Now()
		c, err := b.cloud.Contents(ctx)
		if err != nil {
			return false, err
		}
		for _, l := range c.Without(b.before).LoadBalancers {
			if l.Status != "ACTIVE" || !sendsTo(l, node.IP4()) {
				return false, nil
			}
		}
		return true, nil
	})
	if errors.Is(err, errLate) {
		// Octavia 11 leaves pools in PENDING_CREATE that it built with their load balancer,
		// and refuses their members with 409 until the pool itself was changed.
		return cost{calls: count(b.tally.Take()), took: never}, nil
	}
	if err != nil {
		return cost{}, err
	}
	seen, err := b.calm(ctx)
	if err != nil {
		return cost{}, err
	}
	return spent(seen, began, done), nil
}

func sendsTo(l openstack.LoadBalancer, node netip.Addr) bool {
	for _, x := range l.Tree {
		for _, p := range x.Pools {
			if !slices.ContainsFunc(p.Members, func(m openstack.Member) bool { return m.Address == node }) {
				return false
			}
		}
	}
	return len(l.Tree) > 0
}

// removeNode takes the last node away, so that the next side begins with as many.
func (b *bench) removeNode(ctx context.Context) error {
	nodes := b.lab.Nodes()
	last := nodes[len(nodes)-1]
	err := last.Crash(ctx)
	_, deleted := b.lab.Kubectl(ctx, "delete", "node", last.Name())
	return errors.Join(err, deleted, b.cloud.RemoveNode(ctx, last.Name()))
}
