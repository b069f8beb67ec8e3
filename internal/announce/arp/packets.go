package arp

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// Probe asks whether anybody has ip, without entering a claim to it into the
// caches that it passes (RFC 5227 s.2.1.1).
func Probe(mac ether.MAC, ip netip.Addr) Packet {
	return Packet{
		Destination: ether.Broadcast, Source: mac, Operation: Request,
		SenderMAC: mac, SenderIP: netip.IPv4Unspecified(), TargetIP: ip,
	}
}

// Announcement tells the segment that mac has ip (RFC 5227 s.2.3).
func Announcement(mac ether.MAC, ip netip.Addr) Packet {
	return Packet{
		Destination: ether.Broadcast, Source: mac, Operation: Request,
		SenderMAC: mac, SenderIP: ip, TargetIP: ip,
	}
}

// GratuitousReply says the same as Announcement to hosts that take news from
// replies only. Linux believes it at once, in spite of its locktime, only where
// the target MAC repeats the sender's (arp_is_garp; RFC 5944 s.4.6).
func GratuitousReply(mac ether.MAC, ip netip.Addr) Packet {
	return Packet{
		Destination: ether.Broadcast, Source: mac, Operation: Reply,
		SenderMAC: mac, SenderIP: ip, TargetMAC: mac, TargetIP: ip,
	}
}

// Answer tells the sender of a request that mac has the address it asked for.
// A probe is answered to 0.0.0.0: its sender has no address yet.
func (p Packet) Answer(mac ether.MAC) Packet {
	return Packet{
		Destination: p.SenderMAC, Source: mac, Operation: Reply,
		SenderMAC: mac, SenderIP: p.TargetIP, TargetMAC: p.SenderMAC, TargetIP: p.SenderIP,
	}
}

// Claims tells whether the packet says that its sender has the address that it
// is about, unasked: an Announcement or a GratuitousReply.
func (p Packet) Claims() bool { return p.SenderIP == p.TargetIP }
