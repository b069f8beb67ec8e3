package access

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	tokens3 "github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/version"
)

// Options are what a process gives to all its clouds.
type Options struct {
	// Metrics is where calls are counted; nil counts them nowhere.
	Metrics prometheus.Registerer
	// Log takes a line for each call at level Debug; nil is silent.
	Log *slog.Logger
	// Transport takes the place of connections, in tests.
	Transport http.RoundTripper
}

// Cloud is an open door to one project of one OpenStack. Its methods, and the clients,
// may be used by many at once.
type Cloud struct {
	Config   *occm.Config
	Warnings []occm.Warning
	// Network is Neutron, LoadBalancer is Octavia.
	Network, LoadBalancer *gophercloud.ServiceClient
	// ProjectID is the project that everything is made in.
	ProjectID string

	at         string // Keystone's host
	base       http.RoundTripper
	version    remembered[Version]
	extensions remembered[map[string]bool]
}

// Open reads the configuration and signs in. An error is ErrNoConfiguration, a
// *ConfigError, or a Failure.
func Open(ctx context.Context, from Source, o Options) (*Cloud, error) {
	config, warnings, err := Read(from)
	if err != nil {
		return nil, err
	}
	credentials := &config.Credentials
	login, err := signIn(credentials)
	if err != nil {
		return nil, err
	}
	connections, err := secure(from, credentials)
	if err != nil {
		return nil, err
	}
	c := &Cloud{Config: config, Warnings: warnings, version: remember[Version](), extensions: remember[map[string]bool](), base: connections}
	if o.Transport != nil {
		c.base = o.Transport
	}
	calls := &transport{base: c.base, log: o.Log, secrets: credentials.Secrets()}
	if calls.log == nil {
		calls.log = slog.New(slog.DiscardHandler)
	}
	if calls.metrics, err = register(o.Metrics); err != nil {
		return nil, err
	}
	keystone, _ := url.Parse(login.IdentityEndpoint) // checked by signIn
	c.at = keystone.Host

	provider, err := openstack.NewClient(login.IdentityEndpoint) // with its token lock
	if err != nil {
		return nil, wrong("auth-url is no address: write Keystone's, such as https://keystone.example.org:5000/v3")
	}
	calls.services.Store(&[]service{{"identity", strings.TrimRight(provider.IdentityBase, "/")}})
	provider.HTTPClient = http.Client{Transport: calls, Timeout: config.RequestTimeout}
	provider.UserAgent.Prepend("fairlead/" + version.Version)
	if err := c.enter(ctx, provider, &login, calls); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// enter signs in, and finds the services in the catalog that comes with the token.
func (c *Cloud) enter(ctx context.Context, provider *gophercloud.ProviderClient, login *gophercloud.AuthOptions, calls *transport) error {
	if err := openstack.AuthenticateV3(ctx, provider, login, gophercloud.EndpointOpts{}); err != nil {
		f := Classify(err)
		f.Message = "signing in at " + c.at + ": " + f.Message
		f.Uncertain = false // a token too many harms nobody
		return f
	}
	var token interface {
		ExtractServiceCatalog() (*tokens3.ServiceCatalog, error)
		ExtractProject() (*tokens3.Project, error)
	}
	switch result := provider.GetAuthResult().(type) {
	case tokens3.CreateResult:
		token = result
	case tokens3.GetResult:
		token = result
	default:
		return wrong("Keystone at %s gave no token of version 3", c.at)
	}
	project, err := token.ExtractProject()
	if err != nil || project == nil || project.ID == "" {
		return wrong("the credentials belong to no project: write tenant-id or tenant-name into [Global], or project_id or project_name into clouds.yaml")
	}
	c.ProjectID = project.ID
	catalog, err := token.ExtractServiceCatalog()
	if err != nil {
		f := Classify(err)
		f.Message = "signing in at " + c.at + ": the catalog cannot be read"
		return f
	}
	network, err := c.endpoint(catalog, "network")
	if err != nil {
		return err
	}
	balancer, err := c.endpoint(catalog, "load-balancer")
	if err != nil {
		return err
	}
	keystone := *calls.services.Load()
	calls.services.Store(&[]service{keystone[0], {"network", network}, {"load-balancer", balancer}})
	c.Network = client(provider, "network", network)
	c.LoadBalancer = client(provider, "load-balancer", balancer)
	return nil
}

var trailingVersion = regexp.MustCompile(`/v\d+(\.\d+)?$`)

// endpoint is the address of a service, without a version or a slash at its end: some
// catalogs have the one, some the other. gophercloud's own search asks every service
// for its versions, without our context.
func (c *Cloud) endpoint(catalog *tokens3.ServiceCatalog, kind string) (string, error) {
	side, region := c.Config.Credentials.Endpoint, c.Config.Credentials.Region
	if side == "" {
		side = occm.Public
	}
	var regions []string
	for _, entry := range catalog.Entries {
		if entry.Type != kind {
			continue
		}
		for _, e := range entry.Endpoints {
			if e.Interface != string(side) {
				continue
			}
			if region == "" || e.Region == region || e.RegionID == region {
				at := trailingVersion.ReplaceAllString(strings.TrimRight(e.URL, "/"), "")
				if u, err := url.Parse(at); err != nil || u.Host == "" {
					return "", wrong("the catalog's address of the service %s is none", kind)
				}
				return at, nil
			}
			regions = append(regions, e.Region)
		}
	}
	if len(regions) > 0 {
		slices.Sort(regions)
		return "", wrong("the catalog has no service %s in the region %s: write one of %s", kind, region, strings.Join(slices.Compact(regions), ", "))
	}
	if kind == "load-balancer" {
		return "", wrong("the catalog has no service load-balancer with a %s address: this cloud has no Octavia, or the user may not see it", side)
	}
	return "", wrong("the catalog has no service %s with a %s address", kind, side)
}

func client(p *gophercloud.ProviderClient, kind, at string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{ProviderClient: p, Type: kind, Endpoint: at + "/", ResourceBase: at + "/v2.0/"}
}

// Close lets idle connections go.
func (c *Cloud) Close() {
	if t, ok := c.base.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// String names the cloud and the project.
func (c *Cloud) String() string { return "project " + c.ProjectID + " at " + c.at }

// Format keeps what is inside, tokens too, out of every verb.
func (c *Cloud) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText does the same for JSON and log/slog.
func (c *Cloud) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Version is one of Octavia's API, such as v2.26.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("v%d.%d", v.Major, v.Minor) }

// AtLeast tells whether the version has what came with v2.minor.
func (v Version) AtLeast(minor int) bool { return v.Major > 2 || v.Major == 2 && v.Minor >= minor }

// APIVersion is the newest version of Octavia's API. It is asked for once.
func (c *Cloud) APIVersion(ctx context.Context) (Version, error) {
	return c.version.get(ctx, func(ctx context.Context) (Version, error) {
		var answer struct {
			Versions []struct{ ID string }
		}
		_, err := c.LoadBalancer.Get(ctx, c.LoadBalancer.Endpoint, &answer, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusMultipleChoices}}) //nolint:bodyclose // gophercloud reads and closes it
		if err != nil {
			return Version{}, Classify(err)
		}
		var newest Version
		for _, v := range answer.Versions {
			major, minor, _ := strings.Cut(strings.TrimPrefix(v.ID, "v"), ".")
			var found Version
			found.Major, _ = strconv.Atoi(major) // 0 where it is no number
			found.Minor, _ = strconv.Atoi(minor)
			if found.Major > newest.Major || found.Major == newest.Major && found.Minor > newest.Minor {
				newest = found
			}
		}
		if newest.Major < 2 {
			return Version{}, Failure{Kind: Broken, Message: "Octavia names no version of its API that is v2"}
		}
		return newest, nil
	})
}

