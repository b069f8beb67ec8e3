package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Every process of a lab is in the lab's cgroup of the unified hierarchy, even
// on a machine that otherwise uses cgroup v1. That makes "all processes of this
// machine" a thing the kernel knows: it can freeze and kill them as one, and no
// process is ever signalled by a pid that might have been reused.

const cgroupTop = "/sys/fs/cgroup"

// unified is where cgroup v2 is mounted, and whether it is all there is.
func unified() (dir string, pure bool, err error) {
	for _, dir := range []string{cgroupTop, cgroupTop + "/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, dir == cgroupTop, nil
		}
	}
	return "", false, errors.New("no cgroup v2 at /sys/fs/cgroup or /sys/fs/cgroup/unified; a lab needs it to hold its processes together")
}

// cgroupName is the lab's directory in each hierarchy.
func cgroupName(lab string) string { return "fairlead-lab-" + lab }

// hostCgroup is where all processes of a machine are, below system or in the
// kubelet's own subtree beside it.
func hostCgroup(lab, host string) (string, error) {
	dir, _, err := unified()
	return filepath.Join(dir, cgroupName(lab), host), err
}

// makeCgroup makes a machine's cgroup and returns the leaf for its PID 1. For
// a kubelet it also makes its root in every v1 hierarchy, or hands it the
// controllers in v2.
func makeCgroup(lab, host string, kubelet bool) (leaf string, err error) {
	top, pure, err := unified()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(top, cgroupName(lab), host)
	leaf = filepath.Join(dir, "system") // v2 allows processes in leaves only
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return "", fmt.Errorf("make cgroup: %w", err)
	}
	if !kubelet {
		return leaf, nil
	}
	if pure {
		return leaf, delegate(top, filepath.Dir(dir), dir)
	}
	return leaf, makeV1(lab, host)
}

// delegate passes all controllers down a chain of v2 cgroups.
func delegate(chain ...string) error {
	for _, dir := range chain {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for _, controller := range strings.Fields(string(data)) {
			file := filepath.Join(dir, "cgroup.subtree_control")
			if err := os.WriteFile(file, []byte("+"+controller), 0); err != nil {
				return fmt.Errorf("pass controller %s down from %s: %w", controller, dir, err)
			}
		}
	}
	return nil
}

func v1Hierarchies() ([]string, error) {
	entries, err := os.ReadDir(cgroupTop)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "unified" { // cpu -> cpu,cpuacct and the like are links
			dirs = append(dirs, filepath.Join(cgroupTop, e.Name()))
		}
	}
	return dirs, nil
}

func makeV1(lab, host string) error {
	hierarchies, err := v1Hierarchies()
	if err != nil {
		return err
	}
	for _, top := range hierarchies {
		dir := top
		for _, part := range []string{cgroupName(lab), host} {
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
				return fmt.Errorf("make cgroup: %w", err)
			}
			if filepath.Base(top) == "cpuset" {
				if err := inheritCpuset(parent, dir); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inheritCpuset fills in what v1 leaves empty; nothing can run in an empty cpuset.
func inheritCpuset(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		data, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0); err != nil {
			return err
		}
	}
	return nil
}

func freezeCgroup(dir string, frozen bool) error {
	value, state := "0", "frozen 0"
	if frozen {
		value, state = "1", "frozen 1"
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte(value), 0); err != nil {
		return err
	}
	return awaitCgroup(dir, state)
}

// killCgroup kills every process below dir and waits until they are gone.
func killCgroup(dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return awaitCgroup(dir, "populated 0")
}

func awaitCgroup(dir, line string) error {
	deadline := time.Now().Add(15 * time.Second)
	for {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err != nil {
			return err
		}
		if slices.Contains(strings.Split(string(data), "\n"), line) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup %s does not become %q", dir, line)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// removeCgroups removes what makeCgroup and kubelet made, in every hierarchy.
// host "" means the whole lab. The processes must be gone.
func removeCgroups(lab, host string) error {
	hierarchies, err := v1Hierarchies()
	if err != nil {
		return err
	}
	top, pure, err := unified()
	if err != nil {
		return err
	}
	if pure {
		hierarchies = nil
	}
	var errs []error
	for _, h := range append(hierarchies, top) {
		errs = append(errs, removeTree(filepath.Join(h, cgroupName(lab), host)))
	}
	return errors.Join(errs...)
}

// removeTree removes a cgroup and all below it. A process that just died may
// hold its cgroup for a moment.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs)
	deadline := time.Now().Add(5 * time.Second)
	for _, d := range dirs {
		err := unix.Rmdir(d)
		for errors.Is(err, unix.EBUSY) && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
			err = unix.Rmdir(d)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", d, err)
		}
	}
	return nil
}
