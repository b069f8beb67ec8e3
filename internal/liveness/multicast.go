package liveness

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The groups that heartbeats go to: addresses for experiments (RFC 4727), of the kind
// that stays on its link. A switch that snoops is to flood 224.0.0.0/24 whoever joined
// (RFC 4541 s.2.1.2), and every address of IPv6 that all nodes of a link join.
var (
	group4 = netip.MustParseAddr("224.0.0.254")
	group6 = netip.MustParseAddr("ff02::114")
)

// regroupEvery is how often the interface of the groups is looked for: one that was made
// anew under its old name has lost its members.
const regroupEvery = 10 * time.Second

// group is a membership, and the way to the other members.
type group struct {
	own    netip.Addr // this node's address
	iface  int        // the interface that has it
	sender *sender
	fd     int // where it listens: the runtime does not know it, and would wake up for every packet
	in     *inbox
	// emptied is a time from before it was found empty last.
	emptied time.Duration
}

func (g *group) close() {
	_ = unix.Close(g.fd)
	g.sender.close()
}

// setHomes takes one address of each family for this node's own. The caller holds mu, or
// nobody else knows m yet. Where Bind is set, no other counts.
func (m *Mesh) setHomes(addresses []netip.Addr) {
	homes := [2]netip.Addr{}
	if m.options.Bind.IsValid() {
		addresses = []netip.Addr{m.options.Bind}
	}
	for _, a := range addresses {
		if a = a.Unmap(); a.IsValid() && !homes[familyOf(a)].IsValid() {
			homes[familyOf(a)] = a
		}
	}
	m.homes = homes
}

// spread has the packet sent to the groups: one of IPv4 where there is one, and one of
// IPv6 where that is all that some have.
func (m *Mesh) spread(emit func(*sender)) {
	if m.groups[0] != nil {
		emit(m.groups[0].sender)
	}
	if m.groups[1] != nil && (m.groups[0] == nil || m.onlySix) {
		emit(m.groups[1].sender)
	}
}

