// Package arp reads and writes ARP packets for IPv4 over Ethernet (RFC 826), and
// has the kernel filter that lets nothing else through.
//
// Who is answered, and when, is decided in claims; sockets are in announce.
package arp
