// Package fence silences this node by itself when it stops telling that it may be
// heard: a dead man's switch, in the kernel where that allows it.
//
// Other nodes take an address over 200 ms after its owner's last heartbeat. The owner
// may not be dead: its process was stopped, starved or suspended, and when it goes on it
// finds questions for its addresses in its sockets and announcements that are due. Every
// one of them that leaves takes the address back from who has it now.
//
// So every frame that tells of an address bears a mark, and a program at the egress of
// the interface (tcx) drops marked frames when a deadline has passed. The process pushes
// the deadline forward while it may be heard, which costs it one store to memory that it
// shares with the program:
//
//	if (skb->mark == Mark && bpf_ktime_get_boot_ns() >= deadline)
//	        return TCX_DROP;        // and count it
//	return TCX_NEXT;                // all other frames, and to the programs behind
//
// The process asks the same deadline before it writes (Open). Where BPF is not to be
// had, that is all there is: it stops whoever runs, but not a thread that was stopped
// between asking and writing. Mode tells which.
//
// # The mark
//
// Frames are compared with the whole of Mark, and only our packet sockets set it
// (SO_MARK), so no frame of another program is dropped. Frames of packet sockets pass
// neither iptables nor routing, so no rule there sees it. Programs at egress do, and so
// the bits that those of others give a meaning are zero in it:
//
//	0x0000c000  kube-proxy        drop and masquerade
//	0x00000f00  Cilium            what kind of mark it is; all else only where this is not 0
//	0xffff0000  Calico            both data planes; Weave, Tailscale inside
//	0x00002000  CNI portmap       masquerade
//	0x00000080  AWS VPC CNI       main interface
//
// Istio's 0x539 and 0x1337 are whole marks, other than ours. The mark is reset when a
// frame leaves for another network namespace, and is never on the wire.
//
// # The place
//
// The program is the first of its interface. Programs are asked in order until one
// decides, and Cilium's, which stands last, decides: behind it ours would see nothing.
// Ours decides nothing but its own drops. A link holds it, which ends with the process:
// who is dead sends nothing.
//
// # What it cannot do
//
// A virtual machine whose host stops it and its clock with it does not know how long it
// slept: it may be heard for what was left of the last push, at most Hold. A clock that
// counts the time that the machine itself was suspended is used. A frame that was past
// the program at the deadline leaves. A program that somebody else puts before ours and
// that lets frames out without asking those behind it opens the fence.
//
// Not here: whether this node may be heard. The caller knows, and says at what time it
// knew it (PushFrom).
package fence
