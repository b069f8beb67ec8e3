package lab

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Partition splits the nodes' segment: the switch carries no frame between machines
// of different groups, and all others as before. Machines in no group are reached by
// everybody. The fabric, which has the control plane, and the router, which has the
// remote client behind it, may be in a group as well. It ends what Partition and
// CutTo did before.
func (l *Lab) Partition(ctx context.Context, groups ...[]*Host) error {
	var sides [][]string
	var seen []string
	for _, group := range groups {
		side, err := segmentPorts(group)
		if err != nil {
			return fmt.Errorf("partition: %w", err)
		}
		for _, port := range side {
			if slices.Contains(seen, port) {
				return fmt.Errorf("partition: %s is in two groups", port)
			}
			seen = append(seen, port)
		}
		sides = append(sides, side)
	}
	if err := l.changeFaults(ctx, func(faults map[string]portFaults) { replaceCuts(faults, cutsBetween(sides)) }); err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	return nil
}

// CutTo loses every frame from this machine to others on the nodes' segment. What
// they send still arrives. It adds to earlier calls.
func (h *Host) CutTo(ctx context.Context, others ...*Host) error {
	from, err := h.segmentPort()
	if err != nil {
		return fmt.Errorf("cut %s: %w", h.name, err)
	}
	to, err := segmentPorts(others)
	if err != nil {
		return fmt.Errorf("cut %s: %w", h.name, err)
	}
	err = h.lab.changeFaults(ctx, func(faults map[string]portFaults) {
		f := faults[from]
		f.Cut = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(f.Cut), to...))))
		faults[from] = f
	})
	if err != nil {
		return fmt.Errorf("cut %s: %w", h.name, err)
	}
	return nil
}

// Heal undoes Partition and CutTo, of all machines.
func (l *Lab) Heal(ctx context.Context) error {
	if err := l.changeFaults(ctx, func(faults map[string]portFaults) { replaceCuts(faults, nil) }); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	return nil
}

// cutsBetween are, by port, the ports of all other sides.
func cutsBetween(sides [][]string) map[string][]string {
	cuts := map[string][]string{}
	for i, side := range sides {
		for j, other := range sides {
			if i == j {
				continue
			}
			for _, port := range side {
				cuts[port] = append(cuts[port], other...)
			}
		}
	}
	return cuts
}

// replaceCuts leaves the other faults of each port as they are.
func replaceCuts(faults map[string]portFaults, cuts map[string][]string) {
	for _, port := range slices.Concat(slices.Collect(maps.Keys(faults)), slices.Collect(maps.Keys(cuts))) {
		f := faults[port]
		f.Cut = cuts[port]
		faults[port] = f
	}
}

func segmentPorts(hosts []*Host) ([]string, error) {
	var ports []string
	for _, h := range hosts {
		port, err := h.segmentPort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// segmentPort is the machine's port on the nodes' segment.
func (h *Host) segmentPort() (string, error) {
	if h.name == fabricName {
		return fabricName, nil
	}
	cables, err := h.cables()
	if err != nil {
		return "", err
	}
	for _, c := range cables {
		if c.bridge == lanBridge {
			return c.port, nil
		}
	}
	return "", fmt.Errorf("%s is not on the nodes' segment; the router is, and stands for all behind it", h.name)
}
