package fence

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestMissingCapabilitiesAreNamed(t *testing.T) {
	const (
		bpf   = uint64(1) << unix.CAP_BPF
		admin = uint64(1) << unix.CAP_NET_ADMIN
		all   = uint64(1) << unix.CAP_SYS_ADMIN
		where = ": add it to the capabilities of its container's securityContext"
	)
	for _, c := range []struct {
		has  uint64
		want string
	}{
		{0, "the speaker lacks BPF and NET_ADMIN" + where},
		{admin, "the speaker lacks BPF" + where},
		{bpf, "the speaker lacks NET_ADMIN" + where},
		{all, "the speaker lacks NET_ADMIN" + where},
		{bpf | admin, ""},
		{all | admin, ""},
	} {
		got := ""
		if err := (process{capabilities: c.has}).lacks(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("with %#x:\n got %s\nwant %s", c.has, got, c.want)
		}
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		p    process
		want string
	}{
		{"forbidden", fmt.Errorf("load the program: %w", unix.EPERM), process{},
			"BPF is forbidden in spite of the capabilities, look for a seccomp profile, a security module or a user namespace: load the program: operation not permitted"},
		{"no BPF at all", fmt.Errorf("ask: %w", unix.ENOSYS), process{kernel: "6.6.1"},
			"the kernel 6.6.1 has no BPF, it needs CONFIG_BPF_SYSCALL: ask: function not implemented"},
		{"before 6.6", fmt.Errorf("%w: %w", errNoTCX, unix.EINVAL), process{kernel: "5.15.0-100-generic"},
			"the kernel 5.15.0-100-generic has no tcx, it needs Linux 6.6 or later with CONFIG_NET_XGRESS: the hook is not known: invalid argument"},
		{"found out by the library", fmt.Errorf("attach: %w", ebpf.ErrNotSupported), process{kernel: "6.5.0"},
			"the kernel 6.5.0 has no tcx, it needs Linux 6.6 or later with CONFIG_NET_XGRESS: attach: not supported"},
		{"another clock", fmt.Errorf("%w: verdict -1", errTrial), process{},
			"the program does not tell before the deadline from after: verdict -1 (has the container a time namespace of its own?)"},
		{"anything else", fmt.Errorf("attach: %w", unix.ENOMEM), process{}, "attach: cannot allocate memory"},
	} {
		got := explain(c.err, c.p)
		if got.Error() != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%s: the cause is lost", c.name)
		}
	}
}

func TestThisProcessKnowsItsKernel(t *testing.T) {
	if p := thisProcess(); p.kernel == "" {
		t.Error("no release")
	}
}
