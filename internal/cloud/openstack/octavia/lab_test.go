//go:build openstack

package octavia

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	osclient "github.com/gophercloud/gophercloud/v2/openstack"

	"fairlead.dev/fairlead/internal/cloud/openstack/neutron"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/lab/openstack"
)

// site is a cluster in a real project, with the driver at work.
type site struct {
	t        *testing.T
	cloud    *openstack.Cloud
	clients  *Clients
	config   *occm.Config
	in       Input
	services map[string]*lb.Service
	leaving  map[string]bool
	built    map[string]lb.Built
	driver   *Driver
	stop     func()
}

// newSite attaches to the lab that FAIRLEAD_OPENSTACK_DIR names.
func newSite(t *testing.T, provider string) *site {
	t.Helper()
	dir := os.Getenv("FAIRLEAD_OPENSTACK_DIR")
	if dir == "" {
		t.Fatal("FAIRLEAD_OPENSTACK_DIR names no cloud: make test-openstack starts one, or make openstack-up")
	}
	cloud, err := openstack.Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	p, err := osclient.AuthenticatedClient(ctx, gophercloud.AuthOptions{IdentityEndpoint: cloud.AuthURL, Username: cloud.Lab.User, Password: cloud.Lab.Password,
		TenantName: cloud.Lab.Project, DomainName: "Default", AllowReauth: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.HTTPClient.CloseIdleConnections)
	where := gophercloud.EndpointOpts{Region: cloud.Region}
	network, err := osclient.NewNetworkV2(p, where)
	if err != nil {
		t.Fatal(err)
	}
	balancer, err := osclient.NewLoadBalancerV2(p, where)
	if err != nil {
		t.Fatal(err)
	}
	conf := "[LoadBalancer]\nlb-provider = amphora\nmanage-security-groups = true\nfloating-network-id = " + cloud.External.ID + "\n"
	if provider == ovn {
		conf = "[LoadBalancer]\nlb-provider = ovn\nlb-method = SOURCE_IP_PORT\nmanage-security-groups = true\nfloating-network-id = " + cloud.External.ID + "\n"
	}
	config, _, err := occm.ParseConfig([]byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	uid := fmt.Sprintf("0c7a51a0-%04x-4000-8000-%012x", os.Getpid()&0xffff, time.Now().UnixNano()&0xffffffffffff)
	s := &site{t: t, cloud: cloud, clients: &Clients{LoadBalancer: balancer, Network: network}, config: config,
		services: make(map[string]*lb.Service), leaving: make(map[string]bool), built: make(map[string]lb.Built),
		in: Input{Cluster: Cluster{UID: uid, Name: "octavia-test-" + provider}}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		e, err := Find(ctx, s.clients, uid, s.in.Cluster.Name)
		if err == nil && !e.Empty() {
			t.Logf("purging %q", e.Steps())
			err = e.Remove(ctx, s.clients, func(string) {})
		}
		for _, f := range e.Kept {
			_, _ = neutron.ApplyFloating(ctx, s.clients.Network, neutron.DeleteFloating{ID: f.ID, Address: f.Address}, nil)
		}
		if err != nil {
			t.Errorf("purge: %v", err)
		}
	})
	return s
}

// node adds a machine; the last byte of its addresses is below those of VIPs.
func (s *site) node(n byte) {
	s.t.Helper()
	v4, v6 := s.cloud.Tenant.IPv4().CIDR.Addr().As4(), s.cloud.Tenant.IPv6().CIDR.Addr().As16()
	v4[3], v6[15] = n, n
	addrs := []netip.Addr{netip.AddrFrom4(v4), netip.AddrFrom16(v6)}
	name := fmt.Sprintf("%s-%d", s.in.Cluster.Name, n)
	_, server, err := s.cloud.AddNode(s.t.Context(), name, addrs...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.cloud.RemoveNode(context.Background(), name) })
	s.in.Nodes = append(s.in.Nodes, lb.Node{Name: name, Alive: true, Addresses: addrs, ServerID: server})
}

func (s *site) service(name string, ports ...lb.Port) *lb.Service {
	svc := &lb.Service{Key: lb.Key{Namespace: "lab", Name: name}, UID: fmt.Sprintf("5e41ce00-0000-4000-8000-%012d", len(s.services)+1), Created: time.Now(),
		LoadBalancer: true, Families: []lb.Family{lb.IPv4}, Ports: ports, Annotations: make(map[string]string), Finalized: true}
	for i := range ports {
		svc.NodePorts = append(svc.NodePorts, 31000+uint16(len(s.services)*20+i))
	}
	s.services[name] = svc
	return svc
}

func (s *site) want() {
	in := s.in
	in.Nodes, in.Requests = slices.Clone(in.Nodes), nil
	for name, svc := range s.services {
		options, problem := s.config.Options(lb.Octavia{}, svc)
		in.Requests = append(in.Requests, Request{Service: *svc, Options: options, Problem: problem, Wanted: !s.leaving[name]})
	}
	slices.SortFunc(in.Requests, func(x, y Request) int { return x.Service.Key.Compare(y.Service.Key) })
	s.driver.Want(in)
}

