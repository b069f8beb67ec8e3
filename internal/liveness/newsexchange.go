package liveness

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

const (
	// newsEvery is the pace of packets about news: 32 in a millisecond, 25 KB to each of
	// 20 peers in 13 ms, with 40 MB/s. newsBurst packets go at once: they fit into the
	// buffer of every socket and network card.
	newsEvery = time.Millisecond / 32
	newsBurst = 64
	// newsGroupCost is how many others a packet to the group counts as: of those each peer
	// gets every one, when 20 nodes publish at once all of 20. What a node of a large
	// segment publishes is a packet or two; when it is more, the usual buffer of a socket
	// holds 90 of full length, and what it does not hold is asked for.
	newsGroupCost = 4
	// newsBatch is how long the rest waits in between, and gives way to heartbeats.
	newsBatch = time.Millisecond
	// newsQuiet is how long no fragment came when the rest counts as lost, newsEnd where
	// the last one came. In between the sender waits for its pace, and what came by the
	// group waits to be read. It is longer by as long as fragments have been coming: a node
	// that is too busy to read what it has must not ask for more.
	newsQuiet = nap + 5*time.Millisecond
	newsEnd   = 2 * time.Millisecond
	// newsAskEvery is how often one peer is asked at most.
	newsAskEvery = 20 * time.Millisecond
	// newsProbe is how long after all was sent the last fragment is sent again, to each
	// peer alone. Who lost it the first time, or all since the group just failed, need
	// not wait for a heartbeat that tells of it (a tail loss probe, as of TCP: RFC 8985
	// s.7). After the group that is a nap later.
	newsProbe = 10 * time.Millisecond
	// newsHeard is how long after its last heartbeat a peer is sent news or asked.
	newsHeard = 200 * time.Millisecond
)

// exchange tells this node's news to its peers, and puts theirs together. It is pure,
// as the machine is, and has the machine's clock; which process of a peer is the
// present one the machine decides.
//
// Its users call Heard for every heartbeat that the machine took, Receive for every
// packet about news, and Step no later than Next.
type exchange struct {
	self nodeID
	boot uint64

	number uint64 // of news; zero before the first
	news   []byte

	peers []*newsPeer // by id
	byID  map[nodeID]*newsPeer
	turn  int // whose fragment is the next
	// group are the fragments to send to all at once.
	group fragments

	paid  time.Duration // until when the pace was used up
	stamp uint64        // of the last request
	next  time.Duration // when Step is due
}

// newsPeer is a peer as the exchange knows it.
type newsPeer struct {
	id    nodeID
	boot  uint64 // its present process; zero before the first
	heard time.Duration

	// What it is sent.
	unsent  fragments
	grouped bool          // the group is to reach it
	probing bool          // the probe follows when all was sent
	probe   time.Duration // when it is due; never, where none is
	granted uint64        // stamp of its last request
	grants  int           // how many requests came

	// What came from it: news with the number held, zero is none.
	held uint64
	news []byte
	// told is the newest number that it is known to have. Where that is not the one held,
	// partial is being put together in buffer.
	told, partial uint64
	buffer        []byte
	lacks         fragments
	begun         time.Duration // when told grew
	progress      time.Duration // or a fragment came
	asked         time.Duration
	asks          int // how many requests went out
}

// newsSend is a packet on its way. What it holds is valid until the next call.
type newsSend struct {
	packet newsPacket
	// attempt grows when something was lost: another address may do better.
	attempt int
}

func newExchange(node string, boot uint64) *exchange {
	return &exchange{self: idOf(node), boot: boot, byID: map[nodeID]*newsPeer{}, paid: never}
}

func newNewsPeer(id nodeID) *newsPeer {
	return &newsPeer{id: id, heard: never, probe: never, progress: never, asked: never}
}

// SetPeers replaces the peers. Who is one no longer is forgotten.
func (x *exchange) SetPeers(names []string) {
	wanted := map[nodeID]bool{}
	for _, name := range names {
		id := idOf(name)
		wanted[id] = true
		if id != x.self && x.byID[id] == nil {
			p := newNewsPeer(id)
			x.byID[id] = p
			x.peers = append(x.peers, p)
		}
	}
	x.peers = slices.DeleteFunc(x.peers, func(p *newsPeer) bool {
		if !wanted[p.id] {
			delete(x.byID, p.id)
		}
		return !wanted[p.id]
	})
	slices.SortFunc(x.peers, func(a, b *newsPeer) int { return cmp.Compare(a.id, b.id) })
}

