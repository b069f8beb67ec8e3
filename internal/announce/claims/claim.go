package claims

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/lb"
)

// claim is an address that is wanted.
type claim struct {
	address  netip.Addr
	family   lb.Family
	patterns []string
	fresh    bool
	// handingOver is set while a peer takes it over. One more announcement of ours could
	// come after the peer's first: clients would come back for a moment, and bring
	// connections that began at the peer.
	handingOver bool

	state  lb.ClaimState
	since  time.Time
	detail string
	// cleared is set once the address was used: it is not asked for again.
	cleared bool
	// posts are the interfaces it belongs on, by index.
	posts []post

	probes  int // sent in this round
	probeAt time.Time

	defended  time.Time // when last
	defendOn  int       // index of the interface to defend on at once; 0 is none
	defendAt  time.Time
	forgetAt  time.Time // when detail is dropped; zero is never
	takenOver time.Time // when a peer last announced it while we answered

	at     time.Time // in the queue
	queued int       // its place there, -1 is none
}

// post is an address on an interface, and when it is announced there next.
type post struct {
	index int
	name  string
	start time.Time // of the burst
	step  int       // of the burst that comes next; len(Burst) is periodic
	next  time.Time
}

// place finds the interfaces for c and lets it go on there. again holds those
// whose segments have to be told anew.
func (t *Table) place(now time.Time, c *claim, again map[int]bool) {
	before := c.posts
	c.posts = nil
	var joined []int // positions in c.posts
	for _, s := range t.segments {
		if !s.carries(c.family) || !matches(c.patterns, s.Name) {
			continue
		}
		p := post{index: s.Index, name: s.Name}
		had := slices.IndexFunc(before, func(b post) bool { return b.index == s.Index })
		if had >= 0 && !again[s.Index] {
			p = before[had]
			p.name = s.Name
		}
		c.posts = append(c.posts, p)
	}
	slices.SortFunc(c.posts, func(a, b post) int { return cmp.Compare(a.index, b.index) })
	for i, p := range c.posts {
		if p.start.IsZero() {
			joined = append(joined, i)
		}
	}
	if !slices.EqualFunc(before, c.posts, func(a, b post) bool { return a.name == b.name }) {
		t.changed = true
	}
	if c.defendOn != 0 && !c.isOn(c.defendOn) {
		c.defendOn = 0
	}
	t.proceed(now, c, joined)
	t.queue.set(c)
}

// proceed moves c on after its wish or its interfaces changed; joined are the
// positions of posts that nothing was sent on yet.
func (t *Table) proceed(now time.Time, c *claim, joined []int) {
	switch {
	case len(c.posts) == 0:
		t.enter(now, c, lb.NoInterface, t.whyNowhere(c))
	case c.state == lb.Announced:
		for _, i := range joined {
			t.startBurst(now, &c.posts[i])
		}
	case c.cleared || !c.fresh || t.timing.Probes < 0:
		t.announce(now, c)
	case c.state == lb.Conflict && len(joined) == 0:
		// Goes on as it was.
	case c.state == lb.Conflict:
		for _, i := range joined {
			c.posts[i].start = now
		}
	case c.state != lb.Probing || len(joined) > 0:
		t.startProbing(now, c)
	}
}

// isOn tells whether c belongs on an interface.
func (c *claim) isOn(index int) bool {
	for i := range c.posts {
		if c.posts[i].index == index {
			return true
		}
	}
	return false
}

func (s *segment) carries(f lb.Family) bool {
	if f == lb.IPv6 {
		return s.NDP
	}
	return s.ARP
}

func (t *Table) whyNowhere(c *claim) string {
	names := ""
	if len(c.patterns) > 0 {
		names = " that matches " + strings.Join(c.patterns, ", ")
	}
	for _, s := range t.segments {
		if matches(c.patterns, s.Name) {
			return fmt.Sprintf("no interface%s can announce %s", names, c.family)
		}
	}
	return "no usable interface" + names
}

func (t *Table) startProbing(now time.Time, c *claim) {
	t.enter(now, c, lb.Probing, "")
	c.probes = 0
	c.probeAt = time.Time{}
	for i := range c.posts {
		p := &c.posts[i]
		p.start = now
		if slot := t.segments[p.index].take(now); slot.After(c.probeAt) {
			c.probeAt = slot
		}
	}
}

func (t *Table) announce(now time.Time, c *claim) {
	c.cleared = true
	t.enter(now, c, lb.Announced, "")
	for i := range c.posts {
		t.startBurst(now, &c.posts[i])
	}
}

// Repeat announces an address from the beginning, if it is announced already. What a
// peer announced before is over.
func (t *Table) Repeat(now time.Time, a netip.Addr) {
	c := t.claims[a]
	if c == nil || c.state != lb.Announced {
		return
	}
	c.takenOver = time.Time{}
	for i := range c.posts {
		t.startBurst(now, &c.posts[i])
	}
	t.queue.set(c)
}

func (t *Table) startBurst(now time.Time, p *post) {
	p.start = t.segments[p.index].take(now)
	p.step = 0
	p.next = p.start.Add(t.timing.Burst[0])
}

// take reserves a place in the next slot that is free.
func (s *segment) take(now time.Time) time.Time {
	if s.slot.Before(now) {
		s.slot, s.used = now, 0
	}
	if s.used == slotSize {
		s.slot, s.used = s.slot.Add(slotTime), 0
	}
	s.used++
	return s.slot
}

// enter changes state and detail, and tells of it.
func (t *Table) enter(now time.Time, c *claim, state lb.ClaimState, detail string) {
	if c.state == state && c.detail == detail {
		return
	}
	if c.state != state {
		c.since = now
		c.forgetAt, c.defendOn = time.Time{}, 0
	}
	c.state, c.detail = state, detail
	t.changed = true
	t.events = append(t.events, Event{Address: c.address, State: state, Detail: detail})
}

// conflict gives the address up before it was used. Who was found first is told
// until the next round, whoever else is heard.
func (t *Table) conflict(now time.Time, c *claim, mac ether.MAC, on string) {
	if c.state == lb.Conflict && c.probes == 0 {
		return
	}
	t.enter(now, c, lb.Conflict, fmt.Sprintf("%s answers for it on %s", mac, on))
	c.probes = 0
	c.probeAt = now.Add(t.timing.Reprobe)
	t.queue.set(c)
}

// defend answers a foreign claim to an address in use: it stays in use, the other
// is told once an interval (RFC 5227 s.2.4 c), the operator by the detail.
func (t *Table) defend(now time.Time, c *claim, mac ether.MAC, on *segment) {
	if c.forgetAt.IsZero() {
		t.enter(now, c, lb.Announced, fmt.Sprintf("%s also answers for it on %s", mac, on.Name))
	}
	c.forgetAt = now.Add(t.timing.Remember)
	if c.defended.IsZero() || now.Sub(c.defended) >= t.timing.Defend {
		c.defended, c.defendAt, c.defendOn = now, now, on.Index
	}
	t.queue.set(c)
}
