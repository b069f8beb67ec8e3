package liveness

import (
	"testing"
	"time"
)

// recorded runs a segment of two and records what the second sends to the first.
func recorded(t *testing.T) (w *network, a, b *host, tape []heartbeat) {
	w = settled(t, 1, 2)
	a, b = w.nodes[0], w.nodes[1]
	for range 100 {
		tape = append(tape, b.machine.to(w.now-b.began, b.machine.byID[a.machine.self], false).beat)
		b.machine.stamp = tape[len(tape)-1].Stamp
		w.run(10 * ms)
	}
	w.run(100 * ms) // what was sent after it has arrived
	return w, a, b, tape
}

func (w *network) replay(n *host, tape []heartbeat) map[Drop]int {
	drops := map[Drop]int{}
	for _, h := range tape {
		_, drop := n.machine.Receive(w.now-n.began, w.now-n.began, &h, 0, nil)
		drops[drop]++
	}
	return drops
}

func TestRecordedHeartbeatsKeepNobodyAlive(t *testing.T) {
	w, a, b, tape := recorded(t)
	if drops := w.replay(a, tape); drops[DropRepeated] != 100 {
		t.Errorf("to who heard them: %v", drops)
	}
	w.crash(b)
	w.run(2 * time.Second)
	if drops := w.replay(a, tape); drops[DropRepeated] != 100 || w.state(a, b) != Dead {
		t.Errorf("after the death: %v, %s", drops, w.state(a, b))
	}
	w.start(b)
	w.until(400*ms, "return", w.allAlive)
	if drops := w.replay(a, tape); drops[DropUnproven] != 100 {
		t.Errorf("after the return: %v", drops)
	}
	if drops := w.replay(a, tape); drops[DropRepeated] != 100 {
		t.Errorf("and again: %v", drops)
	}
	w.run(100 * ms)
	w.expectAllAlive()
}

// A speaker that starts again at once, and a packet of its former process that the
// network held up.
func TestLatePacketOfAFormerProcessChangesNothing(t *testing.T) {
	w := settled(t, 1, 2)
	a, b := w.nodes[0], w.nodes[1]
	w.crash(b)
	w.start(b)
	w.run(300 * ms)
	w.expectAllAlive()
	late := b.machine.to(w.now-b.began, b.machine.byID[a.machine.self], false).beat
	w.crash(b)
	w.start(b)
	w.run(60 * ms)
	_, drop := a.machine.Receive(w.now-a.began, w.now-a.began, &late, 0, nil)
	if got := a.machine.byID[b.machine.self].boot; drop != DropOldBoot || got != b.boot {
		t.Errorf("dropped as %q, process %x instead of %x", drop, got, b.boot)
	}
	w.run(500 * ms)
	w.expectAllAlive()
}

func TestRecordedHeartbeatsMeanNothingToANewProcess(t *testing.T) {
	w, a, b, tape := recorded(t)
	w.crash(a)
	w.crash(b)
	w.start(a)
	w.run(ms * 100)
	drops := w.replay(a, tape)
	if drops[DropUnproven] != 100 || w.state(a, b) != Unheard {
		t.Errorf("%v, %s", drops, w.state(a, b))
	}
}

func TestPacketsForOthersAreRefused(t *testing.T) {
	w := settled(t, 1, 3)
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	toC := b.machine.to(w.now-b.began, b.machine.byID[c.machine.self], false).beat
	if _, drop := a.machine.Receive(w.now-a.began, w.now-a.began, &toC, 0, nil); drop != DropNotForUs {
		t.Errorf("meant for another: %q", drop)
	}
	stranger := toC
	stranger.To, stranger.From = a.machine.self, idOf("stranger")
	if _, drop := a.machine.Receive(w.now-a.began, w.now-a.began, &stranger, 0, nil); drop != DropStranger {
		t.Errorf("of a stranger: %q", drop)
	}
}

func TestForgottenPeerIsNotListenedTo(t *testing.T) {
	w := settled(t, 1, 3)
	a := w.nodes[0]
	a.machine.SetPeers(w.now-a.began, []string{"node-00", "node-01"})
	if _, known := a.machine.Counts(idOf("node-02")); known || a.machine.segment != 2 {
		t.Errorf("known: %v, segment of %d", known, a.machine.segment)
	}
}
