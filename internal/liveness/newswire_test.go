package liveness

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func drawNewsPacket(t *rapid.T) newsPacket {
	l := newsPacket{
		To: nodeID(rapid.Uint64().Draw(t, "to")), From: nodeID(rapid.Uint64().Draw(t, "from")),
		Boot: rapid.Uint64().Draw(t, "boot"), Number: rapid.Uint64().Draw(t, "number"),
	}
	if rapid.Bool().Draw(t, "request") {
		l.Kind, l.Of, l.Stamp = newsRequest, rapid.Uint64().Draw(t, "of"), rapid.Uint64().Draw(t, "stamp")
		for i := range l.Lacks {
			l.Lacks[i] = rapid.Uint64().Draw(t, "lacks")
		}
		return l
	}
	l.Size = rapid.IntRange(0, newsMax).Draw(t, "size")
	l.Index = rapid.IntRange(0, fragmentsOf(l.Size)-1).Draw(t, "index")
	from, to := fragmentAt(l.Index, l.Size)
	l.Content = bytes.Repeat([]byte{rapid.Byte().Draw(t, "content")}, to-from)
	return l
}

func TestNewsPacketComesBackAsItWasSealed(t *testing.T) {
	c := newCodec("cluster", Keyring{newKey})
	rapid.Check(t, func(t *rapid.T) {
		want := drawNewsPacket(t)
		packet := c.sealNews(nil, &want)
		var got newsPacket
		if drop := c.openNews(packet, &got); drop != "" {
			t.Fatalf("dropped as %q", drop)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-sealed +opened):\n%s", diff)
		}
		if len(packet) > 1232 || len(packet) > packetSize {
			t.Fatalf("%d octets: the smallest MTU of IPv6 takes 1232, the reader %d", len(packet), packetSize)
		}
		if !isNews(packet) || measure(packet) != DropForeign {
			t.Fatal("taken for a heartbeat")
		}
	})
}

func TestFragmentsMakeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, newsMax).Draw(t, "size")
		end, all := 0, firstFragments(fragmentsOf(size))
		for i := range fragmentsOf(size) {
			from, to := fragmentAt(i, size)
			if from != end || to < from || to-from > fragmentSize || all.first() != i || !all.has(i) {
				t.Fatalf("fragment %d of %d octets is %d to %d, after %d", i, size, from, to, end)
			}
			end = to
			all.remove(i)
		}
		if end != size || !all.empty() || all.first() != -1 {
			t.Fatalf("%d octets of %d", end, size)
		}
	})
}

func TestOneFlippedBitOfANewsPacketIsFound(t *testing.T) {
	c := newCodec("cluster", Keyring{newKey})
	for _, l := range []newsPacket{{Size: 5, Content: []byte("claim")}, {Kind: newsRequest, Lacks: firstFragments(3)}} {
		packet := c.sealNews(nil, &l)
		var got newsPacket
		for i := range 8 * len(packet) {
			packet[i/8] ^= 1 << (i % 8)
			if drop := c.openNews(packet, &got); drop == "" {
				t.Errorf("bit %d", i)
			}
			packet[i/8] ^= 1 << (i % 8)
		}
		for i := range packet {
			if drop := c.openNews(packet[:i], &got); drop == "" {
				t.Errorf("cut to %d octets", i)
			}
		}
		if drop := c.openNews(append(packet, 0), &got); drop != DropMalformed {
			t.Errorf("with an octet too many: %q", drop)
		}
	}
}

