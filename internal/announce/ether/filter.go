package ether

import "golang.org/x/net/bpf"

// skipOwnAndForeign begins a kernel filter: the packet types above
// PACKET_MULTICAST (linux/if_packet.h) are frames to other hosts, which a
// promiscuous interface or one with unknown VLAN tags delivers, and those that
// this host sent.
var skipOwnAndForeign = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: 2, SkipFalse: 1},
	bpf.RetConstant{Val: 0},
}

// Field is a part of a frame and the value that a filter wants there.
type Field struct {
	Offset uint32 // from the start of the Ethernet header
	Size   int    // 1 or 2 bytes
	Value  uint32
}

// Filter is a classic BPF program that passes whole frames which came for this
// host and have one of the given values in every field.
func Filter(fields ...[]Field) []bpf.Instruction {
	program := append([]bpf.Instruction(nil), skipOwnAndForeign...)
	for _, choices := range fields {
		program = append(program, bpf.LoadAbsolute{Off: choices[0].Offset, Size: choices[0].Size})
		for i, f := range choices {
			// A match skips the other choices and the drop behind them.
			program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: f.Value, SkipTrue: uint8(len(choices) - i)})
		}
		program = append(program, bpf.RetConstant{Val: 0})
	}
	return append(program, bpf.RetConstant{Val: 0xffff})
}
