package openstack

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tally stands in front of the services and writes down every call. Who is to be
// counted gets the catalog's region with its Endpoints (AddRegion).
type Tally struct {
	endpoints Endpoints
	addrs     []netip.AddrPort
	servers   []*http.Server
	serving   sync.WaitGroup

	mu    sync.Mutex
	calls []Call
}

// Call is one that a client made.
type Call struct {
	Service string // identity, network, load-balancer
	Method  string
	URL     url.URL // path and query
	Status  int
	Began   time.Time
	Took    time.Duration
}

// Login tells whether the call got a token, which is of no object.
func (c Call) Login() bool { return c.Service == "identity" }

// Write tells whether the call changes something.
func (c Call) Write() bool {
	return !c.Login() && c.Method != http.MethodGet && c.Method != http.MethodHead
}

// Poll tells whether the call lists load balancers by tag: what is repeated however
// many there are.
func (c Call) Poll() bool {
	return !c.Write() && strings.HasSuffix(c.URL.Path, "/lbaas/loadbalancers") && c.URL.Query().Has("tags")
}

// String is the call in a line.
func (c Call) String() string { return c.Method + " " + c.URL.RequestURI() }

// NewTally starts it on ports of the loopback that are free.
func NewTally() (*Tally, error) {
	t := new(Tally)
	here := Direct()
	for _, s := range []struct {
		service, url string
		at           *string
	}{
		{"identity", here.Identity, &t.endpoints.Identity},
		{"network", here.Network, &t.endpoints.Network},
		{"load-balancer", here.LoadBalancer, &t.endpoints.LoadBalancer},
	} {
		addr, err := t.serve(s.service, s.url)
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		*s.at = "http://" + addr.String()
		t.addrs = append(t.addrs, addr)
	}
	return t, nil
}

func (t *Tally) serve(service, to string) (netip.AddrPort, error) {
	target, err := url.Parse(to)
	if err != nil {
		return netip.AddrPort{}, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 32},
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := Call{Service: service, Method: r.Method, URL: *r.URL, Began: time.Now()}
		seen := &statusWriter{ResponseWriter: w}
		defer func() { // also when the client hangs up, which ReverseProxy answers with a panic
			call.Status, call.Took = seen.status, time.Since(call.Began)
			t.mu.Lock()
			t.calls = append(t.calls, call)
			t.mu.Unlock()
		}()
		proxy.ServeHTTP(seen, r)
	})}
	t.servers = append(t.servers, server)
	t.serving.Go(func() { _ = server.Serve(listener) })
	return netip.ParseAddrPort(listener.Addr().String())
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *statusWriter) WriteHeader(code int) {
	w.status = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Endpoints are those of the tally.
func (t *Tally) Endpoints() Endpoints { return t.endpoints }

// Addresses are where it listens.
func (t *Tally) Addresses() []netip.AddrPort { return slices.Clone(t.addrs) }

// Take returns the calls that were finished since the last Take, by when they began.
func (t *Tally) Take() []Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := t.calls
	t.calls = nil
	slices.SortStableFunc(calls, func(x, y Call) int { return x.Began.Compare(y.Began) })
	return calls
}

// Close ends it.
func (t *Tally) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var errs []error
	for _, s := range t.servers {
		errs = append(errs, s.Shutdown(ctx))
	}
	t.serving.Wait()
	return errors.Join(errs...)
}
