package liveness

import (
	"fmt"
	"slices"
	"time"
)

// Publish replaces what this node tells its neighbours of itself, of 256 KiB at most;
// more changes nothing and is an error. The same again does nothing. News that were
// still on their way are given up for the newer ones: who publishes more often than
// they take (30 ms for 25 KB to 20 neighbours) may never get through.
func (m *Mesh) Publish(news []byte) error {
	if len(news) > newsMax {
		return fmt.Errorf("publish news of %d octets: neighbours take %d at most", len(news), newsMax)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.exchange.Publish(m.now(), slices.Clone(news), m.machine.overheardBy) {
		m.machine.news = m.exchange.number
		poke(m.posted)
	}
	return nil
}

// News is what a neighbour's present process published last, as far as it came; false
// where nothing did. That of a dead node stays. It must not be changed.
func (m *Mesh) News(node string) (news []byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exchange.News(idOf(node))
}

// post lets the exchange step, and tells when it is to do so again.
func (m *Mesh) post() (next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newsSends = m.exchange.Step(m.now(), m.newsSends[:0])
	for i := range m.newsSends {
		m.sendNews(&m.newsSends[i])
	}
	m.postAt = m.exchange.Next()
	return m.postAt
}

// sendNews sends a packet about news: to the group, or to one of a peer's addresses,
// which it stays with until something is lost. The caller holds mu.
func (m *Mesh) sendNews(s *newsSend) {
	l := m.peers[s.packet.To]
	if m.codec.mute() || s.packet.To != everyone && (l == nil || len(l.addresses) == 0) {
		return
	}
	m.packet = m.codec.sealNews(m.packet[:0], &s.packet)
	if s.packet.Kind == newsRequest {
		m.metrics.newsRequests.Inc()
	}
	if s.packet.To == everyone {
		m.spread(m.emitNews)
		return
	}
	m.emitNews(m.sender(l, s.attempt%len(l.addresses)))
}

// emitNews sends the packet, and counts it. s may be nil.
func (m *Mesh) emitNews(s *sender) {
	if s == nil || s.send(m.packet) != nil {
		m.metrics.newsUnsent.Inc()
	} else {
		m.metrics.newsSent.Add(float64(len(m.packet)))
	}
}

// takeNews gives the exchange a packet. The caller holds mu.
func (m *Mesh) takeNews(packet []byte) {
	drop := m.codec.openNews(packet, &m.news)
	if drop == "" {
		var changed bool
		changed, drop = m.exchange.Receive(m.now(), &m.news)
		m.noteNews(changed)
	}
	if drop != "" {
		m.metrics.drops[drop].Inc()
		return
	}
	m.metrics.newsReceived.Add(float64(len(packet)))
}

// noteNews lets Changed know, and the loop if it sleeps too long. The caller holds mu.
func (m *Mesh) noteNews(changed bool) {
	if changed {
		poke(m.changed)
	}
	if m.exchange.Next() < m.postAt {
		poke(m.posted)
	}
}
