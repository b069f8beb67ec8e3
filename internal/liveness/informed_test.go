package liveness

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoJustCameIsInformedWhenItsNeighboursHadTimeToSpeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Node: "new", Boot: 1})
		if !m.Informed() {
			t.Error("waits for nobody")
		}
		m.SetPeers([]Peer{{Node: "new"}, {Node: "other"}})
		time.Sleep(introduction - time.Millisecond)
		if m.Informed() {
			t.Error("does not wait for a neighbour that may be about to speak")
		}
		time.Sleep(time.Millisecond)
		if !m.Informed() {
			t.Error("waits for a neighbour that does not speak")
		}
	})
}
