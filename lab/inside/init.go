package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Init is PID 1 of a machine. It builds the machine's view of the world, then
// starts, signals and reaps processes on request until it is killed; the
// kernel ends everything in the machine with it.
//
// On file descriptor 3 the starter reads "ready", or the reason why not.
func Init(configFile string) error {
	ready := os.NewFile(3, "ready")
	err := boot(configFile, ready)
	fmt.Fprintf(ready, "%v", err)
	ready.Close()
	return err
}

func boot(configFile string, ready *os.File) error {
	data, err := os.ReadFile(configFile)
	if err != nil {
		return err
	}
	var m Machine
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read %s: %w", configFile, err)
	}
	// Both are opened before the mounts hide the host's directories.
	logs, err := os.OpenRoot(m.Logs)
	if err != nil {
		return err
	}
	os.Remove(m.Socket)
	listener, err := net.Listen("unix", m.Socket)
	if err != nil {
		return err
	}
	if err := furnish(m); err != nil {
		return err
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for name := range m.Programs {
		path = programDir(name) + ":" + path
	}
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	s := &supervisor{name: m.Name, logs: logs, processes: map[string]*process{}}
	go s.reap()
	fmt.Fprint(ready, "ready")
	ready.Close()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go s.serve(conn)
	}
}

type process struct {
	Process
	ended chan struct{}
}

type supervisor struct {
	name string
	logs *os.Root

	mu        sync.Mutex
	processes map[string]*process
}

func (s *supervisor) serve(conn net.Conn) {
	defer conn.Close()
	var req Request
	if err := json.NewDecoder(conn).Decode(&req); err != nil {
		return
	}
	processes, err := s.do(req)
	reply := Reply{Processes: processes}
	if err != nil {
		reply.Error = err.Error()
	}
	_ = json.NewEncoder(conn).Encode(reply) // the caller may have gone away; that is its business
}

func (s *supervisor) do(req Request) ([]Process, error) {
	switch req.Op {
	case Start:
		return s.start(req)
	case Signal:
		return nil, s.signal(req.Name, syscall.Signal(req.Signal))
	case Wait:
		return s.wait(req.Name)
	case List:
		return s.list(), nil
	}
	return nil, fmt.Errorf("unknown request %q", req.Op)
}

func (s *supervisor) start(req Request) ([]Process, error) {
	if len(req.Argv) == 0 {
		return nil, errors.New("no command given")
	}
	program, err := lookPath(req.Argv[0])
	if err != nil {
		return nil, err
	}
	log, err := s.logs.OpenFile(req.Name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()

	s.mu.Lock()
	defer s.mu.Unlock() // held over the fork: reap must not see a child before it has a name
	if p := s.processes[req.Name]; p != nil && p.Running {
		return nil, fmt.Errorf("%s already runs as pid %d", req.Name, p.PID)
	}
	pid, err := syscall.ForkExec(program, req.Argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), req.Env...),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{
		Process: Process{Name: req.Name, Argv: req.Argv, PID: pid, Started: time.Now(), Running: true},
		ended:   make(chan struct{}),
	}
	s.processes[req.Name] = p
	return []Process{p.Process}, nil
}

func (s *supervisor) find(name string) (*process, error) {
	p := s.processes[name]
	if p == nil {
		return nil, fmt.Errorf("nothing called %s was started on %s", name, s.name)
	}
	return p, nil
}

// signal cannot hit a stranger: while the process is Running nobody has reaped
// it, so its pid cannot have been given to another.
func (s *supervisor) signal(name string, sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.find(name)
	if err != nil {
		return err
	}
	if !p.Running {
		return fmt.Errorf("%s has ended: %s", name, p.Exit)
	}
	return syscall.Kill(p.PID, sig)
}

func (s *supervisor) wait(name string) ([]Process, error) {
	s.mu.Lock()
	p, err := s.find(name)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	<-p.ended
	return []Process{p.Process}, nil
}

func (s *supervisor) list() []Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Process
	for _, p := range s.processes {
		all = append(all, p.Process)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Started.Before(all[j].Started) })
	return all
}

// reap collects every child that ended: those we started, and the orphans
// (container shims) that land on PID 1.
func (s *supervisor) reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for range ended {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			s.buried(pid, status)
		}
	}
}

func (s *supervisor) buried(pid int, status syscall.WaitStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		if p.PID != pid || !p.Running {
			continue
		}
		p.Running = false
		p.Exit = fmt.Sprintf("exit status %d", status.ExitStatus())
		if status.Signaled() {
			p.Exit = "killed by " + unix.SignalName(status.Signal())
		}
		close(p.ended)
	}
}

func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		path := dir + "/" + name
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("no program %s in %s", name, os.Getenv("PATH"))
}
