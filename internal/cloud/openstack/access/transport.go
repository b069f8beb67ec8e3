package access

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// transport counts and logs every call, and takes secrets out of refusals before
// anybody else can see them.
type transport struct {
	base    http.RoundTripper
	log     *slog.Logger
	metrics *metrics
	secrets []string
	// services by the beginning of their addresses; Keystone alone before the catalog
	// is there.
	services atomic.Pointer[[]service]
}

type service struct {
	name string // as in the catalog: network
	at   string // https://host/path, without a slash at the end
}

// largest is how much of a refusal is read: what it says comes first.
const largest = 64 << 10

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	response, err := t.base.RoundTrip(r)
	code := "none"
	if err == nil {
		code = strconv.Itoa(response.StatusCode)
	}
	name, path := t.service(r.URL)
	what := resource(path)
	took := time.Since(begin)
	t.metrics.observe(name, r.Method, what, code, took)
	t.log.DebugContext(r.Context(), "cloud call", "service", name, "method", r.Method, "resource", what, "code", code, "took", took)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		t.refused(r, response)
	}
	return response, nil
}

// service finds whose address it is, and what is behind it.
func (t *transport) service(u *url.URL) (name, path string) {
	at := u.Scheme + "://" + u.Host + u.EscapedPath()
	best := service{name: "other"}
	for _, s := range *t.services.Load() {
		if (at == s.at || strings.HasPrefix(at, s.at+"/")) && len(s.at) > len(best.at) {
			best = s
		}
	}
	if best.at == "" {
		return best.name, u.EscapedPath()
	}
	return best.name, strings.TrimPrefix(at, best.at)
}

// refused keeps of a refusal what Classify reads: the words, without the secrets that
// are known here, and the headers that matter. Nothing else gets to gophercloud's
// error, which shows all it has.
func (t *transport) refused(r *http.Request, response *http.Response) {
	body, _ := io.ReadAll(io.LimitReader(response.Body, largest)) // what was lost is said by the status
	response.Body.Close()
	secrets := append(slices.Clone(t.secrets), r.Header.Get("X-Auth-Token"), r.Header.Get("X-Subject-Token"), response.Header.Get("X-Subject-Token"))
	kind, words := told(body)
	body, _ = json.Marshal(fault{kind, clean(scrub(words, secrets))}) // of two texts: no error
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	kept := http.Header{}
	if v := response.Header.Get("Retry-After"); len(v) < 40 {
		kept.Set("Retry-After", v)
	}
	if v := requestID(response.Header); v != "" {
		kept.Set("X-Openstack-Request-Id", v)
	}
	response.Header = kept
}