func (s *site) start() {
	s.driver = New(Options{Cloud: "lab", Pace: DefaultPace(), Log: slog.New(slog.NewTextHandler(s.t.Output(), nil))})
	s.driver.Connect(s.clients, nil)
	s.want()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func(d *Driver) { defer close(ended); _ = d.Run(ctx) }(s.driver)
	s.stop = func() { cancel(); <-ended }
}

// until waits until what is told of the Services is so.
func (s *site) until(what string, so func() bool) {
	s.t.Helper()
	began := time.Now()
	for end := began.Add(3 * time.Minute); !so(); {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not so; %+v", what, s.built)
		}
		select {
		case <-s.driver.Changed():
		case <-time.After(time.Second):
		}
		for _, b := range s.driver.Built() {
			svc := s.services[b.Service.Name]
			if svc == nil {
				continue
			}
			if s.built[b.Service.Name] = b; b.Gone && s.leaving[b.Service.Name] {
				delete(s.services, b.Service.Name)
				continue
			}
			if svc.Held = b.Addresses; b.ID != "" && !s.leaving[b.Service.Name] {
				svc.Annotations[occm.AnnotationID] = b.ID
			}
		}
		s.want()
	}
	s.t.Logf("%s: after %s", what, time.Since(began).Round(100*time.Millisecond))
}

func (s *site) well() bool {
	for name, svc := range s.services {
		if b := s.built[name]; s.leaving[name] || len(svc.Held) == 0 || b.Trouble != nil || b.UID != svc.UID {
			return false
		}
	}
	return true
}

// tree is the load balancer of a Service as the cloud has it.
func (s *site) tree(name string) LoadBalancer {
	s.t.Helper()
	l, err := look(s.t.Context(), s.clients.LoadBalancer, s.built[name].ID)
	if err != nil {
		s.t.Log(err) // it may be changing
	}
	return l
}

func (s *site) has(name string, listeners, members int) func() bool {
	return func() bool {
		if !s.well() || s.built[name].ID == "" {
			return false
		}
		l := s.tree(name)
		return l.Status == Active && len(l.Listeners) == listeners && !slices.ContainsFunc(l.Pools, func(p Pool) bool { return len(p.Members) != members })
	}
}

func TestTheRealServices(t *testing.T) {
	for i, provider := range []string{"amphora", ovn} {
		t.Run(provider, func(t *testing.T) {
			s := newSite(t, provider)
			first := byte(40 + 10*i)
			s.node(first)
			s.node(first + 1)
			web := s.service("web", lb.Port{Protocol: "TCP", Number: 80}, lb.Port{Protocol: "UDP", Number: 53})
			s.start()
			defer func() { s.stop() }()
			s.until("created", s.has("web", 2, 2))
			address := web.Held[0]

			s.node(first + 2)
			s.until("a node more", s.has("web", 2, 3))

			web.Ports[0].Number, web.Affinity = 8080, time.Hour
			s.until("updated", func() bool {
				l := s.tree("web")
				return s.has("web", 2, 3)() && l.listener("TCP", 8080) != nil && !slices.ContainsFunc(l.Pools, func(p Pool) bool { return !p.Sticky })
			})

			s.service("dns", lb.Port{Protocol: "UDP", Number: 5353}).Annotations[occm.AnnotationID] = s.built["web"].ID
			s.until("shared", s.has("dns", 3, 3))
			s.leaving["dns"] = true
			s.until("no longer shared", func() bool { return s.services["dns"] == nil && s.has("web", 2, 3)() })

			local := s.service("local", lb.Port{Protocol: "TCP", Number: 80})
			local.Local, local.HealthCheckNodePort = true, 32100
			dual := s.service("dual", lb.Port{Protocol: "TCP", Number: 80})
			dual.Families = []lb.Family{lb.IPv4, lb.IPv6}
			s.until("Local and dual stack", func() bool { return s.well() && len(dual.Held) == 2 })

			if provider != ovn {
				local.SourceRanges = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
				s.until("source ranges", func() bool {
					return s.well() && slices.ContainsFunc(s.tree("local").Listeners, func(l Listener) bool { return len(l.AllowedCIDRs) == 1 })
				})
			}

			s.stop()
			s.start()
			time.Sleep(5 * time.Second)
			seen, err := Foresee(t.Context(), s.clients, *s.driver.input)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range seen {
				if len(f.Steps) > 0 || f.Refusal != nil {
					t.Errorf("after a restart something is to do: %+v", f)
				}
			}
			if web.Held[0] != address {
				t.Errorf("shows %s, showed %s", web.Held[0], address)
			}
			for name := range s.services {
				s.leaving[name] = true
			}
			s.until("deleted", func() bool { return len(s.services) == 0 })
			if e, err := Find(t.Context(), s.clients, s.in.Cluster.UID, s.in.Cluster.Name); err != nil || !e.Empty() {
				t.Errorf("left behind: %q, %v", e.Steps(), err)
			}
		})
	}
}
