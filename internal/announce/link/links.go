package link

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// links is what the kernel has told so far. It is a value in the hands of the
// reader; it does no I/O.
type links struct {
	byIndex map[int]*device
	// linkLocal holds the addresses of fe80::/10 by interface. Addresses may be
	// told before their interface is.
	linkLocal map[int]map[netip.Addr]bool
}

// device is an interface as the kernel describes it.
type device struct {
	index, master int
	name, kind    string // kind is "bridge", "bond", "vrf", …; empty for hardware
	flags         uint32 // IFF_*
	hardware      uint16 // ARPHRD_*
	mac           ether.MAC
	hasMAC        bool
	carrierUps    uint32 // how often the carrier came up
	hints         uint64 // how often the kernel asked to tell peers anew
}

func newLinks() *links {
	return &links{byIndex: map[int]*device{}, linkLocal: map[int]map[netip.Addr]bool{}}
}

func (l *links) setDevice(d *device) {
	if old := l.byIndex[d.index]; old != nil {
		d.hints += old.hints
	}
	l.byIndex[d.index] = d
}

func (l *links) removeDevice(index int) {
	delete(l.byIndex, index)
	delete(l.linkLocal, index)
}

func (l *links) setLinkLocal(index int, a netip.Addr, has bool) {
	if !has {
		delete(l.linkLocal[index], a)
		return
	}
	if l.linkLocal[index] == nil {
		l.linkLocal[index] = map[netip.Addr]bool{}
	}
	l.linkLocal[index][a] = true
}

// carryOver keeps what only events tell when the kernel is asked for everything
// again. Hints that were lost meanwhile are made up for by the carrier's count.
func (l *links) carryOver(before *links) {
	for index, d := range l.byIndex {
		if old := before.byIndex[index]; old != nil {
			d.hints += old.hints
		}
	}
}

// snapshot picks the usable interfaces.
func (l *links) snapshot(exclude []string) Snapshot {
	var s Snapshot
	for _, d := range l.byIndex {
		if d.hasMAC {
			s.Own = append(s.Own, d.mac)
		}
		if !l.usable(d) || excluded(exclude, d.name) {
			continue
		}
		s.Interfaces = append(s.Interfaces, Interface{
			Index: d.index,
			Name:  d.name,
			MAC:   d.mac,
			ARP:   d.flags&unix.IFF_BROADCAST != 0,
			NDP:   len(l.linkLocal[d.index]) > 0,
			Epoch: uint64(d.carrierUps) + d.hints,
		})
	}
	slices.SortFunc(s.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Own, func(a, b ether.MAC) int { return slices.Compare(a[:], b[:]) })
	s.Own = slices.Compact(s.Own)
	return s
}

// usable tells whether frames sent on d reach hosts that resolve addresses.
func (l *links) usable(d *device) bool {
	const up = unix.IFF_UP | unix.IFF_RUNNING
	return d.flags&up == up &&
		d.flags&(unix.IFF_LOOPBACK|unix.IFF_NOARP) == 0 &&
		d.hardware == unix.ARPHRD_ETHER && d.hasMAC && !d.mac.IsZero() &&
		!l.enslaved(d)
}

// enslaved tells whether another interface receives what comes in on d: the bond,
// team or bridge that it is a port of. A VRF is a routing table, and leaves the
// segment to its ports.
func (l *links) enslaved(d *device) bool {
	if d.master == 0 {
		return false
	}
	master := l.byIndex[d.master]
	return master == nil || master.kind != "vrf"
}
