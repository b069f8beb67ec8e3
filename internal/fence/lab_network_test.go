//go:build lab

package fence

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// cable is a node and a client in network namespaces of their own, and a wire between
// their interfaces eth0.
type cable struct {
	*testing.T
	node, client space
}

// space is a network namespace, and the MAC of its eth0.
type space struct {
	fd  int
	mac ether.MAC
}

func newCable(t *testing.T) *cable {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	c := &cable{T: t, node: newSpace(t), client: newSpace(t)}
	c.check(c.node.inside(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(c.client.fd)}
		return netlink.LinkAdd(veth)
	}))
	for i, s := range []*space{&c.node, &c.client} {
		c.check(s.inside(func() error {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			s.mac = ether.MAC(l.Attrs().HardwareAddr)
			address, err := netlink.ParseAddr(fmt.Sprintf("10.0.255.%d/16", i+1))
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(l, address); err != nil {
				return err
			}
			return netlink.LinkSetUp(l)
		}))
	}
	return c
}

func (c *cable) check(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func newSpace(t *testing.T) space {
	t.Helper()
	s := space{fd: -1}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends, and the namespace stays with fd
		done <- func() (err error) {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("make a network namespace: %w", err)
			}
			// Link-local addresses are usable at once.
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil {
				return err
			}
			s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			return err
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

// inside runs f on a thread of its own in the namespace.
func (s space) inside(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// experimental is an Ethernet type for local use (IEEE 802 s.9.2.4): nobody else's
// frames are mistaken for ours.
const experimental = 0x88b5

// socket opens a packet socket on eth0 whose frames bear a mark.
func (c *cable) socket(s space, protocol int, mark uint32) *packet.Conn {
	c.Helper()
	var conn *packet.Conn
	c.check(s.inside(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if conn, err = packet.Listen(eth0, packet.Raw, protocol, nil); err != nil {
			return err
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			return err
		}
		var marked error
		if err := raw.Control(func(fd uintptr) {
			marked = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		}); err != nil {
			return err
		}
		return marked
	}))
	c.Cleanup(func() { conn.Close() })
	return conn
}

// heard is what a socket of the client received from the node.
type heard struct {
	mu     sync.Mutex
	frames [][]byte
}

// listen keeps what comes in from the node, until the test ends.
func (c *cable) listen(protocol int) *heard {
	c.Helper()
	h := &heard{}
	conn := c.socket(c.client, protocol, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 2048); ; {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if header := ether.Parse(b[:n]); header.Source != c.node.mac {
				continue
			}
			h.mu.Lock()
			h.frames = append(h.frames, append([]byte{}, b[:n]...))
			h.mu.Unlock()
		}
	}()
	c.Cleanup(func() { conn.Close(); <-done })
	return h
}

// take returns and forgets what was heard.
func (h *heard) take() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.frames
	h.frames = nil
	return f
}

// settle is longer than a frame takes over the cable.
const settle = 30 * time.Millisecond

// every calls f each d until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}
