package liveness

import (
	"bytes"
	"testing"
	"time"
)

func TestRecordedNewsAreRefused(t *testing.T) {
	r := acquainted(t, 1, 2)
	a, b := r.nodes[0], r.nodes[1]
	var tape, asked []newsPacket
	r.lose = func(l *newsPacket) bool {
		own := *l
		own.Content = bytes.Clone(l.Content)
		if l.Kind == newsRequest {
			asked = append(asked, own)
			return false
		}
		tape = append(tape, own)
		return len(tape) == 1 // so that it is asked for
	}
	play := func(tape []newsPacket, to *reporter) map[Drop]int {
		t.Helper()
		drops := map[Drop]int{}
		for i := range tape {
			changed, drop := to.exchange.Receive(r.now-to.began, &tape[i])
			if changed {
				t.Error("news changed")
			}
			drops[drop]++
		}
		return drops
	}
	r.publish(a, r.essay(3000))
	r.until(200*ms, "the news", func() bool { return r.knows(a) })
	r.publish(a, []byte("newer"))
	r.until(200*ms, "the newer", func() bool { return r.knows(a) })
	r.run(time.Second)
	r.lose = nil
	sent := r.packets
	if len(tape) < 5 || len(asked) == 0 {
		t.Fatalf("%d fragments and %d requests on the tape", len(tape), len(asked))
	}
	if drops := play(tape, b); drops[DropRepeated] != len(tape) {
		t.Errorf("to who has newer: %v", drops)
	}
	if drops := play(asked, a); drops[DropRepeated] != len(asked) {
		t.Errorf("requests: %v", drops)
	}
	again := newsPacket{Kind: newsRequest, To: a.exchange.self, From: b.exchange.self, Boot: b.boot, Of: a.boot, Number: 2, Stamp: 1 << 50}
	if drops := play([]newsPacket{again, again}, a); drops[""] != 1 || drops[DropRepeated] != 1 {
		t.Errorf("the same request twice: %v", drops)
	}
	r.start(b)
	if drops := play(tape, b); drops[DropUnproven] != len(tape) {
		t.Errorf("to who has not heard a heartbeat yet: %v", drops)
	}
	r.until(200*ms, "the newer, for the new process", func() bool { return r.knows(a) })
	if r.packets == sent {
		t.Error("the new process got its news from nowhere")
	}
	r.start(a)
	r.run(200 * ms)
	if drops := play(tape, b); drops[DropUnproven] != len(tape) {
		t.Errorf("of a process that ended: %v", drops)
	}
	if drops := play(asked, a); drops[DropUnproven] != len(asked) {
		t.Errorf("requests of a process that ended: %v", drops)
	}
	late := newsPacket{Kind: newsRequest, To: a.exchange.self, From: b.exchange.self, Boot: b.boot, Of: a.boot - 1, Number: 1, Stamp: 1 << 60}
	if drops := play([]newsPacket{late}, a); drops[DropOldBoot] != 1 {
		t.Errorf("a request to a process that ended: %v", drops)
	}
}

// What a heartbeat said to be replaced is not taken for the newest in the meantime.
func TestFragmentsOfReplacedNewsAreRefused(t *testing.T) {
	r := acquainted(t, 1, 2)
	a, b := r.nodes[0], r.nodes[1]
	b.exchange.Heard(r.now-b.began, a.exchange.self, a.boot, 3)
	l := newsPacket{To: b.exchange.self, From: a.exchange.self, Boot: a.boot, Number: 2, Size: 1, Content: []byte("x")}
	if changed, drop := b.exchange.Receive(r.now-b.began, &l); changed || drop != DropRepeated {
		t.Errorf("%v, dropped as %q", changed, drop)
	}
	l.Number = 3
	if changed, drop := b.exchange.Receive(r.now-b.began, &l); !changed || drop != "" {
		t.Errorf("the newest: %v, dropped as %q", changed, drop)
	}
}

// A neighbour that tells one number twice with two sizes is mad, and mixes nothing.
func TestOneNumberHasOneSize(t *testing.T) {
	r := acquainted(t, 1, 2)
	a, b := r.nodes[0], r.nodes[1]
	l := newsPacket{To: b.exchange.self, From: a.exchange.self, Boot: a.boot, Number: 1, Size: 2 * fragmentSize, Content: make([]byte, fragmentSize)}
	if changed, drop := b.exchange.Receive(r.now-b.began, &l); changed || drop != "" {
		t.Fatalf("%v, dropped as %q", changed, drop)
	}
	l.Size, l.Index = 3*fragmentSize, 1
	if changed, drop := b.exchange.Receive(r.now-b.began, &l); changed || drop != DropMalformed {
		t.Errorf("%v, dropped as %q", changed, drop)
	}
}

func TestNewsForOthersOrOfStrangersAreRefused(t *testing.T) {
	r := acquainted(t, 1, 3)
	a, b, c := r.nodes[0], r.nodes[1], r.nodes[2]
	toC := newsPacket{To: c.exchange.self, From: b.exchange.self, Boot: b.boot, Number: 1}
	if _, drop := a.exchange.Receive(r.now-a.began, &toC); drop != DropNotForUs {
		t.Errorf("for another: %q", drop)
	}
	ask := newsPacket{Kind: newsRequest, To: everyone, From: b.exchange.self, Boot: b.boot, Number: 1}
	if _, drop := a.exchange.Receive(r.now-a.began, &ask); drop != DropNotForUs {
		t.Errorf("a request to all: %q", drop)
	}
	own := newsPacket{To: everyone, From: a.exchange.self, Boot: a.boot, Number: 1}
	if _, drop := a.exchange.Receive(r.now-a.began, &own); drop != DropOwn {
		t.Errorf("our own: %q", drop)
	}
	a.exchange.SetPeers([]string{"node-0", "node-2"})
	toA := toC
	toA.To = a.exchange.self
	if _, drop := a.exchange.Receive(r.now-a.began, &toA); drop != DropStranger {
		t.Errorf("of a former peer: %q", drop)
	}
}
