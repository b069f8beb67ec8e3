package fence

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// kernel holds the program and the map, ready to be attached.
type kernel struct {
	*page
	deadlines *ebpf.Map
	program   *ebpf.Program
}

// loadKernel makes the kernel's part and tries it. The error says at which step it
// ended, and what to do.
func loadKernel(now func() Moment, hold time.Duration) (*kernel, error) {
	p := thisProcess()
	if err := p.lacks(); err != nil {
		return nil, err
	}
	k, err := makeKernel(now, hold)
	if err != nil {
		return nil, explain(err, p)
	}
	return k, nil
}

func makeKernel(now func() Moment, hold time.Duration) (*kernel, error) {
	if err := haveTCX(); err != nil {
		return nil, err
	}
	k := &kernel{}
	if err := k.load(); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	if err := k.try(now, hold); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// errNoTCX is that the kernel does not know the hook.
var errNoTCX = errors.New("the hook is not known")

// loopback has this index in every network namespace.
const loopback = 1

// haveTCX asks how many programs are at the hook of the loopback interface: the only
// question about tcx that changes nothing. It is asked by hand, since the library takes
// every refusal for an old kernel.
func haveTCX() error {
	query := struct { // union bpf_attr, BPF_PROG_QUERY
		index, attach, flags, attachFlags        uint32
		programs                                 uint64
		count, _                                 uint32
		programFlags, links, linkFlags, revision uint64
	}{index: loopback, attach: uint32(ebpf.AttachTCXEgress)}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query))
	switch errno {
	case 0:
		return nil
	case unix.EINVAL:
		return fmt.Errorf("%w: %w", errNoTCX, errno)
	}
	return fmt.Errorf("ask for programs at tcx: %w", errno)
}

func (k *kernel) load() (err error) {
	k.deadlines, err = ebpf.NewMap(&ebpf.MapSpec{
		Name:       "fairlead_fence",
		Type:       ebpf.Array,
		KeySize:    4,
		ValueSize:  uint32(unsafe.Sizeof(page{})),
		MaxEntries: 1,
		Flags:      unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return fmt.Errorf("make the map of the deadline: %w", err)
	}
	if k.page, err = shared(k.deadlines); err != nil {
		return fmt.Errorf("share the deadline with the kernel: %w", err)
	}
	k.program, err = ebpf.NewProgram(program(k.deadlines))
	if err != nil {
		return fmt.Errorf("load the program: %w", err)
	}
	return nil
}

// shared is the map's value as memory of this process, for as long as that lives: a push
// that is under way while it is unmapped would be the end of it.
func shared(m *ebpf.Map) (*page, error) {
	memory, err := unix.Mmap(m.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return (*page)(unsafe.Pointer(&memory[0])), nil
}

// errTrial is that the program does not do what it is there for.
var errTrial = errors.New("the program does not tell before the deadline from after")

// try runs the program on frames of its own, before it meets any other. It would fail
// where this process has another boot time than the kernel (time_namespaces(7)).
func (k *kernel) try(now func() Moment, hold time.Duration) error {
	const early = time.Millisecond // the program's clock may be read a little behind ours
	for _, c := range []struct {
		mark     uint32
		deadline Moment
		want     int32
	}{
		{mark: Mark, deadline: now().add(hold + early), want: tcxNext},
		{mark: Mark, deadline: now() - Moment(early), want: tcxDrop},
		{mark: 0, deadline: neverOpened, want: tcxNext},
	} {
		k.deadline.Store(uint64(c.deadline))
		got, err := k.run(c.mark, 1)
		if err != nil {
			return fmt.Errorf("try the program: %w", err)
		}
		if got != c.want {
			return fmt.Errorf("%w: mark %#x with deadline %d at %d: verdict %d, want %d",
				errTrial, c.mark, c.deadline, now(), got, c.want)
		}
	}
	k.deadline.Store(neverOpened)
	k.dropped.Store(0)
	return nil
}

// run has the program judge a frame with a mark, several times, and returns the last
// verdict.
func (k *kernel) run(mark, times uint32) (verdict int32, err error) {
	var skb struct{ len, kind, mark uint32 } // how struct __sk_buff begins
	skb.mark = mark
	got, err := k.program.Run(&ebpf.RunOptions{Data: make([]byte, 64), Context: skb, Repeat: times})
	return int32(got), err
}

// index costs one ioctl; net.InterfaceByName lists all interfaces.
func (k *kernel) index(name string) (int, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("no such interface: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, os.NewSyscallError("SIOCGIFINDEX", err)
	}
	return int(request.Uint32()), nil
}

func (k *kernel) attach(index int) (io.Closer, error) {
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: index,
		Program:   k.program,
		Attach:    ebpf.AttachTCXEgress,
		Anchor:    link.Head(),
	})
	if err != nil {
		return nil, explain(err, thisProcess())
	}
	return l, nil
}

// Close lets go of program and map. The page stays: pushes may go on.
func (k *kernel) Close() error {
	return errors.Join(k.program.Close(), k.deadlines.Close())
}
