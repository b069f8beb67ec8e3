package main

import (
	"context"
	"fmt"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/lab/openstack"
)

// calls are counts of calls to the cloud.
type calls struct {
	writes, reads int
	polls         int // lists that are repeated however many load balancers there are
	logins        int
}

func (c calls) all() int { return c.writes + c.reads + c.polls + c.logins }

func count(seen []openstack.Call) calls {
	var c calls
	for _, call := range seen {
		switch {
		case call.Login():
			c.logins++
		case call.Write():
			c.writes++
		case call.Poll():
			c.polls++
		default:
			c.reads++
		}
	}
	return c
}

// cost is what something took.
type cost struct {
	calls
	took time.Duration
}

// never is how long something takes that does not happen.
const never time.Duration = -1

// figures are what was measured of one side.
type figures struct {
	side string
	// Of a single Service, by its ports and with security groups or without: one a round.
	created, deleted map[shape][]cost
	// Of many Services at once.
	many   cost
	built  time.Duration // until the cloud had built the last of them
	node   cost          // a node more
	steady calls         // while nothing changes
	gone   cost          // all deleted
}

// shape is what kind of Service was created.
type shape struct {
	ports  int
	groups bool
}

var shapes = []shape{{1, false}, {5, false}, {1, true}, {5, true}}

func (b *bench) measure(ctx context.Context, s side) (figures, error) {
	f := figures{side: s.name(), created: make(map[shape][]cost), deleted: make(map[shape][]cost)}
	for _, groups := range []bool{false, true} {
		if err := b.begin(ctx, s, groups); err != nil {
			return f, err
		}
		for _, of := range shapes {
			if of.groups != groups {
				continue
			}
			for range b.rounds {
				created, deleted, err := b.single(ctx, of.ports)
				if err != nil {
					return f, err
				}
				f.created[of], f.deleted[of] = append(f.created[of], created), append(f.deleted[of], deleted)
				fmt.Fprintf(os.Stderr, "%s: %d ports, groups %t: %+v, deleted %+v\n", s.name(), of.ports, groups, created, deleted)
			}
		}
		if groups {
			break
		}
		if err := b.several(ctx, &f); err != nil {
			return f, err
		}
		if err := b.finish(ctx, s); err != nil {
			return f, err
		}
	}
	return f, b.finish(ctx, s)
}

// standing is the name of a Service that is there all the time: single ones are
// measured in a cluster that has a load balancer already, as clusters do.
const standing = "standing"

// begin starts a side with a first Service, and returns when it is calm.
func (b *bench) begin(ctx context.Context, s side, groups bool) error {
	if err := s.start(ctx, groups); err != nil {
		return err
	}
	if _, err := b.client.CoreV1().Services(metav1.NamespaceDefault).Create(ctx, service(standing, 1), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := b.published(ctx, 1); err != nil {
		return err
	}
	seen, err := b.calm(ctx)
	fmt.Fprintf(os.Stderr, "%s: start and first Service, groups %t: %+v\n", s.name(), groups, count(seen))
	return err
}

// finish takes the first Service away, and ends the side.
func (b *bench) finish(ctx context.Context, s side) error {
	services := b.client.CoreV1().Services(metav1.NamespaceDefault)
	if err := services.Delete(ctx, standing, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := b.missing(ctx, standing); err != nil {
		return err
	}
	if _, err := b.calm(ctx); err != nil {
		return err
	}
	left, err := b.cloud.Contents(ctx)
	if err != nil {
		return err
	}
	if left = left.Without(b.before); !left.Empty() {
		fmt.Fprintf(os.Stderr, "%s left in the cloud:\n%s", s.name(), left)
	}
	return s.stop(ctx)
}

// missing waits until a Service does not exist.
func (b *bench) missing(ctx context.Context, name string) error {
	return until(ctx, long, "Service "+name+" is gone", func() (bool, error) {
		_, err := b.client.CoreV1().Services(metav1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}

// calm waits until nothing was changed for a while, and returns all calls until then.
func (b *bench) calm(ctx context.Context) ([]openstack.Call, error) {
	const quiet = 3 * time.Second
	var seen []openstack.Call
	last := time.Now()
	err := until(ctx, long, "the controller is calm", func() (bool, error) {
		fresh := b.tally.Take()
		seen = append(seen, fresh...)
		if c := count(fresh); c.writes+c.reads > 0 {
			last = time.Now()
		}
		return time.Since(last) > quiet, nil
	})
	return seen, err
}

// spent counts the calls that began before a moment, and what was done after it: only
// what is repeated anyway is left out then.
func spent(seen []openstack.Call, from, to time.Time) cost {
	var until []openstack.Call
	for _, call := range seen {
		if call.Began.Before(to) || !call.Poll() && !call.Login() {
			until = append(until, call)
		}
	}
	return cost{calls: count(until), took: to.Sub(from)}
}

// single creates a Service, and deletes it.
func (b *bench) single(ctx context.Context, ports int) (created, deleted cost, err error) {
	services := b.client.CoreV1().Services(metav1.NamespaceDefault)
	const name = "single"
	b.tally.Take()
	began := time.Now()
	if _, err := services.Create(ctx, service(name, ports), metav1.CreateOptions{}); err != nil {
		return created, deleted, err
	}
	if err := b.published(ctx, 2); err != nil {
		return created, deleted, err
	}
	shown := time.Now()
	seen, err := b.calm(ctx)
	if err != nil {
		return created, deleted, err
	}
	created = spent(seen, began, shown)
	began = time.Now()
	if err := services.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return created, deleted, err
	}
	if err := b.missing(ctx, name); err != nil {
		return created, deleted, err
	}
	gone := time.Now()
	if seen, err = b.calm(ctx); err != nil {
		return created, deleted, err
	}
	return created, spent(seen, began, gone), nil
}

// published waits until n Services show an address.
func (b *bench) published(ctx context.Context, n int) error {
	return until(ctx, long, fmt.Sprintf("%d Services show an address", n), func() (bool, error) {
		list, err := b.client.CoreV1().Services(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		shown := 0
		for i := range list.Items {
			if len(list.Items[i].Status.LoadBalancer.Ingress) > 0 {
				shown++
			}
		}
		return shown == n, nil
	})
}
