package openstack

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func completed(t *testing.T, o Options) Options {
	t.Helper()
	o, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestZeroOptionsAreTheKubernetesLabsSegment(t *testing.T) {
	o := completed(t, Options{})
	if o.Dir != DefaultDir || o.IPv4.String() != "172.31.0.0/24" || o.IPv6.String() != "fd31::/64" || o.NoOVN {
		t.Errorf("zero options become %+v", o)
	}
}

func TestOptionsThatCannotWorkAreRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		says    string
	}{
		{"IPv6 where IPv4 belongs", Options{IPv4: netip.MustParsePrefix("fd31::/64")}, "use an IPv4 prefix"},
		{"IPv4 where IPv6 belongs", Options{IPv6: netip.MustParsePrefix("10.0.0.0/8")}, "use an IPv6 prefix"},
		{"no room for load balancers", Options{IPv4: netip.MustParsePrefix("10.0.0.0/30")}, "/28 or wider"},
		{"sockets with paths too long", Options{Dir: "/" + strings.Repeat("d", 100)}, "use a shorter one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.options.complete(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestLoadBalancersGetAddressesThatNoNodeHas(t *testing.T) {
	v4, v6 := tenantSubnets(netip.MustParsePrefix("172.31.0.0/24"), netip.MustParsePrefix("fd31::/64"))
	want := []string{"172.31.0.128", "172.31.0.253", "172.31.0.254", "fd31::1:0", "fd31::1:ffff", "fd31::fe"}
	if diff := cmp.Diff(want, []string{v4.first, v4.last, v4.gateway, v6.first, v6.last, v6.gateway}); diff != "" {
		t.Errorf("pools and gateways (-want +got):\n%s", diff)
	}
	wide, _ := tenantSubnets(netip.MustParsePrefix("10.8.0.0/15"), netip.MustParsePrefix("fd31::/64"))
	if diff := cmp.Diff([]string{"10.9.0.0", "10.9.255.253", "10.9.255.254"}, []string{wide.first, wide.last, wide.gateway}); diff != "" {
		t.Errorf("pool and gateway of a /15 (-want +got):\n%s", diff)
	}
}

func TestConfigurationsAreCompleteInBothKinds(t *testing.T) {
	for _, noOVN := range []bool{false, true} {
		r := newRun(completed(t, Options{Dir: "/cloud", NoOVN: noOVN}))
		r.cloud.Amphora.Network, r.cloud.Amphora.SecurityGroup = "the-network", "the-group"
		all := map[string]string{}
		for _, name := range []string{"keystone.conf", "neutron.conf", "neutron-paste.ini", "octavia.conf", "rabbitmq.conf"} {
			data, err := render(name, r.settings())
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(data)
			sections := map[string]bool{}
			for _, m := range regexp.MustCompile(`(?m)^\[(.+)\]$`).FindAllStringSubmatch(string(data), -1) {
				if sections[m[1]] {
					t.Errorf("%s has section %s twice: the services read one of them", name, m[1])
				}
				sections[m[1]] = true
			}
			for _, m := range regexp.MustCompile(`=.*<no value>|\{\{`).FindAllString(string(data), -1) {
				t.Errorf("%s is not filled in: %s", name, m)
			}
		}
		for _, want := range []struct {
			file, line string
			present    bool
		}{
			{"keystone.conf", "connection = mysql+pymysql://root@localhost/keystone?unix_socket=/cloud/sock/mysql.sock&charset=utf8mb4", true},
			{"neutron.conf", "mechanism_drivers = ovn", !noOVN},
			{"neutron.conf", "mechanism_drivers = openvswitch", noOVN},
			{"neutron.conf", "bind_host = 127.0.0.1", true},
			{"octavia.conf", "enabled_provider_agents = ovn", !noOVN},
			{"octavia.conf", "amp_boot_network_list = the-network", true},
			{"octavia.conf", "status_socket_path = /cloud/sock/octavia-status.sock", true},
		} {
			if got := strings.Contains(all[want.file]+"\n", want.line+"\n"); got != want.present {
				t.Errorf("without OVN %t: %s has the line %q: %t", noOVN, want.file, want.line, got)
			}
		}
		if strings.Contains(strings.Join([]string{all["neutron.conf"], all["octavia.conf"]}, ""), "0.0.0.0") {
			t.Error("a service listens beyond the loopback")
		}
	}
}

func testCloud() *Cloud {
	return &Cloud{
		AuthURL: authURL, Region: region, Options: Options{Dir: "/cloud", IPv4: netip.MustParsePrefix("172.31.0.0/24")},
		Lab:           Account{User: "lab", Password: "secret", Project: "lab"},
		AppCredential: AppCredential{ID: "app-id", Secret: "app-secret"},
		External: Network{ID: "external", Subnets: []Subnet{
			{ID: "six", CIDR: netip.MustParsePrefix("2001:db8::/64")}, {ID: "four", CIDR: netip.MustParsePrefix("203.0.113.0/24")}}},
		Tenant: Network{ID: "tenant", Subnets: []Subnet{{ID: "nodes", Name: "nodes-v4", CIDR: netip.MustParsePrefix("172.31.0.0/24")}}},
	}
}

func TestCloudsYAMLIsWhatClientsRead(t *testing.T) {
	var got struct {
		Clouds map[string]struct {
			AuthType string            `json:"auth_type"`
			Region   string            `json:"region_name"`
			Auth     map[string]string `json:"auth"`
		} `json:"clouds"`
	}
	if err := yaml.UnmarshalStrict(testCloud().CloudsYAML(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"auth_url": authURL, "username": "lab", "password": "secret", "project_name": "lab",
		"user_domain_name": "Default", "project_domain_name": "Default",
	}
	if diff := cmp.Diff(want, got.Clouds["lab"].Auth); diff != "" {
		t.Errorf("cloud lab (-want +got):\n%s", diff)
	}
	app := got.Clouds["lab-appcred"]
	want = map[string]string{"auth_url": authURL, "application_credential_id": "app-id", "application_credential_secret": "app-secret"}
	if diff := cmp.Diff(want, app.Auth); diff != "" || app.AuthType != "v3applicationcredential" || app.Region != region {
		t.Errorf("cloud lab-appcred: type %q, region %q (-want +got):\n%s", app.AuthType, app.Region, diff)
	}
}

func TestCloudConfNamesTheIPv4SubnetOfFloatingIPs(t *testing.T) {
	got := string(testCloud().CloudConf())
	for _, line := range []string{"[Global]", "application-credential-secret=app-secret", "[LoadBalancer]", "floating-network-id=external",
		"floating-subnet-id=four", "network-id=tenant", "subnet-id=nodes"} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("cloud.conf lacks %q:\n%s", line, got)
		}
	}
}

