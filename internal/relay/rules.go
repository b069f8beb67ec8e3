package relay

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// memory is how long a silent connection counts as begun here. The caller ends a
	// relay before; a set of a relay that lasts does not grow for ever.
	memory = 5 * time.Minute
	// capacity bounds the connections remembered per family. Beyond it a SYN fails to
	// be added, falls through to the relay and so begins at the other node: served, as
	// long as the relay is there.
	capacity = 1 << 18
	// priority is after the filters that others have in the ingress hook, at 0 by
	// convention: what they drop shall not be relayed.
	priority = 10
)

const (
	tcpFIN = 1 << iota
	tcpSYN
	tcpRST
	_
	tcpACK
)

// Registers. Number 1 is 16 bytes long; those from keys on are 4 bytes each, and the
// first four of them are register 1 (linux/netfilter/nf_tables.h).
const (
	reg  uint32 = unix.NFT_REG_1
	reg2 uint32 = unix.NFT_REG_2
	keys uint32 = unix.NFT_REG32_00
)

// ruleset is a table as a value.
type ruleset struct {
	Sets   []set
	Chains []chain
}

// set is one with fixed elements; with values it is a map to MACs.
type set struct {
	Name     string
	Key      nftables.SetDatatype
	Map      bool
	Elements []nftables.SetElement
}

// chain is a base chain in the ingress hook of Device, or a regular one without.
type chain struct {
	Name, Device string
	Rules        [][]expr.Any
}

func (f family) began() string { return "began" + f.Suffix }

func (in ingress) chain(hook string) string { return fmt.Sprintf("in_%d_%s", in.Index, hook) }
func (in ingress) peers() string            { return fmt.Sprintf("peers_%d", in.Index) }
func (in ingress) via(f family) string      { return fmt.Sprintf("via%s_%d", f.Suffix, in.Index) }
func (in ingress) tcp(f family) string      { return fmt.Sprintf("tcp%s_%d", f.Suffix, in.Index) }
func (in ingress) families() (f []family) {
	return slices.DeleteFunc(slices.Clone(families), in.without)
}
func (in ingress) without(f family) bool { return len(in.vias(f)) == 0 }

// rules says in nftables what is to be relayed. Its chains are in the order in which
// they can be added: those that are jumped to first.
func rules(all []ingress) (r ruleset) {
	for _, in := range all {
		var concerns [][]expr.Any
		peers := set{Name: in.peers(), Key: nftables.TypeEtherAddr}
		for _, mac := range in.Peers {
			peers.Elements = append(peers.Elements, nftables.SetElement{Key: mac})
		}
		r.Sets = append(r.Sets, peers)
		for _, f := range in.families() {
			to := set{Name: in.via(f), Key: f.Type, Map: true}
			for _, v := range in.vias(f) {
				to.Elements = append(to.Elements, nftables.SetElement{Key: v.VIP.AsSlice(), Val: v.MAC})
			}
			r.Sets = append(r.Sets, to)
			r.Chains = append(r.Chains, chain{Name: in.tcp(f), Rules: [][]expr.Any{
				in.relayed(), begins(f), began(f), in.sendOn(f),
			}})
			concerns = append(concerns, in.concerns(f))
		}
		for _, hook := range in.Hooks {
			r.Chains = append(r.Chains, chain{Name: in.chain(hook), Device: hook, Rules: concerns})
		}
	}
	return r
}

