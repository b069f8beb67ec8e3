package speaker

import (
	"hash/fnv"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// offerLimit is how long an offer stands that nobody takes: shorter than handoverLimit, at
// which the giver would stop answering.
const offerLimit = 2 * time.Second

// mending moves one address at a time from a node that has more than its share to one
// that has less, when nothing else moves.
type mending struct {
	node  string
	every time.Duration // how long all was quiet before an address moves; zero never mends

	quiet   time.Time // since when
	picture uint64    // of who lives and who owns what
	offered netip.Addr
	until   time.Time
}

// consider offers an address when it is time to. next is when to look again at the
// latest, zero for never.
func (m *mending) consider(now time.Time, w *lb.World, owners []plan.Ownership, r records) (next time.Time) {
	if m.every <= 0 {
		return next
	}
	if m.offered.IsValid() {
		held, mine := r[m.offered]
		if mine && now.Before(m.until) {
			return m.until
		}
		if mine {
			held.offer = ""
			r[m.offered] = held
		}
		m.offered = netip.Addr{}
	}
	if p := pictureOf(w, owners); p != m.picture {
		m.picture, m.quiet = p, now
	}
	if due := m.quiet.Add(m.every); now.Before(due) {
		return due
	}
	addr, to, ok := plan.Mend(*w, m.node)
	if !ok {
		return next
	}
	held := r[addr]
	held.offer = to
	r[addr] = held
	m.offered, m.until = addr, now.Add(offerLimit)
	return now // the offer is part of the next look
}

// pictureOf is another number when somebody came or went, or an address moved.
func pictureOf(w *lb.World, owners []plan.Ownership) uint64 {
	h := fnv.New64a()
	for i := range w.Nodes {
		if n := &w.Nodes[i]; n.Alive && !n.Excluded && !n.OutOfService {
			h.Write([]byte(n.Name + "\x00"))
		}
	}
	for _, o := range owners {
		b := o.Address.As16()
		h.Write(b[:])
		h.Write([]byte(o.Node + "\x00"))
	}
	return h.Sum64()
}
