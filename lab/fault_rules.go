package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// portFaults is what the switch does to the frames of one port. The rules name
// ports, so they outlast a crash of the machine.
type portFaults struct {
	In, Out float64  // share lost
	NoAPI   bool     // loses what is to and from the control plane
	Cut     []string // ports that no frame from here reaches; fabricName is the control plane's place on the segment
}

// changeFaults is Lab.changeFaults for all ports of a machine.
func (h *Host) changeFaults(ctx context.Context, change func(*portFaults)) error {
	cables, err := h.cables()
	if err != nil {
		return err
	}
	err = h.lab.changeFaults(ctx, func(faults map[string]portFaults) {
		for _, c := range cables {
			f := faults[c.port]
			change(&f)
			faults[c.port] = f
		}
	})
	if err != nil {
		return fmt.Errorf("set faults of %s: %w", h.name, err)
	}
	return nil
}

// changeFaults changes what is remembered of the lab's faults, by port, and rewrites the switch's rules.
func (l *Lab) changeFaults(ctx context.Context, change func(map[string]portFaults)) error {
	file := filepath.Join(runDir(l.options.Name), "faults.json")
	unlock, err := lock(file + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	faults := map[string]portFaults{}
	if err := readJSON(file, &faults); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	change(faults)
	if _, err := l.fabric().pipe(ctx, strings.NewReader(faultRules(faults)), "nft", "-f", "-"); err != nil {
		return err
	}
	return writeJSON(file, faults)
}

// faultRules is an nftables script that puts exactly these faults in force.
//
// What concerns one port is in the outermost hooks of the bridge, so that frames to
// and from the control plane pass them like frames between machines. Those hooks know
// one port of a frame only; which two a frame goes between is known where it is
// forwarded, and where the bridge itself takes or sends it.
func faultRules(faults map[string]portFaults) string {
	var out, in, between, toFabric, fromFabric strings.Builder
	for _, port := range slices.Sorted(maps.Keys(faults)) {
		f := faults[port]
		if f.NoAPI {
			fmt.Fprintf(&out, "\t\tiifname %q ip daddr %s drop\n\t\tiifname %q ip6 daddr %s drop\n", port, apiIP4, port, apiIP6)
			fmt.Fprintf(&in, "\t\toifname %q ip saddr %s drop\n\t\toifname %q ip6 saddr %s drop\n", port, apiIP4, port, apiIP6)
		}
		writeLoss(&out, "iifname", port, f.Out)
		writeLoss(&in, "oifname", port, f.In)
		for _, other := range f.Cut {
			switch fabricName {
			case port:
				fmt.Fprintf(&fromFabric, "\t\toifname %q drop\n", other)
			case other:
				fmt.Fprintf(&toFabric, "\t\tiifname %q drop\n", port)
			default:
				fmt.Fprintf(&between, "\t\tiifname %q oifname %q drop\n", port, other)
			}
		}
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
	chain between {
		type filter hook forward priority 0
%s	}
	chain to-fabric {
		type filter hook input priority 0
%s	}
	chain from-fabric {
		type filter hook output priority 0
%s	}
}
`, &out, &in, &between, &toFabric, &fromFabric)
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
