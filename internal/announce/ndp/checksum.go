package ndp

import "encoding/binary"

// checksum is the ICMPv6 checksum over the IPv6 pseudo-header (RFC 8200 s.8.1)
// and the message. For a message that carries its checksum it is 0.
func checksum(addresses, message []byte) uint16 {
	sum := uint32(len(message)) + icmpv6
	sum = add(sum, addresses)
	sum = add(sum, message)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// add cannot overflow: a frame has fewer than 1<<16 words.
func add(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}
