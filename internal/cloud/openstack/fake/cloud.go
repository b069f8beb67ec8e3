package fake

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Options say what kind of cloud it is. The zero value is a generous one.
type Options struct {
	// Base is the address clients are told in the catalog. Empty means
	// http://openstack.invalid, which only Transport can reach; Listen sets it.
	Base string
	// Region is the region of the catalog; empty means RegionOne.
	Region string
	// TokenLife is how long a token is good; zero means an hour.
	TokenLife time.Duration
	// Times are the durations of Octavia's work, by provider; what is missing is done
	// by the next request.
	Times map[string]Times
	// OctaviaVersion is the newest version of the API, like "v2.26" (the default). What
	// came later is refused as an unknown attribute or ignored as an unknown parameter,
	// as a real Octavia of that age does.
	OctaviaVersion string
	// DefaultProvider is Octavia's; empty means amphora.
	DefaultProvider string
	// Providers are those that Octavia has; nil means amphora, octavia and ovn.
	Providers []string
	// MissingExtensions are aliases that Neutron does not have.
	MissingExtensions []string
	// PageLimit is the most that one page of a list holds (pagination_max_limit); zero
	// is no limit, which is the default of both services.
	PageLimit int
	// FloatingIPsDown leaves an associated floating IP DOWN, as the plain router plugin
	// does without an agent. With OVN, the default here, it is ACTIVE at once.
	FloatingIPsDown bool
	// ForgetsChildren makes amphorae as Octavia 11.0 does without its job board: of a
	// fully populated load balancer all children stay PENDING_CREATE below an ACTIVE
	// load balancer, and members of such a pool cannot be changed until something has
	// updated the pool (controller_worker.py, run_flow, loses the listeners; later
	// releases do not).
	ForgetsChildren bool
	// HideExternalSubnets keeps the subnets of the external network from the projects,
	// as clouds do whose external network is not shared.
	HideExternalSubnets bool
	// Roomy gives the networks thousands of addresses rather than a hundred.
	Roomy bool
}

// Times are how long a provider works on a load balancer.
type Times struct {
	Create, Update, Delete, Failover time.Duration
}

// Cloud is one OpenStack. All methods may be called at any time, also from hooks.
type Cloud struct {
	base    string
	region  string
	options Options
	mux     *http.ServeMux
	server  *httptest.Server

	gate        sync.Mutex // journal and interceptor, which a hook may use while a call is on its way
	calls       []Call
	number      int
	intercept   func(Call) Fault
	outcome     func(Change) Outcome
	mu          sync.Mutex // everything below
	serial      uint64     // of ids
	born        int        // order of creation
	listLag     time.Duration
	projects    []*project
	users       []*user
	tokens      map[string]*token
	credentials Credentials
	networks    []*network
	subnets     []*subnet
	ports       []*port
	groups      []*securityGroup
	floatingIPs []*floatingIP
	balancers   []*loadBalancer
	ids         IDs
}

// New makes a cloud with a tenant network of two families, an external network and
// four users; see IDs and Credentials.
func New(o Options) *Cloud {
	c := &Cloud{base: o.Base, region: o.Region, options: o, tokens: map[string]*token{}}
	if c.base == "" {
		c.base = "http://openstack.invalid"
	}
	if c.region == "" {
		c.region = "RegionOne"
	}
	if c.options.TokenLife == 0 {
		c.options.TokenLife = time.Hour
	}
	if c.options.OctaviaVersion == "" {
		c.options.OctaviaVersion = newestOctavia
	}
	if c.options.DefaultProvider == "" {
		c.options.DefaultProvider = amphora
	}
	if c.options.Providers == nil {
		c.options.Providers = []string{amphora, "octavia", ovn}
	}
	c.mux = c.routes()
	c.seed()
	return c
}

// Listen serves the cloud on a port of the loopback until Close, and makes the catalog
// name it.
func (c *Cloud) Listen() (base string) {
	c.server = httptest.NewServer(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = c.server.URL
	return c.base
}

// Close ends Listen.
func (c *Cloud) Close() {
	if c.server != nil {
		c.server.Close()
	}
}

// SetTimes changes how long a provider works, for changes that begin from now on.
func (c *Cloud) SetTimes(provider string, t Times) {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := map[string]Times{provider: t}
	for name, old := range c.options.Times {
		if name != provider {
			times[name] = old
		}
	}
	c.options.Times = times
}

// SetListLag makes new objects appear in lists only after d, as behind a cache or a
// database replica. Asked for by id they are there at once.
func (c *Cloud) SetListLag(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listLag = d
}

// URL is the root of the cloud: Keystone is below it in /identity, Neutron in
// /networking, Octavia in /load-balancer.
func (c *Cloud) URL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base
}