// What a packet claims is checked before anything is allocated for it, and before the
// MAC is.
func TestAbsurdClaimsAreRefused(t *testing.T) {
	c := newCodec("cluster", Keyring{newKey})
	whole := make([]byte, fragmentSize)
	for _, one := range []struct {
		name        string
		size, index int
		content     []byte
	}{
		{"more than news may have", newsMax + 1, 0, whole},
		{"four gigabytes", 1<<32 - 1, 0, whole},
		{"an index behind the end", 3 * fragmentSize, 3, whole},
		{"less than the index calls for", 3 * fragmentSize, 1, whole[1:]},
		{"more than the index calls for", fragmentSize + 1, 1, whole[:2]},
		{"nothing, and yet a second fragment", 0, 1, nil},
	} {
		if drop := measureNews(c.sealNews(nil, &newsPacket{Size: one.size, Index: one.index, Content: one.content})); drop != DropMalformed {
			t.Errorf("%s: %q", one.name, drop)
		}
	}
	if drop := measureNews(c.sealNews(nil, &newsPacket{Kind: 2, Lacks: firstFragments(1)})); drop != DropForeign {
		t.Errorf("a kind that is not known: %q", drop)
	}
}

func TestNewsPacketsOfOthersKeysAndClustersAreRefused(t *testing.T) {
	ours := newCodec("ours", Keyring{newKey, oldKey})
	var l newsPacket
	for _, c := range []struct {
		name string
		of   *codec
		want Drop
	}{
		{"a key that is accepted", newCodec("ours", Keyring{oldKey}), ""},
		{"a key of others", newCodec("ours", Keyring{bytes.Repeat([]byte("x"), 32)}), DropKey},
		{"our key in another cluster", newCodec("theirs", Keyring{newKey}), DropCluster},
	} {
		if drop := ours.openNews(c.of.sealNews(nil, &newsPacket{}), &l); drop != c.want {
			t.Errorf("%s: dropped as %q, want %q", c.name, drop, c.want)
		}
	}
}

// FuzzNews feeds what is on the wire to an exchange: first as it is, then with a valid
// MAC, as if a neighbour had gone mad.
func FuzzNews(f *testing.F) {
	c := newCodec("cluster", Keyring{newKey})
	to, from := idOf("a"), idOf("b")
	f.Add(c.sealNews(nil, &newsPacket{To: to, From: from, Boot: 2, Number: 1, Size: 5, Content: []byte("claim")}))
	f.Add(c.sealNews(nil, &newsPacket{To: to, From: from, Boot: 2, Number: 1, Size: newsMax, Index: 7, Content: make([]byte, fragmentSize)}))
	f.Add(c.sealNews(nil, &newsPacket{Kind: newsRequest, To: to, From: from, Boot: 2, Number: 1, Of: 1, Stamp: 1, Lacks: firstFragments(fragmentsMax)}))
	f.Fuzz(func(t *testing.T, packet []byte) {
		c := newCodec("cluster", Keyring{newKey})
		x := newExchange("a", 1)
		x.SetPeers([]string{"a", "b", "c"})
		x.Heard(0, from, 2, 0)
		x.Publish(0, make([]byte, 3*fragmentSize), func(nodeID) bool { return false })
		sent := len(x.Step(0, nil))
		var l newsPacket
		if c.openNews(packet, &l) == "" {
			x.Receive(ms, &l)
		}
		if measureNews(packet) != "" {
			return
		}
		l.read(packet)
		l.To, l.From, l.Boot = to, from, 2
		again := c.sealNews(nil, &l)
		if c.openNews(again, &l) != "" {
			t.Fatalf("what was read cannot be written: %+v", l)
		}
		for i := range 5 {
			now := ms * 20 * (1 + (1 << i))
			x.Receive(now, &l)
			if l.Kind == newsRequest {
				l.Stamp++
			}
			out := x.Step(now, nil)
			if sent += len(out); sent > 40 {
				t.Fatalf("%d packets for one", sent)
			}
			for i := range out {
				if drop := measureNews(c.sealNews(nil, &out[i].packet)); drop != "" {
					t.Fatalf("ours is %s: %+v", drop, out[i].packet)
				}
			}
			if next := x.Next(); next <= now {
				t.Fatalf("next step at %s, now is %s", next, now)
			}
		}
		if size := binary.BigEndian.Uint32(packet[48:]); l.Kind == newsFragment && int(size) != l.Size {
			t.Fatalf("size %d read as %d", size, l.Size)
		}
	})
}
