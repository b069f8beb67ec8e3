package openstack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/build"
)

// packages is what a cloud needs from Debian. They are the libraries of the
// services, python3-<service>, and not <service>-api or <service>-common:
// those bring questions, system users, files in /etc and init scripts.
var packages = []string{
	"mariadb-server-core", "mariadb-client-core", // the server without its service
	"rabbitmq-server",
	"uwsgi-core", "uwsgi-plugin-python3", // hosts the APIs of Keystone and Octavia
	"python3-keystone", "python3-neutron", "python3-octavia",
	"python3-pymysql",
	"ovn-central", "openvswitch-common", "python3-ovn-octavia-provider",
	"python3-openstackclient", "python3-octaviaclient", // for people
}

// policy answers maintainer scripts that nothing may be started. It is
// removed afterwards, and known by its comment when that did not happen.
const (
	policyFile = "/usr/sbin/policy-rc.d"
	policy     = "#!/bin/sh\n# of Fairlead's lab/openstack, while it installs packages\nexit 101\n"
)

// Install installs those of the Debian packages that are missing. No daemon is
// started by it.
func Install(ctx context.Context, progress io.Writer) error {
	missing, err := missingPackages(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	cache, err := build.CacheDir()
	if err != nil {
		return err
	}
	unlock, err := build.Lock(ctx, cache, progress) // package lab/build installs too
	if err != nil {
		return err
	}
	defer unlock()
	if missing, err = missingPackages(ctx); err != nil || len(missing) == 0 {
		return err
	}
	restore, err := forbidStarts()
	if err != nil {
		return err
	}
	defer restore()
	start := time.Now()
	fmt.Fprintf(progress, "installing OpenStack from Debian's archive, once: about 100 MB, usually 1 to 3 minutes…\n")
	updated, err := apt(ctx, progress, "update")
	if err != nil {
		return err
	}
	if _, err := apt(ctx, progress, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...); err != nil {
		// An update that reached nobody succeeds, with warnings.
		return fmt.Errorf("%w\nbefore, apt-get update said:\n%s(the packages are those of Debian 12; is its archive reachable?)", err, updated)
	}
	fmt.Fprintf(progress, "installed in %s\n", time.Since(start).Round(time.Second))
	return nil
}

func missingPackages(ctx context.Context) ([]string, error) {
	versions, err := packageVersions(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(packages), func(name string) bool { return versions[name] != "" }), nil
}

// packageVersions are the versions of the packages that are installed.
func packageVersions(ctx context.Context) (map[string]string, error) {
	query := append([]string{"-W", "-f", "${db:Status-Abbrev}|${Package}|${Version}\n"}, packages...)
	out, err := exec.CommandContext(ctx, "dpkg-query", query...).Output()
	// It ends with 1 if it does not know one of them, and prints the others.
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("ask for installed packages: %w (the OpenStack lab is made of Debian 12's)", err)
	}
	return parseVersions(string(out)), ctx.Err()
}

func parseVersions(out string) map[string]string {
	versions := map[string]string{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 3 && strings.HasPrefix(f[0], "ii") {
			versions[f[1]] = f[2]
		}
	}
	return versions
}

// forbidStarts puts policy-rc.d in place, unless somebody else's is there.
func forbidStarts() (restore func(), err error) {
	present, err := os.ReadFile(policyFile)
	if err == nil && string(present) != policy {
		return func() {}, nil
	}
	if err := os.WriteFile(policyFile, []byte(policy), 0o755); err != nil {
		return nil, err
	}
	return func() { os.Remove(policyFile) }, nil
}

// apt runs apt-get and tells every ten seconds how far it is. It returns the
// end of what apt-get said.
func apt(ctx context.Context, progress io.Writer, args ...string) (string, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer read.Close()
	options := []string{
		"-q", "-o", "APT::Status-Fd=3", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300",
		"-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-unsafe-io",
	}
	cmd := exec.CommandContext(ctx, "nice", slices.Concat([]string{"-n", "5", "apt-get"}, options, args)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l")
	cmd.ExtraFiles = []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Ctrl-C at the terminal would not reach it; TERM lets dpkg finish its package.
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		write.Close()
		return "", fmt.Errorf("apt-get: %w", err)
	}
	write.Close()
	last := time.Now()
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if step := aptStep(lines.Text()); step != "" && time.Since(last) >= 10*time.Second {
			last = time.Now()
			fmt.Fprintf(progress, "  %s\n", step)
		}
	}
	err = cmd.Wait()
	out := log.String()
	out = out[max(0, len(out)-3000):]
	if err != nil {
		return "", fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
	}
	return out, nil
}

// aptStep reads a line such as "pmstatus:python3-octavia:57.1:Unpacking …".
func aptStep(line string) string {
	f := strings.SplitN(line, ":", 4)
	if len(f) < 4 || f[0] != "dlstatus" && f[0] != "pmstatus" {
		return ""
	}
	phase := "download"
	if f[0] == "pmstatus" {
		phase = "install"
	}
	percent, _, _ := strings.Cut(f[2], ".")
	return fmt.Sprintf("%s %s %%: %s", phase, percent, f[3])
}
