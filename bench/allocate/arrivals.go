package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// arrivals sees Services get their addresses, as a client of the API would.
type arrivals struct {
	watch watch.Interface

	mu    sync.Mutex
	at    map[string]time.Time
	fresh chan struct{}
}

func (b *bench) watch(ctx context.Context) (*arrivals, error) {
	services := b.clients[0].CoreV1().Services(metav1.NamespaceDefault)
	list, err := services.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("watch Services: %w", err)
	}
	w, err := services.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return nil, fmt.Errorf("watch Services: %w", err)
	}
	a := &arrivals{watch: w, at: make(map[string]time.Time), fresh: make(chan struct{}, 1)}
	go a.run()
	return a, nil
}

func (a *arrivals) run() {
	for e := range a.watch.ResultChan() {
		s, ok := e.Object.(*corev1.Service)
		if !ok || len(s.Status.LoadBalancer.Ingress) == 0 {
			continue
		}
		a.mu.Lock()
		if _, seen := a.at[s.Name]; !seen {
			a.at[s.Name] = time.Now()
		}
		a.mu.Unlock()
		select {
		case a.fresh <- struct{}{}:
		default:
		}
	}
	close(a.fresh)
}

func (a *arrivals) stop() { a.watch.Stop() }

// wait returns when n Services have an address.
func (a *arrivals) wait(ctx context.Context, n int) error {
	for {
		a.mu.Lock()
		got := len(a.at)
		a.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-a.fresh:
			if !open {
				return fmt.Errorf("the watch ended with %d of %d Services seen", got, n)
			}
		case <-time.After(2 * time.Minute):
			return fmt.Errorf("%d of %d Services have an address, and nothing happened for two minutes", got, n)
		}
	}
}

// oneAtATime is how long each of n Services took from its creation to an address,
// on a lab where nothing else happens.
func (b *bench) oneAtATime(ctx context.Context, n int) ([]time.Duration, error) {
	err := b.each(ctx, func(c kubernetes.Interface, i int) error {
		return c.CoreV1().Services(metav1.NamespaceDefault).Delete(ctx, name(i), metav1.DeleteOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("delete Services: %w", err)
	}
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	services := b.clients[0].CoreV1().Services(metav1.NamespaceDefault)
	var out []time.Duration
	for i := -5; i < n; i++ { // the first few wait for the controller to start
		a, err := b.watch(ctx)
		if err != nil {
			return nil, err
		}
		single := fmt.Sprintf("single-%d", i+5)
		start := time.Now()
		if _, err := services.Create(ctx, service(single), metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create a Service: %w", err)
		}
		if err := a.wait(ctx, 1); err != nil {
			return nil, err
		}
		a.stop()
		if i >= 0 {
			out = append(out, a.at[single].Sub(start))
		}
	}
	return out, b.stop(ctx)
}