// concerns picks the TCP packets to relayed addresses. Whatever else arrives has cost
// one look into a hash table.
func (in ingress) concerns(f family) []expr.Any {
	rule := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: reg},
		equal(binary.BigEndian.AppendUint16(nil, f.EtherType)...),
		load(expr.PayloadBaseNetworkHeader, f.Dest, f.Bytes, reg),
		&expr.Lookup{SourceRegister: reg, DestRegister: reg2, IsDestRegSet: true, SetName: in.via(f)},
	}
	if f.IPv6 {
		// The next header, not the last: fragments and other extensions stay here.
		rule = append(rule, load(expr.PayloadBaseNetworkHeader, 6, 1, reg), equal(unix.IPPROTO_TCP))
	} else {
		rule = append(rule,
			load(expr.PayloadBaseNetworkHeader, 9, 1, reg), equal(unix.IPPROTO_TCP),
			load(expr.PayloadBaseNetworkHeader, 6, 2, reg), masked(0x3f, 0xff), equal(0, 0)) // MF, and the offset
	}
	return append(rule,
		// A promiscuous interface also sees frames to other hosts, A's own among them.
		load(expr.PayloadBaseLLHeader, 0, 6, reg), equal(in.MAC...),
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: in.tcp(f)})
}

// relayed frames stay.
func (in ingress) relayed() []expr.Any {
	return []expr.Any{
		load(expr.PayloadBaseLLHeader, 6, 6, reg),
		&expr.Lookup{SourceRegister: reg, SetName: in.peers()},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// begins learns a connection from its first packet.
func begins(f family) []expr.Any {
	rule := []expr.Any{
		load(expr.PayloadBaseTransportHeader, 13, 1, reg), masked(tcpFIN | tcpSYN | tcpRST | tcpACK), equal(tcpSYN),
	}
	rule = append(rule, f.connection()...)
	return append(rule,
		&expr.Dynset{SrcRegKey: keys, SetName: f.began(), Operation: uint32(unix.NFT_DYNSET_OP_UPDATE)},
		&expr.Verdict{Kind: expr.VerdictAccept})
}

// began keeps connections that began here, and remembers them for longer.
func began(f family) []expr.Any {
	return append(f.connection(),
		&expr.Lookup{SourceRegister: keys, SetName: f.began()},
		&expr.Dynset{SrcRegKey: keys, SetName: f.began(), Operation: uint32(unix.NFT_DYNSET_OP_UPDATE)},
		&expr.Verdict{Kind: expr.VerdictAccept})
}

// sendOn relays what is left. The source becomes our MAC: with the client's, switches
// would look for the client here.
//
// The statement fwd would spare the copy of the packet's head, but google/nftables
// cannot say it, v0.3.0.
func (in ingress) sendOn(f family) []expr.Any {
	return []expr.Any{
		load(expr.PayloadBaseNetworkHeader, f.Dest, f.Bytes, reg),
		&expr.Lookup{SourceRegister: reg, DestRegister: reg2, IsDestRegSet: true, SetName: in.via(f)},
		store(expr.PayloadBaseLLHeader, 0, 6, reg2),
		&expr.Immediate{Register: reg, Data: in.MAC},
		store(expr.PayloadBaseLLHeader, 6, 6, reg),
		&expr.Counter{},
		&expr.Immediate{Register: reg, Data: binary.NativeEndian.AppendUint32(nil, uint32(in.Index))},
		&expr.Dup{RegDev: reg, IsRegDevSet: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// connection loads the key of connection.key.
func (f family) connection() []expr.Any {
	width := f.Bytes / 4 // in registers
	return []expr.Any{
		load(expr.PayloadBaseNetworkHeader, f.Source, f.Bytes, keys),
		load(expr.PayloadBaseTransportHeader, 0, 2, keys+width),
		load(expr.PayloadBaseNetworkHeader, f.Dest, f.Bytes, keys+width+1),
		load(expr.PayloadBaseTransportHeader, 2, 2, keys+2*width+1),
	}
}

func load(base expr.PayloadBase, offset, length, register uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: base, Offset: offset, Len: length, DestRegister: register}
}

func store(base expr.PayloadBase, offset, length, register uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadWrite, Base: base, Offset: offset, Len: length, SourceRegister: register}
}

func equal(value ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: value}
}

func masked(mask ...byte) expr.Any {
	return &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}