// Publish replaces the news of this node, which are not to be changed from then on.
// grouped tells which peers packets to the group reach. It tells whether the news are
// others than before.
func (x *exchange) Publish(now time.Duration, news []byte, grouped func(nodeID) bool) bool {
	if x.number > 0 && bytes.Equal(x.news, news) {
		return false
	}
	x.number, x.news, x.group = x.number+1, news, fragments{}
	count := fragmentsOf(len(news))
	all, reached := firstFragments(count), 0
	for _, p := range x.peers {
		p.unsent, p.probe = fragments{}, never
		p.probing = now-p.heard < newsHeard // the others ask when they are back
		p.grouped = p.probing && grouped(p.id)
		if p.grouped {
			reached++
		}
	}
	// What goes at once to each alone is not read sooner by the group.
	useGroup := reached*count > newsBurst
	if useGroup {
		x.group = all
	}
	for _, p := range x.peers {
		p.grouped = p.grouped && useGroup
		if p.probing && !p.grouped {
			p.unsent = all
		}
	}
	x.next = min(x.next, now)
	return true
}

// Heard notes that the machine took a heartbeat of a process, which told the number of
// its news. It tells whether news were forgotten: those of the process before it.
func (x *exchange) Heard(now time.Duration, from nodeID, boot, number uint64) (changed bool) {
	p := x.byID[from]
	if p == nil {
		return false
	}
	if boot != p.boot {
		changed = p.held > 0
		*p = *newNewsPeer(from)
		p.boot = boot
	}
	p.heard = now
	x.tell(now, p, number)
	return changed
}

// tell notes the number of a peer's news.
func (x *exchange) tell(now time.Duration, p *newsPeer, number uint64) {
	if number > p.told {
		p.told, p.begun, p.progress = number, now, now
	}
	if p.told > p.held {
		x.next = min(x.next, p.askAt())
	}
}

// askAt is when a peer should be asked for what did not come.
func (p *newsPeer) askAt() time.Duration {
	quiet := newsQuiet + p.progress - p.begun
	if p.partial == p.told && !p.lacks.has(fragmentsOf(len(p.buffer))-1) {
		quiet = newsEnd
	}
	return max(p.progress+quiet, p.asked+newsAskEvery)
}

// Receive takes a packet that was authenticated and measured. It tells whether the news
// of the sender changed.
func (x *exchange) Receive(now time.Duration, n *newsPacket) (changed bool, drop Drop) {
	switch {
	case n.From == x.self:
		return false, DropOwn
	case n.To != x.self && (n.To != everyone || n.Kind != newsFragment):
		return false, DropNotForUs
	}
	p := x.byID[n.From]
	switch {
	case p == nil:
		return false, DropStranger
	case n.Boot == 0 || n.Number == 0:
		return false, DropMalformed
	case n.Boot != p.boot:
		// Its heartbeats prove it, or not. Then it is asked.
		return false, DropUnproven
	case n.Kind == newsRequest:
		return false, x.grant(now, p, n)
	}
	return x.collect(now, p, n)
}

// grant makes those fragments due that a peer lacks. A request that was recorded could
// otherwise be played again, to have many packets sent for one.
func (x *exchange) grant(now time.Duration, p *newsPeer, n *newsPacket) Drop {
	switch {
	case n.Of != x.boot:
		return DropOldBoot
	case n.Stamp <= p.granted, n.Number < x.number:
		return DropRepeated
	case n.Number > x.number:
		return DropMalformed
	}
	p.granted = n.Stamp
	all := firstFragments(fragmentsOf(len(x.news)))
	for i := range p.unsent {
		p.unsent[i] |= n.Lacks[i] & all[i]
	}
	p.grants++
	p.probing, p.probe = false, never // it knows that there is something
	x.next = min(x.next, now)
	return ""
}

