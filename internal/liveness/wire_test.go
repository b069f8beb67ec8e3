package liveness

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var (
	oldKey = bytes.Repeat([]byte("old "), 8)
	newKey = bytes.Repeat([]byte("new "), 8)
)

func drawHeartbeat(t *rapid.T) heartbeat {
	id := rapid.Custom(func(t *rapid.T) nodeID { return nodeID(rapid.Uint64().Draw(t, "id")) })
	return heartbeat{
		Leaving: rapid.Bool().Draw(t, "leaving"), Minority: rapid.Bool().Draw(t, "minority"), Ask: rapid.Bool().Draw(t, "ask"), Reached: rapid.Bool().Draw(t, "reached"),
		To: id.Draw(t, "to"), From: id.Draw(t, "from"),
		Boot: rapid.Uint64().Draw(t, "boot"), Stamp: rapid.Uint64().Draw(t, "stamp"),
		EchoBoot: rapid.Uint64().Draw(t, "echo boot"), EchoStamp: rapid.Uint64().Draw(t, "echo stamp"),
		News:  rapid.Uint64().Draw(t, "news"),
		Age:   rapid.Uint16().Draw(t, "age"),
		Asked: rapid.SliceOfN(id, 0, listMax).Draw(t, "asked"),
		Heard: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) hearing {
			return hearing{id.Draw(t, "id"), rapid.Uint16().Draw(t, "age"), rapid.Bool().Draw(t, "minority")}
		}), 0, listMax).Draw(t, "heard"),
	}
}

func TestHeartbeatComesBackAsItWasSealed(t *testing.T) {
	c := newCodec("cluster", Keyring{newKey})
	rapid.Check(t, func(t *rapid.T) {
		want := drawHeartbeat(t)
		packet := c.seal(nil, &want)
		var got heartbeat
		key, drop := c.open(packet, &got)
		if drop != "" || key != keyIDOf(newKey) {
			t.Fatalf("dropped as %q, key %s", drop, key)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-sealed +opened):\n%s", diff)
		}
		if len(packet) > 1232 {
			t.Fatalf("%d octets do not fit into the smallest MTU of IPv6", len(packet))
		}
	})
}

func TestOneFlippedBitIsFound(t *testing.T) {
	c := newCodec("cluster", Keyring{newKey})
	packet := c.seal(nil, &heartbeat{Asked: []nodeID{1}, Heard: []hearing{{2, 3, true}}})
	var h heartbeat
	for i := range 8 * len(packet) {
		packet[i/8] ^= 1 << (i % 8)
		if _, drop := c.open(packet, &h); drop == "" {
			t.Errorf("bit %d", i)
		}
		packet[i/8] ^= 1 << (i % 8)
	}
	for i := range packet {
		if _, drop := c.open(packet[:i], &h); drop == "" {
			t.Errorf("cut to %d octets", i)
		}
	}
	if _, drop := c.open(append(packet, 0), &h); drop != DropMalformed {
		t.Errorf("with an octet too many: %q", drop)
	}
}

func TestListsLongerThanAPacketAreCut(t *testing.T) {
	c := newCodec("cluster", Keyring{newKey})
	packet := c.seal(nil, &heartbeat{Asked: make([]nodeID, 500), Heard: make([]hearing, 500)})
	var h heartbeat
	if _, drop := c.open(packet, &h); drop != "" || len(h.Asked) != listMax || len(h.Heard) != listMax || len(packet) != packetSize {
		t.Errorf("%d octets, dropped as %q, %d asked, %d heard", len(packet), drop, len(h.Asked), len(h.Heard))
	}
}

func TestOthersKeysAndClustersAreRefused(t *testing.T) {
	ours := newCodec("ours", Keyring{newKey, oldKey})
	var h heartbeat
	for _, c := range []struct {
		name string
		of   *codec
		want Drop
	}{
		{"the key that signs", newCodec("ours", Keyring{newKey}), ""},
		{"a key that is accepted", newCodec("ours", Keyring{oldKey}), ""},
		{"a key of others", newCodec("ours", Keyring{bytes.Repeat([]byte("x"), 32)}), DropKey},
		{"our key in another cluster", newCodec("theirs", Keyring{newKey}), DropCluster},
	} {
		if _, drop := ours.open(c.of.seal(nil, &heartbeat{}), &h); drop != c.want {
			t.Errorf("%s: dropped as %q, want %q", c.name, drop, c.want)
		}
	}
	// A key id says nothing: only the MAC does.
	forged := newCodec("ours", Keyring{bytes.Repeat([]byte("x"), 32)})
	forged.keys[0].id = keyIDOf(newKey)
	if _, drop := ours.open(forged.seal(nil, &heartbeat{}), &h); drop != DropMAC {
		t.Errorf("forged: dropped as %q", drop)
	}
}

func TestKeyringIsChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		keys Keyring
		want string
	}{
		{"none", nil, "there is none"},
		{"two", Keyring{newKey, oldKey}, ""},
		{"short", Keyring{newKey, []byte("secret")}, "key 2 of 2 has 6 octets; it needs at least 16, from a random source"},
		{"twice", Keyring{newKey, newKey}, "key 2 of 2 is there twice"},
	} {
		got := ""
		if err := c.keys.Check(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzHeartbeat feeds what is on the wire to a machine: first as it is, then with a
// valid MAC, as if a neighbour had gone mad.
func FuzzHeartbeat(f *testing.F) {
	c := newCodec("cluster", Keyring{newKey})
	f.Add(c.seal(nil, &heartbeat{To: idOf("a"), From: idOf("b"), Boot: 2, Stamp: 1}))
	f.Add(c.seal(nil, &heartbeat{To: idOf("a"), From: idOf("b"), Boot: 2, Stamp: 1, EchoBoot: 1, EchoStamp: 1, Ask: true,
		Asked: make([]nodeID, listMax), Heard: []hearing{{idOf("c"), 5, false}, {idOf("a"), 0, true}, {idOf("b"), 0, true}}}))
	f.Fuzz(func(t *testing.T, packet []byte) {
		c := newCodec("cluster", Keyring{newKey})
		m := newMachine("a", 1, Timing{})
		m.SetPeers(0, []string{"a", "b", "c"})
		m.Step(0, nil)
		var h heartbeat
		if _, drop := c.open(packet, &h); drop == "" {
			m.Receive(ms, ms, &h, 0, nil)
		}
		if measure(packet) != "" {
			return
		}
		h.read(packet)
		h.To, h.From = idOf("a"), idOf("b")
		if again := c.seal(nil, &h); measure(again) != "" {
			t.Fatalf("what was read cannot be written: %+v", h)
		}
		for i := range 5 {
			h.Stamp++
			now := ms * 20 * (1 + (1 << i))
			out, _ := m.Receive(now, now, &h, 0, nil)
			out = m.Step(now, out)
			if len(out) > 8 {
				t.Fatalf("%d packets for one", len(out))
			}
			if next := m.Next(); next < now || next > now+2*ms*50 {
				t.Fatalf("next step at %s, now is %s", next, now)
			}
		}
	})
}
