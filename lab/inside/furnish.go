package inside

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// furnish turns fresh namespaces into a machine of its own: private /proc,
// /sys, /run, /var and writable copies of /etc and /opt, over the host's root.
func furnish(m Machine) error {
	if err := unix.Sethostname([]byte(m.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	steps := []struct {
		what string
		do   func(Machine) error
	}{
		{"proc", mountProc},
		{"sys", mountSys},
		{"etc and opt", overlays},
		{"programs", bindPrograms},
		{"config", bindConfig},
		{"var", mountVar},
		{"run", mountRun},
		{"sysctls", writeSysctls},
		{"shadow sysctls", shadowSysctls},
		{"names", writeNames},
	}
	for _, step := range steps {
		if err := step.do(m); err != nil {
			return fmt.Errorf("furnish %s: %s: %w", m.Name, step.what, err)
		}
	}
	// Volumes with Bidirectional propagation need a shared root; it is shared only inside this machine.
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

func mountProc(Machine) error { return unix.Mount("proc", "/proc", "proc", 0, "") }

// mountSys mounts sysfs anew, because it shows the links of the network
// namespace it was mounted in, and moves the host's cgroup mounts over.
func mountSys(m Machine) error {
	aside := filepath.Join(m.Disk, "cgroup")
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/sys/fs/cgroup", aside, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("set cgroups aside: %w", err)
	}
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount host's sysfs: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	if err := unix.Mount(aside, "/sys/fs/cgroup", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bring cgroups back: %w", err)
	}
	// Pinned BPF objects of one machine must not be seen by another. Kernels without bpffs do without.
	if err := unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, ""); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("mount bpffs: %w", err)
	}
	return unix.Unmount(aside, unix.MNT_DETACH)
}

func overlays(m Machine) error {
	for _, dir := range []string{"etc", "opt"} {
		upper, work := filepath.Join(m.Disk, dir), filepath.Join(m.Disk, dir+".work")
		for _, d := range []string{upper, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		options := fmt.Sprintf("lowerdir=/%s,upperdir=%s,workdir=%s", dir, upper, work)
		if err := unix.Mount("overlay", "/"+dir, "overlay", 0, options); err != nil {
			return fmt.Errorf("overlay /%s: %w", dir, err)
		}
	}
	return nil
}

func programDir(family string) string { return "/opt/lab/" + family }

func bindPrograms(m Machine) error {
	for family, dir := range m.Programs {
		if err := bind(dir, programDir(family)); err != nil {
			return err
		}
	}
	return nil
}

func bindConfig(m Machine) error { return bind(m.Config, "/etc/kubernetes") }

// mountVar is no overlay over the host's /var: the machine's disk is usually
// below the host's /var, and containerd puts overlays of its own there.
func mountVar(m Machine) error {
	disk := filepath.Join(m.Disk, "var")
	for _, dir := range []string{"lib", "log", "cache", "spool", "tmp"} {
		if err := os.MkdirAll(filepath.Join(disk, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(disk, "tmp"), 0o1777); err != nil {
		return err
	}
	for _, dir := range []string{"run", "lock"} {
		if err := os.Symlink("/run", filepath.Join(disk, dir)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return bind(disk, "/var")
}

// mountRun gives the machine an empty /run. The host's submounts go first: a
// private copy of /run/netns would keep other people's network namespaces
// alive after they deleted them.
func mountRun(Machine) error {
	mounts, err := mountsBelow("/run")
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", mounts[i], err)
		}
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{"/run/containerd", "/run/netns", "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// mountsBelow lists mount points at or below dir, in the order they were made.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var points []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		point := strings.Fields(lines.Text())[4]
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points, nil
}

func writeSysctls(m Machine) error {
	for name, value := range m.Sysctls {
		// A kernel without IPv6 or without br_netfilter lacks some of them.
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// shadowSysctls puts a private file over machine-wide sysctls that kubelet
// insists on, so that it finds them right and the real ones keep their values.
func shadowSysctls(m Machine) error {
	for name, value := range m.Shadows {
		target := "/proc/sys/" + name
		if _, err := os.Stat(target); err != nil {
			continue
		}
		source := "/run/shadow-" + strings.ReplaceAll(name, "/", "-")
		if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("shadow %s: %w", name, err)
		}
	}
	return nil
}

func writeNames(m Machine) error {
	files := map[string]string{
		"/etc/hostname":    m.Name + "\n",
		"/etc/hosts":       "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + m.Name + "\n",
		"/etc/resolv.conf": "nameserver 127.0.0.1\n", // nothing answers there: a lab has no DNS
	}
	for path, content := range files {
		os.Remove(path) // resolv.conf may be a link into the host's /run
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func bind(source, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	return nil
}
