package main

import (
	"context"
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
		used, err := node.Usage(ctx, speakerProcess)
		if err != nil {
			return r, err
		}
		r.cpu, r.rss = r.cpu+used.CPU, r.rss+float64(used.Resident)
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
