package announce

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// rejoin is the wait before groups that could not be joined are tried again.
const rejoin = time.Second

// keepGroups keeps the interface in the groups that solicitations for our addresses
// are sent to, so that its filter and switches that snoop MLD let them through.
//
// It has a goroutine of its own: before Linux 6.17 a join waits for the lock that
// every change of any interface holds.
func (s *station) keepGroups(ctx context.Context) {
	member := s.announce.rim.member(s.index)
	defer member.Close()
	failing := false
	for {
		s.announce.mu.Lock()
		groups := s.announce.table.Groups(s.index)
		s.announce.mu.Unlock()

		var again <-chan time.Time
		err := member.Set(groups)
		if err != nil {
			again = time.After(rejoin)
		}
		if err != nil && !failing {
			s.announce.log.Warn("solicitations may not arrive", "iface", s.name, "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-s.regroup:
		case <-again:
		}
	}
}

// socketMembership holds groups on ordinary sockets: the kernel speaks MLD for
// them. A socket holds as many as net.core.optmem_max has room for, some hundred.
type socketMembership struct {
	index   int
	sockets []*groupSocket
	joined  map[netip.Addr]*groupSocket
}

type groupSocket struct {
	fd, groups int
	full       bool
}

func newMembership(index int) membership {
	return &socketMembership{index: index, joined: map[netip.Addr]*groupSocket{}}
}

// Set wants groups sorted.
func (m *socketMembership) Set(groups []netip.Addr) error {
	for g, s := range m.joined {
		if _, wanted := slices.BinarySearchFunc(groups, g, netip.Addr.Compare); !wanted {
			m.leave(g, s)
		}
	}
	failed := 0
	var first error
	for _, g := range groups {
		if m.joined[g] != nil {
			continue
		}
		if err := m.join(g); err != nil {
			failed++
			first = cmp.Or(first, fmt.Errorf("join %s: %w", g, err))
		}
	}
	if failed > 1 {
		return fmt.Errorf("%w, and %d more", first, failed-1)
	}
	return first
}

// leave cannot fail in a way that matters: the interface may be gone.
func (m *socketMembership) leave(g netip.Addr, s *groupSocket) {
	_ = unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, unix.IPV6_LEAVE_GROUP, m.request(g))
	delete(m.joined, g)
	s.groups--
	s.full = false
	if s.groups == 0 {
		unix.Close(s.fd)
		m.sockets = slices.DeleteFunc(m.sockets, func(o *groupSocket) bool { return o == s })
	}
}

// join takes the first socket with room for g, a new one where there is none.
func (m *socketMembership) join(g netip.Addr) error {
	for _, s := range m.sockets {
		if s.full {
			continue
		}
		err := m.joinOn(s, g)
		if !isCongested(err) {
			return err
		}
		s.full = true
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	s := &groupSocket{fd: fd}
	if err := m.joinOn(s, g); err != nil {
		unix.Close(fd)
		return err
	}
	m.sockets = append(m.sockets, s)
	return nil
}

func (m *socketMembership) joinOn(s *groupSocket, g netip.Addr) error {
	if err := unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, m.request(g)); err != nil {
		return os.NewSyscallError("IPV6_JOIN_GROUP", err)
	}
	s.groups++
	m.joined[g] = s
	return nil
}

func (m *socketMembership) request(g netip.Addr) *unix.IPv6Mreq {
	return &unix.IPv6Mreq{Multiaddr: g.As16(), Interface: uint32(m.index)}
}

func (m *socketMembership) Close() {
	for _, s := range m.sockets {
		unix.Close(s.fd)
	}
	m.sockets, m.joined = nil, map[netip.Addr]*groupSocket{}
}
