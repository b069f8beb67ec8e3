package liveness

import "time"

// introduction is how long a neighbour that was never heard may take to be heard. It
// needs three heartbeats, or four, and one of them may be lost.
const introduction = 300 * time.Millisecond

// Informed tells whether this node knows what its neighbours publish now: of each that
// is not dead, it had a heartbeat since it last gained its quorum, and has the news of
// the number that was told there. A node that was away, or that just came, looks at what
// the others took over before it answers for anything.
func (m *Mesh) Informed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.machine.peers {
		if p.state == Unheard && m.now()-p.since < introduction {
			return false
		}
		if !p.counted || !p.state.present() {
			continue
		}
		if p.heard < m.machine.quorateSince || !m.exchange.current(p.id) {
			return false
		}
	}
	return true
}

// current tells whether the newest news that a peer is known to have are here.
func (x *exchange) current(id nodeID) bool {
	c := x.byID[id]
	return c == nil || c.held == c.told
}
