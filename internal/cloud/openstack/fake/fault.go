package fake

import (
	"net/http"
	"strconv"
	"time"
)

// Call is one request, as the journal keeps it and an interceptor sees it.
type Call struct {
	Number   int           // counts from one
	Method   string        // GET
	Path     string        // a template: /v2/lbaas/loadbalancers/{id}
	Target   string        // what was asked for: path and query
	Body     string        // of the request
	Mutating bool          // it changes something in Neutron or Octavia when it succeeds
	Status   int           // the answer; 0 in an interceptor, and in the journal when the client got none
	At       time.Time     // when it arrived
	Took     time.Duration // until it was answered
}

// Route is the name of the call: "POST /v2/lbaas/loadbalancers".
func (c Call) Route() string { return c.Method + " " + c.Path }

// Fault is what goes wrong with a call. The zero value is nothing.
type Fault struct {
	// Before runs before the call takes effect, After when it has and before the client
	// knows: a controller that is killed there must find its way.
	Before, After func()
	// Delay is how long the answer takes; a client that gives up earlier gets no answer,
	// and the call takes effect nevertheless.
	Delay time.Duration
	// Status is answered in place of what the service would say; nothing takes effect.
	Status int
	// Body goes with Status. Empty means an error in the format of the service.
	Body string
	// RetryAfter goes with Status.
	RetryAfter time.Duration
	// Lost loses the connection.
	Lost Loss
	// Malformed cuts the answer in half; the call takes effect.
	Malformed bool
}

// Loss is where a connection breaks.
type Loss int

// The places: a client cannot tell them apart, and has to cope with both.
const (
	NotLost Loss = iota
	LostBefore
	LostAfter
)

// Reply is a fault that answers with a status code and nothing happening.
func Reply(status int) Fault { return Fault{Status: status} }

// TooMany is the answer of a rate limiter.
func TooMany(retryAfter time.Duration) Fault {
	return Fault{Status: http.StatusTooManyRequests, RetryAfter: retryAfter, Body: "This request was rate-limited."}
}

// Intercept lets f decide about every call from now on; nil ends it. f runs on the
// goroutines of the clients, with no lock held: it may use the Cloud.
func (c *Cloud) Intercept(f func(Call) Fault) {
	c.gate.Lock()
	defer c.gate.Unlock()
	c.intercept = f
}

// Calls are the calls that were answered since the last ResetCalls, in that order.
func (c *Cloud) Calls() []Call {
	c.gate.Lock()
	defer c.gate.Unlock()
	return append([]Call(nil), c.calls...)
}

// Mutations are the calls that could change something: all but reading and Keystone.
func (c *Cloud) Mutations() []Call {
	var m []Call
	for _, call := range c.Calls() {
		if call.Mutating {
			m = append(m, call)
		}
	}
	return m
}

// CountCalls counts the answered calls by route.
func (c *Cloud) CountCalls() map[string]int {
	n := map[string]int{}
	for _, call := range c.Calls() {
		n[call.Route()]++
	}
	return n
}

// ResetCalls empties the journal. Numbers go on.
func (c *Cloud) ResetCalls() {
	c.gate.Lock()
	defer c.gate.Unlock()
	c.calls = nil
}

func (f Fault) header(h http.Header) {
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
}
