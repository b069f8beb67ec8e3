package fence

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// machine is a kernel that a test plays.
type machine struct {
	indices  map[string]int
	refuse   map[int]error // why nothing can be attached there
	attached map[int]bool
	calls    int // of attach and Close of a link
	closed   bool
}

func (m *machine) index(name string) (int, error) {
	if i, ok := m.indices[name]; ok {
		return i, nil
	}
	return 0, unix.ENODEV
}

func (m *machine) attach(index int) (io.Closer, error) {
	m.calls++
	if err := m.refuse[index]; err != nil {
		return nil, err
	}
	m.attached[index] = true
	return attachment{m, index}, nil
}

func (m *machine) Close() error { m.closed = true; return nil }

type attachment struct {
	m     *machine
	index int
}

func (a attachment) Close() error {
	a.m.calls++
	if !a.m.attached[a.index] {
		return errors.New("closed twice")
	}
	delete(a.m.attached, a.index)
	return nil
}

// onMachine is a fence on a kernel with eth0, eth1 and eth2.
func onMachine(t *testing.T) (*Fence, *machine) {
	f, _ := begin()
	m := &machine{
		indices: map[string]int{"eth0": 2, "eth1": 3, "eth2": 4}, refuse: map[int]error{}, attached: map[int]bool{},
	}
	f.kernel = m
	f.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	return f, m
}

func (m *machine) expect(t *testing.T, indices ...int) {
	t.Helper()
	want := map[int]bool{}
	for _, i := range indices {
		want[i] = true
	}
	if diff := cmp.Diff(want, m.attached); diff != "" {
		t.Errorf("attached (-want +got):\n%s", diff)
	}
}

func expectMode(t *testing.T, f *Fence, kernel bool, detail string) {
	t.Helper()
	if k, d := f.Mode(); k != kernel || d != detail {
		t.Errorf("mode %v %q, want %v %q", k, d, kernel, detail)
	}
}

func TestGuardIsOnExactlyTheseInterfaces(t *testing.T) {
	f, m := onMachine(t)
	expectMode(t, f, true, "on no interface yet")
	for _, step := range []struct {
		interfaces []string
		indices    []int
		detail     string
	}{
		{[]string{"eth0", "eth1"}, []int{2, 3}, "on eth0, eth1"},
		{[]string{"eth2", "eth1"}, []int{3, 4}, "on eth1, eth2"},
		{[]string{"eth1", "eth1"}, []int{3}, "on eth1"},
		{nil, nil, "on no interface yet"},
	} {
		if err := f.Guard(step.interfaces); err != nil {
			t.Error(err)
		}
		m.expect(t, step.indices...)
		expectMode(t, f, true, step.detail)
	}
}

func TestGuardThatChangesNothingAttachesNothing(t *testing.T) {
	f, m := onMachine(t)
	for range 3 {
		if err := f.Guard([]string{"eth0", "eth1"}); err != nil {
			t.Error(err)
		}
	}
	if m.calls != 2 {
		t.Errorf("%d calls, want 2", m.calls)
	}
}

func TestInterfaceThatCannotBeGuardedIsToldAndTriedAgain(t *testing.T) {
	f, m := onMachine(t)
	m.refuse[3] = unix.ENOMEM
	err := f.Guard([]string{"eth0", "eth1", "gone0"})
	if !errors.Is(err, unix.ENOMEM) || !errors.Is(err, unix.ENODEV) {
		t.Error(err)
	}
	m.expect(t, 2)
	expectMode(t, f, false, "fence eth1: cannot allocate memory; fence gone0: no such device")
	delete(m.refuse, 3)
	if err := f.Guard([]string{"eth0", "eth1"}); err != nil {
		t.Error(err)
	}
	m.expect(t, 2, 3)
	expectMode(t, f, true, "on eth0, eth1")
}

func TestInterfaceThatWasMadeAnewIsGuardedAnew(t *testing.T) {
	f, m := onMachine(t)
	if err := f.Guard([]string{"eth0"}); err != nil {
		t.Error(err)
	}
	m.indices["eth0"] = 9
	if err := f.Guard([]string{"eth0"}); err != nil {
		t.Error(err)
	}
	m.expect(t, 9)
	delete(m.indices, "eth0")
	if err := f.Guard([]string{"eth0"}); !errors.Is(err, unix.ENODEV) {
		t.Error(err)
	}
	m.expect(t)
}

func TestCloseTakesEverythingAway(t *testing.T) {
	f, m := onMachine(t)
	if err := f.Guard([]string{"eth0", "eth1"}); err != nil {
		t.Error(err)
	}
	f.Push()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	m.expect(t)
	if !m.closed || f.Open() {
		t.Errorf("kernel's part closed %v, gate open %v", m.closed, f.Open())
	}
}

func TestMarkIsThereOnlyWithTheKernel(t *testing.T) {
	f, _ := begin()
	f.lack = "the kernel 5.15.0 has no tcx"
	if got := f.Mark(); got != 0 {
		t.Errorf("mark %#x without the kernel", got)
	}
	if err := f.Guard([]string{"eth0"}); err != nil {
		t.Errorf("guard without the kernel: %v", err)
	}
	expectMode(t, f, false, "the kernel 5.15.0 has no tcx")
	f, _ = onMachine(t)
	if got := f.Mark(); got != Mark {
		t.Errorf("mark %#x with the kernel", got)
	}
}

func TestEveryChangeIsLoggedOnce(t *testing.T) {
	f, _ := onMachine(t)
	var out bytes.Buffer
	f.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	for range 3 {
		if err := f.Guard([]string{"eth0"}); err != nil {
			t.Error(err)
		}
	}
	if err := f.Guard(nil); err != nil {
		t.Error(err)
	}
	want := "level=INFO msg=\"fence is up\" iface=eth0\nlevel=INFO msg=\"fence is down\" iface=eth0\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The bits that others give a meaning, as in the package's doc.
func TestMarkHasNoBitOfOthers(t *testing.T) {
	for name, bits := range map[string]uint32{
		"kube-proxy": 0x0000c000, "Cilium": 0x00000f00, "Calico, Weave, Tailscale": 0xffff0000,
		"CNI portmap": 0x00002000, "AWS VPC CNI": 0x00000080,
	} {
		if Mark&bits != 0 {
			t.Errorf("%#x has bits of %s: %#x", Mark, name, Mark&bits)
		}
	}
	for name, whole := range map[string]uint32{"none": 0, "Istio": 0x539, "Istio's inbound": 0x1337} {
		if Mark == whole {
			t.Errorf("%#x is the mark of %s", Mark, name)
		}
	}
}
