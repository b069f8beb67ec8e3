package ndp

import (
	"golang.org/x/net/bpf"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// Filter is the kernel's part of the reading: of all IPv6 only neighbor
// solicitations and advertisements that no router has passed on reach us.
// RFC 6980 forbids fragments and nobody sends them with extension headers, so the
// ICMPv6 header is always at the same place.
func Filter() []bpf.Instruction {
	const ip = ether.HeaderLen
	return ether.Filter(
		[]ether.Field{{Offset: 12, Size: 2, Value: uint32(ether.IPv6)}},
		[]ether.Field{{Offset: ip + 6, Size: 1, Value: icmpv6}},
		[]ether.Field{{Offset: ip + 7, Size: 1, Value: hopLimit}},
		[]ether.Field{
			{Offset: ip + ipLen, Size: 1, Value: uint32(Solicitation)},
			{Offset: ip + ipLen, Size: 1, Value: uint32(Advertisement)},
		},
	)
}
