package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dirVariable names, in the environment of each process of a cloud, its
// directory. Erlang's programs, which have sessions of their own, are found by
// it; those that write a title over their environment by session and directory.
const dirVariable = "FAIRLEAD_OPENSTACK_DAEMON_OF"

// daemon is a started service. It leads a session.
type daemon struct {
	name string
	pid  int
	gone chan struct{} // closed at its end
}

// record is what pid/<name> in the directory says of a daemon.
type record struct {
	PID   int
	Start uint64 // in clock ticks since boot, so that no later process is mistaken for it
}

// Daemon is a service of a cloud.
type Daemon struct {
	Name    string
	PID     int
	Running bool
	Memory  int64 // of all its processes, in bytes, what is shared counted in parts (PSS)
	Log     string
}

// start runs a service in the background. It outlives this process.
func (r *run) start(name string, env []string, argv ...string) (*daemon, error) {
	log, err := os.Create(filepath.Join(r.options.Dir, "log", name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("nice", append([]string{"-n", "5"}, argv...)...)
	cmd.Env = append(r.environment(), env...)
	cmd.Dir = filepath.Join(r.options.Dir, "home")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	d := &daemon{name: name, pid: cmd.Process.Pid, gone: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(d.gone)
	}()
	p, err := readProcess(d.pid)
	if err != nil {
		return nil, fmt.Errorf("start %s: it ended at once (log: %s)", name, log.Name())
	}
	data, err := json.Marshal(record{PID: d.pid, Start: p.start})
	if err != nil {
		return nil, err
	}
	return d, os.WriteFile(filepath.Join(r.options.Dir, "pid", name), data, 0o644)
}

// await waits until a service is ready, its end, or too long a time.
func (r *run) await(ctx context.Context, d *daemon, ready func(context.Context) bool) error {
	// Ten times what it takes on a quiet machine.
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for !ready(ctx) {
		select {
		case <-d.gone:
			return fmt.Errorf("%s has ended: %s", d.name, r.tail(d.name))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %s", d.name, ctx.Err(), r.tail(d.name))
		case <-time.After(100 * time.Millisecond):
		}
	}
	r.say("%s is up", d.name)
	return nil
}

// tail is the end of a log.
func (r *run) tail(name string) string {
	data, _ := os.ReadFile(filepath.Join(r.options.Dir, "log", name+".log"))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if lines[0] == "" {
		return "its log is empty"
	}
	return "its log ends:\n" + strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// Daemons lists the services of the cloud.
func (c *Cloud) Daemons() ([]Daemon, error) {
	records, err := readRecords(c.Options.Dir)
	if err != nil {
		return nil, err
	}
	processes := processes()
	var daemons []Daemon
	for _, name := range slices.Sorted(maps.Keys(records)) {
		r := records[name]
		d := Daemon{Name: name, PID: r.PID, Log: filepath.Join(c.Logs(), name+".log")}
		for pid, p := range processes {
			if pid == r.PID && p.start == r.Start {
				d.Running = true
			}
			if r.leads(p, processes) {
				d.Memory += memory(pid)
			}
		}
		daemons = append(daemons, d)
	}
	return daemons, nil
}

// process is a line of /proc/<pid>/stat.
type process struct {
	session int
	start   uint64
}

func readProcess(pid int) (process, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	return parseStat(data)
}

// parseStat counts from the end of the name in parentheses, which may hold
// anything. A zombie counts as gone.
func parseStat(stat []byte) (process, error) {
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return process{}, fs.ErrNotExist
	}
	session, err := strconv.Atoi(f[3])
	if err != nil {
		return process{}, err
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	return process{session: session, start: start}, err
}

// processes are all of this machine that have not ended.
func processes() map[int]process {
	all := map[int]process{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil {
			all[pid] = p
		}
	}
	return all
}

// leads tells whether a process is in the session of the daemon. The kernel
// gives a number to nobody while a session is called so. Thus if another
// process has it, nothing of the session is left.
func (r record) leads(p process, all map[int]process) bool {
	if leader, ok := all[r.PID]; ok && leader.start != r.Start {
		return false
	}
	return p.session == r.PID && p.start >= r.Start
}

func readRecords(dir string) (map[string]record, error) {
	records := map[string]record{}
	entries, err := os.ReadDir(filepath.Join(dir, "pid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, "pid", e.Name()))
		if err != nil {
			return nil, err
		}
		var r record
		// A record that was cut short by a crash: the variable finds its process.
		if json.Unmarshal(data, &r) == nil {
			records[e.Name()] = r
		}
	}
	return records, nil
}

// members are the processes of the cloud in a directory.
func members(dir string) ([]int, error) {
	records, err := readRecords(dir)
	if err != nil {
		return nil, err
	}
	all := processes()
	var pids []int
	for pid, p := range all {
		ours := cloudOf(pid) == dir
		for _, r := range records {
			// After a reboot a record may fit a stranger, hence the second half.
			ours = ours || r.leads(p, all) && worksBelow(pid, dir)
		}
		if ours && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// worksBelow tells whether the working directory of a process is in a
// directory. That of all services is, see start.
func worksBelow(pid int, dir string) bool {
	at, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && strings.HasPrefix(at, dir+"/")
}

// kill ends all processes of a cloud at once and without asking: what they
// would tidy up is deleted anyway, and some take ten seconds to obey.
func kill(dir string) error {
	// Again and again, since what is being ended may be starting others.
	for range 100 {
		pids, err := members(dir)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // gone by itself is as good
		}
		time.Sleep(50 * time.Millisecond)
	}
	pids, _ := members(dir)
	return fmt.Errorf("processes %v do not end", pids)
}

// memory is the proportional set size of a process.
func memory(pid int) int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
