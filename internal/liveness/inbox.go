package liveness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// nap is how long packets to the group wait before they are read together. None is
	// urgent: questions, answers and short news come to this node alone, and long news
	// would wait longer for their turn. To wake up for each would cost most of what
	// heartbeats cost.
	nap = 10 * time.Millisecond
	// batch is how many packets are read at once. The rest of them waits in the kernel.
	batch = 32
)

// inbox reads from a socket that does not block.
type inbox struct {
	buffers [batch][]byte
	packets [][]byte // read last
	err     error    // that ended it
}

func newInbox() *inbox {
	b := &inbox{packets: make([][]byte, 0, batch)}
	for i := range b.buffers {
		// One octet more than a packet has: what is longer is recognised by it.
		b.buffers[i] = make([]byte, packetSize+1)
	}
	return b
}

// drain reads what is there, and tells whether that was anything.
func (b *inbox) drain(fd int) bool {
	b.packets = b.packets[:0]
	for len(b.packets) < batch {
		buffer := b.buffers[len(b.packets)]
		n, err := receive(fd, buffer)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return len(b.packets) > 0
		case err != nil:
			b.err = err
			return true
		}
		b.packets = append(b.packets, buffer[:n])
	}
	return true
}

// listen takes what is sent to this node alone, as it comes, until the socket is closed.
func (m *Mesh) listen(conn syscall.Conn) error {
	in, h := newInbox(), newHeartbeat()
	raw, err := conn.SyscallConn()
	read := func(fd uintptr) bool { return in.drain(int(fd)) }
	for err == nil && in.err == nil {
		if err = raw.Read(read); err == nil {
			m.takeAll(in, h)
		}
	}
	switch {
	case in.err != nil:
		return fmt.Errorf("listen for heartbeats: %w", in.err)
	case errors.Is(err, net.ErrClosed):
		return nil
	}
	return fmt.Errorf("listen for heartbeats: %w", err)
}

// overhear takes what is sent to the group until ctx is done, and closes the socket then.
// The runtime must not know the socket: it would wake up for every packet.
func (m *Mesh) overhear(ctx context.Context, fd int) {
	defer unix.Close(fd)
	tick := time.NewTicker(nap)
	defer tick.Stop()
	in, h := newInbox(), newHeartbeat()
	for in.err == nil {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for in.drain(fd) && in.err == nil {
			m.takeAll(in, h)
		}
	}
	m.log.Info("heartbeats to a group are no longer heard", "err", in.err)
}

func (m *Mesh) takeAll(in *inbox, h *heartbeat) {
	for _, packet := range in.packets {
		m.take(packet, h)
	}
}
