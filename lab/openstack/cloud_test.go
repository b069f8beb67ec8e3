//go:build openstack

package openstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cloud is the one named by FAIRLEAD_OPENSTACK_DIR, or else one for this test.
func cloud(t *testing.T) *Cloud {
	t.Helper()
	if dir := os.Getenv("FAIRLEAD_OPENSTACK_DIR"); dir != "" {
		c, err := Attach(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return fresh(t, Options{})
}

func fresh(t *testing.T, o Options) *Cloud {
	t.Helper()
	// Not t.TempDir, whose paths are too long for sockets.
	dir, err := os.MkdirTemp("", "openstack") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Progress = dir, t.Output()
	t.Cleanup(func() {
		if err := Remove(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	c, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func as(t *testing.T, a Account) session {
	t.Helper()
	s, err := login(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type balancer struct {
	ID           string
	Provisioning string `json:"provisioning_status"`
	Operating    string `json:"operating_status"`
	Address      string `json:"vip_address"`
	Port         string `json:"vip_port_id"`
}

func (s session) balancer(t *testing.T, id string) (balancer, error) {
	t.Helper()
	var reply struct {
		LoadBalancer balancer
	}
	err := s.call(t.Context(), http.MethodGet, octaviaURL+"/v2/lbaas/loadbalancers/"+id, nil, &reply)
	return reply.LoadBalancer, err
}

// settled waits until nothing is pending any more.
func (s session) settled(t *testing.T, id string) balancer {
	t.Helper()
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		b, err := s.balancer(t, id)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(b.Provisioning, "PENDING") {
			return b
		}
		if time.Since(start) > 2*time.Minute {
			t.Fatalf("load balancer %s is %s for two minutes", id, b.Provisioning)
		}
	}
}

func (s session) deleted(t *testing.T, id string) {
	t.Helper()
	url := octaviaURL + "/v2/lbaas/loadbalancers/" + id
	if err := s.call(t.Context(), http.MethodDelete, url+"?cascade=true", nil, nil); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		b, err := s.balancer(t, id)
		if isStatus(err, http.StatusNotFound) || err == nil && b.Provisioning == "DELETED" {
			return
		}
		if err != nil || b.Provisioning == "ERROR" || time.Since(start) > 2*time.Minute {
			t.Fatalf("delete with cascade: %+v, error %v", b, err)
		}
	}
}

func TestCloud(t *testing.T) {
	c := cloud(t)
	t.Run("every service is in the catalog and refuses who has no role", func(t *testing.T) { testIdentity(t, c) })
	t.Run("a node is a port", func(t *testing.T) { testNode(t, c) })
	providers := []string{"amphora", "ovn"}
	if c.Options.NoOVN {
		providers = providers[:1]
	}
	for _, provider := range providers {
		t.Run(provider+" load balancer lives", func(t *testing.T) { testBalancer(t, c, provider) })
	}
}

func testIdentity(t *testing.T, c *Cloud) {
	body := fields{"auth": fields{"identity": fields{"methods": []string{"application_credential"},
		"application_credential": fields{"id": c.AppCredential.ID, "secret": c.AppCredential.Secret}}}}
	var reply struct {
		Token struct {
			Project struct{ Name string }
			Catalog []struct {
				Type      string
				Endpoints []struct{ URL string }
			}
		}
	}
	if _, err := request(t.Context(), "", http.MethodPost, authURL+"/auth/tokens", body, &reply); err != nil {
		t.Fatal(err)
	}
	if reply.Token.Project.Name != c.Lab.Project {
		t.Errorf("the application credential is of project %q, want %q", reply.Token.Project.Name, c.Lab.Project)
	}
	got := map[string]int{}
	for _, s := range reply.Token.Catalog {
		got[s.Type] = len(s.Endpoints)
	}
	for _, kind := range []string{"identity", "network", "load-balancer"} {
		if got[kind] != 3 {
			t.Errorf("catalog has %d endpoints of %s, want 3", got[kind], kind)
		}
	}
	err := as(t, c.Observer).call(t.Context(), http.MethodGet, octaviaURL+"/v2/lbaas/loadbalancers", nil, nil)
	if !isStatus(err, http.StatusForbidden) {
		t.Errorf("who has no load-balancer role lists load balancers: %v, want 403", err)
	}
}

func testNode(t *testing.T, c *Cloud) {
	addr4, addr6 := netip.MustParseAddr("172.31.0.77"), netip.MustParseAddr("fd31::77")
	name := fmt.Sprintf("test-%d", os.Getpid())
	port, server, err := c.AddNode(t.Context(), name, addr4, addr6)
	if err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Port struct {
			Device string `json:"device_id"`
			Fixed  []struct {
				Address netip.Addr `json:"ip_address"`
			} `json:"fixed_ips"`
		}
	}
	if err := as(t, c.Lab).call(t.Context(), http.MethodGet, neutronURL+"/v2.0/ports/"+port, nil, &reply); err != nil {
		t.Fatal(err)
	}
	if reply.Port.Device != server || len(reply.Port.Fixed) != 2 {
		t.Errorf("port of the node: %+v, want server %s and two addresses", reply.Port, server)
	}
	if _, _, err := c.AddNode(t.Context(), name, addr4); !isStatus(err, http.StatusConflict) {
		t.Errorf("the same address twice: %v, want 409", err)
	}
	for range 2 { // that it is gone is fine
		if err := c.RemoveNode(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	err = as(t, c.Lab).call(t.Context(), http.MethodGet, neutronURL+"/v2.0/ports/"+port, nil, nil)
	if !isStatus(err, http.StatusNotFound) {
		t.Errorf("port of a removed node: %v, want 404", err)
	}
}

func testBalancer(t *testing.T, c *Cloud, provider string) {
	s := as(t, c.Lab)
	subnet := c.Tenant.IPv4()
	member := fields{"address": "172.31.0.11", "protocol_port": 30080, "subnet_id": subnet.ID}
	pool := fields{"name": "web", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "members": []fields{member}}
	listener := fields{"name": "web", "protocol": "TCP", "protocol_port": 80, "default_pool": pool}
	start := time.Now()
	id, err := s.create(t.Context(), octaviaURL+"/v2/lbaas/loadbalancers", "loadbalancer", fields{
		"name": "test", "provider": provider, "vip_subnet_id": subnet.ID, "listeners": []fields{listener}})
	if err != nil {
		t.Fatal(err)
	}
	b := s.settled(t, id)
	t.Logf("%s after %s", b.Provisioning, time.Since(start).Round(100*time.Millisecond))
	if b.Provisioning != "ACTIVE" {
		t.Fatalf("load balancer %+v, want it ACTIVE", b)
	}
	if vip := netip.MustParseAddr(b.Address); !subnet.CIDR.Contains(vip) || vip.Less(netip.MustParseAddr("172.31.0.128")) {
		t.Errorf("VIP %s, want one of %s that no node has", vip, subnet.CIDR)
	}
	// Only a real port can have a floating IP.
	fip, err := s.create(t.Context(), neutronURL+"/v2.0/floatingips", "floatingip", fields{
		"floating_network_id": c.External.ID, "subnet_id": c.External.Subnet("public-b").ID, "port_id": b.Port})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.call(t.Context(), http.MethodDelete, neutronURL+"/v2.0/floatingips/"+fip, nil, nil); err != nil {
		t.Error(err)
	}
	b = s.settled(t, id) // the ovn provider makes a VIP of the floating IP, and takes it away
	testInject(t, c, s, id)
	s.deleted(t, id)
	err = s.call(t.Context(), http.MethodGet, neutronURL+"/v2.0/ports/"+b.Port, nil, nil)
	if !isStatus(err, http.StatusNotFound) {
		t.Errorf("the VIP's port after the delete: %v, want 404", err)
	}
}

func testInject(t *testing.T, c *Cloud, s session, id string) {
	url := octaviaURL + "/v2/lbaas/loadbalancers/" + id
	change := fields{"loadbalancer": fields{"description": "changed"}}
	for _, step := range []struct {
		provisioning, operating string
		refused                 int // what a change gets
	}{
		{"ERROR", "", http.StatusConflict},
		{"PENDING_UPDATE", "", http.StatusConflict},
		{"ACTIVE", "DEGRADED", 0},
	} {
		if err := c.Inject(t.Context(), LoadBalancers, id, step.provisioning, step.operating); err != nil {
			t.Fatal(err)
		}
		b, err := s.balancer(t, id)
		if err != nil {
			t.Fatal(err)
		}
		if b.Provisioning != step.provisioning || step.operating != "" && b.Operating != step.operating {
			t.Errorf("load balancer %+v, want %s %s", b, step.provisioning, step.operating)
		}
		if err := s.call(t.Context(), http.MethodPut, url, change, nil); step.refused != 0 && !isStatus(err, step.refused) {
			t.Errorf("change in %s: %v, want %d", step.provisioning, err, step.refused)
		} else if step.refused == 0 && err != nil {
			t.Errorf("change in %s: %v", step.provisioning, err)
		}
	}
	s.settled(t, id)
	if err := c.Inject(t.Context(), Listeners, id, "ERROR", ""); err == nil {
		t.Error("a status was injected into a listener that does not exist")
	}
}

func TestCloudIsStartableAgain(t *testing.T) {
	if os.Getenv("FAIRLEAD_OPENSTACK_DIR") != "" {
		t.Skip("the cloud of FAIRLEAD_OPENSTACK_DIR has the ports, and is to stay")
	}
	c := fresh(t, Options{})
	if again, err := Up(t.Context(), Options{Dir: c.Options.Dir}); err != nil || again.Tenant.ID != c.Tenant.ID {
		t.Errorf("up when it is up: %v", err)
	}
	if _, err := Up(t.Context(), Options{Dir: c.Options.Dir, NoOVN: true}); err == nil {
		t.Error("up with other options did as if nothing were")
	}
	_, err := Up(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "x")})
	if err == nil || !strings.Contains(err.Error(), "the cloud in "+c.Options.Dir) {
		t.Errorf("a second cloud beside the first: %v, want the directory of the first", err)
	}
	// As after a crash: nobody could tidy up.
	daemons, err := c.Daemons()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range daemons {
		_ = unix.Kill(d.PID, unix.SIGKILL)
	}
	if _, err := waitBroken(c.Options.Dir); err != nil {
		t.Fatal(err)
	}
	if c, err = Up(t.Context(), Options{Dir: c.Options.Dir, Progress: t.Output()}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // down when it is down is fine
		if err := c.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(c.Options.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory after down: %v", err)
	}
	for pid := range processes() {
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if cloudOf(pid) == c.Options.Dir || strings.Contains(string(command), c.Options.Dir+"/") {
			t.Errorf("process %d is left: %s", pid, cmp.Or(string(command), "(no command line)"))
		}
	}
	if err := checkPorts(); err != nil {
		t.Errorf("after down: %v", err)
	}
}

// waitBroken waits until Attach sees that a cloud was killed.
func waitBroken(dir string) (string, error) {
	for range 100 {
		if _, err := Attach(dir); err != nil {
			return err.Error(), nil //nolint:nilerr // the error is what is waited for
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", errors.New("a cloud without processes counts as running")
}

func TestCloudWithoutOVN(t *testing.T) {
	if os.Getenv("FAIRLEAD_OPENSTACK_DIR") != "" {
		t.Skip("the cloud of FAIRLEAD_OPENSTACK_DIR has the ports")
	}
	c := fresh(t, Options{NoOVN: true})
	t.Run("amphora load balancer lives", func(t *testing.T) { testBalancer(t, c, "amphora") })
}