// Extensions are the aliases of Neutron's extensions. They are asked for once; the map
// is shared, and must not be changed.
func (c *Cloud) Extensions(ctx context.Context) (map[string]bool, error) {
	return c.extensions.get(ctx, func(ctx context.Context) (map[string]bool, error) {
		var answer struct {
			Extensions []struct{ Alias string }
		}
		if _, err := c.Network.Get(ctx, c.Network.ServiceURL("extensions"), &answer, nil); err != nil { //nolint:bodyclose // gophercloud reads and closes it
			return nil, Classify(err)
		}
		out := make(map[string]bool, len(answer.Extensions))
		for _, e := range answer.Extensions {
			out[e.Alias] = true
		}
		return out, nil
	})
}

// remembered is an answer that is asked for until it was given once. Who waits for
// somebody else's question waits no longer than their own context.
type remembered[T any] struct {
	turn chan *T
}

func remember[T any]() remembered[T] {
	r := remembered[T]{turn: make(chan *T, 1)}
	r.turn <- nil
	return r
}

func (r remembered[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case known := <-r.turn:
		if known == nil {
			answer, err := ask(ctx)
			if err != nil {
				r.turn <- nil
				return none, err
			}
			known = &answer
		}
		r.turn <- known
		return *known, nil
	case <-ctx.Done():
		return none, Classify(ctx.Err())
	}
}
