package liveness

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// Keyring holds the secrets that heartbeats are authenticated with. The first signs;
// all are accepted.
//
// A key is changed without a gap in three steps, each on all nodes before the next
// begins: old,new; new,old; new. Neighbour.Key shows which one a node signs with.
type Keyring [][]byte

// keyMin is the least length of a secret in octets: the strength of its MAC.
const keyMin = macSize

// KeyID names a secret without telling it.
type KeyID uint32

func (k KeyID) String() string { return fmt.Sprintf("%08x", uint32(k)) }

func keyIDOf(secret []byte) KeyID {
	sum := sha256.Sum256(append([]byte("fairlead liveness key\x00"), secret...))
	return KeyID(binary.BigEndian.Uint32(sum[:]))
}

// IDs names the keys, the one that signs first.
func (k Keyring) IDs() []KeyID {
	ids := make([]KeyID, len(k))
	for i, secret := range k {
		ids[i] = keyIDOf(secret)
	}
	return ids
}

// Check tells what is wrong with the keyring.
func (k Keyring) Check() error {
	if len(k) == 0 {
		return errors.New("there is none")
	}
	seen := map[KeyID]bool{}
	for i, secret := range k {
		if len(secret) < keyMin {
			return fmt.Errorf("key %d of %d has %d octets; it needs at least %d, from a random source", i+1, len(k), len(secret), keyMin)
		}
		if id := keyIDOf(secret); seen[id] {
			return fmt.Errorf("key %d of %d is there twice", i+1, len(k))
		} else {
			seen[id] = true
		}
	}
	return nil
}

// codec seals and opens packets. It is not safe for concurrent use.
//
// The MAC is HMAC-SHA-256, cut to 128 bits (RFC 2104 s.5). SipHash would be faster,
// but the standard library has none with a key of one's own (hash/maphash chooses its
// seed). It takes well under a microsecond where the CPU knows SHA.
type codec struct {
	cluster uint64
	keys    []key
	sum     [sha256.Size]byte
}

type key struct {
	id  KeyID
	mac hash.Hash // kept: making one costs more than using it
}

func newCodec(cluster string, keys Keyring) *codec {
	c := &codec{cluster: hash64("cluster", cluster)}
	for _, secret := range keys {
		c.keys = append(c.keys, key{keyIDOf(secret), hmac.New(sha256.New, secret)})
	}
	return c
}

// mute tells that there is no key to sign with.
func (c *codec) mute() bool { return len(c.keys) == 0 }

// seal appends h as a packet.
func (c *codec) seal(b []byte, h *heartbeat) []byte {
	start := len(b)
	k := &c.keys[0]
	b = appendBody(b, uint64(k.id), c.cluster, h)
	return append(b, c.authenticate(k, b[start:])...)
}

// open reads a packet into h, and tells which key it was signed with.
func (c *codec) open(packet []byte, h *heartbeat) (KeyID, Drop) {
	if drop := measure(packet); drop != "" {
		return 0, drop
	}
	id, drop := c.verify(packet)
	if drop == "" {
		h.read(packet)
	}
	return id, drop
}

// verify checks key, MAC and cluster of a packet that was measured: of any kind, since
// all begin alike and end with the MAC.
func (c *codec) verify(packet []byte) (KeyID, Drop) {
	id := KeyID(binary.BigEndian.Uint32(packet[4:]))
	for i := range c.keys {
		k := &c.keys[i]
		if k.id != id {
			continue
		}
		body := packet[:len(packet)-macSize]
		if !hmac.Equal(c.authenticate(k, body), packet[len(body):]) {
			return id, DropMAC
		}
		if binary.BigEndian.Uint64(packet[8:]) != c.cluster {
			return id, DropCluster
		}
		return id, ""
	}
	return id, DropKey
}

// authenticate returns the MAC, which is valid until the next call.
func (c *codec) authenticate(k *key, body []byte) []byte {
	k.mac.Reset()
	k.mac.Write(body)
	return k.mac.Sum(c.sum[:0])[:macSize]
}
