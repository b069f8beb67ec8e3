package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// scrub replaces every secret in the words of a refusal, as it is and in the forms
// that it takes in JSON and URLs. Words that have one in any other form are not shown
// at all.
func scrub(words string, secrets []string) string {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return s == "" })
	var forms []string
	for _, s := range secrets {
		forms = append(forms, formsOf(s)...)
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(forms, func(x, y string) int { return len(y) - len(x) })
	for _, s := range forms {
		words = strings.ReplaceAll(words, s, hidden)
	}
	plain := unescaped(words)
	if slices.ContainsFunc(secrets, func(s string) bool {
		return !strings.Contains(hidden, s) && strings.Contains(plain, unescaped(s))
	}) {
		return "(its words are hidden: there is a secret in them)"
	}
	return words
}

// formsOf are a text, its quotings, and their quotings: a refusal may repeat the JSON
// that it was sent inside JSON of its own.
func formsOf(s string) []string {
	forms := []string{s, url.QueryEscape(s), url.PathEscape(s)}
	for _, f := range []string{s, inJSON(s, false), inJSON(s, true), inASCII(s)} {
		forms = append(forms, f, inJSON(f, false), inJSON(f, true), inASCII(f))
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// inJSON is Go's way, with < > & as they are or as \u003c.
func inJSON(s string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if e.Encode(s) != nil {
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

// inASCII is Python's way.
func inASCII(s string) string {
	var b strings.Builder
	for _, c := range inJSON(s, false) {
		switch {
		case c < 0x80:
			b.WriteRune(c)
		case c > 0xffff:
			c -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

var (
	unicodeEscapes = regexp.MustCompile(`(?i)(?:\\+u[0-9a-f]{4})+`)
	percentEscape  = regexp.MustCompile(`(?i)%[0-9a-f]{2}`)
)

// unescaped undoes escapes until there are none, and leaves out backslashes, quotes
// and space altogether: good for looking whether something is there, not for reading.
func unescaped(s string) string {
	for range 4 { // nobody quotes more often
		next := unicodeEscapes.ReplaceAllStringFunc(s, func(run string) string {
			var units []uint16
			for _, hex := range strings.FieldsFunc(run, func(c rune) bool { return c == '\\' || c == 'u' || c == 'U' }) {
				n, _ := strconv.ParseUint(hex, 16, 16) // it matched
				units = append(units, uint16(n))
			}
			return string(utf16.Decode(units))
		})
		next = percentEscape.ReplaceAllStringFunc(next, func(e string) string {
			n, _ := strconv.ParseUint(e[1:], 16, 8) // it matched
			return string([]byte{byte(n)})
		})
		if next == s {
			break
		}
		s = next
	}
	return strings.NewReplacer(`\`, "", `"`, "", `'`, "", "\n", "", " ", "", "+", "").Replace(s)
}