// familyOf is an index: 0 is IPv4, 1 is IPv6.
func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// attend keeps the groups open at the interface that has this node's address, until ctx
// is done. Where there is none, or it cannot do multicast, all goes by unicast.
func (m *Mesh) attend(ctx context.Context) {
	tick := time.NewTicker(regroupEvery)
	defer tick.Stop()
	defer m.disband()
	trouble := [2]string{}
	for {
		for family := range m.groups {
			err := m.regroup(ctx, family)
			if text := errorText(err); text != trouble[family] {
				trouble[family] = text
				m.log.Info("heartbeats to a group changed", "group", groupOf(family), "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.moved:
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// groupOf is the group of a family.
func groupOf(family int) netip.Addr {
	if family == 0 {
		return group4
	}
	return group6
}

// regroup opens the group of a family, or another where it is elsewhere by now, or
// closes it.
func (m *Mesh) regroup(ctx context.Context, family int) (err error) {
	m.mu.Lock()
	own, has, of := m.homes[family], m.groups[family], len(m.machine.peers)
	m.mu.Unlock()
	iface := 0
	if own.IsValid() && of >= groupMin {
		iface, err = interfaceOf(own)
	}
	if has != nil && has.own == own && has.iface == iface {
		return nil
	}
	var opened *group
	if iface != 0 {
		opened, err = m.open(ctx, own, iface)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[family] = opened
	m.machine.SetGroup(m.groups[0] != nil || m.groups[1] != nil)
	if has != nil {
		has.close()
	}
	return err
}

func (m *Mesh) open(ctx context.Context, own netip.Addr, iface int) (*group, error) {
	sender, fd, err := join(ctx, groupOf(familyOf(own)), own, iface, m.options.Port)
	if err != nil {
		return nil, err
	}
	return &group{own, iface, sender, fd, newInbox(), m.now()}, nil
}

// disband closes the groups.
func (m *Mesh) disband() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.machine.SetGroup(false)
	for family, g := range m.groups {
		if g != nil {
			g.close()
			m.groups[family] = nil
		}
	}
}

// interfaceOf finds the index of the interface that has an address.
func interfaceOf(own netip.Addr) (int, error) {
	family := syscall.AF_INET6
	if own.Is4() {
		family = syscall.AF_INET
	}
	// The table of addresses, once: a node has an interface for each pod, and net asks for
	// the whole table for each interface.
	table, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, family)
	if err != nil {
		return 0, fmt.Errorf("find the interface of %s: %w", own, err)
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return 0, fmt.Errorf("find the interface of %s: %w", own, err)
	}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return 0, fmt.Errorf("find the interface of %s: %w", own, err)
		}
		for _, a := range attributes {
			// Between two ends of a line, IFA_ADDRESS is the other one, IFA_LOCAL this one.
			is := a.Attr.Type == syscall.IFA_LOCAL || a.Attr.Type == syscall.IFA_ADDRESS && own.Is6()
			ip, ok := netip.AddrFromSlice(a.Value)
			// All of 127.0.0.0/8 is there, whatever the table says (RFC 1122 s.3.2.1.3).
			if is && ok && (ip == own.WithZone("") || ip.IsLoopback() && own.IsLoopback()) {
				return int(binary.NativeEndian.Uint32(m.Data[4:])), nil
			}
		}
	}
	return 0, fmt.Errorf("find the interface of %s: none has it (does this node's InternalIP belong to another machine?)", own)
}

// join makes this node a member of a group at an interface. The socket that listens is
// not blocking.
func join(ctx context.Context, to, own netip.Addr, iface int, port uint16) (_ *sender, fd int, err error) {
	if fd, err = listenTo(to, iface, port); err != nil {
		return nil, 0, fmt.Errorf("join %s at interface %d: %w", to, iface, err)
	}
	if to.Is6() {
		to = to.WithZone(strconv.Itoa(iface))
	}
	s, err := dial(ctx, own, to, port)
	if err == nil {
		if err = control(s.raw, func(fd int) error { return direct(fd, to, iface) }); err == nil {
			return s, fd, nil
		}
		s.close()
	}
	_ = unix.Close(fd)
	return nil, 0, fmt.Errorf("send to %s at interface %d: %w", to, iface, err)
}

// listenTo opens a socket at the address of a group. Package net would open one at all
// addresses, which would be in the way of the socket for unicast.
func listenTo(to netip.Addr, iface int, port uint16) (int, error) {
	var at unix.Sockaddr
	family := unix.AF_INET6
	if to.Is4() {
		family = unix.AF_INET
		at = &unix.SockaddrInet4{Port: int(port), Addr: to.As4()}
	} else {
		at = &unix.SockaddrInet6{Port: int(port), ZoneId: uint32(iface), Addr: to.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	if err = admitToGroup(fd, to, iface); err == nil {
		err = unix.Bind(fd, at)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	// Without it packets count from when they are read, a nap later.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	return fd, nil
}

func control(c syscall.RawConn, act func(fd int) error) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) { err = act(int(fd)) }), err)
}

// admitToGroup prepares a socket that receives what is sent to a group, at one interface.
func admitToGroup(fd int, to netip.Addr, iface int) error {
	// Others on this machine may listen to the group too: for these addresses that is no
	// conflict, each gets a copy.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if to.Is4() {
		return errors.Join(
			// Without it the socket gets what came for members at other interfaces.
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0),
			unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: to.As4(), Ifindex: int32(iface)}))
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0),
		unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: to.As16(), Interface: uint32(iface)}))
}

// direct makes a socket send to a group at one interface, not beyond its link, and not
// to this node itself.
func direct(fd int, to netip.Addr, iface int) error {
	if to.Is4() {
		return errors.Join(
			unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(iface)}),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0))
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, iface),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0))
}
