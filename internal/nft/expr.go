package nft

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers. Number 1 is 16 bytes long; those from Keys on are 4 bytes each, and the
// first four of them are register 1 (linux/netfilter/nf_tables.h).
const (
	Reg  uint32 = unix.NFT_REG_1
	Reg2 uint32 = unix.NFT_REG_2
	Keys uint32 = unix.NFT_REG32_00
)

// Load reads length bytes of a packet, offset from base, into a register.
func Load(base expr.PayloadBase, offset, length, register uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: base, Offset: offset, Len: length, DestRegister: register}
}

// Store writes a register over length bytes of a packet.
func Store(base expr.PayloadBase, offset, length, register uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadWrite, Base: base, Offset: offset, Len: length, SourceRegister: register}
}

// Equal goes on if Reg holds value.
func Equal(value ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: Reg, Data: value}
}

// Masked leaves the bits of mask in Reg.
func Masked(mask ...byte) expr.Any {
	return &expr.Bitwise{SourceRegister: Reg, DestRegister: Reg, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}
