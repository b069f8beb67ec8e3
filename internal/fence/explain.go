package fence

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// process is what a refusal can be explained by.
type process struct {
	kernel       string // release, as in 6.6.12-generic
	capabilities uint64 // effective, a bit each
}

// thisProcess reads what there is; what cannot be read is nothing.
func thisProcess() process {
	var p process
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		p.kernel = unix.ByteSliceToString(name.Release[:])
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if unix.Capget(&header, &sets[0]) == nil {
		p.capabilities = uint64(sets[0].Effective) | uint64(sets[1].Effective)<<32
	}
	return p
}

// lacks tells which capabilities that the kernel's part takes are missing. Map and
// program take BPF; that it sees frames, and the hook, take NET_ADMIN. PERFMON is not
// needed: the program reads no memory but its own.
func (p process) lacks() error {
	has := func(bit int) bool { return p.capabilities&(1<<bit) != 0 }
	var names []string
	if !has(unix.CAP_BPF) && !has(unix.CAP_SYS_ADMIN) { // which BPF was carved out of
		names = append(names, "BPF")
	}
	if !has(unix.CAP_NET_ADMIN) {
		names = append(names, "NET_ADMIN")
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("the speaker lacks %s: add it to the capabilities of its container's securityContext", strings.Join(names, " and "))
}

// explain puts before what the kernel said why it did, and what to do.
func explain(err error, p process) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("BPF is forbidden in spite of the capabilities, look for a seccomp profile, a security module or a user namespace: %w", err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("the kernel %s has no BPF, it needs CONFIG_BPF_SYSCALL: %w", p.kernel, err)
	case errors.Is(err, errNoTCX), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("the kernel %s has no tcx, it needs Linux 6.6 or later with CONFIG_NET_XGRESS: %w", p.kernel, err)
	case errors.Is(err, errTrial):
		return fmt.Errorf("%w (has the container a time namespace of its own?)", err)
	}
	return err
}
