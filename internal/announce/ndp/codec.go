package ndp

import (
	"encoding/binary"
	"net/netip"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// Type is the ICMPv6 type of a message.
type Type uint8

// The two messages that resolve addresses.
const (
	Solicitation  Type = 135
	Advertisement Type = 136
)

// Message is a neighbor solicitation (RFC 4861 s.4.3) or advertisement (s.4.4)
// and the addresses that it travels with.
type Message struct {
	Destination, Source ether.MAC // of the Ethernet header
	From, To            netip.Addr
	Type                Type
	Target              netip.Addr
	// Router, Solicited and Override are flags of advertisements only.
	Router, Solicited, Override bool
	// LinkAddress is the option that names the sender of a solicitation or the
	// target of an advertisement; zero where it is not there.
	LinkAddress ether.MAC
}

// Sizes and constants of the headers, in bytes.
const (
	ipLen      = 40
	messageLen = 24 // up to and including the target
	// minLen is the shortest frame.
	minLen = ether.HeaderLen + ipLen + messageLen

	icmpv6   = 58
	hopLimit = 255

	sourceOption = 1
	targetOption = 2
)

// Why a frame is not a message that we may act on; RFC 4861 s.7.1.1 and 7.1.2
// where nothing else is said.
const (
	Short          ether.Drop = "ndp_short"
	NotNDP         ether.Drop = "ndp_not_neighbor_discovery"
	BadHopLimit    ether.Drop = "ndp_hop_limit" // it came through a router
	BadChecksum    ether.Drop = "ndp_checksum"
	BadCode        ether.Drop = "ndp_code"
	BadTarget      ether.Drop = "ndp_target"
	BadOption      ether.Drop = "ndp_option_length"
	BadLinkAddress ether.Drop = "ndp_link_address" // not a MAC that a host can have
	BadSource      ether.Drop = "ndp_source"       // a group, or of a DAD probe with a link address
	BadDestination ether.Drop = "ndp_destination"  // of a DAD probe that is not sent to a solicited-node group
	BadSolicited   ether.Drop = "ndp_solicited"    // flag on a message to a group
)

// Drops lists every reason that Parse gives.
func Drops() []ether.Drop {
	return []ether.Drop{
		Short, NotNDP, BadHopLimit, BadChecksum, BadCode, BadTarget, BadOption, BadLinkAddress, BadSource,
		BadDestination, BadSolicited,
	}
}

// Parse reads and validates a frame. Bytes behind the IPv6 packet are padding.
func Parse(frame []byte) (Message, ether.Drop) {
	if len(frame) < minLen {
		return Message{}, Short
	}
	header, ip := ether.Parse(frame), frame[ether.HeaderLen:]
	if header.Type != ether.IPv6 || ip[0]>>4 != 6 || ip[6] != icmpv6 {
		return Message{}, NotNDP
	}
	length := int(binary.BigEndian.Uint16(ip[4:]))
	if length < messageLen || len(ip) < ipLen+length {
		return Message{}, Short
	}
	icmp := ip[ipLen : ipLen+length]
	m := Message{
		Destination: header.Destination,
		Source:      header.Source,
		From:        netip.AddrFrom16([16]byte(ip[8:24])),
		To:          netip.AddrFrom16([16]byte(ip[24:40])),
		Type:        Type(icmp[0]),
		Target:      netip.AddrFrom16([16]byte(icmp[8:24])),
	}
	switch {
	case m.Type != Solicitation && m.Type != Advertisement:
		return Message{}, NotNDP
	case ip[7] != hopLimit:
		return Message{}, BadHopLimit
	case icmp[1] != 0:
		return Message{}, BadCode
	case checksum(ip[8:40], icmp) != 0:
		return Message{}, BadChecksum
	}
	if m.Type == Advertisement {
		m.Router, m.Solicited, m.Override = icmp[4]&0x80 != 0, icmp[4]&0x40 != 0, icmp[4]&0x20 != 0
	}
	if drop := m.readOptions(icmp[messageLen:]); drop != "" {
		return Message{}, drop
	}
	if drop := m.validate(); drop != "" {
		return Message{}, drop
	}
	return m, ""
}

// readOptions takes the link-layer address from the options (RFC 4861 s.4.6), the
// first where there are two, as Linux does. Options unknown to us are skipped.
func (m *Message) readOptions(b []byte) ether.Drop {
	for len(b) > 0 {
		if len(b) < 2 {
			return BadOption
		}
		n := 8 * int(b[1]) // the length is in units of 8 bytes
		if n == 0 || n > len(b) {
			return BadOption
		}
		if b[0] == m.linkOption() && m.LinkAddress.IsZero() {
			mac := ether.MAC(b[2:8])
			if n != 8 || mac.IsZero() || mac.IsGroup() {
				return BadLinkAddress
			}
			m.LinkAddress = mac
		}
		b = b[n:]
	}
	return ""
}

func (m *Message) linkOption() byte {
	if m.Type == Advertisement {
		return targetOption
	}
	return sourceOption
}

// validate checks what does not depend on the encoding.
func (m *Message) validate() ether.Drop {
	probe := m.Type == Solicitation && m.From.IsUnspecified()
	switch {
	case m.Target.IsMulticast():
		return BadTarget
	case m.From.IsMulticast(), m.Type == Advertisement && m.From.IsUnspecified(), probe && !m.LinkAddress.IsZero():
		return BadSource
	case probe && !isSolicitedNode(m.To):
		return BadDestination
	case m.Solicited && m.To.IsMulticast():
		return BadSolicited
	}
	return ""
}

// Append writes the frame to the end of b, checksum included.
func (m Message) Append(b []byte) []byte {
	b = ether.Header{Destination: m.Destination, Source: m.Source, Type: ether.IPv6}.Append(b)
	length := messageLen
	if !m.LinkAddress.IsZero() {
		length += 8
	}
	ip := len(b)
	from, to, target := m.From.As16(), m.To.As16(), m.Target.As16()
	b = append(b, 0x60, 0, 0, 0, 0, byte(length), icmpv6, hopLimit)
	b = append(b, from[:]...)
	b = append(b, to[:]...)
	b = append(b, byte(m.Type), 0, 0, 0, m.flags(), 0, 0, 0)
	b = append(b, target[:]...)
	if !m.LinkAddress.IsZero() {
		b = append(b, m.linkOption(), 1)
		b = append(b, m.LinkAddress[:]...)
	}
	icmp := b[ip+ipLen:]
	binary.BigEndian.PutUint16(icmp[2:], checksum(b[ip+8:ip+ipLen], icmp))
	return b
}

func (m Message) flags() byte {
	var f byte
	if m.Router {
		f |= 0x80
	}
	if m.Solicited {
		f |= 0x40
	}
	if m.Override {
		f |= 0x20
	}
	return f
}
