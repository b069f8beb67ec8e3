package conformance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
)

// Target is a cloud to test. The suite makes objects in the project of Auth, with names
// of its own, and takes all of them away again.
type Target struct {
	// Auth is a user with the roles member and load-balancer_member.
	Auth gophercloud.AuthOptions
	// Region of the catalog.
	Region string
	// Transport of all requests; nil is the network's.
	Transport http.RoundTripper

	// Network with an IPv4 and an IPv6 subnet, and External with a pool of floating IPs
	// that is reachable from there.
	Network, SubnetV4, SubnetV6, External string
	// FreeV4 is an address of SubnetV4 outside of the allocation pool or free for sure,
	// to be asked for by name.
	FreeV4 string

	// The rest is optional, and what needs it is skipped.

	// ApplicationCredential is of the same project as Auth.
	ApplicationCredential *gophercloud.AuthOptions
	// Other is a user of another project, NoRoles one of the same project without a role
	// of Octavia's, Admin the administrator.
	Other, NoRoles, Admin *gophercloud.AuthOptions
	// OVN says that the provider ovn is there.
	OVN bool
	// Inject writes statuses of a load balancer, as a driver's report does; empty leaves
	// one as it is.
	Inject func(ctx context.Context, id, provisioning, operating string) error
	// Poll is how often to look for a state that is waited for, and Patience for how
	// long. They have defaults.
	Poll, Patience time.Duration
}

// Run asserts everything on the target.
func Run(t *testing.T, target Target) {
	s := &suite{Target: target, mark: "conf-" + strings.ToLower(rand.Text()[:10])}
	if s.Poll == 0 {
		s.Poll = 200 * time.Millisecond
	}
	if s.Patience == 0 {
		s.Patience = 2 * time.Minute
	}
	s.client = s.enter(t, target.Auth)
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Keystone", s.keystone},
		{"Networks", s.networks},
		{"Ports", s.ports},
		{"FloatingIPs", s.floatingIPs},
		{"SecurityGroups", s.securityGroups},
		{"NeutronLists", s.neutronLists},
		{"NeutronQuotas", s.neutronQuotas},
		{"OctaviaDiscovery", s.discovery},
		{"StepByStep", s.stepByStep},
		{"FullyPopulated", s.fullyPopulated},
		{"Refusals", s.refusals},
		{"Placement", s.placement},
		{"DualStack", s.dualStack},
		{"OVN", s.ovn},
		{"Strangers", s.strangers},
		{"OctaviaQuotas", s.octaviaQuotas},
		{"Injection", s.injection},
	} {
		t.Run(part.name, part.run)
	}
}

// client is one user's way in.
type client struct {
	provider    *gophercloud.ProviderClient
	network, lb *gophercloud.ServiceClient
	project     string
}

type suite struct {
	Target
	client
	mark    string // in all names, so that two suites can share a project
	forgets bool   // the children of fully populated load balancers stay PENDING_CREATE
}

// connect opens a token and finds the services.
func (s *suite) connect(ctx context.Context, auth gophercloud.AuthOptions) (client, error) {
	auth.AllowReauth = true
	p, err := openstack.NewClient(auth.IdentityEndpoint)
	if err != nil {
		return client{}, err
	}
	p.HTTPClient.Transport = s.Transport
	if err := openstack.Authenticate(ctx, p, auth); err != nil {
		return client{}, err
	}
	c := client{provider: p}
	region := gophercloud.EndpointOpts{Region: s.Region}
	if c.network, err = openstack.NewNetworkV2(p, region); err != nil {
		return client{}, err
	}
	if c.lb, err = openstack.NewLoadBalancerV2(p, region); err != nil {
		return client{}, err
	}
	c.project, err = projectOf(p)
	return c, err
}

func (s *suite) enter(t *testing.T, auth gophercloud.AuthOptions) client {
	t.Helper()
	c, err := s.connect(t.Context(), auth)
	if err != nil {
		t.Fatalf("enter as %s%s: %v", auth.Username, auth.ApplicationCredentialID, err)
	}
	return c
}

func (s *suite) name(what string) string { return s.mark + "-" + what }

// refused asserts that a request was answered with a status code, and that the answer
// says so in these words.
func refused(t *testing.T, what string, err error, status int, words ...string) {
	t.Helper()
	var answer gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &answer) {
		t.Errorf("%s: %v, want status %d", what, err, status)
		return
	}
	if answer.Actual != status {
		t.Errorf("%s: status %d, want %d: %s", what, answer.Actual, status, answer.Body)
		return
	}
	for _, word := range words {
		if !strings.Contains(string(answer.Body), word) {
			t.Errorf("%s: %d without %q: %s", what, status, word, answer.Body)
		}
	}
}

// must ends the test when something that is only a step does not succeed.
func must[T any](value T, err error) func(t *testing.T, what string) T {
	return func(t *testing.T, what string) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return value
	}
}

// succeeded ends the test when there is an error.
func succeeded(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// raw makes a request that the library has no function for, and takes any answer.
func raw(t *testing.T, c *gophercloud.ServiceClient, method, url string, body any) (status int, answer map[string]any) {
	t.Helper()
	opts := &gophercloud.RequestOpts{OkCodes: []int{200, 201, 202, 204}, KeepResponseBody: true}
	if body != nil {
		opts.JSONBody = body
	}
	response, err := c.Request(t.Context(), method, url, opts)
	var refusal gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &refusal) {
		return refusal.Actual, map[string]any{"refused": string(refusal.Body)}
	}
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s %s answers %q: %v", method, url, text, err)
		}
	}
	return response.StatusCode, answer
}

// wait looks until f is content.
func (s *suite) wait(t *testing.T, what string, f func() (done bool, state string)) {
	t.Helper()
	deadline := time.Now().Add(s.Patience)
	ticker := time.NewTicker(s.Poll)
	defer ticker.Stop()
	for {
		done, state := f()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %s after %v", what, state, s.Patience)
		}
		<-ticker.C
	}
}

// cleanup runs f after the test, with a context that is still good then.
func cleanup(t *testing.T, f func(context.Context)) {
	t.Cleanup(func() { f(context.WithoutCancel(t.Context())) })
}
