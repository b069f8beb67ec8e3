package octavia

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// stage is a cluster and a cloud, with a driver between them that can be killed at any
// time. The cluster remembers what the real one does: Services and their status.
type stage struct {
	t       *testing.T
	cloud   *fake.Cloud
	cluster Cluster
	config  *occm.Config
	class   lb.Octavia

	services map[string]*lb.Service
	leaving  map[string]bool
	trouble  map[string]*lb.Refusal
	nodes    []lb.Node
	// shown is every address that a Service ever showed, in order: a working one must
	// not change.
	shown map[string][]string

	// given is a floating IP that the project has of its own.
	given netip.Addr

	driver  *Driver
	kill    context.CancelFunc
	ended   chan struct{}
	crashed atomic.Bool
	crashes int
	// running is set while a driver is there to be hit.
	running atomic.Bool
	pace    Pace
	// user signs in; empty is a member of the project.
	user string
	// minted counts Services: a new one of an old name is another one.
	minted int
	// living is handed to the driver as Input.Living.
	living []string
	// endpoints are the nodes with an endpoint, by Service.
	endpoints map[string][]string
	// patience is how long something is waited for.
	patience time.Duration
	// block sets the addresses of one cluster's nodes apart from those of others.
	block int
}

func newStage(t *testing.T, o fake.Options, conf string) *stage {
	t.Helper()
	return newCluster(t, fake.New(o), conf, 1)
}

