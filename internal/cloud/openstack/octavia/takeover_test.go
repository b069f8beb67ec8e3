package octavia

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// inheritance is how a cluster was served before.
type inheritance struct {
	untagged, legacy, unannotated, groups, internal bool
}

// inherit makes what OCCM would have made for a Service, in OCCM's way.
func (s *stage) inherit(svc *lb.Service, how inheritance) {
	t, c := s.t, s.clients(s.t.Context())
	t.Helper()
	name := occm.LoadBalancerName(s.cluster.Name, svc.Namespace, svc.Name)
	child := func(kind string, i int) string { return fmt.Sprintf("%s_%d_%s", kind, i, name) }
	if how.legacy {
		name = occm.LegacyName(svc.UID)
		child = func(kind string, i int) string { return fmt.Sprintf("%s_%s_%d", kind, name, i) }
	}
	tags := []string{name}
	if how.untagged || how.legacy {
		tags = []string{}
	}
	var listeners []map[string]any
	for i, p := range svc.Ports {
		var members []map[string]any
		for _, n := range s.nodes {
			members = append(members, map[string]any{"name": n.Name, "address": n.Addresses[0].String(), "protocol_port": svc.NodePorts[i], "subnet_id": s.cloud.IDs().SubnetV4})
		}
		l := map[string]any{"name": child("listener", i), "protocol": p.Protocol, "protocol_port": p.Number, "tags": tags, "connection_limit": -1,
			"default_pool": map[string]any{"name": child("pool", i), "protocol": p.Protocol, "lb_algorithm": "ROUND_ROBIN", "members": members}}
		if !how.legacy {
			l["allowed_cidrs"] = []string{"0.0.0.0/0"}
		}
		if p.Protocol == "TCP" {
			l["timeout_client_data"], l["timeout_member_connect"], l["timeout_member_data"], l["timeout_tcp_inspect"] = 50000, 5000, 50000, 0
		}
		listeners = append(listeners, l)
	}
	description := occm.LoadBalancerDescription(s.cluster.Name, svc.Namespace, svc.Name)
	var made struct {
		LoadBalancer struct {
			ID   string     `json:"id"`
			VIP  netip.Addr `json:"vip_address"`
			Port string     `json:"vip_port_id"`
		} `json:"loadbalancer"`
	}
	body := map[string]any{"loadbalancer": map[string]any{"name": name, "description": description, "tags": tags, "provider": "amphora",
		"vip_subnet_id": s.cloud.IDs().SubnetV4, "listeners": listeners}}
	if err := send(t.Context(), c.LoadBalancer, http.MethodPost, []string{"lbaas", "loadbalancers"}, body, &made); err != nil {
		t.Fatal(err)
	}
	svc.Held = []netip.Addr{made.LoadBalancer.VIP}
	if !how.internal {
		var fip struct {
			FloatingIP struct {
				Address netip.Addr `json:"floating_ip_address"`
			} `json:"floatingip"`
		}
		body := map[string]any{"floatingip": map[string]any{"floating_network_id": s.cloud.IDs().External, "port_id": made.LoadBalancer.Port,
			"description": "Floating IP for Kubernetes external service " + svc.Key.String() + " from cluster " + s.cluster.Name}}
		if err := send(t.Context(), c.Network, http.MethodPost, []string{"floatingips"}, body, &fip); err != nil {
			t.Fatal(err)
		}
		svc.Held = []netip.Addr{fip.FloatingIP.Address}
	} else {
		svc.Annotations["service.beta.kubernetes.io/openstack-internal-load-balancer"] = "true"
	}
	if !how.unannotated {
		svc.Annotations[occm.AnnotationID] = made.LoadBalancer.ID
	}
	if how.groups {
		s.inheritGroup(svc)
	}
	s.play0(30 * time.Second)
}

