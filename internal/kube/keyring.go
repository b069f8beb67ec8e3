package kube

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Keyring is what the Secret with the keys of heartbeats holds.
type Keyring struct {
	// Keys in their order: the first signs, all are accepted. None is a Secret that is
	// still as it was installed.
	Keys []HeartbeatKey
	// Since is when the keys became these; zero where the Secret does not tell.
	Since time.Time
	// Rotate is what a person wrote last to ask for a new key, and Rotated what it was
	// when the newest key was made.
	Rotate, Rotated string

	version string // of the Secret that it was read from
}

// HeartbeatKey is one key. It prints as its date: what is logged by mistake tells
// nothing.
type HeartbeatKey struct {
	Secret []byte    // of keyOctets or more, from a random source
	Made   time.Time // to the second, UTC
}

// keyOctets is the least length of a key.
const keyOctets = 32

// Format prints no secret, whatever the verb.
func (k HeartbeatKey) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "key of %s", k.Made.Format(time.RFC3339))
}

// MarshalJSON writes no secret.
func (k HeartbeatKey) MarshalJSON() ([]byte, error) {
	return json.Marshal(fmt.Sprint(k))
}

// keyLine is what a line of a keyring should look like.
const keyLine = "a date such as 2026-11-21T13:00:00Z, a space, and 32 random octets in base64: " +
	"echo $(date -u +%FT%TZ) $(head -c 32 /dev/urandom | base64)"

// parseKeyring reads one key a line, the one that signs first. Empty lines, and those
// that begin with #, are left out. No error has a word of the text: it may be a key.
func parseKeyring(text []byte) ([]HeartbeatKey, error) {
	var keys []HeartbeatKey
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d %w (write %s)", number, err, keyLine)
		}
		for _, other := range keys {
			if bytes.Equal(other.Secret, key.Secret) {
				return nil, fmt.Errorf("line %d has a key that is there already (take one of the two lines out)", number)
			}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key (write %s; or take the field out, and the controller fills it)", keyLine)
	}
	return keys, nil
}

func parseKey(line []byte) (HeartbeatKey, error) {
	words := strings.Fields(string(line))
	if len(words) != 2 {
		return HeartbeatKey{}, fmt.Errorf("has %d words, not 2", len(words))
	}
	made, err := time.Parse(time.RFC3339, words[0])
	if err != nil {
		return HeartbeatKey{}, errors.New("does not begin with a date")
	}
	secret, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return HeartbeatKey{}, errors.New("does not end with base64")
	}
	if len(secret) < keyOctets {
		return HeartbeatKey{}, fmt.Errorf("has a key of %d octets, too few", len(secret))
	}
	return HeartbeatKey{Secret: secret, Made: made.UTC().Truncate(time.Second)}, nil
}

// formatKeyring is what parseKeyring reads.
func formatKeyring(keys []HeartbeatKey) []byte {
	var out []byte
	for _, k := range keys {
		out = fmt.Appendf(out, "%s %s\n", k.Made.UTC().Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.Secret))
	}
	return out
}