// collect puts a fragment where it belongs.
func (x *exchange) collect(now time.Duration, p *newsPeer, n *newsPacket) (changed bool, drop Drop) {
	if n.Number <= p.held || n.Number < p.told {
		return false, DropRepeated
	}
	x.tell(now, p, n.Number)
	if p.partial != n.Number {
		p.partial, p.lacks = n.Number, firstFragments(fragmentsOf(n.Size))
		p.buffer = slices.Grow(p.buffer[:0], n.Size)[:n.Size]
	}
	switch {
	case len(p.buffer) != n.Size:
		return false, DropMalformed
	case !p.lacks.has(n.Index):
		return false, DropRepeated
	}
	from, to := fragmentAt(n.Index, n.Size)
	copy(p.buffer[from:to], n.Content)
	p.lacks.remove(n.Index)
	p.progress = now
	x.next = min(x.next, p.askAt())
	if !p.lacks.empty() {
		return false, ""
	}
	p.held, p.news, p.buffer, p.partial = n.Number, p.buffer, nil, 0
	return true, ""
}

// News of a peer's present process.
func (x *exchange) News(id nodeID) (news []byte, ok bool) {
	p := x.byID[id]
	if p == nil || p.held == 0 {
		return nil, false
	}
	return p.news, true
}

// Next is when Step is due.
func (x *exchange) Next() time.Duration { return x.next }

// Step does what is due, and appends the packets to send.
func (x *exchange) Step(now time.Duration, out []newsSend) []newsSend {
	x.next = now + time.Hour
	for _, p := range x.peers {
		if p.told > p.held {
			out = x.ask(now, p, out)
		}
		switch {
		case p.probe == never:
		case now >= p.probe:
			p.probe = never
			p.unsent.add(fragmentsOf(len(x.news)) - 1)
		default:
			x.next = min(x.next, p.probe)
		}
	}
	return x.send(now, out)
}

// ask appends a request for what p has and we lack, if it is due.
func (x *exchange) ask(now time.Duration, p *newsPeer, out []newsSend) []newsSend {
	if now >= p.askAt() && now-p.heard < newsHeard {
		p.asked = now
		x.stamp = max(x.stamp+1, micros(now))
		lacks := firstFragments(fragmentsMax)
		if p.partial == p.told {
			lacks = p.lacks
		}
		out = append(out, newsSend{attempt: p.asks, packet: newsPacket{
			Kind: newsRequest, To: p.id, From: x.self, Boot: x.boot, Number: p.told,
			Of: p.boot, Stamp: x.stamp, Lacks: lacks,
		}})
		p.asks++
	}
	if at := p.askAt(); at-p.heard < newsHeard {
		x.next = min(x.next, at)
	}
	return out
}

// send appends as many fragments as the pace allows: first those for all at once, then
// one for each peer in turn, so that no peer gets many at once.
func (x *exchange) send(now time.Duration, out []newsSend) []newsSend {
	x.paid = max(x.paid, now-newsBurst*newsEvery)
	for !x.group.empty() {
		if !x.pay(now, newsGroupCost) {
			return out
		}
		out = append(out, newsSend{packet: x.fragment(everyone, &x.group)})
		if x.group.empty() {
			for _, p := range x.peers {
				if p.grouped {
					x.probeLater(now+nap, p)
				}
			}
		}
	}
	for idle := 0; idle < len(x.peers); {
		p := x.peers[x.turn%len(x.peers)]
		if p.unsent.empty() {
			idle, x.turn = idle+1, x.turn+1
			continue
		}
		if !x.pay(now, 1) {
			return out
		}
		idle, x.turn = 0, x.turn+1
		out = append(out, newsSend{attempt: p.grants, packet: x.fragment(p.id, &p.unsent)})
		x.probeLater(now, p)
	}
	return out
}

// pay tells whether the pace allows a packet that counts as some; if not, the next
// Step does.
func (x *exchange) pay(now time.Duration, cost time.Duration) bool {
	if x.paid+cost*newsEvery > now {
		x.next = min(x.next, now+newsBatch)
		return false
	}
	x.paid += cost * newsEvery
	return true
}

// fragment takes the first of those to send and makes a packet of it.
func (x *exchange) fragment(to nodeID, unsent *fragments) newsPacket {
	index := unsent.first()
	unsent.remove(index)
	from, end := fragmentAt(index, len(x.news))
	return newsPacket{
		Kind: newsFragment, To: to, From: x.self, Boot: x.boot, Number: x.number,
		Size: len(x.news), Index: index, Content: x.news[from:end],
	}
}

// probeLater sets when to probe a peer, if it was sent all at a time.
func (x *exchange) probeLater(at time.Duration, p *newsPeer) {
	if p.probing && p.unsent.empty() {
		p.probing, p.probe = false, at+newsProbe
		x.next = min(x.next, p.probe)
	}
}
