package liveness

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// nodeID stands for a node's name in packets: of fixed size, and no name is on the
// wire. Receivers know all names that they listen to, and 64 bits make two of one
// cluster collide once in 10^14 clusters of 500 nodes.
type nodeID uint64

func idOf(node string) nodeID { return nodeID(hash64("node", node)) }

func hash64(kind, s string) uint64 {
	sum := sha256.Sum256([]byte("fairlead liveness " + kind + "\x00" + s))
	return binary.BigEndian.Uint64(sum[:])
}

// heartbeat is what one node tells another.
type heartbeat struct {
	Leaving  bool // out from now on: a planned stop
	Minority bool // sees less than half of its segment, and gave its addresses up
	Ask      bool // answer at once
	Reached  bool // the receiver's heartbeats to the group reach the sender

	// To is everyone in a heartbeat to the group, which has no echo and no answers.
	To, From nodeID
	// Boot is the sender's process: random, and not zero.
	Boot uint64
	// Stamp is the sender's monotonic clock in microseconds, made to grow with every
	// packet: sequence number, and date of an echo for the one who wrote it.
	Stamp uint64
	// EchoBoot and EchoStamp repeat those of the receiver's packet that the sender
	// took last; zero for none.
	EchoBoot, EchoStamp uint64
	// News is the number of the sender's news, zero before the first: who lacks it asks.
	News uint64
	// Age of that packet in milliseconds when this one was sent; tooOld is that or more.
	Age uint16
	// Asked are nodes that the sender does not hear: does the receiver?
	Asked []nodeID
	// Heard answers the receiver's questions, where the answer is yes.
	Heard []hearing
}

// newHeartbeat is one to read into, with room for the longest lists.
func newHeartbeat() *heartbeat {
	return &heartbeat{Asked: make([]nodeID, 0, listMax), Heard: make([]hearing, 0, listMax)}
}

// hearing says that the sender heard a node.
type hearing struct {
	Node     nodeID
	Age      uint16 // in milliseconds
	Minority bool   // the node said so of itself
}

const tooOld = 0xffff

// ageIn rounds up: a sign of life must not grow younger on its way.
func ageIn(d time.Duration) uint16 {
	return uint16(min(max(0, (d+time.Millisecond-1)/time.Millisecond), tooOld))
}

// A packet, in network byte order:
//
//	 0 magic "FL", version, flags
//	 4 key id
//	 8 cluster
//	16 to, from, boot, stamp, echo boot, echo stamp
//	64 number of the news
//	72 age
//	74 number of nodes asked for, number of nodes heard
//	76 asked: id each; heard: id, age, flags each
//	   the first 16 octets of HMAC-SHA-256 over all that
const (
	version = 1

	flagLeaving  = 1 << 0
	flagMinority = 1 << 1
	flagAsk      = 1 << 2
	flagReached  = 1 << 3
	// Other flags are ignored, so that a later version can say more to those who know.

	headerSize  = 76
	askedSize   = 8
	hearingSize = 11
	macSize     = 16
	// listMax nodes are in a list at most: a packet stays below 1280 octets with IPv6
	// and UDP headers, which every IPv6 link carries. Longer lists take turns.
	listMax    = 60
	packetSize = headerSize + listMax*(askedSize+hearingSize) + macSize
)

// Drop says why a packet was not taken.
type Drop string

// Reasons to drop a packet.
const (
	DropForeign   Drop = "foreign"      // not a heartbeat, or of a version that we do not know
	DropMalformed Drop = "malformed"    // cut off, or with more than it may have
	DropKey       Drop = "unknown_key"  // of a key that is not ours, or not yet or no longer
	DropMAC       Drop = "bad_mac"      // forged, or damaged
	DropCluster   Drop = "cluster"      // of another cluster that has the same key
	DropNotForUs  Drop = "not_for_us"   // meant for another node
	DropStranger  Drop = "unknown_node" // from a node that is not among the peers
	DropOldBoot   Drop = "old_boot"     // of a process that ended, and has a successor
	DropUnproven  Drop = "unproven"     // of a process that has not echoed us yet: old, or just started
	DropOwn       Drop = "own"          // our own to the group, or of a node that has our name
	DropRepeated  Drop = "repeated"     // came before: by another address, late, or played again
)

