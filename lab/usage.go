package lab

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a program used so far (proc(5)).
type Usage struct {
	CPU            time.Duration // in user and kernel
	Resident, Peak int64         // memory in bytes, now and at most
}

// Usage of a started program.
func (h *Host) Usage(ctx context.Context, name string) (u Usage, err error) {
	pid, err := h.PID(ctx, name)
	if err != nil {
		return u, err
	}
	if u.CPU, err = cpuTime(fmt.Sprintf("/proc/%d/stat", pid)); err != nil {
		return u, err
	}
	file := fmt.Sprintf("/proc/%d/status", pid)
	status, err := os.ReadFile(file)
	if err != nil {
		return u, err
	}
	for field, bytes := range map[string]*int64{"VmRSS:": &u.Resident, "VmHWM:": &u.Peak} {
		_, rest, _ := strings.Cut(string(status), field)
		var kib int64
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			return u, fmt.Errorf("read %s of %s: %w", field, file, err)
		}
		*bytes = kib * 1024
	}
	return u, nil
}

func cpuTime(file string) (time.Duration, error) {
	stat, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from field 3 on
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", file, err)
		}
		ticks += n
	}
	const hertz = 100 // USER_HZ, the same on every Linux
	return time.Duration(ticks) * time.Second / hertz, nil
}
