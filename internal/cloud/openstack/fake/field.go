package fake

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

// field is an attribute of a request that knows whether it was there: left out, null
// and empty mean three different things to both services.
type field[T any] struct {
	set, null bool
	value     T
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *field[T]) UnmarshalJSON(text []byte) error {
	f.set = true
	if bytes.Equal(text, []byte("null")) {
		f.null = true
		return nil
	}
	// A decoder of its own would forget that unknown attributes are an error.
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(&f.value)
}

// given tells that there is a value.
func (f field[T]) given() bool { return f.set && !f.null }

// or is the value, or another one when there is none.
func (f field[T]) or(otherwise T) T {
	if f.given() {
		return f.value
	}
	return otherwise
}

// update writes the value if the attribute was there; null writes the zero value.
func (f field[T]) update(to *T) {
	if f.set {
		*to = f.value
	}
}

// decode reads a request body; what is unknown or of the wrong type is refused in the
// words that refuse gives.
func decode(body []byte, into any, refuse func(what string) error) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return refuse(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func badRequest(kind, text string) error { return &refusal{http.StatusBadRequest, kind, text} }
func conflict(kind, text string) error   { return &refusal{http.StatusConflict, kind, text} }

// orNil renders an empty string as null.
func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// list renders nil as [].
func list[T any](values []T) []T {
	if values == nil {
		return []T{}
	}
	return values
}

// decodeLoosely is decode for Keystone, which takes attributes it does not know.
func decodeLoosely(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return badRequest("", "Expecting to find valid JSON: "+err.Error())
	}
	return nil
}
