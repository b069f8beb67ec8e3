package occm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// entry is a section header, or one variable below it.
type entry struct {
	line    int
	section string
	sub     string // of [section "sub"]
	// name is empty for the header itself.
	name  string
	value string
	// blank is a name without "=", which turns a switch on.
	blank bool
	// clipped is set where a comment begins in the middle of a word: most likely the
	// word was meant whole.
	clipped bool
}

// The syntax is git-config's in the dialect of gopkg.in/gcfg.v1, which OCCM reads
// cloud.conf with. It is read here again, since that library tells no line numbers
// and repeats values, secret ones too, in its errors.
//
//   - Names have letters, digits and "-", and case does not count; names of
//     sub-sections are quoted, and there it does.
//   - A comment runs from ";" or "#", anywhere outside quotes, to the end of the line.
//   - A value loses the space around it, never the space in quotes. Quotes may open
//     and close anywhere. Inside, \" \\ \n and \t are escapes; outside, \" is a quote
//     and a backslash at the end of a line joins it with the next.
//   - Carriage returns never count.
type reader struct {
	text string
	at   int
	line int
}

const end = rune(-1)

func (r *reader) peek() rune {
	if r.at >= len(r.text) {
		return end
	}
	c, _ := utf8.DecodeRuneInString(r.text[r.at:])
	return c
}

func (r *reader) next() rune {
	c := r.peek()
	switch c {
	case end:
		return end
	case '\n':
		r.line++
	}
	r.at += utf8.RuneLen(c)
	return c
}

// fail never quotes the text: any part of it may be a secret.
func (r *reader) fail(hint string) error {
	return fmt.Errorf("cloud.conf line %d: %s", r.line, hint)
}

func isSpace(c rune) bool { return c == ' ' || c == '\t' || c == '\r' }

func (r *reader) skipSpace() {
	for isSpace(r.peek()) {
		r.next()
	}
}

func (r *reader) skipComment() {
	for c := r.peek(); c != '\n' && c != end; c = r.peek() {
		r.next()
	}
}

func (r *reader) ident() string {
	begin := r.at
	for c := r.peek(); unicode.IsLetter(c) || r.at > begin && (unicode.IsDigit(c) || c == '-'); c = r.peek() {
		r.next()
	}
	return r.text[begin:r.at]
}

// scan reads the whole text.
func scan(text []byte) ([]entry, error) {
	// Editors on Windows put a byte order mark in front, which means nothing.
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r := reader{text: string(text), line: 1}
	if err := r.encoding(); err != nil {
		return nil, err
	}
	var out []entry
	section, sub := "", ""
	for {
		r.skipSpace()
		switch c := r.peek(); {
		case c == end:
			return out, nil
		case c == '\n':
			r.next()
		case c == ';' || c == '#':
			r.skipComment()
		case c == '[':
			head := entry{line: r.line}
			var err error
			if head.section, head.sub, err = r.header(); err != nil {
				return nil, err
			}
			section, sub = head.section, head.sub
			out = append(out, head)
		case unicode.IsLetter(c):
			v := entry{line: r.line, section: section, sub: sub}
			if section == "" {
				return nil, r.fail("a name before the first section: begin with [Global]")
			}
			v.name = r.ident()
			if err := r.variable(&v); err != nil {
				return nil, err
			}
			out = append(out, v)
		default:
			return nil, r.fail("this is no section, name or comment: write [Section], name = value or # comment")
		}
	}
}

// encoding finds bytes that are not text.
func (r *reader) encoding() error {
	at := strings.IndexByte(r.text, 0)
	if at < 0 && utf8.ValidString(r.text) {
		return nil
	}
	if at < 0 {
		at = strings.IndexFunc(r.text, func(c rune) bool { return c == utf8.RuneError })
	}
	return fmt.Errorf("cloud.conf line %d: a byte that is no UTF-8 text", 1+strings.Count(r.text[:at], "\n"))
}

func (r *reader) header() (section, sub string, err error) {
	r.next() // the bracket
	r.skipSpace()
	if section = r.ident(); section == "" {
		return "", "", r.fail("a section needs a name: write [Section]")
	}
	r.skipSpace()
	if r.peek() == '"' {
		if sub, err = r.subsection(); err != nil {
			return "", "", err
		}
		if sub == "" {
			return "", "", r.fail(`the name in quotes is empty: write [Section "name"]`)
		}
	}
	r.skipSpace()
	if r.peek() != ']' {
		return "", "", r.fail(`the section's name does not end: write [Section] or [Section "name"]`)
	}
	r.next()
	r.skipSpace()
	switch r.peek() {
	case '\n', end, ';', '#':
		return section, sub, nil
	}
	return "", "", r.fail("text after a section's name: begin a new line")
}

func (r *reader) subsection() (string, error) {
	r.next() // the quote
	var b strings.Builder
	for {
		switch c := r.peek(); c {
		case '\n', end:
			return "", r.fail("a quote does not end on this line")
		case '"':
			r.next()
			return b.String(), nil
		case '\\':
			r.next()
			if e := r.peek(); e != '\\' && e != '"' {
				return "", r.fail(`a backslash in a section's name: write \\`)
			}
			b.WriteRune(r.next())
		default:
			b.WriteRune(r.next())
		}
	}
}

// variable reads what follows a name.
func (r *reader) variable(v *entry) error {
	r.skipSpace()
	switch r.peek() {
	case '\n', end, ';', '#':
		v.blank = true
		return nil
	case '=':
		r.next()
		return r.value(v)
	case '_':
		return r.fail(`names have "-" where this one has "_"`)
	case ':':
		return r.fail(`a ":" after a name: write name = value`)
	}
	return r.fail("no value for a name: write name = value")
}

var errBackslash = errors.New(`a backslash outside quotes: put the value in double quotes, and write \\ for each backslash`)

func (r *reader) value(v *entry) error {
	r.skipSpace()
	var b strings.Builder
	keep := 0 // what of b is no trailing space
	quoted := false
	last := ' '
	for {
		c := r.peek()
		if c == end && quoted || quoted && c == '\n' {
			return r.fail("a quote does not end on this line")
		}
		if c == end || !quoted && (c == '\n' || c == ';' || c == '#') {
			v.value = b.String()[:keep]
			v.clipped = (c == ';' || c == '#') && v.value != "" && !isSpace(last) && last != '"'
			return nil
		}
		last = r.next()
		switch {
		case c == '\r':
			continue
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			e, ok := map[rune]rune{'\\': '\\', '"': '"', 'n': '\n', 't': '\t'}[r.peek()]
			if !ok {
				return r.fail(`a backslash in quotes begins \\ \" \n or \t: write \\ for a backslash`)
			}
			r.next()
			b.WriteRune(e)
		case c == '\\':
			if r.peek() == '\r' {
				r.next()
			}
			switch r.peek() {
			case '\n':
			case '"':
				b.WriteRune('"')
			default:
				return r.fail(errBackslash.Error())
			}
			r.next()
		default:
			b.WriteRune(c)
		}
		if quoted || !isSpace(c) {
			keep = b.Len()
		}
	}
}
