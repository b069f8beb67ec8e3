package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"fairlead.dev/fairlead/lab"
)

// cost is what an idle segment costs each node, with and without heartbeats.
type cost struct {
	Nodes   int   `json:"nodes"`
	With    usage `json:"with"`
	Without usage `json:"without"`
}

// usage is of one speaker, in the mean of all nodes, but for the frames.
type usage struct {
	CPU float64 `json:"cpu"` // share of a core
	RSS float64 `json:"rss"` // bytes
	// In and Out are frames a second that the owner of the address gets and sends.
	In  float64 `json:"in"`
	Out float64 `json:"out"`
}

// What heartbeats may cost a node on top.
const (
	cpuTarget = 0.01
	rssTarget = 20 << 20
)

func (c cost) verdict() string {
	if c.With.CPU-c.Without.CPU > cpuTarget || c.With.RSS-c.Without.RSS > rssTarget {
		return "MISSED"
	}
	return "met"
}

// idle measures for a while what the segment costs while nothing happens.
func (s *segment) idle(ctx context.Context, f *fairlead, during time.Duration) (cost, error) {
	c := cost{Nodes: len(s.Nodes())}
	was := f.silent
	for _, mode := range []struct {
		silent bool
		used   *usage
	}{{false, &c.With}, {true, &c.Without}} {
		f.silent = mode.silent
		if err := s.restartAll(ctx); err != nil {
			return c, err
		}
		var err error
		if *mode.used, err = s.usage(ctx, during); err != nil {
			return c, err
		}
	}
	f.silent = was
	return c, s.restartAll(ctx)
}

// restartAll ends all speakers, then starts them as the side does now.
func (s *segment) restartAll(ctx context.Context) error {
	err := together(ctx, s.Nodes(), func(ctx context.Context, node *lab.Host) error {
		return node.Stop(ctx, speakerProcess, syscall.SIGTERM)
	})
	if err != nil {
		return err
	}
	for _, node := range s.Nodes() {
		if err := s.side.start(ctx, s, node); err != nil {
			return err
		}
	}
	return s.whole(ctx)
}

// reading is where the counters of a segment stand.
type reading struct {
	at      time.Time
	cpu     time.Duration // of all speakers
	rss     float64       // bytes, of all speakers
	in, out uint64        // frames at the owner
}

func (s *segment) usage(ctx context.Context, during time.Duration) (usage, error) {
	owner, err := s.owner(ctx)
	if err != nil {
		return usage{}, err
	}
	if err := pause(ctx, 10*time.Second); err != nil { // what starts is not idle
		return usage{}, err
	}
	before, err := s.read(ctx, owner)
	if err != nil {
		return usage{}, err
	}
	if err := pause(ctx, during); err != nil {
		return usage{}, err
	}
	after, err := s.read(ctx, owner)
	if err != nil {
		return usage{}, err
	}
	return usageBetween(before, after, len(s.Nodes())), nil
}

func usageBetween(before, after reading, nodes int) usage {
	seconds := after.at.Sub(before.at).Seconds()
	return usage{
		CPU: (after.cpu - before.cpu).Seconds() / seconds / float64(nodes),
		RSS: after.rss / float64(nodes),
		In:  float64(after.in-before.in) / seconds,
		Out: float64(after.out-before.out) / seconds,
	}
}

func (s *segment) read(ctx context.Context, owner *lab.Host) (reading, error) {
	r := reading{at: time.Now()}
	for _, node := range s.Nodes() {
		pid, err := node.PID(ctx, speakerProcess)
		if err != nil {
			return r, err
		}
		cpu, rss, err := processUsage(pid)
		if err != nil {
			return r, err
		}
		r.cpu, r.rss = r.cpu+cpu, r.rss+rss
	}
	err := owner.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		r.in, r.out = link.Attrs().Statistics.RxPackets, link.Attrs().Statistics.TxPackets
		return nil
	})
	return r, err
}

// processUsage is the processor time of a process so far, and its resident memory now
// in bytes (proc(5)).
func processUsage(pid int) (cpu time.Duration, rss float64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from field 3 on
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	pages, err := strconv.Atoi(fields[21])
	if err != nil {
		return 0, 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	const hertz = 100 // USER_HZ, the same on every Linux
	return time.Duration(ticks) * time.Second / hertz, float64(pages * os.Getpagesize()), nil
}
