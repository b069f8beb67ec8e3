package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairlead.dev/fairlead/lab/inside"
)

// Start runs a program in the background inside the machine, as a child of its
// PID 1. Its output goes to LogFile(name). It outlives the caller, and dies
// with the machine; Recover does not start it again.
func (h *Host) Start(ctx context.Context, name string, argv ...string) error {
	_, err := h.ask(ctx, inside.Request{Op: inside.Start, Name: name, Argv: argv})
	return err
}

// StartEnv is Start with additional environment variables, each as "KEY=value".
func (h *Host) StartEnv(ctx context.Context, env []string, name string, argv ...string) error {
	_, err := h.ask(ctx, inside.Request{Op: inside.Start, Name: name, Argv: argv, Env: env})
	return err
}

// Signal sends a signal to a program that Start started.
func (h *Host) Signal(ctx context.Context, name string, sig syscall.Signal) error {
	_, err := h.ask(ctx, inside.Request{Op: inside.Signal, Name: name, Signal: int(sig)})
	return err
}

// Wait waits until a program has ended and says how, such as "exit status 0".
func (h *Host) Wait(ctx context.Context, name string) (string, error) {
	reply, err := h.ask(ctx, inside.Request{Op: inside.Wait, Name: name})
	if err != nil {
		return "", err
	}
	return reply.Processes[0].Exit, nil
}

// Stop sends a signal, and SIGKILL if ctx ends first, and waits for the end of
// the program.
func (h *Host) Stop(ctx context.Context, name string, sig syscall.Signal) error {
	if err := h.Signal(ctx, name, sig); err != nil {
		return err
	}
	_, err := h.Wait(ctx, name)
	if err != nil && ctx.Err() != nil {
		kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(fmt.Errorf("stop %s: %w", name, ctx.Err()), h.Signal(kill, name, syscall.SIGKILL))
	}
	return err
}

// Processes lists what was started inside the machine, oldest first.
func (h *Host) Processes(ctx context.Context) ([]inside.Process, error) {
	reply, err := h.ask(ctx, inside.Request{Op: inside.List})
	return reply.Processes, err
}

// LogFile is where the output of a started program goes, on the host.
func (h *Host) LogFile(name string) string { return filepath.Join(h.lab.Logs(), h.name, name+".log") }

// PID is the process id of a started program as the host sees it, to measure
// its memory and CPU time.
func (h *Host) PID(ctx context.Context, name string) (int, error) {
	processes, err := h.Processes(ctx)
	if err != nil {
		return 0, err
	}
	init, err := h.record()
	if err != nil {
		return 0, err
	}
	for _, p := range processes {
		if p.Name == name && p.Running {
			return hostPID(init.PID, p.PID)
		}
	}
	return 0, fmt.Errorf("%s: %s is not running", h.name, name)
}

// hostPID looks among the children of a PID 1 for the one that it calls inner.
func hostPID(init, inner int) (int, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", init))
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err != nil {
			continue // threads come and go
		}
		for _, pid := range strings.Fields(string(data)) {
			status, _ := os.ReadFile("/proc/" + pid + "/status")
			for line := range strings.SplitSeq(string(status), "\n") {
				ids, ok := strings.CutPrefix(line, "NSpid:")
				if fields := strings.Fields(ids); ok && fields[len(fields)-1] == strconv.Itoa(inner) {
					return strconv.Atoi(pid)
				}
			}
		}
	}
	return 0, fmt.Errorf("no child of %d has pid %d inside", init, inner)
}

// ask sends a request to the machine's PID 1.
func (h *Host) ask(ctx context.Context, req inside.Request) (inside.Reply, error) {
	var reply inside.Reply
	what := fmt.Sprintf("%s: %s %s", h.name, req.Op, req.Name)
	if _, err := h.record(); err != nil {
		return reply, fmt.Errorf("%s: %w", what, err)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", h.file("sock"))
	if err != nil {
		return reply, fmt.Errorf("%s: %w", what, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return reply, fmt.Errorf("%s: %w", what, err)
	}
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return reply, fmt.Errorf("%s: %w", what, err)
	}
	if reply.Error != "" {
		return reply, fmt.Errorf("%s: %s", what, reply.Error)
	}
	return reply, nil
}
