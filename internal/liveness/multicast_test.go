package liveness

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// multicast tells whether all of the meshes reach all others by multicast.
func (e *ensemble) multicast() bool {
	for _, m := range e.meshes {
		for _, n := range m.View() {
			if !n.Multicast {
				return false
			}
		}
	}
	return true
}

func TestMeshFindsOutThatMulticastWorks(t *testing.T) {
	e := play(t, 5, 17520)
	e.until("all reached by multicast", e.multicast)
	before := count(t, e.meshes[0], "fairlead_heartbeats_sent_total", "")
	start := time.Now()
	time.Sleep(time.Second)
	sent := (count(t, e.meshes[0], "fairlead_heartbeats_sent_total", "") - before) / time.Since(start).Seconds()
	if sent > 40 { // 20 to the group and 1 to each of 4; by unicast it would be 80
		t.Errorf("%.0f packets sent a second", sent)
	}
	for _, m := range e.meshes[1:] {
		if n := count(t, m, "fairlead_liveness_verdicts_total", string(Dead)); n != 0 {
			t.Errorf("%v found dead", n)
		}
	}
	e.stop[4]()
	e.until("death", func() bool { return !e.meshes[0].Alive("node-4", true) })
}

func TestGroupReachesAllOfOneMachineAndNotTheSocketForUnicast(t *testing.T) {
	own, to := netip.MustParseAddr("127.0.0.1"), group4
	iface, err := interfaceOf(own)
	if err != nil {
		t.Fatal(err)
	}
	if lo, err := net.InterfaceByIndex(iface); err != nil || lo.Flags&net.FlagLoopback == 0 {
		t.Fatalf("%s is at interface %d: %+v, %v", own, iface, lo, err)
	}
	everywhere, err := listen(t.Context(), netip.Addr{}, 17521) // as in production
	if err != nil {
		t.Fatal(err)
	}
	defer everywhere.Close()
	for range 2 { // two of one machine, each with a copy
		sender, fd, err := join(t.Context(), to, own, iface, 17521)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		defer sender.close()
		sent := time.Now()
		if err := sender.send([]byte("to all")); err != nil {
			t.Fatal(err)
		}
		in := newInbox()
		for start := time.Now(); !in.drain(fd) && time.Since(start) < 5*time.Second; {
			time.Sleep(ms)
		}
		if len(in.letters) != 1 || string(in.letters[0].packet) != "to all" || in.letters[0].age <= 0 || in.letters[0].age > time.Since(sent) {
			t.Errorf("%s: %v, %v", to, in.letters, in.err)
		}
	}
	_ = everywhere.SetReadDeadline(time.Now().Add(50 * ms))
	if n, _, err := everywhere.ReadFromUDPAddrPort(make([]byte, 100)); err == nil {
		t.Errorf("%s: %d octets came to the socket for unicast too", to, n)
	}
}

func TestAddressOfAnotherMachineSaysWhatToLookFor(t *testing.T) {
	_, err := interfaceOf(netip.MustParseAddr("192.0.2.77"))
	if err == nil || !strings.Contains(err.Error(), "InternalIP") {
		t.Errorf("%v", err)
	}
}
