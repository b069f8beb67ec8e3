package liveness

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls that a heartbeat needs, without telling the runtime, as those of syscall and
// x/sys do: they never wait, and telling it wakes up its monitor, which then looks every
// 20 us for a while whether the call is back. That was half of the cost of a node.

// messageHeader is struct mmsghdr (recvmmsg(2)).
type messageHeader struct {
	unix.Msghdr
	size uint32 // octets of the packet
}

// receive reads packets that are there, as many as fit, and tells how many that were;
// EAGAIN is that none is.
func receive(fd int, into []messageHeader) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// transmit sends a packet, or gives it up where the socket has no room.
func transmit(fd int, packet []byte, to *target) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(packet))), uintptr(len(packet)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
		uintptr(unsafe.Pointer(&to.six)), uintptr(to.size))
	if errno != 0 {
		return errno
	}
	return nil
}

// target is an address as the kernel wants it.
type target struct {
	six  unix.RawSockaddrInet6 // room for both kinds
	size uint32
}

func targetOf(to netip.Addr, port uint16) *target {
	t := &target{}
	if to.Is4() {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&t.six))
		*four = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: inNetworkOrder(port), Addr: to.As4()}
		t.size = unix.SizeofSockaddrInet4
		return t
	}
	t.six = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: inNetworkOrder(port), Addr: to.As16()}
	t.size = unix.SizeofSockaddrInet6
	if zone := to.Zone(); zone != "" {
		if iface, err := net.InterfaceByName(zone); err == nil {
			t.six.Scope_id = uint32(iface.Index)
		} else if index, err := strconv.Atoi(zone); err == nil {
			t.six.Scope_id = uint32(index)
		}
	}
	return t
}

func inNetworkOrder(port uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, port))
}
