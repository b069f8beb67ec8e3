// Package link knows which interfaces of this node can announce addresses, and
// tells as soon as that changes.
//
// It listens to the kernel's routing netlink; it configures nothing, and knows
// nothing of the addresses that are announced.
package link
