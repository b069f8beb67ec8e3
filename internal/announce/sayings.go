package announce

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/claims"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
)

// frameLen is room for the longest frame that is sent, in bytes.
const frameLen = 128

// frameFunc appends a frame about an address, from the interface's MAC.
type frameFunc func(b []byte, mac ether.MAC, address netip.Addr) []byte

// Gratuitous ARP goes out as request and as reply: some hosts take news from the
// one only, some from the other.
var (
	arpProbe    = []frameFunc{arpProbeFrame}
	arpAnnounce = []frameFunc{arpAnnouncementFrame, arpReplyFrame}
	arpDefend   = []frameFunc{arpAnnouncementFrame}
	ndpProbe    = []frameFunc{ndpProbeFrame}
	ndpAnnounce = []frameFunc{ndpAnnouncementFrame}
)

// saying gives the frames that a Send consists of.
func saying(s claims.Send) []frameFunc {
	v4 := s.Address.Is4()
	switch {
	case v4 && s.Say == claims.Probe:
		return arpProbe
	case v4 && s.Say == claims.Defend:
		return arpDefend
	case v4:
		return arpAnnounce
	case s.Say == claims.Probe:
		return ndpProbe
	}
	return ndpAnnounce
}

func arpProbeFrame(b []byte, mac ether.MAC, a netip.Addr) []byte {
	return arp.Probe(mac, a).Append(b)
}

func arpAnnouncementFrame(b []byte, mac ether.MAC, a netip.Addr) []byte {
	return arp.Announcement(mac, a).Append(b)
}

func arpReplyFrame(b []byte, mac ether.MAC, a netip.Addr) []byte {
	return arp.GratuitousReply(mac, a).Append(b)
}

func ndpProbeFrame(b []byte, mac ether.MAC, a netip.Addr) []byte {
	return ndp.Probe(mac, a).Append(b)
}

func ndpAnnouncementFrame(b []byte, mac ether.MAC, a netip.Addr) []byte {
	return ndp.Announcement(mac, a).Append(b)
}
