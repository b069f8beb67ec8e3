package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/netns"
)

// There is no JumpClock: the kernel has one wall clock for the whole machine,
// and time namespaces shift only the monotonic and boot clocks, and only of
// processes that are started in them.

// Crash is a power cut: in one moment the cables are dead, then everything in
// the machine is. No socket gets to say goodbye. The disk is kept.
func (h *Host) Crash(context.Context) error {
	if h.name == fabricName {
		return errors.New("crash fabric: it is the switch too; stop the API server instead, or freeze the fabric")
	}
	if err := h.onPorts(netlink.LinkDel); err != nil {
		return fmt.Errorf("crash %s: %w", h.name, err)
	}
	dir, err := hostCgroup(h.lab.options.Name, h.name)
	if err != nil {
		return err
	}
	if err := killCgroup(dir); err != nil {
		return fmt.Errorf("crash %s: %w", h.name, err)
	}
	// A booting machine finds no cgroups of its former life. Besides, Linux 6.18 kills whatever is cloned
	// into a cgroup that was once killed, as it compares the kill count with that of the parent's cgroup.
	if err := removeCgroups(h.lab.options.Name, h.name); err != nil {
		return fmt.Errorf("crash %s: %w", h.name, err)
	}
	return nil
}

// Recover boots a crashed machine with the disk it had. A node gets its
// kubelet and kube-proxy back, but not what a test had started on it. Recover
// does not wait for the node to be Ready.
func (h *Host) Recover(ctx context.Context) error {
	if _, err := h.record(); err == nil {
		return fmt.Errorf("recover %s: it is running", h.name)
	}
	if err := h.lab.boot(ctx, h); err != nil {
		return err
	}
	for i, node := range h.lab.Nodes() {
		if node.name == h.name {
			return h.lab.startNode(ctx, i+1)
		}
	}
	return nil
}

// Freeze stops programs by name, or without a name all user space of the
// machine, where the kernel goes on: it answers pings and ARP and forwards packets.
func (h *Host) Freeze(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return h.freeze(true)
	}
	return h.signalAll(ctx, names, syscall.SIGSTOP)
}

// Thaw undoes Freeze with the same names.
func (h *Host) Thaw(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return h.freeze(false)
	}
	return h.signalAll(ctx, names, syscall.SIGCONT)
}

func (h *Host) signalAll(ctx context.Context, names []string, sig syscall.Signal) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, h.Signal(ctx, name, sig))
	}
	return errors.Join(errs...)
}

func (h *Host) freeze(frozen bool) error {
	dir, err := hostCgroup(h.lab.options.Name, h.name)
	if err != nil {
		return err
	}
	return freezeCgroup(dir, frozen)
}

// Hang is a kernel that has stopped: nothing runs, and no frame passes in or out,
// but the machine's cables have carrier.
func (h *Host) Hang(ctx context.Context) error {
	if err := h.CableOut(ctx); err != nil {
		return err
	}
	return h.Freeze(ctx)
}

// Unhang lets a machine that hangs go on where it stopped, as a paused virtual
// machine does.
func (h *Host) Unhang(ctx context.Context) error {
	if err := h.CableIn(ctx); err != nil {
		return err
	}
	return h.Thaw(ctx)
}

// LinkDown takes the machine's interfaces down. It knows, and loses its routes.
func (h *Host) LinkDown(context.Context) error {
	cables, err := h.cables()
	if err != nil {
		return err
	}
	return h.Do(func() error {
		for _, c := range cables {
			link, err := netlink.LinkByName(c.iface)
			if err != nil {
				return fmt.Errorf("find link %s of %s: %w", c.iface, h.name, err)
			}
			if err := netlink.LinkSetDown(link); err != nil {
				return fmt.Errorf("take %s of %s down: %w", c.iface, h.name, err)
			}
		}
		return nil
	})
}

// LinkUp undoes LinkDown, with the addresses and routes the machine had from the lab.
func (h *Host) LinkUp(context.Context) error { return h.lab.configure(h) }

// CableOut pulls the machine's cables out at the switch, where carrier stays
// up at the machine's end: it cannot notice but by silence.
func (h *Host) CableOut(context.Context) error { return h.onPorts(netlink.LinkSetNoMaster) }

// CableIn undoes CableOut.
func (h *Host) CableIn(context.Context) error {
	cables, err := h.cables()
	if err != nil {
		return err
	}
	for _, c := range cables {
		err := h.onPort(c, func(port netlink.Link) error {
			bridge, err := netlink.LinkByName(c.bridge)
			if err != nil {
				return err
			}
			return netlink.LinkSetMaster(port, bridge)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cables of the machine. Faults of the network need at least one.
func (h *Host) cables() ([]cable, error) {
	cables := h.lab.wiring[h.name].cables
	if len(cables) == 0 {
		return nil, fmt.Errorf("lab %s has no cable to a machine called %s", h.lab.options.Name, h.name)
	}
	return cables, nil
}

// onPorts does something to the machine's ports on the switch.
func (h *Host) onPorts(do func(netlink.Link) error) error {
	cables, err := h.cables()
	if err != nil {
		return err
	}
	for _, c := range cables {
		if err := h.onPort(c, do); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) onPort(c cable, do func(netlink.Link) error) error {
	fabric, err := h.lab.fabric().netns()
	if err != nil {
		return err
	}
	return netns.Do(fabric, func() error {
		port, err := netlink.LinkByName(c.port)
		if err != nil {
			return fmt.Errorf("find switch port %s: %w", c.port, err)
		}
		if err := do(port); err != nil {
			return fmt.Errorf("switch port %s: %w", c.port, err)
		}
		return nil
	})
}

// Dir is a direction as the machine sees it.
type Dir string

const (
	In   Dir = "in"  // towards the machine
	Out  Dir = "out" // from it
	Both Dir = "both"
)

// DropShare loses a share of the machine's frames at the switch, at random; 0
// ends it. It adds nothing to earlier calls: the last one for a direction counts.
func (h *Host) DropShare(ctx context.Context, share float64, dir Dir) error {
	if share < 0 || share > 1 || !slices.Contains([]Dir{In, Out, Both}, dir) {
		return fmt.Errorf("drop %v %s of %s: use a share from 0 to 1, and in, out or both", share, dir, h.name)
	}
	return h.changeFaults(ctx, func(f *portFaults) {
		if dir != Out {
			f.In = share
		}
		if dir != In {
			f.Out = share
		}
	})
}

// CutFromAPI loses everything between the machine and the control plane, and nothing else.
func (h *Host) CutFromAPI(ctx context.Context) error {
	return h.changeFaults(ctx, func(f *portFaults) { f.NoAPI = true })
}

// JoinAPI undoes CutFromAPI.
func (h *Host) JoinAPI(ctx context.Context) error {
	return h.changeFaults(ctx, func(f *portFaults) { f.NoAPI = false })
}

// StopAPIServer ends the API server as a shutdown would; after 5 s it is killed.
func (l *Lab) StopAPIServer(ctx context.Context) error {
	if err := l.fabric().Signal(ctx, apiServerProcess, unix.SIGTERM); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := l.fabric().Wait(patience, apiServerProcess); err == nil || ctx.Err() != nil {
		return err
	}
	return l.fabric().Stop(ctx, apiServerProcess, unix.SIGKILL)
}
