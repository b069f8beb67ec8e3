package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/build"
)

// What a lab leaves on the host, by name. Whatever is found below runTop but
// has no living owner is swept.
const (
	runTop  = "/run/fairlead-lab"     // who owns it, pids, sockets
	dataTop = "/var/lib/fairlead-lab" // the disks of the machines
	logTop  = "/var/log/fairlead-lab" // kept for a while after Down
)

// state is the content of lab.json.
type state struct {
	Options  Options
	Programs build.Programs // it keeps those it was started with, whatever is built later
	Archives []string
	Owner    identity // zero: the lab outlives the process that started it
	Port     int      // of the API server on 127.0.0.1
	Started  time.Time
}

// identity is a process that no other can be mistaken for.
type identity struct {
	PID   int
	Start uint64 // in clock ticks since boot
}

// identify reads when a process started. A zombie counts as gone.
func identify(pid int) (identity, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, err
	}
	// The name in parentheses may hold anything, so count from its end.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return identity{}, fs.ErrNotExist
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return identity{PID: pid, Start: start}, err
}

func (id identity) alive() bool {
	now, err := identify(id.PID)
	return err == nil && now == id
}

func runDir(name string) string  { return filepath.Join(runTop, name) }
func dataDir(name string) string { return filepath.Join(dataTop, name) }
func logDir(name string) string  { return filepath.Join(logTop, name) }

func (s state) write() error {
	return writeJSON(filepath.Join(runDir(s.Options.Name), "lab.json"), s)
}

func readState(name string) (state, error) {
	var s state
	return s, readJSON(filepath.Join(runDir(name), "lab.json"), &s)
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file as a whole: readers see the old or the new.
func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	partial := fmt.Sprintf("%s.%d", path, unix.Gettid())
	if err := os.WriteFile(partial, data, 0o600); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// lock serialises changes to what file stands for, across processes.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}

// claim makes the state of a new lab, owned by this process for now.
func claim(s state) error {
	if err := os.MkdirAll(runTop, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(runTop, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	name := s.Options.Name
	err = os.Mkdir(runDir(name), 0o755)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("a lab called %s is running; end it with: lab down --name %s", name, name)
	}
	if err != nil {
		return err
	}
	return s.write()
}

// Names lists the labs on this machine, running or left behind.
func Names() ([]string, error) {
	entries, err := os.ReadDir(runTop)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Sweep removes what is left of labs whose owner died without a Down. Labs
// with Options.Keep have no owner once they are up, and stay.
func Sweep(ctx context.Context) error {
	if err := os.MkdirAll(runTop, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(runTop, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	names, err := Names()
	if err != nil {
		return err
	}
	errs := []error{discardOldLogs(names)}
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s, err := readState(name)
		if err == nil && (s.Owner == identity{} || s.Owner.alive()) {
			continue
		}
		if err := demolish(name); err != nil {
			errs = append(errs, fmt.Errorf("sweep lab %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// discardOldLogs removes the logs of labs that ended three days ago. Labs of
// tests have made-up names, so no later lab would replace theirs.
func discardOldLogs(running []string) error {
	entries, err := os.ReadDir(logTop)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && !slices.Contains(running, e.Name()) && time.Since(info.ModTime()) > 3*24*time.Hour {
			errs = append(errs, os.RemoveAll(logDir(e.Name())))
		}
	}
	return errors.Join(errs...)
}

// demolish ends all processes of a lab and removes all of it but the logs.
// With its processes go its namespaces, and with those mounts and links.
func demolish(name string) error {
	top, err := hostCgroup(name, "")
	if err != nil {
		return err
	}
	if err := killCgroup(top); err != nil {
		return fmt.Errorf("end processes: %w", err)
	}
	if err := removeCgroups(name, ""); err != nil {
		return err
	}
	if err := os.RemoveAll(dataDir(name)); err != nil {
		return err
	}
	return os.RemoveAll(runDir(name))
}
