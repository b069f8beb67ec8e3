//go:build lab

package fence

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce"
	"fairlead.dev/fairlead/internal/lb"
)

// roleVariable tells a process of this test binary to be a speaker, and which.
const roleVariable = "FAIRLEAD_FENCE_ROLE"

const (
	// honest asks the gate before it writes, as a speaker does.
	honest = "honest"
	// reckless does not: it is the thread that was stopped after it had asked.
	reckless = "reckless"
	// unfenced has no kernel's gate either.
	unfenced = "unfenced"
	// bare announces nothing.
	bare = "bare"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := speak(role); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var (
	vip4 = netip.MustParseAddr("10.0.0.10")
	vip6 = netip.MustParseAddr("fd00:1::10")
)

// speak is the child: a speaker with a fence, which answers a line to every line.
func speak(role string) error {
	quiet := slog.New(slog.DiscardHandler)
	f := New(Options{Log: quiet})
	defer f.Close()
	guarded := error(nil)
	if role != unfenced {
		guarded = f.Guard([]string{"eth0"})
	}
	p := &pusher{fence: f}
	p.pushing.Store(role != bare)
	go p.run()

	if role != bare {
		o := announce.Options{Log: quiet, Mark: f.Mark()}
		if role == honest {
			o.Gate = f
		}
		a := announce.New(o)
		a.Apply(announce.Want{Announcements: []lb.Announcement{{Address: vip4}, {Address: vip6}}})
		go func() { _ = a.Run(context.Background()) }()
		<-ready(a)
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "push":
			p.pushing.Store(true)
			fmt.Println("pushing")
		case "pushing":
			fmt.Println(p.pushing.Load())
		case "open":
			fmt.Println(f.Open())
		case "dropped":
			fmt.Println(f.gate.dropped.Load())
		case "mark":
			fmt.Println(f.Mark())
		case "guarded":
			fmt.Println(guarded)
		case "mode":
			kernel, detail := f.Mode()
			fmt.Println(kernel, detail)
		}
	}
	return nil
}

// pusher pushes until it finds that it slept, as a speaker does that was taken for dead.
type pusher struct {
	fence   *Fence
	pushing atomic.Bool
}

func (p *pusher) run() {
	last := p.fence.Now()
	every(context.Background(), 25*time.Millisecond, func() {
		at := p.fence.Now()
		if at > last.add(DefaultHold) {
			p.pushing.Store(false)
		}
		last = at
		if p.pushing.Load() {
			p.fence.PushFrom(at)
		}
	})
}

// ready is closed when both addresses are announced.
func ready(a *announce.Announcer) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for range a.Changed() {
			all := a.Claims()
			if len(all) == 2 && all[0].State == lb.Announced && all[1].State == lb.Announced {
				return
			}
		}
	}()
	return c
}

// speaker is a child as its parent sees it.
type speaker struct {
	*testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

// start runs a speaker on the node. prepare is called on the thread that forks it;
// wrapper is a command that runs another.
func (c *cable) start(role string, prepare func() error, wrapper ...string) *speaker {
	c.Helper()
	self, err := os.Executable()
	c.check(err)
	arguments := append(wrapper, self)
	s := &speaker{T: c.T, cmd: exec.Command(arguments[0], arguments[1:]...)}
	s.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	s.cmd.Stderr = c.Output()
	s.in, err = s.cmd.StdinPipe()
	c.check(err)
	out, err := s.cmd.StdoutPipe()
	c.check(err)
	s.out = bufio.NewScanner(out)
	c.check(c.node.inside(func() error {
		if prepare != nil {
			if err := prepare(); err != nil {
				return err
			}
		}
		return s.cmd.Start()
	}))
	c.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	if got := s.line(); got != "ready" {
		c.Fatalf("the child says %q", got)
	}
	return s
}

func (s *speaker) line() string {
	s.Helper()
	if !s.out.Scan() {
		s.Fatal("the child ended: ", s.out.Err())
	}
	return s.out.Text()
}

func (s *speaker) ask(question string) string {
	s.Helper()
	if _, err := fmt.Fprintln(s.in, question); err != nil {
		s.Fatal(err)
	}
	return s.line()
}

// stop freezes the speaker; it returns when all its threads stand.
func (s *speaker) stop() {
	s.Helper()
	s.signal(unix.SIGSTOP)
	for deadline := time.Now().Add(time.Second); ; runtime.Gosched() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		if err != nil {
			s.Fatal(err)
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "T") {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("not stopped: %s", stat)
		}
	}
}

func (s *speaker) signal(n unix.Signal) {
	s.Helper()
	if err := s.cmd.Process.Signal(n); err != nil {
		s.Fatal(err)
	}
}
