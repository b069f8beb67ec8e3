package announce

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
)

// packetSocket is a packet(7) socket. The methods of packet.Conn allocate an
// address for every frame; these do not.
type packetSocket struct {
	conn *packet.Conn
	raw  syscall.RawConn

	in, out transfer
	writing sync.Mutex
}

// transfer is a system call in progress. attempt is made once: a closure for each
// call would be an allocation for each frame.
type transfer struct {
	frame   []byte
	n       int
	err     error
	attempt func(fd uintptr) (done bool)
}

// openSocket opens a socket whose filter is in force before the first frame, and whose
// frames bear the mark unless it is 0.
func openSocket(key stationKey, mark uint32) (socket, error) {
	kind, filter := ether.ARP, arp.Filter()
	if key.protocol == protocolNDP {
		kind, filter = ether.IPv6, ndp.Filter()
	}
	program, err := bpf.Assemble(filter)
	if err != nil {
		return nil, err
	}
	conn, err := packet.Listen(&net.Interface{Index: key.index}, packet.Raw, int(kind), &packet.Config{Filter: program})
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := prepare(raw, mark); err != nil {
		conn.Close()
		return nil, err
	}
	s := &packetSocket{conn: conn, raw: raw}
	s.in.attempt = func(fd uintptr) bool {
		s.in.n, s.in.err = unix.Read(int(fd), s.in.frame)
		return s.in.err != unix.EAGAIN && s.in.err != unix.EINTR
	}
	s.out.attempt = func(fd uintptr) bool {
		s.out.n, s.out.err = unix.Write(int(fd), s.out.frame)
		return s.out.err != unix.EAGAIN && s.out.err != unix.EINTR
	}
	return s, nil
}

// prepare sets what a socket needs before it is used. One that cannot bear its mark is
// none: the kernel would not hold its frames back.
func prepare(raw syscall.RawConn, mark uint32) error {
	var marked error
	err := raw.Control(func(fd uintptr) {
		growBuffer(int(fd))
		if mark != 0 {
			marked = os.NewSyscallError("SO_MARK", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)))
		}
	})
	return errors.Join(err, marked)
}

// receiveBuffer in bytes holds the questions of some thousand hosts that all ask at
// once, as after a switch has restarted; the usual default holds 277 frames.
const receiveBuffer = 2 << 20

// growBuffer gives a socket its receiveBuffer, or what net.core.rmem_max allows
// where we lack NET_ADMIN. A smaller one loses questions, which are repeated.
func growBuffer(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
}

func (s *packetSocket) Read(frame []byte) (int, error) {
	s.in.frame = frame
	if err := s.raw.Read(s.in.attempt); err != nil {
		return 0, err
	}
	return max(0, s.in.n), s.in.err
}

func (s *packetSocket) Write(frame []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.out.frame = frame
	if err := s.raw.Write(s.out.attempt); err != nil {
		return err
	}
	return s.out.err
}

func (s *packetSocket) Close() { s.conn.Close() }

// isCongested tells whether a call failed for want of room: in the interface's queue
// or in the socket's own memory (net.core.optmem_max).
func isCongested(err error) bool {
	return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}
