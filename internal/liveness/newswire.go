package liveness

import (
	"encoding/binary"
	"math/bits"
)

// newsPacket is a packet about news: a fragment of the sender's, or a request for some of
// the receiver's.
type newsPacket struct {
	Kind newsKind
	// To is everyone in a fragment to the group.
	To, From nodeID
	// Boot is the sender's process.
	Boot uint64
	// Number of the news: the sender's in a fragment, the receiver's in a request.
	Number uint64

	// Size of the whole news in octets, of a fragment. How many fragments there are and
	// how long each is follows from it.
	Size int
	// Index of the fragment, and what it holds.
	Index   int
	Content []byte

	// Of is the receiver's process, of a request.
	Of uint64
	// Stamp is the sender's clock in microseconds, made to grow with every request.
	Stamp uint64
	// Lacks are the fragments that the sender wants; all where it knows no better.
	Lacks fragments
}

type newsKind byte

const (
	newsFragment newsKind = 0
	newsRequest  newsKind = 1
)

// A packet about news, in network byte order:
//
//	 0 magic "FN", version, kind
//	 4 key id
//	 8 cluster
//	16 to, from, boot, number
//	   fragment: 48 size, 52 index, 54 content
//	   request:  48 of, stamp, 64 a bit for each fragment
//	   the first 16 octets of HMAC-SHA-256 over all that
const (
	fragmentHeader = 54
	// fragmentSize is what every fragment but the last holds, in octets: the packet has
	// 1280 with IPv6 and UDP headers, which every IPv6 link carries.
	fragmentSize = 1280 - 40 - 8 - fragmentHeader - macSize
	// newsMax is how long news may be, in octets: those of 1000 addresses take a sixth.
	// It bounds what a neighbour can make this node keep.
	newsMax      = 256 << 10
	fragmentsMax = (newsMax + fragmentSize - 1) / fragmentSize

	requestHeader = 64
	requestSize   = requestHeader + len(fragments{})*8 + macSize
)

// fragmentsOf is how many fragments news of a size has. Empty news are one, so that
// they can be told from none.
func fragmentsOf(size int) int { return max(1, (size+fragmentSize-1)/fragmentSize) }

// fragmentAt is where a fragment begins and ends.
func fragmentAt(index, size int) (from, to int) {
	return index * fragmentSize, min((index+1)*fragmentSize, size)
}

// fragments is a set of fragments.
type fragments [(fragmentsMax + 63) / 64]uint64

// firstFragments is the set of the first n.
func firstFragments(n int) (f fragments) {
	for i := range f {
		f[i] = 1<<min(max(n-64*i, 0), 64) - 1
	}
	return f
}

func (f *fragments) add(i int)      { f[i/64] |= 1 << (i % 64) }
func (f *fragments) remove(i int)   { f[i/64] &^= 1 << (i % 64) }
func (f *fragments) has(i int) bool { return f[i/64]&(1<<(i%64)) != 0 }
func (f *fragments) empty() bool    { return *f == fragments{} }

// first is the least of a set that is not empty.
func (f *fragments) first() int {
	for i, word := range f {
		if word != 0 {
			return 64*i + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// isNews tells packets about news from heartbeats.
func isNews(packet []byte) bool {
	return len(packet) >= 3 && packet[0] == 'F' && packet[1] == 'N' && packet[2] == version
}

// measureNews checks what can be checked before the key is known. What passes has a
// size within newsMax, and exactly the content that its index calls for.
func measureNews(packet []byte) Drop {
	if !isNews(packet) {
		return DropForeign
	}
	if len(packet) < fragmentHeader+macSize {
		return DropMalformed
	}
	switch newsKind(packet[3]) {
	case newsFragment:
		size, index := binary.BigEndian.Uint32(packet[48:]), int(binary.BigEndian.Uint16(packet[52:]))
		if size > newsMax || index >= fragmentsOf(int(size)) {
			return DropMalformed
		}
		if from, to := fragmentAt(index, int(size)); len(packet) != fragmentHeader+to-from+macSize {
			return DropMalformed
		}
	case newsRequest:
		if len(packet) != requestSize {
			return DropMalformed
		}
	default:
		return DropForeign
	}
	return ""
}

// sealNews appends n as a packet.
func (c *codec) sealNews(b []byte, n *newsPacket) []byte {
	be := binary.BigEndian
	start := len(b)
	k := &c.keys[0]
	b = append(b, 'F', 'N', version, byte(n.Kind))
	b = be.AppendUint32(b, uint32(k.id))
	b = be.AppendUint64(b, c.cluster)
	b = be.AppendUint64(b, uint64(n.To))
	b = be.AppendUint64(b, uint64(n.From))
	b = be.AppendUint64(b, n.Boot)
	b = be.AppendUint64(b, n.Number)
	if n.Kind == newsFragment {
		b = be.AppendUint32(b, uint32(n.Size))
		b = be.AppendUint16(b, uint16(n.Index))
		b = append(b, n.Content...)
	} else {
		b = be.AppendUint64(b, n.Of)
		b = be.AppendUint64(b, n.Stamp)
		for _, word := range n.Lacks {
			b = be.AppendUint64(b, word)
		}
	}
	return append(b, c.authenticate(k, b[start:])...)
}

// openNews reads a packet into n, whose Content is a part of the packet.
func (c *codec) openNews(packet []byte, n *newsPacket) Drop {
	if drop := measureNews(packet); drop != "" {
		return drop
	}
	if _, drop := c.verify(packet); drop != "" {
		return drop
	}
	n.read(packet)
	return ""
}

// read takes n from a packet that was measured and authenticated.
func (n *newsPacket) read(packet []byte) {
	be := binary.BigEndian
	*n = newsPacket{
		Kind:   newsKind(packet[3]),
		To:     nodeID(be.Uint64(packet[16:])),
		From:   nodeID(be.Uint64(packet[24:])),
		Boot:   be.Uint64(packet[32:]),
		Number: be.Uint64(packet[40:]),
	}
	if n.Kind == newsFragment {
		n.Size, n.Index = int(be.Uint32(packet[48:])), int(be.Uint16(packet[52:]))
		n.Content = packet[fragmentHeader : len(packet)-macSize]
		return
	}
	n.Of, n.Stamp = be.Uint64(packet[48:]), be.Uint64(packet[56:])
	for i := range n.Lacks {
		n.Lacks[i] = be.Uint64(packet[requestHeader+8*i:])
	}
}
