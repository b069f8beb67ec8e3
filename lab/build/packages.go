package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// packages is everything a lab needs from Debian. A package counts as present
// when its sign, a program or a file pattern, is there.
var packages = []struct{ name, sign, why string }{
	{"iproute2", "ip", "people look into the lab's networks with it"},
	{"nftables", "nft", "kube-proxy, the portmap plugin and the lab's faults use it"},
	{"mount", "mount", "kubelet mounts volumes with it"},
	{"procps", "sysctl", "scripts in a lab's machines expect it"},
	{"iputils-arping", "arping", "a client asks with it which node answers for an address"},
	{"curl", "curl", "a client asks a Service with it"},
	{"gcc", "gcc", "runc's first stage is C"},
	{"libc6-dev", "/usr/include/stdlib.h", "runc is linked statically"},
	{"pkg-config", "pkg-config", "runc's build finds libseccomp with it"},
	{"libseccomp-dev", "/usr/include/seccomp.h", "runc applies seccomp profiles with it"},
}

// InstallPackages installs those of the lab's Debian packages that are missing.
func InstallPackages(ctx context.Context, progress io.Writer) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	what := "installing " + strings.Join(missing, " ")
	_, err := narrate(progress, what, time.Minute, func() error {
		if err := apt(ctx, "update"); err != nil {
			return err
		}
		return apt(ctx, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
	})
	return err
}

func missingPackages() []string {
	var missing []string
	for _, p := range packages {
		if !present(p.sign) {
			missing = append(missing, p.name)
		}
	}
	return missing
}

func present(sign string) bool {
	if strings.HasPrefix(sign, "/") {
		matches, err := filepath.Glob(sign)
		return err == nil && len(matches) > 0
	}
	_, err := exec.LookPath(sign)
	return err == nil
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// background puts a build into a process group of its own, so that it can be ended as a whole.
func background() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