// newCluster is one of several in a project. All have the same name.
func newCluster(t *testing.T, cloud *fake.Cloud, conf string, number int) *stage {
	t.Helper()
	config, _, err := occm.ParseConfig([]byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{
		t: t, cloud: cloud, cluster: Cluster{UID: fmt.Sprintf("c0ffee00-0000-4000-8000-%012d", number), Name: "kubernetes"}, config: config,
		services: make(map[string]*lb.Service), leaving: make(map[string]bool), trouble: make(map[string]*lb.Refusal), shown: make(map[string][]string),
		pace: DefaultPace(), patience: 10 * time.Minute, endpoints: make(map[string][]string), block: (number - 1) * 20, minted: (number - 1) * 100,
	}
	for i := range 3 {
		s.addNode(fmt.Sprintf("node-%d", i+1))
	}
	return s
}

func (s *stage) addNode(name string) {
	n := len(s.nodes)
	v4, v6 := netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", 11+n+s.block)), netip.MustParseAddr(fmt.Sprintf("fd00:10::%d", 11+n+s.block))
	_, server := s.cloud.AddNode(name, v4, v6)
	s.nodes = append(s.nodes, lb.Node{Name: name, Alive: true, Addresses: []netip.Addr{v4, v6}, ServerID: server})
	slices.SortFunc(s.nodes, func(x, y lb.Node) int { return strings.Compare(x.Name, y.Name) })
}

// service adds one; ports are like "80/TCP".
func (s *stage) service(name string, ports ...string) *lb.Service {
	n := uint16(s.minted)
	s.minted++
	svc := &lb.Service{
		Key: lb.Key{Namespace: "shop", Name: name}, UID: fmt.Sprintf("5e41ce00-0000-4000-8000-%012d", n+1), Created: time.Now(),
		LoadBalancer: true, Families: []lb.Family{lb.IPv4}, Annotations: make(map[string]string), Finalized: true, Marked: true,
	}
	for i, p := range ports {
		var port lb.Port
		if _, err := fmt.Sscanf(p, "%d/%s", &port.Number, &port.Protocol); err != nil {
			s.t.Fatal(err)
		}
		svc.Ports = append(svc.Ports, port)
		svc.NodePorts = append(svc.NodePorts, 30000+n*20+uint16(i))
	}
	s.services[name] = svc
	delete(s.leaving, name)
	return svc
}

// input is what the controller would hand to the driver.
func (s *stage) input() Input {
	in := Input{Cluster: s.cluster, Nodes: slices.Clone(s.nodes), Living: s.living}
	for name, nodes := range s.endpoints {
		in.Endpoints = append(in.Endpoints, lb.Endpoints{Service: lb.Key{Namespace: "shop", Name: name}, Nodes: nodes})
	}
	slices.SortFunc(in.Endpoints, func(x, y lb.Endpoints) int { return x.Service.Compare(y.Service) })
	for name, svc := range s.services {
		options, problem := s.config.Options(s.class, svc)
		in.Requests = append(in.Requests, Request{Service: *svc, Options: options, Problem: problem, Wanted: !s.leaving[name]})
	}
	slices.SortFunc(in.Requests, func(x, y Request) int { return x.Service.Key.Compare(y.Service.Key) })
	return in
}

// start runs a new driver, as a new process would.
func (s *stage) start() {
	s.t.Helper()
	s.running.Store(false)
	defer s.running.Store(true)
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("FAIRLEAD_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s.driver = New(Options{Cloud: "test", Pace: s.pace, Log: log})
	ctx, kill := context.WithCancel(context.Background())
	s.kill, s.ended = kill, make(chan struct{})
	s.driver.Connect(s.clients(ctx), nil)
	s.driver.Want(s.input())
	go func(d *Driver, ended chan struct{}) {
		defer close(ended)
		if err := d.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}(s.driver, s.ended)
}

func (s *stage) stop() {
	s.kill()
	<-s.ended
}

// crash ends the driver's process where it stands; play starts another one.
func (s *stage) crash() {
	s.crashed.Store(true)
	s.kill()
}

// give allocates a floating IP to the project, as its owner would.
func (s *stage) give() netip.Addr {
	s.t.Helper()
	var reply struct {
		FloatingIP struct {
			Address netip.Addr `json:"floating_ip_address"`
		} `json:"floatingip"`
	}
	body := map[string]any{"floatingip": map[string]any{"floating_network_id": s.cloud.IDs().External}}
	if err := send(s.t.Context(), s.clients(s.t.Context()).Network, http.MethodPost, []string{"floatingips"}, body, &reply); err != nil {
		s.t.Fatal(err)
	}
	return reply.FloatingIP.Address
}

func (s *stage) clients(ctx context.Context) *Clients {
	s.t.Helper()
	who := s.cloud.Credentials()
	provider, err := openstack.NewClient(who.AuthURL)
	if err != nil {
		s.t.Fatal(err)
	}
	provider.HTTPClient = http.Client{Transport: s.cloud.Transport(), Timeout: 20 * time.Second}
	err = openstack.Authenticate(ctx, provider, gophercloud.AuthOptions{
		IdentityEndpoint: who.AuthURL, Username: cmp.Or(s.user, who.User), Password: who.Password, TenantName: who.Project, DomainName: who.Domain, AllowReauth: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	network, err := openstack.NewNetworkV2(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
	if err != nil {
		s.t.Fatal(err)
	}
	balancer, err := openstack.NewLoadBalancerV2(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
	if err != nil {
		s.t.Fatal(err)
	}
	return &Clients{LoadBalancer: balancer, Network: network}
}

// record writes the driver's reports into the Services, as the controller does, and
// hands the driver what it sees then.
func (s *stage) record() {
	for _, b := range s.driver.Built() {
		svc := s.services[b.Service.Name]
		if svc == nil || svc.UID != b.UID {
			continue
		}
		if b.Gone && s.leaving[b.Service.Name] {
			delete(s.services, b.Service.Name)
			continue
		}
		svc.Held, svc.Hostname = b.Addresses, b.Hostname
		if b.ID != "" && !s.leaving[b.Service.Name] {
			svc.Annotations[occm.AnnotationID] = b.ID
		}
		s.trouble[b.Service.Name] = b.Trouble
		text := fmt.Sprint(b.Addresses)
		if all := s.shown[b.Service.Name]; len(b.Addresses) > 0 && (len(all) == 0 || all[len(all)-1] != text) {
			s.shown[b.Service.Name] = append(all, text)
		}
	}
	s.driver.Want(s.input())
}

// play lets the controller and the driver work for a while.
func (s *stage) play(d time.Duration) {
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		if s.crashed.Swap(false) {
			<-s.ended
			s.crashes++
			s.start()
		}
		select {
		case <-s.driver.Changed():
			s.record()
		case <-time.After(min(time.Until(end), 250*time.Millisecond)):
		}
	}
}

// until plays until what is waited for is so.
func (s *stage) until(what string, so func() bool) {
	s.t.Helper()
	for end := time.Now().Add(s.patience); !so(); {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not so after %s; %s", what, s.patience, s)
		}
		s.play(250 * time.Millisecond)
	}
}

// quiet tells whether all Services have an address and no trouble, or are gone.
func (s *stage) quiet() bool {
	for name, svc := range s.services {
		if s.leaving[name] || len(svc.Held) == 0 || s.trouble[name] != nil {
			return false
		}
	}
	return true
}

func (s *stage) String() string {
	var b strings.Builder
	for name, svc := range s.services {
		fmt.Fprintf(&b, "\n%s: %v", name, svc.Held)
		if r := s.trouble[name]; r != nil {
			fmt.Fprintf(&b, " %s: %s", r.Reason, r.Message())
		}
	}
	for _, x := range s.driver.Built() {
		fmt.Fprintf(&b, "\ndriver: %s: %v %v %d looks", x.Service, x.Addresses, x.Trouble, s.driver.looks.Load())
	}
	for _, l := range s.cloud.LoadBalancers() {
		fmt.Fprintf(&b, "\n%+v", l)
	}
	fmt.Fprintf(&b, "\n%+v", s.cloud.FloatingIPs())
	calls := s.cloud.Calls()
	for _, c := range calls[max(0, len(calls)-30):] {
		fmt.Fprintf(&b, "\n%s %d %s", c.Route(), c.Status, c.Body)
	}
	return b.String()
}

// change alters the cluster and tells the driver.
func (s *stage) change(f func()) {
	f()
	s.driver.Want(s.input())
}

// leftovers are what the cloud still has that was made for Services.
func (s *stage) leftovers() []string {
	var out []string
	for _, l := range s.cloud.LoadBalancers() {
		out = append(out, "load balancer "+l.Name)
	}
	for _, f := range s.cloud.FloatingIPs() {
		out = append(out, "floating IP "+f.Address.String())
	}
	for _, g := range s.cloud.SecurityGroups() {
		if g.Name != "default" {
			out = append(out, "security group "+g.Name)
		}
	}
	return out
}

// onStage runs a test on the clock of a bubble.
func onStage(t *testing.T, o fake.Options, conf string, f func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, o, conf)
		defer func() {
			if s.kill != nil {
				s.stop()
			}
		}()
		f(s)
	})
}

// calm tells whether the cloud is at rest: nothing is under way, and no call but polls
// was made for a while.
func (s *stage) calm(d time.Duration) {
	s.t.Helper()
	for range 200 {
		s.cloud.ResetCalls()
		s.play(d)
		busy := slices.ContainsFunc(s.cloud.Calls(), func(c fake.Call) bool { return c.Mutating })
		if !busy && !slices.ContainsFunc(s.cloud.LoadBalancers(), func(l fake.LoadBalancer) bool { return strings.HasPrefix(l.ProvisioningStatus, "PENDING") }) {
			return
		}
	}
	s.t.Fatalf("the cloud does not come to rest; %s", s)
}

// own are the calls since the last reset but the shared poll.
func (s *stage) own() (reads, changes []string) {
	for _, c := range s.cloud.Calls() {
		text := c.Method + " " + c.Target
		switch {
		case c.Mutating:
			changes = append(changes, text+" "+c.Body)
		case strings.Contains(c.Target, "/loadbalancers?") && strings.Contains(c.Target, "tags="), strings.Contains(c.Path, "/auth/"):
		default:
			reads = append(reads, text)
		}
	}
	return reads, changes
}

// restart ends the process and begins another one.
func (s *stage) restart() {
	s.stop()
	s.start()
}

// only is the load balancer, where there should be one.
func (s *stage) only() fake.LoadBalancer {
	s.t.Helper()
	all := s.cloud.LoadBalancers()
	if len(all) != 1 {
		s.t.Fatalf("%d load balancers; %s", len(all), s)
	}
	return all[0]
}

// gone takes a Service away and waits until nothing of it is left.
func (s *stage) gone(names ...string) {
	s.t.Helper()
	s.change(func() {
		for _, n := range names {
			s.leaving[n] = true
		}
	})
	s.until("gone", func() bool {
		return !slices.ContainsFunc(names, func(n string) bool { return s.services[n] != nil })
	})
}

func (s *stage) clean() {
	s.t.Helper()
	if left := s.leftovers(); len(left) > 0 {
		s.t.Errorf("left behind: %v", left)
	}
}
