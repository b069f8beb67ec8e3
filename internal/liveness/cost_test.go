package liveness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

// costNode makes this test binary one node of a segment of processes, in this form: its
// index, the number of nodes, the prefix of their addresses, and the way.
const costNode = "FAIRLEAD_LIVENESS_COST_NODE"

func TestMain(m *testing.M) {
	if how := os.Getenv(costNode); how != "" {
		if err := beCostNode(how); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// bill is what a node has used up since it began.
type bill struct {
	CPU, Elapsed   time.Duration
	Sent, Received float64 // packets
	Memory         uint64  // resident octets, now
	Multicast      int     // neighbours reached so
	Lost           float64 // neighbours counted out now
	Verdicts       float64 // neighbours counted out ever
}

// beCostNode runs a mesh on the loopback interface, and prints its bill for every line
// that it reads.
func beCostNode(how string) error {
	var index, nodes int
	var prefix, way string
	if _, err := fmt.Sscanf(how, "%d %d %s %s", &index, &nodes, &prefix, &way); err != nil {
		return err
	}
	var peers []Peer
	for i := range nodes {
		at, err := netip.ParseAddr(fmt.Sprint(prefix, i+1))
		if err != nil {
			return err
		}
		peers = append(peers, Peer{Node: fmt.Sprint("node-", i), Addresses: []netip.Addr{at}})
	}
	registry := prometheus.NewRegistry()
	m := New(Options{
		Node: peers[index].Node, Cluster: "cost", Port: 17530, Bind: peers[index].Addresses[0],
		Log: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	if err := m.SetKeys(Keyring{newKey}); err != nil {
		return err
	}
	m.SetPeers(peers)
	if way == "unicast" {
		m.homes = [2]netip.Addr{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	done.Go(func() {
		if err := m.Run(ctx, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	})
	start := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		b := bill{CPU: cpuTime(), Elapsed: time.Since(start), Memory: resident()}
		b.Sent, b.Received, b.Lost = total(registry, "fairlead_heartbeats_sent_total", ""), total(registry, "fairlead_heartbeats_received_total", ""), m.lost()
		b.Verdicts = total(registry, "fairlead_liveness_verdicts_total", string(Dead)) + total(registry, "fairlead_liveness_verdicts_total", string(Minority))
		for _, n := range m.View() {
			if n.Multicast {
				b.Multicast++
			}
		}
		if err := json.NewEncoder(os.Stdout).Encode(b); err != nil {
			return err
		}
	}
	return nil
}

// lost counts verdicts against neighbours, which all live.
func (m *Mesh) lost() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0.0
	for _, p := range m.machine.peers {
		if !p.state.counts() {
			n++
		}
	}
	return n
}

// total reads a counter, the one with the label where that is not empty.
func total(r *prometheus.Registry, name, label string) float64 {
	families, err := r.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			if f.GetName() == name && (label == "" || one.GetLabel()[0].GetValue() == label) {
				return one.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages uint64
	_, _ = fmt.Sscan(string(text), &size, &pages)
	return pages * uint64(os.Getpagesize())
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// costProcess is a node that runs on its own.
type costProcess struct {
	ask  func() bill
	stop func()
}

func startCostNode(b testing.TB, how string, inside ...string) costProcess {
	command := exec.Command(os.Args[0])
	if len(inside) > 0 { // a program that runs another
		command = exec.Command(inside[0], append(inside[1:], os.Args[0])...)
	}
	command.Env = append(os.Environ(), costNode+"="+how)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	replies := json.NewDecoder(out)
	return costProcess{
		ask: func() (r bill) {
			if _, err := in.Write([]byte("\n")); err != nil {
				b.Fatal(err)
			}
			if err := replies.Decode(&r); err != nil {
				b.Fatal(err)
			}
			return r
		},
		stop: func() {
			_ = in.Close()
			_ = command.Wait()
		},
	}
}

// BenchmarkNode runs segments of processes on the loopback interface, and tells what one
// node costs on average: in thousandths of a core, kernel and all, packets a second, and
// MiB resident, test binary and all.
func BenchmarkNode(b *testing.B) {
	for _, way := range []string{"unicast", "multicast"} {
		for _, nodes := range []int{3, 5, 10, 20} {
			b.Run(way+"/"+strconv.Itoa(nodes), func(b *testing.B) { benchmarkNode(b, way, nodes) })
		}
	}
}

func benchmarkNode(b *testing.B, way string, nodes int) {
	var all []costProcess
	defer func() {
		for _, p := range all {
			p.stop()
		}
	}()
	for i := range nodes {
		all = append(all, startCostNode(b, fmt.Sprintf("%d %d 127.0.8. %s", i, nodes, way)))
	}
	time.Sleep(7 * time.Second) // until all reach all by multicast
	for b.Loop() {
		before := make([]bill, nodes)
		for i, p := range all {
			before[i] = p.ask()
		}
		time.Sleep(10 * time.Second)
		var sum bill
		var share float64
		for i, p := range all {
			now := p.ask()
			seconds := (now.Elapsed - before[i].Elapsed).Seconds()
			share += (now.CPU - before[i].CPU).Seconds() / seconds
			sum.Sent += (now.Sent - before[i].Sent) / seconds
			sum.Received += (now.Received - before[i].Received) / seconds
			sum.Memory += now.Memory
			sum.Multicast += now.Multicast
			sum.Lost += now.Lost
		}
		each := float64(nodes)
		b.ReportMetric(1000*share/each, "mcore/node")
		b.ReportMetric(sum.Sent/each, "sent/s")
		b.ReportMetric(sum.Received/each, "received/s")
		b.ReportMetric(float64(sum.Memory)/each/(1<<20), "MiB")
		b.ReportMetric(float64(sum.Multicast)/each, "multicast")
		b.ReportMetric(sum.Lost, "counted-out")
		b.ReportMetric(0, "ns/op")
	}
}
