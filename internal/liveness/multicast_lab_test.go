//go:build lab

package liveness

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// labSegment is a bridge in a network namespace, and a namespace with a port there for
// each of some nodes: real kernels, no real network.
type labSegment struct {
	*testing.T
	name  string
	nodes []costProcess
}

func newLabSegment(t *testing.T, nodes int, prefix, length string) *labSegment {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	s := &labSegment{T: t, name: fmt.Sprint("flv", os.Getpid())}
	s.space(s.name)
	s.run("ip -n SWITCH link add sw0 type bridge")
	s.run("ip -n SWITCH link set sw0 up")
	for i := range nodes {
		node := s.space(fmt.Sprint(s.name, "-", i))
		s.run(fmt.Sprintf("ip -n SWITCH link add port%d type veth peer name eth0 netns %s", i, node))
		s.run(fmt.Sprintf("ip -n SWITCH link set port%d master sw0 up", i))
		s.run(fmt.Sprintf("ip -n %s address add %s%d/%s dev eth0 %s", node, prefix, i+1, length, map[bool]string{true: "nodad"}[strings.Contains(prefix, ":")]))
		s.run(fmt.Sprintf("ip -n %s link set eth0 up", node))
		process := startCostNode(t, fmt.Sprintf("%d %d %s multicast", i, nodes, prefix), "ip", "netns", "exec", node)
		t.Cleanup(process.stop)
		s.nodes = append(s.nodes, process)
	}
	return s
}

func (s *labSegment) space(name string) string {
	s.run("ip netns add " + name)
	s.Cleanup(func() { s.run("ip netns delete " + name) })
	return name
}

func (s *labSegment) run(line string) {
	s.Helper()
	words := strings.Fields(strings.ReplaceAll(line, "SWITCH", s.name))
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		s.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

// until waits until each node reaches so many by multicast, and tells how long it took.
func (s *labSegment) until(what string, reached int) {
	s.Helper()
	start := time.Now()
	for {
		var bills []bill
		right := 0
		for _, n := range s.nodes {
			b := n.ask()
			if bills = append(bills, b); b.Multicast == reached && b.Lost == 0 {
				right++
			}
		}
		if right == len(s.nodes) {
			s.Logf("%s: after %s", what, time.Since(start).Round(10*ms))
			return
		}
		if time.Since(start) > 20*time.Second {
			s.Fatalf("%s: not within 20 s: %+v", what, bills)
		}
		time.Sleep(20 * ms)
	}
}

// A switch that passes the group, then for a while does not, in both families.
func TestLabSwitchThatDropsTheGroupKillsNobody(t *testing.T) {
	for _, c := range []struct{ name, prefix, length, group string }{
		{"IPv4", "10.77.0.", "24", "ip daddr " + group4.String()},
		{"IPv6", "fd00:77::", "64", "ip6 daddr " + group6.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			const nodes = 6
			s := newLabSegment(t, nodes, c.prefix, c.length)
			s.until("all by multicast", nodes-1)
			for range 2 {
				s.run("ip netns exec SWITCH nft add table bridge heartbeats")
				s.run("ip netns exec SWITCH nft add chain bridge heartbeats forward { type filter hook forward priority 0 ; }")
				s.run("ip netns exec SWITCH nft add rule bridge heartbeats forward " + c.group + " drop")
				s.until("all by unicast", 0)
				time.Sleep(2 * time.Second)
				s.until("still", 0)
				s.run("ip netns exec SWITCH nft delete table bridge heartbeats")
				s.until("all by multicast again", nodes-1)
			}
			for i, n := range s.nodes {
				if b := n.ask(); b.Verdicts != 0 {
					t.Errorf("node-%d counted out %v", i, b.Verdicts)
				}
			}
		})
	}
}