func TestPortInUseIsNamedWithItsOwner(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	number := l.Addr().(*net.TCPAddr).Port
	defer func(original []port) { ports = original }(ports)
	ports = []port{{number, "keystone"}}
	err = checkPorts()
	for _, want := range []string{fmt.Sprintf("port %d, which keystone needs", number), fmt.Sprintf("(pid %d)", os.Getpid())} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	l.Close()
	if err := checkPorts(); err != nil {
		t.Errorf("port %d is free again: %v", number, err)
	}
}

func TestListenInodeIsOfListenersOnly(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1388 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 111 1 0 20 4 30 10 -1
   1: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
`
	if got := listenInode(table, 5000); got != "222" {
		t.Errorf("inode %q, want 222: the other line is a connection", got)
	}
	if got := listenInode(table, 5001); got != "" {
		t.Errorf("inode %q of a free port", got)
	}
}

func TestSessionThatTookTheNumberOfOursIsNotOurs(t *testing.T) {
	ours := record{PID: 10, Start: 100}
	leader, child := process{session: 10, start: 100}, process{session: 10, start: 150}
	for _, c := range []struct {
		name string
		p    process
		all  map[int]process
		want bool
	}{
		{"the daemon", leader, map[int]process{10: leader}, true},
		{"its child", child, map[int]process{10: leader, 11: child}, true},
		{"its child after its end", child, map[int]process{11: child}, true},
		{"a child of a later process of that number", child, map[int]process{10: {session: 10, start: 140}, 11: child}, false},
		{"another session", process{session: 9, start: 150}, map[int]process{10: leader}, false},
	} {
		if got := ours.leads(c.p, c.all); got != c.want {
			t.Errorf("%s: ours %t, want %t", c.name, got, c.want)
		}
	}
}

func TestParseStatSurvivesNamesWithParentheses(t *testing.T) {
	stat := []byte("42 (a ) b (c) S 1 42 40 " + strings.Repeat("0 ", 15) + "777 0 0")
	got, err := parseStat(stat)
	if err != nil || got != (process{session: 40, start: 777}) {
		t.Errorf("process %+v, error %v; want session 40, start 777", got, err)
	}
	if _, err := parseStat(bytes.Replace(stat, []byte(" S "), []byte(" Z "), 1)); err == nil {
		t.Error("a zombie counts as running")
	}
}

func TestRemoveLeavesForeignDirectoriesAlone(t *testing.T) {
	dir := t.TempDir()
	treasure := filepath.Join(dir, "treasure")
	if err := os.WriteFile(treasure, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := remove(dir); err == nil {
		t.Error("a directory that is not a cloud was removed")
	}
	if _, err := os.Stat(treasure); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{filepath.Join(dir, "absent"), t.TempDir()} {
		if err := remove(gone); err != nil {
			t.Errorf("remove %s, where nothing is: %v", gone, err)
		}
	}
}

func TestPackagesThatAreOnlyHalfInstalledAreMissing(t *testing.T) {
	got := parseVersions("ii |uwsgi-core|2.0.21\nrc |rabbitmq-server|3.10\nun |python3-neutron|\niU |python3-octavia|11\n")
	if diff := cmp.Diff(map[string]string{"uwsgi-core": "2.0.21"}, got); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
}

func TestAptStep(t *testing.T) {
	for line, want := range map[string]string{
		"pmstatus:python3-octavia:57.1429:Unpacking python3-octavia (amd64)": "install 57 %: Unpacking python3-octavia (amd64)",
		"dlstatus:3:1.5:Retrieving file 3 of 200":                            "download 1 %: Retrieving file 3 of 200",
		"Reading package lists...":                                           "",
	} {
		if got := aptStep(line); got != want {
			t.Errorf("%q is told as %q, want %q", line, got, want)
		}
	}
}

// Embedding leaves out names that begin with a dot or an underscore.
func TestPythonFilesAreEmbedded(t *testing.T) {
	var got []string
	err := fs.WalkDir(files, "files/python", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, strings.TrimPrefix(path, "files/python/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"await_queue.py", "fairlead_lab-1.0.dist-info/METADATA", "fairlead_lab-1.0.dist-info/entry_points.txt", "fairlead_lab.py", "run.py", "sitecustomize.py"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("embedded files (-want +got):\n%s", diff)
	}
}

func TestInjectRefusesKindsThatOctaviaHasNot(t *testing.T) {
	err := testCloud().Inject(t.Context(), "loadbalancer", "id", "ERROR", "")
	if err == nil || !strings.Contains(err.Error(), "there are loadbalancers, listeners") {
		t.Errorf("error %v, want one with the kinds", err)
	}
}

func TestNodeOutsideOfTheTenantNetworkIsRefused(t *testing.T) {
	_, _, err := testCloud().AddNode(t.Context(), "n1", netip.MustParseAddr("10.0.0.1"))
	if err == nil || !strings.Contains(err.Error(), "172.31.0.0/24") {
		t.Errorf("error %v, want one that names the subnet", err)
	}
}
