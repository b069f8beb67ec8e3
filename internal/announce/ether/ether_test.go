package ether

import (
	"net/netip"
	"testing"
)

func TestMACWritesAndReadsBack(t *testing.T) {
	m, ok := ParseMAC([]byte{0x52, 0x54, 0, 0x12, 0x34, 0x5f})
	if !ok || m.String() != "52:54:00:12:34:5f" || m.Hardware().String() != m.String() {
		t.Errorf("got %s, %v", m, ok)
	}
	if _, ok := ParseMAC(make([]byte, 20)); ok {
		t.Error("an InfiniBand address of 20 bytes is no MAC")
	}
	if m.IsGroup() || !Broadcast.IsGroup() || !(MAC{0x33, 0x33}).IsGroup() {
		t.Error("group bit (IEEE 802 first octet, bit 0) misread")
	}
}

func TestMulticastKeepsTheLastFourBytes(t *testing.T) {
	got := Multicast(netip.MustParseAddr("ff02::1:ff28:9c5a"))
	if got.String() != "33:33:ff:28:9c:5a" { // RFC 2464 s.7
		t.Error(got)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	h := Header{Destination: Broadcast, Source: MAC{2, 0, 0, 0, 0, 1}, Type: ARP}
	b := h.Append(nil)
	if len(b) != HeaderLen || Parse(b) != h {
		t.Errorf("%x reads back as %+v", b, Parse(b))
	}
}
