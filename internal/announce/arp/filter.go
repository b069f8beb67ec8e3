package arp

import (
	"golang.org/x/net/bpf"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// Filter is the kernel's part of the reading: only ARP for IPv4 over Ethernet
// reaches us.
func Filter() []bpf.Instruction {
	const b = ether.HeaderLen
	return ether.Filter(
		[]ether.Field{{Offset: 12, Size: 2, Value: uint32(ether.ARP)}},
		[]ether.Field{{Offset: b, Size: 2, Value: 1}},          // hardware type Ethernet
		[]ether.Field{{Offset: b + 2, Size: 2, Value: 0x0800}}, // protocol type IPv4
		[]ether.Field{{Offset: b + 4, Size: 2, Value: 0x0604}}, // lengths 6 and 4
	)
}
