// Package announce makes the segments that this node is on see the addresses that
// it owns, by answering ARP and neighbor discovery for them and for nothing else.
//
// The addresses are on no interface of the node: kube-proxy, or what stands for it,
// takes the packets that come. Which addresses a node owns is decided in plan.
//
// A Gate may silence it: while it is shut nothing leaves, claims stand still, and what
// was to be said is said when it opens (gate.go).
//
// Here are the goroutines and sockets. What is said when is decided in claims, which
// is pure; packets are in arp and ndp; which interfaces there are is in link.
package announce
