package main

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/announce/ether"
)

func TestLastWrongIsOfTheSlowestCache(t *testing.T) {
	right, wrong := ether.MAC{2, 0, 0, 0, 0, 1}, ether.MAC{2, 0, 0, 0, 0, 2}
	seen := []belief{
		{at(10 * ms), "client", wrong}, {at(10 * ms), "router", wrong},
		{at(20 * ms), "client", right}, {at(20 * ms), "router", wrong},
		{at(30 * ms), "client", right}, {at(30 * ms), "router", right},
	}
	if got := lastWrong(seen, right, at(0)); got != 20*ms {
		t.Errorf("the caches are right after %s, want 20ms", got)
	}
	if got := lastWrong(seen[4:], right, at(0)); got != time.Duration(0) {
		t.Errorf("the caches were never wrong, and yet for %s", got)
	}
}

func TestParseMACReadsWhatLinuxWrites(t *testing.T) {
	mac, err := parseMAC("02:fa:ac:1f:00:0b")
	if want := (ether.MAC{0x02, 0xfa, 0xac, 0x1f, 0x00, 0x0b}); err != nil || mac != want {
		t.Errorf("%s, %v, want %s", mac, err, want)
	}
	if _, err := parseMAC("eth0"); err == nil {
		t.Error("eth0 is read as a MAC")
	}
}
