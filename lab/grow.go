package lab

import (
	"context"
	"fmt"

	"fairlead.dev/fairlead/lab/netns"
)

// AddNode boots one more node, of the kind that the others are, and returns when it is
// Ready. Nothing else may be done to the lab meanwhile.
func (l *Lab) AddNode(ctx context.Context) (*Host, error) {
	i := l.options.Nodes + 1
	if i > maxNodes {
		return nil, fmt.Errorf("%d nodes: a lab has at most %d", i, maxNodes)
	}
	s, err := readState(l.options.Name)
	if err != nil {
		return nil, err
	}
	s.Options.Nodes = i
	if err := s.write(); err != nil {
		return nil, err
	}
	l.options.Nodes, l.wiring = i, topology(i)
	added := l.Node(i)
	if err := l.boot(ctx, added); err != nil {
		return nil, err
	}
	if err := l.spreadRoutes(); err != nil {
		return nil, fmt.Errorf("add %s: %w", added.name, err)
	}
	clients, err := l.clientset()
	if err != nil {
		return nil, err
	}
	if err := l.joinNode(ctx, clients, i); err != nil {
		return nil, err
	}
	return added, l.WaitNodesReady(ctx, added.name)
}

// spreadRoutes gives every machine that is up the routes it should have. A machine
// that is down gets them when it boots.
func (l *Lab) spreadRoutes() error {
	for _, h := range l.Hosts() {
		path, err := h.netns()
		if err != nil {
			continue
		}
		if err := netns.Do(path, func() error { return setRoutes(l.wiring[h.name].routes) }); err != nil {
			return fmt.Errorf("routes of %s: %w", h.name, err)
		}
	}
	return nil
}
