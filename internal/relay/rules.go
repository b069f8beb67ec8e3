package relay

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/nft"
)

const (
	// memory is how long a silent connection counts as begun here: longer than a relay
	// lasts, and hardly longer. When the address went and comes back, a client that uses
	// the port again has begun the next connection elsewhere.
	memory = Limit + 30*time.Second
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
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: nft.Reg},
		nft.Equal(binary.BigEndian.AppendUint16(nil, f.EtherType)...),
		nft.Load(expr.PayloadBaseNetworkHeader, f.Dest, f.Bytes, nft.Reg),
		&expr.Lookup{SourceRegister: nft.Reg, DestRegister: nft.Reg2, IsDestRegSet: true, SetName: in.via(f)},
	}
	if f.IPv6 {
		// The next header, not the last: fragments and other extensions stay here.
		rule = append(rule, nft.Load(expr.PayloadBaseNetworkHeader, 6, 1, nft.Reg), nft.Equal(unix.IPPROTO_TCP))
	} else {
		rule = append(rule,
			nft.Load(expr.PayloadBaseNetworkHeader, 9, 1, nft.Reg), nft.Equal(unix.IPPROTO_TCP),
			nft.Load(expr.PayloadBaseNetworkHeader, 6, 2, nft.Reg), nft.Masked(0x3f, 0xff), nft.Equal(0, 0)) // MF, and the offset
	}
	return append(rule,
		// A promiscuous interface also sees frames to other hosts, A's own among them.
		nft.Load(expr.PayloadBaseLLHeader, 0, 6, nft.Reg), nft.Equal(in.MAC...),
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: in.tcp(f)})
}

// relayed frames stay.
func (in ingress) relayed() []expr.Any {
	return []expr.Any{
		nft.Load(expr.PayloadBaseLLHeader, 6, 6, nft.Reg),
		&expr.Lookup{SourceRegister: nft.Reg, SetName: in.peers()},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// begins learns a connection from its first packet.
func begins(f family) []expr.Any {
	rule := []expr.Any{
		nft.Load(expr.PayloadBaseTransportHeader, 13, 1, nft.Reg), nft.Masked(tcpFIN | tcpSYN | tcpRST | tcpACK), nft.Equal(tcpSYN),
	}
	rule = append(rule, f.connection()...)
	return append(rule,
		&expr.Dynset{SrcRegKey: nft.Keys, SetName: f.began(), Operation: uint32(unix.NFT_DYNSET_OP_UPDATE)},
		&expr.Verdict{Kind: expr.VerdictAccept})
}

// began keeps connections that began here, and remembers them for longer.
func began(f family) []expr.Any {
	return append(f.connection(),
		&expr.Lookup{SourceRegister: nft.Keys, SetName: f.began()},
		&expr.Dynset{SrcRegKey: nft.Keys, SetName: f.began(), Operation: uint32(unix.NFT_DYNSET_OP_UPDATE)},
		&expr.Verdict{Kind: expr.VerdictAccept})
}

// sendOn relays what is left. The source becomes our MAC: with the client's, switches
// would look for the client here.
//
// The statement fwd would spare the copy of the packet's head, but google/nftables
// cannot say it, v0.3.0.
func (in ingress) sendOn(f family) []expr.Any {
	return []expr.Any{
		nft.Load(expr.PayloadBaseNetworkHeader, f.Dest, f.Bytes, nft.Reg),
		&expr.Lookup{SourceRegister: nft.Reg, DestRegister: nft.Reg2, IsDestRegSet: true, SetName: in.via(f)},
		nft.Store(expr.PayloadBaseLLHeader, 0, 6, nft.Reg2),
		&expr.Immediate{Register: nft.Reg, Data: in.MAC},
		nft.Store(expr.PayloadBaseLLHeader, 6, 6, nft.Reg),
		&expr.Counter{},
		&expr.Immediate{Register: nft.Reg, Data: binary.NativeEndian.AppendUint32(nil, uint32(in.Index))},
		&expr.Dup{RegDev: nft.Reg, IsRegDevSet: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// connection loads the key of connection.key.
func (f family) connection() []expr.Any {
	width := f.Bytes / 4 // in registers
	return []expr.Any{
		nft.Load(expr.PayloadBaseNetworkHeader, f.Source, f.Bytes, nft.Keys),
		nft.Load(expr.PayloadBaseTransportHeader, 0, 2, nft.Keys+width),
		nft.Load(expr.PayloadBaseNetworkHeader, f.Dest, f.Bytes, nft.Keys+width+1),
		nft.Load(expr.PayloadBaseTransportHeader, 2, 2, nft.Keys+2*width+1),
	}
}
