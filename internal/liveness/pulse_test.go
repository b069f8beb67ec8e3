package liveness

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// At the instant at which a neighbour's time is up, its heartbeat may lie in the socket of
// the group.
func TestNobodyIsJudgedByWhatWasNotReadYet(t *testing.T) {
	for unread, want := range map[bool]State{true: Alive, false: Dead} {
		t.Run(fmt.Sprint(unread), func(t *testing.T) {
			m, next := heard(t)
			m.take(next(), m.now())
			ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(ends[0])
			defer unix.Close(ends[1])
			m.groups[0] = &group{fd: ends[0], in: newInbox(), emptied: m.now()}
			p, now := m.machine.byID[idOfB], m.now()
			p.state = Alive
			m.machine.count(p, true)
			m.machine.quorateSince = now - 100*m.machine.timing.Dead
			m.machine.calm, m.machine.next = never, now
			p.heard, p.life, p.doubted = now-m.machine.timing.Lonely, now-m.machine.timing.Lonely, now-m.machine.timing.Dead
			if unread {
				beat := heartbeat{To: everyone, From: p.id, Boot: p.boot, Stamp: p.stamp + 1}
				if _, err := unix.Write(ends[1], newCodec("test", Keyring{newKey}).seal(nil, &beat)); err != nil {
					t.Fatal(err)
				}
			}
			m.beat()
			if p.state != want {
				t.Errorf("%s, because of: %s", p.state, p.why)
			}
		})
	}
}
