package ether

import "encoding/binary"

// HeaderLen is the length of the header: destination, source, type.
const HeaderLen = 14

// Type is the EtherType of a frame.
type Type uint16

// The types that we send and receive.
const (
	ARP  Type = 0x0806
	IPv6 Type = 0x86dd
)

// Header is an Ethernet II header without VLAN tag: a packet socket sees the tag
// beside the frame, not in it.
type Header struct {
	Destination, Source MAC
	Type                Type
}

// Parse reads the header of a frame of at least HeaderLen bytes.
func Parse(frame []byte) Header {
	return Header{
		Destination: MAC(frame[0:6]),
		Source:      MAC(frame[6:12]),
		Type:        Type(binary.BigEndian.Uint16(frame[12:14])),
	}
}

// Append writes the header to the end of b.
func (h Header) Append(b []byte) []byte {
	b = append(b, h.Destination[:]...)
	b = append(b, h.Source[:]...)
	return binary.BigEndian.AppendUint16(b, uint16(h.Type))
}
