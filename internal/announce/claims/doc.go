// Package claims decides which addresses this node answers for, and when it says
// so unasked: probing before first use, take-over, repetition, conflicts.
//
// It is pure: time, packets and interfaces come in, packets and the next deadline
// go out. No clock, goroutine or socket is here; announce has them. Encodings are
// in arp and ndp.
//
// An address has one state for all its interfaces: found taken on one, it is used
// on none. An address in use is announced at once on an interface that joins
// later, without asking there first.
package claims
