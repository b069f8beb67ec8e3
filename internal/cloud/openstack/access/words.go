package access

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// told finds the words in a refusal, and the name that the service has for it:
//
//	Octavia   {"faultcode": "Client", "faultstring": "..."}
//	Neutron   {"NeutronError": {"type": "OverQuota", "message": "..."}}
//	Keystone  {"error": {"code": 401, "message": "..."}}
//	proxies   <html>...
//
// The transport sends all on as Octavia's.
func told(body []byte) (kind, words string) {
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return "", tag.ReplaceAllString(string(body), " ")
	}
	text := func(o map[string]json.RawMessage, key string) (s string) {
		_ = json.Unmarshal(o[key], &s) // no text is no words
		return s
	}
	name := func(s string) string {
		if !nameLike.MatchString(s) {
			return ""
		}
		return s
	}
	if words = text(object, "faultstring"); words != "" {
		return name(text(object, "faultcode")), words
	}
	if words = text(object, "message"); words != "" {
		return name(text(object, "type")), words
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		var inner map[string]json.RawMessage
		if json.Unmarshal(object[key], &inner) == nil {
			if words = text(inner, "message"); words != "" {
				return name(text(inner, "type")), words
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if words = text(object, key); words != "" {
			return "", words
		}
	}
	return "", ""
}

// fault is a refusal in Octavia's form.
type fault struct {
	Code  string `json:"faultcode,omitempty"`
	Words string `json:"faultstring,omitempty"`
}

var nameLike = regexp.MustCompile(`^[A-Z][A-Za-z]{1,60}$`)

var tag = regexp.MustCompile(`(?s)<(style|script|title).*?</(style|script|title)>|<[^>]*>`)

// longest is how much of the cloud's words is shown.
const longest = 300

// clean makes words fit for a log, an Event and a condition: one line, not too long,
// and without what looks like a secret. The transport has taken out of replies what
// it knows to be one; this is for the rest.
func clean(words string) string {
	words = strings.ToValidUTF8(words, "")
	for _, s := range secretLike {
		words = s.pattern.ReplaceAllString(words, s.by)
	}
	words = strings.Join(strings.FieldsFunc(words, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }), " ")
	if r := []rune(words); len(r) > longest {
		words = string(r[:longest-1]) + "…"
	}
	return words
}

var secretLike = []struct {
	pattern *regexp.Regexp
	by      string
}{
	// Keystone's tokens: Fernet and JWS.
	{regexp.MustCompile(`gAAAA[0-9A-Za-z_=-]{8,}|eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*`), hidden},
	// Whatever is called a secret, in JSON, Python, headers and queries.
	{regexp.MustCompile(`(?i)((?:pass(?:word|wd|code)?|secret|token|api_?key|x-auth-token|x-subject-token|authorization)\\?["']?\s*[=:]\s*(?:(?:basic|bearer)\s+)?u?\\?["']?)[^\s"'\\,;&}]+`), "${1}" + hidden},
	// https://user:password@host
	{regexp.MustCompile(`(://[^/\s:@]*:)[^/\s@]+@`), "${1}" + hidden + "@"},
}

const hidden = "(hidden)"
