package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/build"
	"fairlead.dev/fairlead/lab/inside"
	"fairlead.dev/fairlead/lab/netns"
)

// Host is a machine of a lab: a node, a client, the router, or the fabric with
// the control plane. It is a set of namespaces (network, mount, PID, UTS, IPC)
// around a PID 1. The root file system is the host's, except for a private
// /etc, /opt, /var, /run and /sys; /tmp and everything else are shared.
type Host struct {
	lab  *Lab
	name string
}

// Name of the machine, as in Lab.Host.
func (h *Host) Name() string { return h.name }

// IP4 is the machine's own address on its first interface.
func (h *Host) IP4() netip.Addr { return h.ips()[0] }

// IP6 is like IP4. Every machine has both, whatever the cluster's family.
func (h *Host) IP6() netip.Addr { return h.ips()[1] }

func (h *Host) ips() [2]netip.Addr {
	w := h.lab.wiring[h.name]
	if len(w.cables) == 0 {
		return [2]netip.Addr{apiIP4, apiIP6}
	}
	return [2]netip.Addr{w.cables[0].addrs[0].Addr(), w.cables[0].addrs[1].Addr()}
}

// Up says whether the machine runs, which it does but between Crash and Recover.
func (h *Host) Up() bool {
	_, err := h.record()
	return err == nil
}

func (h *Host) isNode() bool { return h.lab.wiring[h.name].bridged }

// record finds the machine's PID 1, and only ever that very process.
func (h *Host) record() (identity, error) {
	var id identity
	if _, ok := h.lab.wiring[h.name]; !ok {
		return id, fmt.Errorf("lab %s has no machine called %s", h.lab.options.Name, h.name)
	}
	if err := readJSON(h.file("pid.json"), &id); err != nil {
		return id, fmt.Errorf("%s is down: %w", h.name, err)
	}
	if !id.alive() {
		return id, fmt.Errorf("%s is down: its PID 1 has ended", h.name)
	}
	return id, nil
}

// file is a path in the lab's run directory that belongs to this machine.
func (h *Host) file(name string) string {
	return filepath.Join(runDir(h.lab.options.Name), h.name+"."+name)
}

func (h *Host) disk(elem ...string) string {
	return filepath.Join(append([]string{dataDir(h.lab.options.Name), h.name}, elem...)...)
}

// configDir is what the machine sees as /etc/kubernetes.
func (h *Host) configDir() string { return h.disk("config") }

func (h *Host) netns() (string, error) {
	id, err := h.record()
	return fmt.Sprintf("/proc/%d/ns/net", id.PID), err
}

// Do runs fn inside the machine's network namespace, on a thread of its own.
// Sockets that fn opens stay inside; goroutines that it starts do not.
func (h *Host) Do(fn func() error) error {
	path, err := h.netns()
	if err != nil {
		return err
	}
	return netns.Do(path, fn)
}

// Dial connects from inside the machine. addr must be numeric.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	path, err := h.netns()
	if err != nil {
		return nil, err
	}
	return netns.Dial(ctx, path, network, addr)
}

// Command prepares a program that runs inside the machine. Its path is looked
// up there; signals and the end of ctx reach it.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	// A machine that is down has no PID 1, and enter says so when it is run.
	id, err := h.record()
	argv := append([]string{"enter", strconv.Itoa(id.PID), name}, args...)
	cmd := exec.CommandContext(ctx, h.lab.programs.Path(build.InsideFamily, "inside"), argv...)
	if err != nil {
		cmd.Err = err
	}
	return cmd
}

// Output runs a program inside the machine and returns what it printed. The
// error holds what it complained about.
func (h *Host) Output(ctx context.Context, name string, args ...string) (string, error) {
	return h.pipe(ctx, nil, name, args...)
}

func (h *Host) pipe(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := h.Command(ctx, name, args...)
	cmd.Stdin = stdin
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %s %s: %w: %s", h.name, name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// boot starts the machine's PID 1 and plugs its cables in.
func (l *Lab) boot(ctx context.Context, h *Host) error {
	if err := l.startMachine(ctx, h); err != nil {
		return fmt.Errorf("boot %s: %w", h.name, err)
	}
	if h.name == fabricName {
		return nil
	}
	if err := l.plug(h); err != nil {
		return fmt.Errorf("boot %s: %w", h.name, err)
	}
	return nil
}

func (l *Lab) startMachine(ctx context.Context, h *Host) error {
	machine := inside.Machine{
		Name: h.name, Disk: h.disk("disk"), Config: h.configDir(), Logs: filepath.Join(l.Logs(), h.name),
		Socket: h.file("sock"), Programs: l.programs, Sysctls: l.wiring[h.name].sysctls(), Shadows: kubeletSysctls,
	}
	for _, dir := range []string{machine.Disk, machine.Config, machine.Logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := writeJSON(h.file("machine.json"), machine); err != nil {
		return err
	}
	if err := l.writeKubeconfig(filepath.Join(machine.Config, "admin.conf"), apiServer, adminUser, adminGroup); err != nil {
		return err
	}
	leaf, err := makeCgroup(l.options.Name, h.name, l.options.Kubelets && h.isNode())
	if err != nil {
		return err
	}
	id, err := l.spawn(leaf, machine.Logs, h.file("machine.json"))
	if err != nil {
		return err
	}
	return writeJSON(h.file("pid.json"), id)
}

// spawn starts PID 1 in fresh namespaces and waits until it has furnished them.
func (l *Lab) spawn(cgroup, logs, config string) (identity, error) {
	ready, tell, err := os.Pipe()
	if err != nil {
		return identity{}, err
	}
	defer ready.Close()
	log, err := os.OpenFile(filepath.Join(logs, "init.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		tell.Close()
		return identity{}, err
	}
	defer log.Close()
	leaf, err := os.Open(cgroup)
	if err != nil {
		tell.Close()
		return identity{}, err
	}
	defer leaf.Close()
	cmd := exec.Command(l.programs.Path(build.InsideFamily, "inside"), "init", config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{tell}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:      true, // a signal to the caller's terminal or process group must not reach it
		Cloneflags:  unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		UseCgroupFD: true,
		CgroupFD:    int(leaf.Fd()),
	}
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return identity{}, fmt.Errorf("start PID 1: %w", err)
	}
	l.machines.Go(func() { _ = cmd.Wait() }) // it ends by being killed
	word, err := io.ReadAll(ready)
	if err != nil {
		return identity{}, err
	}
	if string(word) != "ready" {
		return identity{}, fmt.Errorf("PID 1: %s", word)
	}
	return identify(cmd.Process.Pid)
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
