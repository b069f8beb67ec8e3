package liveness

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer in octets holds the heartbeats of 500 neighbours while this process
	// stands still for a few intervals; the kernel may allow less.
	receiveBuffer = 1 << 20
	// networkControl is DSCP CS6 (RFC 4594 s.3.1): heartbeats go before the traffic
	// that they are there to keep up.
	networkControl = 0xc0
)

// listen opens the socket that heartbeats arrive at; bind may be the zero Addr, for
// all addresses of both families.
func listen(ctx context.Context, bind netip.Addr, port uint16) (*net.UDPConn, error) {
	host := ""
	if bind.IsValid() {
		host = bind.String()
	}
	var config net.ListenConfig
	at := net.JoinHostPort(host, strconv.Itoa(int(port)))
	conn, err := config.ListenPacket(ctx, "udp", at)
	if err != nil {
		return nil, fmt.Errorf("listen for heartbeats at udp %s: %w (does another speaker run here?)", at, err)
	}
	udp := conn.(*net.UDPConn)
	_ = udp.SetReadBuffer(receiveBuffer) // the usual one is good for 20 nodes
	raw, err := udp.SyscallConn()
	if err == nil {
		err = control(raw, besideGroups)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen for heartbeats at udp %s: %w", at, err)
	}
	return udp, nil
}

// besideGroups lets sockets at the addresses of groups exist beside this one, which may
// be at all addresses, and get what is sent there. It is done after bind: until then
// another speaker here must be noticed.
func besideGroups(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	// What the kernel does not know of a family that the socket is not of, it need not.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
	return nil
}

// sender sends to one address, and never waits. It has a socket of its own: the kernel
// keeps packets for a node that does not answer ARP for seconds, and charges them to
// the socket that sent them; with one socket for all, some dead nodes would keep the
// living from hearing us. It is not connected, so that a route or an address of ours
// may change, and no error of the network stands in the way of the next packet.
type sender struct {
	to   netip.Addr
	conn *net.UDPConn
	raw  syscall.RawConn

	// packet is sent by attempt, which is made once: a closure for each packet would be
	// an allocation for each.
	packet  []byte
	err     error
	attempt func(fd uintptr) bool
}

// dial makes a sender; bind is our address of the same family, or the zero Addr.
func dial(ctx context.Context, bind, to netip.Addr, port uint16) (*sender, error) {
	network, local := "udp6", "[::]:0"
	if to.Is4() {
		network, local = "udp4", "0.0.0.0:0"
	}
	if bind.IsValid() && bind.Is4() == to.Is4() {
		local = netip.AddrPortFrom(bind, 0).String()
	}
	var config net.ListenConfig
	config.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			// Without the mark heartbeats are ordinary packets, that is all.
			if to.Is4() {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS, networkControl)
			} else {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS, networkControl)
			}
			// Nothing is read here: a small buffer is enough for what strangers send.
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 0)
		})
	}
	conn, err := config.ListenPacket(ctx, network, local)
	if err != nil {
		return nil, fmt.Errorf("send heartbeats to %s: %w", to, err)
	}
	s := &sender{to: to, conn: conn.(*net.UDPConn)}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("send heartbeats to %s: %w", to, err)
	}
	target := targetOf(to, port)
	s.attempt = func(fd uintptr) bool {
		s.err = transmit(int(fd), s.packet, target)
		return true
	}
	return s, nil
}

func (s *sender) send(packet []byte) error {
	s.packet = packet
	if err := s.raw.Write(s.attempt); err != nil {
		return err
	}
	return s.err
}

func (s *sender) close() { _ = s.conn.Close() }
