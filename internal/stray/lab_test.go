//go:build lab

package stray

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cli runs the program nft in the namespace of the test.
func cli(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := exec.Command("nft", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v\n%s", arguments, err, out)
	}
	return string(out)
}

// alone moves the test into an empty network namespace.
func alone(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace: run it as root")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func addresses(of ...string) (out []netip.Addr) {
	for _, a := range of {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// inKernel are the addresses whose strays the kernel drops.
func inKernel(t *testing.T) []netip.Addr {
	t.Helper()
	out := []netip.Addr{}
	for _, f := range families {
		set := cli(t, "list", "set", "inet", tableName, f.Name)
		if elements := regexp.MustCompile(`elements = \{([^}]*)\}`).FindStringSubmatch(set); elements != nil {
			for _, a := range strings.Split(elements[1], ",") {
				out = append(out, netip.MustParseAddr(strings.TrimSpace(a)))
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

func set(t *testing.T, f *Filter, vips ...netip.Addr) {
	t.Helper()
	if err := f.Set(vips); err != nil {
		t.Fatal(err)
	}
	if got := inKernel(t); !slices.Equal(got, slices.SortedFunc(slices.Values(vips), netip.Addr.Compare)) {
		t.Errorf("the kernel has %v, want %v", got, vips)
	}
}

func TestTheKernelHasWhatIsSet(t *testing.T) {
	alone(t)
	f := New()
	vips := addresses("192.0.2.1", "2001:db8::1")
	set(t, f, vips...)
	chain := cli(t, "list", "chain", "inet", tableName, chainName)
	for _, want := range []string{
		"type filter hook forward priority filter + 10; policy accept;",
		"ip daddr @vips4 meta l4proto @protocols counter packets 0 bytes 0 drop",
		"ip6 daddr @vips6 meta l4proto @protocols counter packets 0 bytes 0 drop",
	} {
		if !strings.Contains(chain, want) {
			t.Errorf("no %q in\n%s", want, chain)
		}
	}
	rules := cli(t, "-a", "list", "chain", "inet", tableName, chainName)
	set(t, f, append(vips, addresses("192.0.2.2", "192.0.2.3")...)...)
	set(t, f, addresses("192.0.2.3", "2001:db8::2")...)
	if got := cli(t, "-a", "list", "chain", "inet", tableName, chainName); got != rules {
		t.Errorf("the rules were made anew for a change of addresses:\n%s\nwere\n%s", got, rules)
	}
	var many []netip.Addr
	for a := vips[0]; len(many) < 3000; a = a.Next() {
		many = append(many, a)
	}
	set(t, f, many...)
	set(t, f, many[2500:]...)
}

func TestNothingIsLeft(t *testing.T) {
	for name, end := range map[string]func(*Filter) error{
		"closed":          (*Filter).Close,
		"no address left": func(f *Filter) error { return f.Set(nil) },
		"after a kill":    func(*Filter) error { return New().Set(nil) },
		"nothing was set": func(f *Filter) error { return errors.Join(f.Close(), f.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			f := New()
			if name != "nothing was set" {
				set(t, f, addresses("192.0.2.1")...)
			}
			if err := end(f); err != nil {
				t.Fatal(err)
			}
			if left := cli(t, "list", "ruleset"); left != "" {
				t.Errorf("left:\n%s", left)
			}
		})
	}
}

func TestRulesThatAreNotOursAreMadeAnew(t *testing.T) {
	vips := addresses("192.0.2.1", "2001:db8::1")
	for name, disturb := range map[string]func(t *testing.T){
		"flushed":               func(t *testing.T) { cli(t, "flush", "ruleset") },
		"an address is missing": func(t *testing.T) { cli(t, "delete", "element", "inet", tableName, "vips4", "{ 192.0.2.1 }") },
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			f := New()
			set(t, f, vips...)
			disturb(t)
			set(t, f, vips[1])
			set(t, f, vips...)
		})
	}
	t.Run("of a killed process", func(t *testing.T) {
		alone(t)
		set(t, New(), addresses("192.0.2.9")...)
		set(t, New(), vips...)
	})
}

func TestWithoutThePrivilegeItSaysSo(t *testing.T) {
	alone(t)
	var none [2]unix.CapUserData // of this thread
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		t.Fatal(err)
	}
	err := New().Set(addresses("192.0.2.1"))
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "NET_ADMIN") {
		t.Errorf("got %v", err)
	}
}
