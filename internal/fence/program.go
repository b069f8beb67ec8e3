package fence

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Mark is on every frame that the kernel's gate is for. The package's doc has the bits
// that it must not have.
const Mark = 0x105a

// Verdicts of tcx, include/uapi/linux/bpf.h.
const (
	tcxNext = -1
	tcxDrop = 2
)

// Offsets in what the program reads.
const (
	skbMark         = 8 // struct __sk_buff
	deadlineInValue = 0 // page
	droppedInValue  = 8
)

// program is the kernel's gate, over a map with a page.
func program(m *ebpf.Map) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{
		Name:       "fairlead_fence",
		Type:       ebpf.SchedCLS,
		AttachType: ebpf.AttachTCXEgress,
		License:    "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, skbMark, asm.Word),
			asm.JNE.Imm(asm.R2, Mark, "next"),

			asm.FnKtimeGetBootNs.Call(), // into R0
			asm.LoadMapValue(asm.R1, m.FD(), 0),
			asm.LoadMem(asm.R2, asm.R1, deadlineInValue, asm.DWord),
			asm.JLT.Reg(asm.R0, asm.R2, "next"),

			asm.Mov.Imm(asm.R2, 1),
			asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, droppedInValue),
			asm.Mov.Imm(asm.R0, tcxDrop),
			asm.Return(),

			asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("next"),
			asm.Return(),
		},
	}
}
