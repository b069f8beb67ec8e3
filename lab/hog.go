package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

const hogProcess = "hog-"

// Hog starts n loops that want a processor each and never rest. All machines of a
// lab share the processors of the host: as many hogs as those, on any machine, take
// from everybody. It adds to earlier calls.
func (h *Host) Hog(ctx context.Context, n int) error {
	processes, err := h.Processes(ctx)
	if err != nil {
		return err
	}
	first := len(processes) // no other has a higher number
	for i := range n {
		if err := h.Start(ctx, fmt.Sprintf("%s%d", hogProcess, first+i), "sh", "-c", "while :; do :; done"); err != nil {
			return err
		}
	}
	return nil
}

// StopHogs ends what Hog started on the machine.
func (h *Host) StopHogs(ctx context.Context) error {
	processes, err := h.Processes(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range processes {
		if p.Running && strings.HasPrefix(p.Name, hogProcess) {
			errs = append(errs, h.Stop(ctx, p.Name, unix.SIGKILL))
		}
	}
	return errors.Join(errs...)
}
