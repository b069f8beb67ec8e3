package liveness

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many packets are read at once. The rest of them waits in the kernel.
	batch = 32
	// sweep is how many batches of the group are read before something else gets its
	// turn: a heartbeat of each of 500 neighbours, and some news.
	sweep = 32
)

// inbox reads from a socket, without waiting. It must not be copied: it has pointers to
// its own parts.
type inbox struct {
	buffers  [batch][]byte
	vectors  [batch]unix.Iovec
	controls [batch][32]byte // a timestamp, and what precedes it
	headers  [batch]messageHeader

	letters []letter // read last
	err     error    // that ended it
}

// letter is a packet, and how long it had been here when it was read.
type letter struct {
	packet []byte
	age    time.Duration
}

func newInbox() *inbox {
	b := &inbox{letters: make([]letter, 0, batch)}
	for i := range b.buffers {
		// One octet more than a packet has: what is longer is recognised by it.
		b.buffers[i] = make([]byte, packetSize+1)
		b.vectors[i].Base = &b.buffers[i][0]
		b.vectors[i].SetLen(len(b.buffers[i]))
		h := &b.headers[i].Msghdr
		h.Iov, h.Control = &b.vectors[i], &b.controls[i][0]
		h.SetIovlen(1)
	}
	return b
}

// drain reads what is there, up to a batch, and tells whether that was anything.
func (b *inbox) drain(fd int) bool {
	b.letters = b.letters[:0]
	for i := range b.headers {
		b.headers[i].SetControllen(len(b.controls[i]))
	}
	n, err := receive(fd, b.headers[:])
	for err == unix.EINTR {
		n, err = receive(fd, b.headers[:])
	}
	switch err {
	case nil:
	case unix.EAGAIN:
		return false
	default:
		b.err = err
		return true
	}
	now := time.Now()
	for i := range n {
		h := &b.headers[i]
		b.letters = append(b.letters, letter{b.buffers[i][:h.size], ageOf(b.controls[i][:h.Controllen], now)})
	}
	return true
}

// full tells whether more may be there.
func (b *inbox) full() bool { return len(b.letters) == batch }

// ageOf takes the time at which a packet arrived, by the wall clock, from what the kernel
// says of it; where it says nothing that is now.
func ageOf(control []byte, now time.Time) time.Duration {
	const space = unix.SizeofCmsghdr + int(unsafe.Sizeof(unix.Timespec{}))
	if len(control) < space {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_TIMESTAMPNS {
		return 0
	}
	at := *(*unix.Timespec)(unsafe.Pointer(&control[unix.SizeofCmsghdr]))
	return now.Sub(time.Unix(at.Unix()))
}

// listen takes what is sent to this node alone, as it comes, until the socket is closed.
func (m *Mesh) listen(conn syscall.Conn) error {
	in := newInbox()
	raw, err := conn.SyscallConn()
	read := func(fd uintptr) bool { return in.drain(int(fd)) }
	for err == nil && in.err == nil {
		if err = raw.Read(read); err == nil {
			m.mu.Lock()
			m.takeAll(in, m.now())
			m.mu.Unlock()
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

// takeAll takes what was read last; none of it came before a time. The caller holds mu.
func (m *Mesh) takeAll(in *inbox, since time.Duration) {
	now := m.now()
	for _, l := range in.letters {
		// The wall clock may have been set since.
		m.take(l.packet, min(max(since, now-l.age), now))
	}
}
