package kube

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// keyOf is a key of one repeated octet, made a number of days after a first.
func keyOf(octet byte, day int) HeartbeatKey {
	return HeartbeatKey{Secret: bytes.Repeat([]byte{octet}, keyOctets), Made: time.Date(2026, 11, 1+day, 13, 0, 0, 0, time.UTC)}
}

func TestAKeyringIsReadAsItWasWritten(t *testing.T) {
	want := []HeartbeatKey{keyOf(2, 30), keyOf(1, 0)}
	text := formatKeyring(want)
	const first = "2026-12-01T13:00:00Z AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"
	if !strings.HasPrefix(string(text), first) || bytes.Count(text, []byte("\n")) != 2 {
		t.Errorf("two keys are written as\n%s", text)
	}
	got, err := parseKeyring(text)
	if diff := compareKeys(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

func TestAKeyringMayBeWrittenByHand(t *testing.T) {
	longer := bytes.Repeat([]byte{7}, 64)
	text := "# ours\n\n  2026-11-21T14:30:00+01:30   " + base64.StdEncoding.EncodeToString(longer) + "\r\n"
	got, err := parseKeyring([]byte(text))
	want := []HeartbeatKey{{Secret: longer, Made: time.Date(2026, 11, 21, 13, 0, 0, 0, time.UTC)}}
	if diff := compareKeys(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

// compareKeys sees the secrets, which cmp does not where a type prints itself.
func compareKeys(want, got []HeartbeatKey) string {
	plain := func(keys []HeartbeatKey) []string {
		var out []string
		for _, k := range keys {
			out = append(out, fmt.Sprintf("%x of %s", k.Secret, k.Made))
		}
		return out
	}
	return cmp.Diff(plain(want), plain(got))
}

func TestAKeyringThatIsNoneSaysWhatToWriteAndNoSecret(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, keyOctets))
	const date = "2026-11-21T13:00:00Z "
	for _, c := range []struct{ name, text, says string }{
		{"empty", "", "there is no key"},
		{"comments only", "# later\n", "there is no key"},
		{"no date", secret + "\n", "line 1 has 1 words, not 2"},
		{"three words", date + secret + " 1\n", "line 1 has 3 words, not 2"},
		{"a date of another kind", "21.11.2026 " + secret, "line 1 does not begin with a date"},
		{"the other way round", secret + " " + date, "line 1 does not begin with a date"},
		{"hex", date + strings.Repeat("0f-", 32), "line 1 does not end with base64"},
		{"too short", date + base64.StdEncoding.EncodeToString(make([]byte, 31)), "line 1 has a key of 31 octets, too few"},
		{"the second line", date + secret + "\n\n" + date, "line 3 has 1 words"},
		{"twice the same", date + secret + "\n" + date + secret, "line 2 has a key that is there already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys, err := parseKeyring([]byte(c.text))
			if err == nil || keys != nil {
				t.Fatalf("it is read as %v", keys)
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "(") {
				t.Errorf("it says %q, and not %q with what to do", err, c.says)
			}
			if tellsKey(err.Error(), []byte(c.text)) {
				t.Errorf("the error tells the key: %q", err)
			}
		})
	}
}

// tellsKey finds a word of a keyring in a text.
func tellsKey(text string, keyring []byte) bool {
	for _, word := range strings.Fields(string(keyring)) {
		if len(word) > 25 && strings.Contains(text, word[:20]) {
			return true
		}
	}
	return false
}

func TestAKeyIsNotPrinted(t *testing.T) {
	key := keyOf('S', 0)
	ring := Keyring{Keys: []HeartbeatKey{key}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{key, &key, ring, &ring} {
			text := fmt.Sprintf(verb, value)
			for _, form := range []string{"SSSS", "5353", "83 83", "83, 83", "0x53", "U1NT"} {
				if strings.Contains(text, form) {
					t.Errorf("%s of %T prints %s", verb, value, text)
				}
			}
		}
	}
	text, err := json.Marshal(ring)
	if err != nil || strings.Contains(string(text), "U1NT") {
		t.Errorf("JSON is %s, %v", text, err)
	}
}