// inheritGroup makes the security group that OCCM makes for a Service.
func (s *stage) inheritGroup(svc *lb.Service) {
	t, c := s.t, s.clients(s.t.Context())
	t.Helper()
	var group struct {
		Group struct{ ID string } `json:"security_group"`
	}
	body := map[string]any{"security_group": map[string]any{"name": occm.SecurityGroupName(svc.UID, svc.Namespace, svc.Name),
		"description": occm.SecurityGroupDescription(s.cluster.Name, svc.Namespace, svc.Name)}}
	if err := send(t.Context(), c.Network, http.MethodPost, []string{"security-groups"}, body, &group); err != nil {
		t.Fatal(err)
	}
	for i, p := range svc.Ports {
		body := map[string]any{"security_group_rule": map[string]any{"security_group_id": group.Group.ID, "direction": "ingress", "ethertype": "IPv4",
			"protocol": strings.ToLower(p.Protocol), "port_range_min": svc.NodePorts[i], "port_range_max": svc.NodePorts[i], "remote_ip_prefix": "10.0.0.0/24"}}
		if err := send(t.Context(), c.Network, http.MethodPost, []string{"security-group-rules"}, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range s.cloud.Ports() {
		if p.DeviceOwner == "compute:nova" {
			s.cloud.SetPortGroups(p.ID, append(p.SecurityGroups, group.Group.ID)...)
		}
	}
}

// play0 lets time pass where no driver runs.
func (s *stage) play0(d time.Duration) { time.Sleep(d); s.cloud.LoadBalancers() }

func TestWhatOCCMMadeIsTakenOverInPlace(t *testing.T) {
	for name, how := range map[string]inheritance{
		"as OCCM makes it today":     {},
		"before OCCM knew tags":      {untagged: true},
		"in-tree":                    {legacy: true},
		"the annotation is lost":     {unannotated: true},
		"in-tree, no annotation":     {legacy: true, unannotated: true},
		"old, no annotation":         {untagged: true, unannotated: true},
		"with security groups":       {groups: true},
		"internal":                   {internal: true},
		"internal, old, unannotated": {internal: true, untagged: true, unannotated: true},
	} {
		t.Run(name, func(t *testing.T) {
			conf := plainConf
			if how.groups {
				conf = securedConf
			}
			onStage(t, slow, conf, func(s *stage) {
				s.inherit(s.service("web", "80/TCP", "53/UDP"), how)
				lbs, floats, groups := s.cloud.LoadBalancers(), s.cloud.FloatingIPs(), s.cloud.SecurityGroups()
				shown := s.services["web"].Held[0].String()
				s.cloud.ResetCalls()
				s.start()
				s.until("adopted", s.quiet)
				s.calm(time.Minute)
				ignore := cmp.Options{cmpopts.IgnoreFields(fake.LoadBalancer{}, "Tags"), cmpopts.IgnoreFields(fake.FloatingIP{}, "Description"), cmpopts.EquateComparable(netip.Addr{})}
				if diff := cmp.Diff(lbs, s.cloud.LoadBalancers(), ignore); diff != "" {
					t.Errorf("load balancers changed (-before +after):\n%s", diff)
				}
				if diff := cmp.Diff(floats, s.cloud.FloatingIPs(), ignore); diff != "" {
					t.Errorf("floating IPs changed (-before +after):\n%s", diff)
				}
				if diff := cmp.Diff(groups, s.cloud.SecurityGroups(), ignore); diff != "" {
					t.Errorf("security groups changed (-before +after):\n%s", diff)
				}
				for _, f := range s.cloud.FloatingIPs() {
					if !strings.HasPrefix(f.Description, "Floating IP for Kubernetes external service shop/web") || !strings.HasSuffix(f.Description, " from cluster kubernetes") {
						t.Errorf("OCCM and Magnum would not know the floating IP: %q", f.Description)
					}
				}
				s.cloud.ResetCalls()
				s.restart()
				s.play(2 * time.Hour)
				if _, changes := s.own(); len(changes) > 0 {
					t.Errorf("a second start changes:\n%s", strings.Join(changes, "\n"))
				}
				if s.address("web") != shown {
					t.Errorf("shows %s, showed %s", s.address("web"), shown)
				}
				s.gone("web")
				s.clean()
			})
		})
	}
}

func TestANameAloneProvesNothing(t *testing.T) {
	// OCCM of another cluster made a load balancer of the same name for other nodes.
	onStage(t, slow, plainConf, func(s *stage) {
		other := newCluster(s.t, s.cloud, plainConf, 2)
		other.inherit(other.service("web", "80/TCP"), inheritance{})
		before := s.cloud.LoadBalancers()[0]
		s.service("web", "80/TCP")
		s.start()
		s.until("address", s.quiet)
		s.calm(30 * time.Second)
		if n := len(s.cloud.LoadBalancers()); n != 2 {
			t.Fatalf("%d load balancers, want one of its own; %s", n, s)
		}
		s.gone("web")
		after := s.only()
		if diff := cmp.Diff(before, after, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("the other cluster's load balancer changed:\n%s", diff)
		}
		if len(s.cloud.FloatingIPs()) != 1 {
			t.Errorf("floating IPs: %v", s.cloud.FloatingIPs())
		}
	})
}

func TestTwoClustersOfOneNameLeaveEachOtherAlone(t *testing.T) {
	// Everything that A does happens while B has the same Services under the same names.
	onStage(t, brisk(), securedConf, func(a *stage) {
		b := newCluster(a.t, a.cloud, securedConf, 2)
		defer func() { b.stop() }()
		both := func(d time.Duration) {
			for range int(d / time.Second) {
				a.play(time.Second)
				b.play(0)
				b.record()
			}
		}
		for _, s := range []*stage{a, b} {
			s.service("web", "80/TCP", "443/TCP")
			s.service("dns", "53/UDP")
			s.start()
		}
		both(time.Minute)
		of := func(s *stage) (out []fake.LoadBalancer) {
			for _, l := range s.cloud.LoadBalancers() {
				if slices.Contains(l.Tags, ClusterTag(s.cluster.UID)) {
					out = append(out, l)
				}
			}
			return out
		}
		theirs, address := of(b), b.address("web")
		if len(theirs) != 2 || len(of(a)) != 2 || address == "" || !a.quiet() || !b.quiet() {
			t.Fatalf("not built: %s", a)
		}
		for what, change := range map[string]func(){
			"update":  func() { a.services["web"].Ports[0].Number = 81 },
			"node":    func() { a.nodes[0].Excluded = true },
			"restart": func() { a.restart() },
			"delete":  func() { a.leaving["web"], a.leaving["dns"] = true, true },
			"again":   func() { a.service("web", "80/TCP") },
			"orphans": func() { a.living = []string{} },
		} {
			a.change(change)
			both(30 * time.Second)
			if diff := cmp.Diff(theirs, of(b), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("%s: the other cluster's load balancers changed:\n%s", what, diff)
			}
			if b.address("web") != address || !b.quiet() {
				t.Errorf("%s: %s", what, b)
			}
			b.restart()
		}
	})
}
