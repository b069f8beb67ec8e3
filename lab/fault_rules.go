package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// portFaults is what the switch does to the frames of one machine. The rules
// name ports, so they outlast a crash of the machine.
type portFaults struct {
	In, Out float64 // share lost
	NoAPI   bool
}

// changeFaults changes what is remembered of the lab's faults and rewrites the switch's rules.
func (h *Host) changeFaults(ctx context.Context, change func(*portFaults)) error {
	cables, err := h.cables()
	if err != nil {
		return err
	}
	file := filepath.Join(runDir(h.lab.options.Name), "faults.json")
	unlock, err := lock(file + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	faults := map[string]portFaults{}
	if err := readJSON(file, &faults); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, c := range cables {
		f := faults[c.port]
		change(&f)
		faults[c.port] = f
	}
	if _, err := h.lab.fabric().pipe(ctx, strings.NewReader(faultRules(faults)), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("set faults of %s: %w", h.name, err)
	}
	return writeJSON(file, faults)
}

// faultRules is an nftables script that puts exactly these faults in force.
// The hooks are the outermost of the bridge, so frames to and from the control
// plane pass them like frames between machines.
func faultRules(faults map[string]portFaults) string {
	var ports []string
	for port := range faults {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	var out, in strings.Builder
	for _, port := range ports {
		f := faults[port]
		if f.NoAPI {
			fmt.Fprintf(&out, "\t\tiifname %q ip daddr %s drop\n\t\tiifname %q ip6 daddr %s drop\n", port, apiIP4, port, apiIP6)
			fmt.Fprintf(&in, "\t\toifname %q ip saddr %s drop\n\t\toifname %q ip6 saddr %s drop\n", port, apiIP4, port, apiIP6)
		}
		writeLoss(&out, "iifname", port, f.Out)
		writeLoss(&in, "oifname", port, f.In)
	}
	return fmt.Sprintf(`table bridge faults
delete table bridge faults
table bridge faults {
	chain out {
		type filter hook prerouting priority -300
%s	}
	chain in {
		type filter hook postrouting priority 300
%s	}
}
`, out.String(), in.String())
}

func writeLoss(rules *strings.Builder, match, port string, share float64) {
	const steps = 10000
	switch n := int(math.Round(share * steps)); n {
	case 0:
	case steps:
		fmt.Fprintf(rules, "\t\t%s %q drop\n", match, port)
	default:
		fmt.Fprintf(rules, "\t\t%s %q numgen random mod %d < %d drop\n", match, port, steps, n)
	}
}
