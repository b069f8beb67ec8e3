package claims

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/lb"
)

// Interface is one that packets can be sent and heard on now.
type Interface struct {
	Index int
	Name  string
	MAC   ether.MAC
	// ARP and NDP tell which families it can announce.
	ARP, NDP bool
	// Epoch changes when the segment may have forgotten us: after loss of
	// carrier, fail-over of a bond, migration of a virtual machine.
	Epoch uint64
}

// Table is what this node claims. It is not safe for concurrent use. Every now
// given to it must not be before the last.
type Table struct {
	timing Timing
	start  time.Time // what phases are counted from

	segments map[int]*segment // by interface index
	own      map[ether.MAC]bool
	peers    map[ether.MAC]bool

	claims  map[netip.Addr]*claim
	sorted  []*claim // by address
	queue   queue
	events  []Event
	changed bool
}

// segment is an interface and the time of its next free slot.
type segment struct {
	Interface
	slot time.Time
	used int
}

// New makes an empty table.
func New(timing Timing, now time.Time) *Table {
	return &Table{timing: timing.withDefaults(), start: now, claims: map[netip.Addr]*claim{}}
}

// Want sets which addresses this node answers for, the whole set, and the MACs of
// our speakers on other nodes. It keeps the slices of interfaces. What is no longer wanted is silent from now on.
// Addresses that no host can have are left out.
func (t *Table) Want(now time.Time, announcements []lb.Announcement, peers []ether.MAC) {
	t.peers = set(peers)
	wanted := make(map[netip.Addr]*claim, len(announcements))
	var moved []*claim // those whose place may be another than before
	for _, w := range announcements {
		address := w.Address.Unmap().WithZone("")
		if !usable(address) {
			continue
		}
		c := t.claims[address]
		switch {
		case c == nil:
			c = &claim{address: address, family: lb.FamilyOf(address), queued: -1}
			moved = append(moved, c)
		case c.fresh != w.Fresh || !slices.Equal(c.patterns, w.Interfaces):
			moved = append(moved, c)
		}
		if c.handingOver && !w.HandingOver {
			t.Repeat(now, address) // the peer may have announced it already
		}
		c.fresh, c.handingOver, c.patterns = w.Fresh, w.HandingOver, w.Interfaces
		wanted[address] = c
	}
	for _, c := range t.sorted {
		if wanted[c.address] == nil {
			t.queue.remove(c)
			t.changed = true
			t.events = append(t.events, Event{Address: c.address})
		}
	}
	t.claims = wanted
	t.sorted = slices.SortedFunc(maps.Values(wanted), compare)
	slices.SortFunc(moved, compare)
	for _, c := range moved {
		t.place(now, c, nil)
	}
}

func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func compare(a, b *claim) int { return a.address.Compare(b.address) }

// SetInterfaces sets which interfaces there are, the whole set, and every MAC of
// this node, those of other interfaces too: frames from them are our own.
func (t *Table) SetInterfaces(now time.Time, all []Interface, own []ether.MAC) {
	t.own = set(own)
	before := t.segments
	t.segments = make(map[int]*segment, len(all))
	again := map[int]bool{}
	for _, i := range all {
		t.own[i.MAC] = true
		s := &segment{Interface: i}
		if old := before[i.Index]; old != nil {
			s.slot, s.used = old.slot, old.used
			again[i.Index] = old.MAC != i.MAC || old.Epoch != i.Epoch
		}
		t.segments[i.Index] = s
	}
	for _, c := range t.sorted {
		t.place(now, c, again)
	}
}

func set(macs []ether.MAC) map[ether.MAC]bool {
	m := make(map[ether.MAC]bool, len(macs))
	for _, mac := range macs {
		m[mac] = true
	}
	return m
}

// matches tells whether an announcement with these patterns goes out on an
// interface. A pattern that cannot be read matches nothing.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil || p == name
	})
}
