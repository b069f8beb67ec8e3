package arp

import (
	"encoding/binary"
	"net/netip"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// Len is the length of a frame in bytes, Ethernet header included, without the
// padding that drivers add.
const Len = ether.HeaderLen + 28

// Operation is the ar$op of RFC 826.
type Operation uint16

// The operations that are used on Ethernet.
const (
	Request Operation = 1
	Reply   Operation = 2
)

// Why a frame is not an ARP packet that we understand.
const (
	Short        ether.Drop = "arp_short"
	ForeignMedia ether.Drop = "arp_not_ipv4_over_ethernet"
	BadOperation ether.Drop = "arp_operation"
	BadSender    ether.Drop = "arp_sender_mac"
)

// Drops lists every reason that Parse gives.
func Drops() []ether.Drop { return []ether.Drop{Short, ForeignMedia, BadOperation, BadSender} }

// Packet is an ARP packet and the Ethernet addresses that it travels with.
type Packet struct {
	Destination, Source ether.MAC // of the Ethernet header
	Operation           Operation
	SenderMAC           ether.MAC
	SenderIP            netip.Addr // 0.0.0.0 in a probe (RFC 5227 s.1.1)
	TargetMAC           ether.MAC
	TargetIP            netip.Addr
}

// media is what ARP for IPv4 over Ethernet begins with: hardware type 1,
// protocol type 0x0800, lengths 6 and 4.
var media = [6]byte{0, 1, 8, 0, 6, 4}

// Parse reads a frame. Bytes behind the packet are padding.
func Parse(frame []byte) (Packet, ether.Drop) {
	if len(frame) < Len {
		return Packet{}, Short
	}
	header := ether.Parse(frame)
	b := frame[ether.HeaderLen:]
	if header.Type != ether.ARP || [6]byte(b) != media {
		return Packet{}, ForeignMedia
	}
	p := Packet{
		Destination: header.Destination,
		Source:      header.Source,
		Operation:   Operation(binary.BigEndian.Uint16(b[6:])),
		SenderMAC:   ether.MAC(b[8:14]),
		SenderIP:    netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC:   ether.MAC(b[18:24]),
		TargetIP:    netip.AddrFrom4([4]byte(b[24:28])),
	}
	if p.Operation != Request && p.Operation != Reply {
		return Packet{}, BadOperation
	}
	// An answer to a group address would reach, and confuse, the whole segment.
	if p.SenderMAC.IsZero() || p.SenderMAC.IsGroup() {
		return Packet{}, BadSender
	}
	return p, ""
}

// Append writes the frame to the end of b. Both IPs must be IPv4.
func (p Packet) Append(b []byte) []byte {
	b = ether.Header{Destination: p.Destination, Source: p.Source, Type: ether.ARP}.Append(b)
	b = append(b, media[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(p.Operation))
	from, to := p.SenderIP.As4(), p.TargetIP.As4()
	b = append(b, p.SenderMAC[:]...)
	b = append(b, from[:]...)
	b = append(b, p.TargetMAC[:]...)
	return append(b, to[:]...)
}
