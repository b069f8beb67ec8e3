package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

func answer(method string, status int, body string, header ...string) error {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return gophercloud.ErrUnexpectedResponseCode{Method: method, URL: "https://h/v2/x", Actual: status, Body: []byte(body), ResponseHeader: h}
}

func octavia(text string) string {
	return fmt.Sprintf(`{"faultcode": "Client", "faultstring": %q, "debuginfo": null}`, text)
}

func neutron(kind, text string) string {
	return fmt.Sprintf(`{"NeutronError": {"type": %q, "message": %q, "detail": ""}}`, kind, text)
}

func TestAnswersAreClassified(t *testing.T) {
	const immutable = "Load Balancer 0a1b is immutable and cannot be updated."
	for _, tc := range []struct {
		name string
		err  error
		want Failure
	}{
		{"Octavia is at work", answer("PUT", 409, octavia(immutable)), Failure{Kind: Conflict, Status: 409, Type: "Client", Message: immutable + " (HTTP 409)"}},
		{"Octavia's quota", answer("POST", 403, octavia("Quota has been met for resources: Load Balancer")), Failure{Kind: Quota, Status: 403, Type: "Client", Message: "Quota has been met for resources: Load Balancer (HTTP 403)"}},
		{"Octavia's policy", answer("POST", 403, octavia("Policy does not allow this request to be performed.")), Failure{Kind: Denied, Status: 403, Type: "Client", Message: "Policy does not allow this request to be performed. (HTTP 403)"}},
		{"a provider that cannot", answer("POST", 501, octavia("Provider 'ovn' does not support a requested option")), Failure{Kind: Invalid, Status: 501, Type: "Client", Message: "Provider 'ovn' does not support a requested option (HTTP 501)"}},
		{"a bad request", answer("POST", 400, octavia("Invalid input for field/attribute vip_subnet_id.")), Failure{Kind: Invalid, Status: 400, Type: "Client", Message: "Invalid input for field/attribute vip_subnet_id. (HTTP 400)"}},
		{"Neutron's quota", answer("POST", 409, neutron("OverQuota", "Quota exceeded for resources: ['floatingip'].")), Failure{Kind: Quota, Status: 409, Type: "OverQuota", Message: "Quota exceeded for resources: ['floatingip']. (HTTP 409)"}},
		{"a subnet without a free address", answer("POST", 409, neutron("IpAddressGenerationFailure", "No more IP addresses available on network n.")), Failure{Kind: Quota, Status: 409, Type: "IpAddressGenerationFailure", Message: "No more IP addresses available on network n. (HTTP 409)"}},
		{"a port in use", answer("DELETE", 409, neutron("PortInUse", "in use")), Failure{Kind: Conflict, Status: 409, Type: "PortInUse", Message: "in use (HTTP 409)"}},
		{"somebody changed it first", answer("PUT", 412, neutron("RevisionNumberConstraintFailed", "expected 5")), Failure{Kind: Conflict, Status: 412, Type: "RevisionNumberConstraintFailed", Message: "expected 5 (HTTP 412)"}},
		{"Neutron's error as text", answer("GET", 404, `{"NeutronError": "gone"}`), Failure{Kind: NotFound, Status: 404, Message: "gone (HTTP 404)"}},
		{"Keystone", answer("POST", 401, `{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}`), Failure{Kind: Denied, Status: 401, Message: "The request you have made requires authentication. (HTTP 401)"}},
		{"a limit with seconds", answer("POST", 429, "slow down", "Retry-After", "7"), Failure{Kind: Limited, Status: 429, RetryAfter: 7 * time.Second, Message: "slow down (HTTP 429)"}},
		{"a limit of a proxy", answer("POST", 413, "{}", "Retry-After", "3"), Failure{Kind: Limited, Status: 413, RetryAfter: 3 * time.Second, Message: "HTTP 413 Request Entity Too Large"}},
		{"a request too large", answer("POST", 413, ""), Failure{Kind: Invalid, Status: 413, Message: "HTTP 413 Request Entity Too Large"}},
		{"a proxy's page", answer("POST", 503, "<html><head><title>503</title><style>b{}</style></head><body><h1>503 Service Unavailable</h1>\nNo server is available.\n</body></html>"), Failure{Kind: Broken, Status: 503, Uncertain: true, Message: "503 Service Unavailable No server is available. (HTTP 503)"}},
		{"a gateway's timeout", answer("POST", 504, ""), Failure{Kind: Broken, Status: 504, Uncertain: true, Message: "HTTP 504 Gateway Timeout"}},
		{"a server's error while reading", answer("GET", 500, `{"faultcode": "Server", "faultstring": "boom"}`), Failure{Kind: Broken, Status: 500, Type: "Server", Message: "boom (HTTP 500)"}},
		{"an odd success", answer("POST", 200, ""), Failure{Kind: Broken, Status: 200, Uncertain: true, Message: "HTTP 200 OK"}},
		{"the request's id is told apart", answer("GET", 404, neutron("PortNotFound", "no"), "X-Openstack-Request-Id", "req-3b0f8c1a-9d9f-4b7c-9f5f-1d2e3c4b5a69"), Failure{Kind: NotFound, Status: 404, Type: "PortNotFound", RequestID: "req-3b0f8c1a-9d9f-4b7c-9f5f-1d2e3c4b5a69", Message: "no (HTTP 404)"}},
		{"after signing in again", fmt.Errorf("create: %w", &gophercloud.ErrErrorAfterReauthentication{ErrOriginal: answer("POST", 409, octavia("busy"))}), Failure{Kind: Conflict, Status: 409, Type: "Client", Message: "busy (HTTP 409)"}},
		{"signing in again without an answer", &gophercloud.ErrUnableToReauthenticate{ErrOriginal: answer("POST", 401, ""), ErrReauth: &url.Error{Op: "Post", URL: "https://k/v3", Err: context.DeadlineExceeded}}, Failure{Kind: Unreachable, Message: "signing in again: no answer from k in time"}},
		{"a Failure stays what it is", fmt.Errorf("open: %w", Failure{Kind: Quota, Message: "m"}), Failure{Kind: Quota, Message: "m"}},
		{"nothing", nil, Failure{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Classify(tc.err), cmpopts.IgnoreUnexported(Failure{})); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoAnswersAreClassified(t *testing.T) {
	call := func(op string, err error) error {
		return &url.Error{Op: op, URL: "https://octavia:9876/v2/x", Err: err}
	}
	for _, tc := range []struct {
		name string
		err  error
		want Failure
	}{
		{"the deadline after sending", call("Post", context.DeadlineExceeded), Failure{Kind: Unreachable, Uncertain: true, Message: "no answer from octavia:9876 in time"}},
		{"the deadline of a read", call("Get", context.DeadlineExceeded), Failure{Kind: Unreachable, Message: "no answer from octavia:9876 in time"}},
		{"a reset connection", call("Put", &net.OpError{Op: "read", Err: syscall.ECONNRESET}), Failure{Kind: Unreachable, Uncertain: true, Message: "no answer from octavia:9876: connection reset by peer"}},
		{"a connection that was closed", call("Delete", io.EOF), Failure{Kind: Unreachable, Uncertain: true, Message: "no answer from octavia:9876: the connection was closed"}},
		{"nobody listens: nothing was sent", call("Post", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), Failure{Kind: Unreachable, Message: "no answer from octavia:9876: connection refused"}},
		{"nobody knows the name", call("Post", &net.OpError{Op: "dial", Err: &net.DNSError{Name: "octavia", IsNotFound: true}}), Failure{Kind: Unreachable, Message: "no answer from octavia:9876: the name octavia is not known"}},
		{"a certificate of somebody else", call("Post", x509.UnknownAuthorityError{}), Failure{Kind: Unreachable, Message: "no answer from octavia:9876: its certificate is not trusted: x509: certificate signed by unknown authority"}},
		{"half an answer", io.ErrUnexpectedEOF, Failure{Kind: Broken, Uncertain: true, Message: "the answer cannot be read"}},
		{"given up", call("Post", context.Canceled), Failure{Kind: Unreachable, Uncertain: true, Message: "no answer from octavia:9876: the call was given up"}},
		{"anything else", errors.New("odd"), Failure{Kind: Broken, Uncertain: true, Message: "odd"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Classify(tc.err)
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(Failure{})); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
			for _, sentinel := range []error{context.Canceled, context.DeadlineExceeded} {
				if errors.Is(tc.err, sentinel) != errors.Is(got, sentinel) {
					t.Errorf("errors.Is(%v) is %v", sentinel, errors.Is(got, sentinel))
				}
			}
		})
	}
}

func TestRetryAfterCanBeADate(t *testing.T) {
	at := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	f := Classify(answer("GET", 503, "", "Retry-After", at))
	if f.RetryAfter < 80*time.Second || f.RetryAfter > 90*time.Second {
		t.Errorf("RetryAfter is %s", f.RetryAfter)
	}
	for _, odd := range []string{"soon", "-1", "Mon, 01 Jan 2001 00:00:00 GMT", "99999999999999999999"} {
		if f := Classify(answer("GET", 503, "", "Retry-After", odd)); f.RetryAfter != 0 {
			t.Errorf("%s is %s", odd, f.RetryAfter)
		}
	}
}

// Faults of the fake on real calls.
func TestFaultsOnTheWay(t *testing.T) {
	cloud := fake.New(fake.Options{})
	c := open(t, cloud, secretOf("cloud.conf", cloud.CloudConf()))
	for _, tc := range []struct {
		fault     fake.Fault
		kind      Kind
		uncertain bool
	}{
		{fake.Reply(500), Broken, true}, {fake.Reply(503), Broken, true}, {fake.Reply(409), Conflict, false}, {fake.Reply(404), NotFound, false},
		{fake.Reply(400), Invalid, false}, {fake.Reply(403), Denied, false}, {fake.TooMany(9 * time.Second), Limited, false},
		{fake.Fault{Lost: fake.LostBefore}, Unreachable, true}, {fake.Fault{Lost: fake.LostAfter}, Unreachable, true}, {fake.Fault{Malformed: true}, Broken, true},
	} {
		cloud.ResetCalls()
		cloud.Intercept(func(fake.Call) fake.Fault { return tc.fault })
		_, err := loadbalancers.Create(t.Context(), c.LoadBalancer, loadbalancers.CreateOpts{Name: "x", VipSubnetID: cloud.IDs().SubnetV4}).Extract()
		f := Classify(err)
		if f.Kind != tc.kind || f.Uncertain != tc.uncertain || f.Message == "" {
			t.Errorf("%+v: %+v (%v)", tc.fault, f, err)
		}
		if n := len(cloud.Calls()); n != 1 {
			t.Errorf("%+v: %d calls, want one and no second try", tc.fault, n)
		}
		if tc.kind == Limited && f.RetryAfter != 9*time.Second {
			t.Errorf("RetryAfter is %s", f.RetryAfter)
		}
	}
}

// With connections rather than the fake's transport.
func TestConnections(t *testing.T) {
	cloud := fake.New(fake.Options{})
	cloud.Listen()
	t.Cleanup(cloud.Close)
	c, err := Open(t.Context(), secretOf("cloud.conf", cloud.CloudConf()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cloud.Intercept(func(fake.Call) fake.Fault { return fake.Fault{Lost: fake.LostAfter} })
	_, err = loadbalancers.Create(t.Context(), c.LoadBalancer, loadbalancers.CreateOpts{Name: "x", VipSubnetID: cloud.IDs().SubnetV4}).Extract()
	if f := Classify(err); f.Kind != Unreachable || !f.Uncertain {
		t.Errorf("a lost connection is %+v (%v)", f, err)
	}
	cloud.Close()
	_, err = loadbalancers.Create(t.Context(), c.LoadBalancer, loadbalancers.CreateOpts{Name: "x", VipSubnetID: cloud.IDs().SubnetV4}).Extract()
	if f := Classify(err); f.Kind != Unreachable || f.Uncertain || !strings.HasSuffix(f.Message, ": connection refused") {
		t.Errorf("a cloud that is gone is %+v (%v)", f, err)
	}
}

func TestCertificates(t *testing.T) {
	cloud := fake.New(fake.Options{})
	server := httptest.NewUnstartedServer(cloud)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of every certificate that is not trusted
	server.StartTLS()
	t.Cleanup(server.Close)
	k := cloud.Credentials()
	lines := []string{"auth-url=" + server.URL + "/identity/v3", "username=demo", "password=" + k.Password, "tenant-name=demo", "domain-name=Default"}
	ca := pemOf(server.Certificate().Raw)
	for _, tc := range []struct {
		name string
		from Source
		good bool
	}{
		{"the system's do not know it", secretOf("cloud.conf", global(lines...)), false},
		{"its CA from the Secret", secretOf("cloud.conf", global(append(lines, "ca-file=/etc/kubernetes/ca.pem")...), "ca.pem", ca), true},
		{"its CA from the disk", func() Source {
			s := secretOf("cloud.conf", global(append(lines, "ca-file=/etc/kubernetes/ca.pem")...))
			s.ReadFile = func(string) ([]byte, error) { return []byte(ca), nil }
			return s
		}(), true},
		{"its CA as Cluster API has it", secretOf("cloud.conf", global(lines...), "cacert", ca), true},
		{"without looking", secretOf("cloud.conf", global(append(lines, "tls-insecure=true")...)), true},
		{"a word that OCCM does not know", secretOf("cloud.conf", global(append(lines, "tls-insecure=yes")...)), false},
		{"clouds.yaml without looking", secretOf("clouds.yaml", fmt.Sprintf("clouds: {a: {verify: false, auth: {auth_url: %q, username: demo, password: %s, project_name: demo, user_domain_name: Default, project_domain_name: Default}}}", server.URL+"/identity", k.Password)), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Open(t.Context(), tc.from, Options{})
			if c != nil {
				c.Close()
			}
			f := Classify(err)
			if (err == nil) != tc.good || !tc.good && (f.Kind != Unreachable || !strings.Contains(f.Message, "its certificate is not trusted")) {
				t.Errorf("error %v", err)
			}
		})
	}
}
