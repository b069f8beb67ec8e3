package fake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"
)

// request is a call on its way through a service. Its handler runs under Cloud.mu.
type request struct {
	*http.Request
	body  []byte
	query url.Values
	token *token
	now   time.Time
	path  string // template
}

// reply is the answer of a handler; a nil body has no content.
type reply struct {
	status int
	body   any
	header http.Header
}

// refusal is an answer that is an error, told in the words of the service.
type refusal struct {
	status int
	kind   string // Neutron's type
	text   string
}

func (r *refusal) Error() string { return r.text }

type handler func(*request) (reply, error)

// Prefixes of the services, as DevStack lays them out.
const (
	identityPrefix     = "/identity"
	networkingPrefix   = "/networking"
	loadBalancerPrefix = "/load-balancer"
)

func (c *Cloud) routes() *http.ServeMux {
	mux := http.NewServeMux()
	add := func(prefix string, routes map[string]handler, wrap func(handler) handler) {
		for route, h := range routes {
			method, path, _ := strings.Cut(route, " ")
			mux.Handle(method+" "+prefix+path, c.serve(path, wrap(h)))
			// Octavia serves the same below four roots; gophercloud uses the second, and
			// for quotas the last.
			if rest, ok := strings.CutPrefix(path, "/v2/lbaas"); ok {
				for _, root := range []string{"/v2.0/lbaas", "/v2", "/v2.0"} {
					mux.Handle(method+" "+prefix+root+rest, c.serve(path, wrap(h)))
				}
			}
		}
	}
	open := func(h handler) handler { return h }
	add(identityPrefix, c.keystoneRoutes(), open)
	add(networkingPrefix, c.neutronRoutes(), c.needToken)
	add(loadBalancerPrefix, c.octaviaRoutes(), c.needRole)
	add(loadBalancerPrefix, map[string]handler{"GET /{$}": c.octaviaVersions}, open)
	add(networkingPrefix, map[string]handler{"GET /{$}": c.neutronVersions}, open)
	mux.Handle("/", c.serve("/?", func(r *request) (reply, error) {
		return reply{}, &refusal{http.StatusNotFound, "HTTPNotFound", "The resource could not be found: " + r.Method + " " + r.URL.Path}
	}))
	return mux
}

// ServeHTTP answers as the services do.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

// serve wraps a handler: journal, faults, time, and JSON.
func (c *Cloud) serve(path string, h handler) http.Handler {
	path = strings.TrimSuffix(path, "{$}")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		call, fault := c.arrived(r, path, body)
		defer func() { c.answered(call) }()
		if fault.Before != nil {
			fault.Before()
		}
		if fault.Lost == LostBefore {
			pause(r.Context(), fault.Delay)
			panic(http.ErrAbortHandler)
		}
		if fault.Status != 0 {
			if pause(r.Context(), fault.Delay) {
				call.Status = fault.Status
			}
			fault.header(w.Header())
			writeJSON(w, fault.Status, fault.errorBody(r.URL.Path))
			return
		}
		answer, err := c.handle(h, r, path, body)
		if fault.After != nil {
			fault.After()
		}
		if !pause(r.Context(), fault.Delay) || fault.Lost == LostAfter {
			panic(http.ErrAbortHandler)
		}
		var refused *refusal
		if errors.As(err, &refused) {
			answer.status, answer.body = refused.status, errorBody(r.URL.Path, refused)
		}
		call.Status = answer.status
		for name, values := range answer.header {
			w.Header()[name] = values
		}
		if fault.Malformed {
			writeJSON(w, answer.status, json.RawMessage(`{"half": `))
			return
		}
		writeJSON(w, answer.status, answer.body)
	})
}

// arrived notes a call and asks the interceptor, outside of Cloud.mu so that it may
// look at the cloud.
func (c *Cloud) arrived(r *http.Request, path string, body []byte) (*Call, Fault) {
	c.gate.Lock()
	c.number++
	call := &Call{
		Number: c.number, Method: r.Method, Path: path, Target: r.URL.RequestURI(), Body: string(body), At: time.Now(),
		Mutating: r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasPrefix(r.URL.Path, identityPrefix),
	}
	intercept := c.intercept
	c.gate.Unlock()
	if intercept == nil {
		return call, Fault{}
	}
	return call, intercept(*call)
}

func (c *Cloud) answered(call *Call) {
	c.gate.Lock()
	defer c.gate.Unlock()
	call.Took = time.Since(call.At)
	c.calls = append(c.calls, *call)
}

func (c *Cloud) handle(h handler, r *http.Request, path string, body []byte) (reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.settle(now)
	answer, err := h(&request{Request: r, body: body, query: r.URL.Query(), now: now, path: path})
	if err == nil && answer.status == 0 {
		answer.status = http.StatusOK
	}
	return answer, err
}

// pause waits, and tells whether the client is still there.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if text, ok := body.(json.RawMessage); ok {
		_, _ = w.Write(text) // the client may have gone
		return
	}
	_ = json.NewEncoder(w).Encode(body) // the same
}

func (f Fault) errorBody(path string) any {
	if f.Body != "" {
		return json.RawMessage(f.Body)
	}
	return errorBody(path, &refusal{f.Status, "HTTPInternalServerError", http.StatusText(f.Status)})
}

// errorBody tells an error in the format of the service that the path belongs to.
func errorBody(path string, r *refusal) any {
	switch {
	case strings.HasPrefix(path, networkingPrefix) && r.status != http.StatusUnauthorized:
		return map[string]any{"NeutronError": map[string]any{"type": r.kind, "message": r.text, "detail": ""}}
	case strings.HasPrefix(path, loadBalancerPrefix) && r.status != http.StatusUnauthorized:
		fault := "Client"
		if r.status >= http.StatusInternalServerError {
			fault = "Server"
		}
		return map[string]any{"faultcode": fault, "faultstring": r.text, "debuginfo": nil}
	default:
		return map[string]any{"error": map[string]any{"code": r.status, "title": http.StatusText(r.status), "message": r.text}}
	}
}

// Transport reaches the cloud without a socket, so that a test in a testing/synctest
// bubble can: requests run on the goroutine of the caller.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ cloud *Cloud }

// lostError is what a client sees of a broken connection: net/http knows it as a
// timeout.
type lostError struct{ route string }

func (e lostError) Error() string { return e.route + ": connection lost, no answer" }
func (lostError) Timeout() bool   { return true }
func (lostError) Temporary() bool { return true }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (response *http.Response, err error) {
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := r.Clone(ctx)
	if in.Body == nil {
		in.Body = http.NoBody
	} else {
		defer r.Body.Close()
	}
	in.RequestURI = r.URL.RequestURI()
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if cause, ok := p.(error); !ok || !errors.Is(cause, http.ErrAbortHandler) {
			panic(p)
		}
		switch {
		case ctx.Err() != nil:
			response, err = nil, context.Cause(ctx)
		default:
			response, err = nil, lostError{fmt.Sprintf("%s %s", r.Method, r.URL.Path)}
		}
	}()
	recorder := httptest.NewRecorder()
	recorder.Body = new(bytes.Buffer)
	t.cloud.ServeHTTP(recorder, in)
	response = recorder.Result()
	response.Request = r
	return response, nil
}
