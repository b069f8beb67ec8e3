package inside

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter runs argv in all namespaces of the machine whose PID 1 is pid, joins
// its cgroup, passes signals on and returns the exit status. If Enter is
// killed, the kernel kills the command too.
//
// nsenter(1) does nearly this, but stops itself for good when its child stops.
func Enter(pid int, argv []string) (status int, err error) {
	if len(argv) == 0 {
		return 0, errors.New("no command given")
	}
	runtime.LockOSThread()
	proc := "/proc/" + strconv.Itoa(pid)
	path, err := searchPath(proc)
	if err != nil {
		return 0, err
	}
	if err := joinCgroup(proc); err != nil {
		return 0, err
	}
	cwd, _ := os.Getwd()
	if err := enterNamespaces(proc); err != nil {
		return 0, err
	}
	if err := os.Setenv("PATH", path); err != nil {
		return 0, err
	}
	program, err := lookPath(argv[0])
	if err != nil {
		return 0, err
	}
	cmd := exec.Cmd{
		Path: programDir("inside") + "/inside", Args: append([]string{"inside", "become", program}, argv...),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if info, err := os.Stat(cwd); err == nil && info.IsDir() {
		cmd.Dir = cwd
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have just ended
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// Become is the child's part of Enter: it ties its life to Enter's, then turns
// into the program. Go's own Pdeathsig does not work here, since it takes a
// parent in another PID namespace, whose id reads 0, for one that has died.
func Become(program string, argv []string) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask for a signal when the parent dies: %w", err)
	}
	return fmt.Errorf("run %s: %w", program, unix.Exec(program, argv, os.Environ()))
}

// enterNamespaces moves the calling thread only; it must be locked. Children
// that it forks are born inside.
func enterNamespaces(proc string) error {
	kinds := []struct {
		name string
		flag int
	}{
		{"net", unix.CLONE_NEWNET}, {"uts", unix.CLONE_NEWUTS}, {"ipc", unix.CLONE_NEWIPC},
		{"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}, // mnt last: it takes this /proc away
	}
	// Threads of one process share root and working directory, and the kernel
	// lets nobody who shares them change the mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare working directory: %w", err)
	}
	for _, kind := range kinds {
		f, err := os.Open(proc + "/ns/" + kind.name)
		if err != nil {
			return fmt.Errorf("machine is gone: %w", err)
		}
		err = unix.Setns(int(f.Fd()), kind.flag)
		f.Close()
		if err != nil {
			return fmt.Errorf("enter %s namespace: %w", kind.name, err)
		}
	}
	return nil
}

// joinCgroup puts this process where the machine's PID 1 is in the unified
// hierarchy, so that freezing and killing the machine reaches it.
func joinCgroup(proc string) error {
	data, err := os.ReadFile(proc + "/cgroup")
	if err != nil {
		return fmt.Errorf("machine is gone: %w", err)
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		path, ok := strings.CutPrefix(line, "0::")
		if !ok {
			continue
		}
		for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
			if err = os.WriteFile(root+path+"/cgroup.procs", []byte("0"), 0); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("join the machine's cgroup: %w", err)
}

// searchPath is our PATH with the machine's program directories in front. PID 1
// extended its own after it started, which /proc/<pid>/environ does not show.
func searchPath(proc string) (string, error) {
	mounts, err := os.ReadFile(proc + "/mountinfo")
	if err != nil {
		return "", fmt.Errorf("machine is gone: %w", err)
	}
	path := os.Getenv("PATH")
	for line := range strings.SplitSeq(string(mounts), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], programDir("")) {
			path = fields[4] + ":" + path
		}
	}
	return path, nil
}