func drops() []Drop {
	return []Drop{DropForeign, DropMalformed, DropKey, DropMAC, DropCluster, DropNotForUs, DropStranger, DropOwn, DropOldBoot, DropUnproven, DropRepeated}
}

// appendBody appends h up to the MAC.
func appendBody(b []byte, key, cluster uint64, h *heartbeat) []byte {
	be := binary.BigEndian
	var flags byte
	if h.Leaving {
		flags |= flagLeaving
	}
	if h.Minority {
		flags |= flagMinority
	}
	if h.Ask {
		flags |= flagAsk
	}
	if h.Reached {
		flags |= flagReached
	}
	asked, heard := h.Asked[:min(len(h.Asked), listMax)], h.Heard[:min(len(h.Heard), listMax)]
	b = append(b, 'F', 'L', version, flags)
	b = be.AppendUint32(b, uint32(key))
	b = be.AppendUint64(b, cluster)
	b = be.AppendUint64(b, uint64(h.To))
	b = be.AppendUint64(b, uint64(h.From))
	b = be.AppendUint64(b, h.Boot)
	b = be.AppendUint64(b, h.Stamp)
	b = be.AppendUint64(b, h.EchoBoot)
	b = be.AppendUint64(b, h.EchoStamp)
	b = be.AppendUint64(b, h.News)
	b = be.AppendUint16(b, h.Age)
	b = append(b, byte(len(asked)), byte(len(heard)))
	for _, id := range asked {
		b = be.AppendUint64(b, uint64(id))
	}
	for _, one := range heard {
		b = be.AppendUint64(b, uint64(one.Node))
		b = be.AppendUint16(b, one.Age)
		flags = 0
		if one.Minority {
			flags |= flagMinority
		}
		b = append(b, flags)
	}
	return b
}

// measure checks what can be checked before the key is known: kind and length.
func measure(packet []byte) Drop {
	if len(packet) < 3 || packet[0] != 'F' || packet[1] != 'L' || packet[2] != version {
		return DropForeign
	}
	if len(packet) < headerSize+macSize {
		return DropMalformed
	}
	asked, heard := int(packet[74]), int(packet[75])
	if asked > listMax || heard > listMax || len(packet) != headerSize+asked*askedSize+heard*hearingSize+macSize {
		return DropMalformed
	}
	return ""
}

// read takes h from a packet that was measured and authenticated, into the lists that
// h has.
func (h *heartbeat) read(packet []byte) {
	be := binary.BigEndian
	flags := packet[3]
	asked, heard := int(packet[74]), int(packet[75])
	*h = heartbeat{
		Leaving:   flags&flagLeaving != 0,
		Minority:  flags&flagMinority != 0,
		Ask:       flags&flagAsk != 0,
		Reached:   flags&flagReached != 0,
		To:        nodeID(be.Uint64(packet[16:])),
		From:      nodeID(be.Uint64(packet[24:])),
		Boot:      be.Uint64(packet[32:]),
		Stamp:     be.Uint64(packet[40:]),
		EchoBoot:  be.Uint64(packet[48:]),
		EchoStamp: be.Uint64(packet[56:]),
		News:      be.Uint64(packet[64:]),
		Age:       be.Uint16(packet[72:]),
		Asked:     h.Asked[:0],
		Heard:     h.Heard[:0],
	}
	rest := packet[headerSize:]
	for range asked {
		h.Asked = append(h.Asked, nodeID(be.Uint64(rest)))
		rest = rest[askedSize:]
	}
	for range heard {
		h.Heard = append(h.Heard, hearing{Node: nodeID(be.Uint64(rest)), Age: be.Uint16(rest[8:]), Minority: rest[10]&flagMinority != 0})
		rest = rest[hearingSize:]
	}
}
