package occm

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/lb"
)

func mustParse(t *testing.T, text string) (*Config, []string) {
	t.Helper()
	c, warnings, err := ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, w := range warnings {
		said = append(said, fmt.Sprintf("%d %s %s", w.Line, w.Kind, w.Text))
	}
	return c, said
}

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNothingIsAConfigurationOfDefaults(t *testing.T) {
	c, said := mustParse(t, "")
	want := &Config{
		LoadBalancer: LoadBalancer{
			Enabled: true, Provider: "amphora", Method: "ROUND_ROBIN", Cascade: true, HostnameSuffix: "nip.io", ContainerStore: "barbican",
			Monitor: lb.Monitor{Delay: 5 * time.Second, Timeout: 3 * time.Second, MaxRetries: 1, MaxRetriesDown: 3},
		},
		Classes: map[string]*Class{}, RequestTimeout: time.Minute,
	}
	if diff := cmp.Diff(want, c); diff != "" || said != nil {
		t.Errorf("defaults (-want +got):\n%s\nwarnings %v", diff, said)
	}
}

func TestConfigurationsAsTheyAreFound(t *testing.T) {
	for _, tc := range []struct {
		file  string
		want  func(*Config)
		warns []string
	}{
		{"magnum.conf", func(c *Config) {
			c.Credentials = Credentials{
				AuthURL: "http://203.0.113.7/identity/v3", UserID: "5e4a3b2c1d0f4e3d8c7b6a5948372615", Password: NewSecret("Tr0ub4dor-and-3"),
				TrustID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0", CAFile: "/etc/kubernetes/ca-bundle.crt", Region: "RegionOne",
			}
			c.LoadBalancer.Given = true
			c.LoadBalancer.Subnet = "7d4ad0e2-8c4d-4f60-a6c8-0b6f3b1d7e11"
			c.LoadBalancer.FloatingNetwork = "1c9b4c62-6f7f-4a2e-9c55-0a4a3f1a2b3c"
			c.LoadBalancer.CreateMonitor = true
			c.LoadBalancer.Monitor = lb.Monitor{Delay: time.Minute, Timeout: 30 * time.Second, MaxRetries: 3, MaxRetriesDown: 3}
		}, []string{
			"9 Unused [LoadBalancer] use-octavia has no effect: it is always Octavia",
			"16 Unused [BlockStorage] is for volumes: the Cinder CSI driver reads it",
			"19 Unused [Networking] internal-network-name has no effect: the addresses of nodes are read from their Node objects",
		}},
		{"kubespray.conf", func(c *Config) {
			c.Credentials = Credentials{
				AuthURL: "https://keystone.example.org:5000/v3", Region: "RegionTwo", CAFile: "/etc/kubernetes/external-openstack-cacert.pem",
				ApplicationCredentialID: "3b0f8c1a9d9f4b7c9f5f1d2e3c4b5a69", ApplicationCredentialSecret: NewSecret(`s3cr;et#with"quotes`),
			}
			c.LoadBalancer.Given = true
			c.LoadBalancer.FloatingNetwork = "9f1c3b6a-13f9-4a39-9c2e-5c0d4a3b2c1d"
			c.LoadBalancer.FloatingSubnet.ID = "b7a9c1de-2222-4a39-9c2e-5c0d4a3b2c1d"
			c.LoadBalancer.Method = "LEAST_CONNECTIONS"
			c.LoadBalancer.CreateMonitor = true
			c.LoadBalancer.Monitor = lb.Monitor{Delay: 30 * time.Second, Timeout: 10 * time.Second, MaxRetries: 2, MaxRetriesDown: 3}
			c.LoadBalancer.SecurityGroups = true
			c.LoadBalancer.IngressHostname = true
			c.LoadBalancer.HostnameSuffix = "sslip.io"
		}, []string{
			"22 Unused [LoadBalancer] max-shared-lb has no effect: any number of Services may share a load balancer",
			"25 Unused [Networking] ipv6-support-disabled has no effect: the addresses of nodes are read from their Node objects",
			"26 Unused [Networking] internal-network-name has no effect: the addresses of nodes are read from their Node objects",
			"27 Unused [Networking] internal-network-name has no effect: the addresses of nodes are read from their Node objects",
			"28 Unused [Networking] public-network-name has no effect: the addresses of nodes are read from their Node objects",
			"31 Unused [Metadata] search-order has no effect: the metadata service is not asked",
		}},
		{"capo.conf", func(c *Config) {
			c.Credentials = Credentials{UseClouds: true, CloudsFile: "/etc/config/clouds.yaml", Cloud: "prod"}
			c.LoadBalancer.Given = true
			c.LoadBalancer.Provider, c.LoadBalancer.Method = "ovn", "SOURCE_IP_PORT"
			c.LoadBalancer.CreateMonitor = true
			c.LoadBalancer.NodeSelector = &lb.Selector{Requirements: []lb.Requirement{
				{Key: "node-role.example.org/gateway", Operator: lb.Exists}, {Key: "zone", Operator: lb.In, Values: []string{"a"}}}}
			c.Classes["internet"] = &Class{FloatingNetwork: "5f6e7d8c-9bad-4c0f-8e1d-2c3b4a596877", FloatingSubnet: lb.SubnetChoice{Name: "~public-(a|b)"}}
			c.Classes[`Office "2"`] = &Class{
				FloatingNetwork: "6a7b8c9d-0e1f-4a2b-9c3d-4e5f60718293", FloatingSubnet: lb.SubnetChoice{Tags: "office,vpn"},
				Network: "11112222-3333-4444-5555-666677778888",
			}
		}, nil},
		{"ovh.conf", func(c *Config) {
			c.Credentials = Credentials{
				AuthURL: "https://auth.cloud.example.org/v3", Username: "user-k8s", Password: NewSecret(`pa ss\word`), ProjectID: "b21b68637237488bbb5f33ac8d86b848",
				DomainName: "Default", Region: "GRA9", Endpoint: Internal,
			}
			c.LoadBalancer.Given = true
			c.LoadBalancer.Method = "SOURCE_IP_PORT"
			c.LoadBalancer.Subnet = "0d4ad0e2-8c4d-4f60-a6c8-0b6f3b1d7e12"
			c.RequestTimeout = 2 * time.Minute
		}, []string{
			"9 Doubtful [Global] tls-insecure: certificates are verified: only the word true switches that off",
			"12 Unused [LoadBalancer] use-octavia has no effect: it is always Octavia",
			"14 Doubtful [LoadBalancer] lb-method = SOURCE_IP_PORT is nothing that the provider amphora can do; ROUND_ROBIN is used",
			"15 Unknown nobody knows floting-network-id in [LoadBalancer]; did you mean floating-network-id?",
			"16 Doubtful [LoadBalancer] subnet-id ends where a comment begins in the middle of a word; if # or ; belong to the value, put it in double quotes",
			"17 Doubtful [LoadBalancer] subnet-id is in line 16 already; the last one counts",
			"18 Unknown nobody reads region in [LoadBalancer]: it belongs into [Global]",
			"20 Unknown nobody knows the section Loadbalancers; did you mean [LoadBalancer]?",
		}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			got, said := mustParse(t, file(t, tc.file))
			want := defaults()
			tc.want(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.warns, said); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCaseOfNamesDoesNotCount(t *testing.T) {
	c, said := mustParse(t, "[GLOBAL]\nAUTH-URL=a\n[loadbalancer]\nSubnet-ID=b\n[LOADBALANCERCLASS \"X\"]\nNetwork-Id=c\n")
	if c.Credentials.AuthURL != "a" || c.LoadBalancer.Subnet != "b" || c.Classes["X"].Network != "c" || said != nil {
		t.Errorf("got %+v, warnings %v", c, said)
	}
}

// The table is what is read: every key of it changes something, and its default
// changes nothing.
func TestEveryKeyIsRead(t *testing.T) {
	under := func(k Key, value string) string {
		header := "[" + k.Section + "]"
		if k.Section == sectionClass {
			header = "[" + k.Section + ` "x"]`
		}
		return header + "\n" + k.Name + " = \"" + value + "\"\n"
	}
	for _, k := range Keys() {
		t.Run(k.Section+"/"+k.Name, func(t *testing.T) {
			bare, _ := mustParse(t, strings.SplitAfter(under(k, ""), "\n")[0])
			got, said := mustParse(t, under(k, k.Example))
			changed := !cmp.Equal(bare, got)
			switch {
			case k.Honoured == No && (changed || len(said) != 1):
				t.Errorf("it is said to have no effect; changed %v, warnings %v", changed, said)
			case k.Honoured != No && !changed && k.Name != "lb-version":
				t.Errorf("%q changes nothing", k.Example)
			case k.Honoured != No && len(said) != 0 && k.Name != "lb-method":
				t.Errorf("the example is warned of: %v", said)
			}
			if k.Honoured != No && k.Meaning == "" || k.Honoured != Yes && k.Remark == "" || k.Example == "" {
				t.Errorf("the reference misses something of %+v", k)
			}
			if k.Default != "" {
				if got, _ := mustParse(t, under(k, k.Default)); !cmp.Equal(bare, got) && k.Name != "os-endpoint-type" {
					t.Errorf("the default is not %q:\n%s", k.Default, cmp.Diff(bare, got))
				}
			}
		})
	}
}

func TestSwitches(t *testing.T) {
	for text, want := range map[string]bool{
		"create-monitor": true, "create-monitor=true": true, "create-monitor=Yes": true, "create-monitor=ON": true, "create-monitor=1": true,
		"create-monitor=false": false, "create-monitor=no": false, "create-monitor=oFF": false, "create-monitor=0": false,
	} {
		if c, _ := mustParse(t, "[LoadBalancer]\n"+text); c.LoadBalancer.CreateMonitor != want {
			t.Errorf("%s is %v", text, c.LoadBalancer.CreateMonitor)
		}
	}
}

func TestWrongValuesSayWhatToWrite(t *testing.T) {
	for _, tc := range []struct{ section, line, want string }{
		{"LoadBalancer", "create-monitor=", `[LoadBalancer] create-monitor = "": write true or false`},
		{"LoadBalancer", "create-monitor=maybe", `[LoadBalancer] create-monitor = "maybe": write true or false`},
		{"LoadBalancer", "lb-version=v1", `[LoadBalancer] lb-version = "v1": write v2, or leave the key out`},
		{"LoadBalancer", "lb-method=ROUND-ROBIN", `[LoadBalancer] lb-method = "ROUND-ROBIN": write ROUND_ROBIN, LEAST_CONNECTIONS or SOURCE_IP; with the provider ovn SOURCE_IP_PORT`},
		{"LoadBalancer", "monitor-delay=5", `[LoadBalancer] monitor-delay = "5": write a duration of at least a second with its unit, such as 5s or 1m`},
		{"LoadBalancer", "monitor-delay=-5s", `[LoadBalancer] monitor-delay = "-5s": write a duration`},
		{"LoadBalancer", "monitor-max-retries=11", `[LoadBalancer] monitor-max-retries = "11": write a number from 1 to 10`},
		{"LoadBalancer", "subnet-id=../x", `[LoadBalancer] subnet-id = "../x": write the id, which has letters, digits and hyphens only`},
		{"LoadBalancer", "subnet-id", `[LoadBalancer] subnet-id has no value: write a value after =, or leave the key out`},
		{"LoadBalancer", "floating-subnet=~(", `[LoadBalancer] floating-subnet = "~(": write a regular expression after the ~, such as ~public-.*`},
		{"LoadBalancer", "node-selector=a b=c", `[LoadBalancer] node-selector = "a b=c": write labels of nodes, such as "zone=a, gateway"`},
		{"LoadBalancer", "lb-provider=", `[LoadBalancer] lb-provider = "": write amphora, ovn, or another provider of the cloud`},
		{"LoadBalancer", "ingress-hostname-suffix=.nip.io", `[LoadBalancer] ingress-hostname-suffix = ".nip.io": write a DNS name in lower case, such as shop.example.org`},
		{"LoadBalancer", "default-tls-container-ref=c0", `[LoadBalancer] default-tls-container-ref = "c0": write Barbican's reference`},
		{`LoadBalancerClass "x"`, "network-id=a/b", `[LoadBalancerClass "x"] network-id = "a/b": write the id`},
		{"Global", "os-endpoint-type=outside", `[Global] os-endpoint-type = "outside": write public, internal or admin`},
		{"Global", "tls-insecure", `[Global] tls-insecure has no value: write true or false`},
		{"Metadata", "request-timeout=60", `[Metadata] request-timeout = "60": write a duration`},
	} {
		_, _, err := ParseConfig([]byte("[" + tc.section + "]\n\n" + tc.line))
		if err == nil || !strings.HasPrefix(err.Error(), "cloud.conf line 3: "+tc.want) {
			t.Errorf("%s: %v\nwant %s", tc.line, err, tc.want)
		}
	}
}

func TestAllWrongValuesAreToldAtOnce(t *testing.T) {
	_, warnings, err := ParseConfig([]byte("[LoadBalancer]\nlb-version=v1\nenabeld=no\ncreate-monitor=x\n"))
	if err == nil || strings.Count(err.Error(), "cloud.conf line") != 2 || len(warnings) != 1 {
		t.Errorf("error %v, warnings %v", err, warnings)
	}
}

func TestWhatCannotBeRightIsWarnedOf(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"[LoadBalancerClass]\nnetwork-id=n", `1 Unknown [LoadBalancerClass] needs a name: write [LoadBalancerClass "name"]; nothing below it counts`},
		{"[Global \"x\"]\nusername=n", `1 Unknown [Global] takes no name in quotes: write [Global]; nothing below it counts`},
		{"[LoadBalancer]\nlb-provider=ovn\nlb-method=ROUND_ROBIN", `3 Doubtful [LoadBalancer] lb-method = ROUND_ROBIN is nothing that the provider ovn can do; SOURCE_IP_PORT is used`},
		{"[Global]\npassword=pass#word", `2 Doubtful [Global] password ends where a comment begins in the middle of a word; if # or ; belong to the value, put it in double quotes`},
		{"[Global]\nzzzz=1", "2 Unknown nobody knows zzzz in [Global]"},
		{"[Qqqq]\nzzzz=1", "1 Unknown nobody knows the section Qqqq"},
		// The second half of a secret that an editor broke in two.
		{"[Global]\npassword=aaaa\nVGhpcyBpcyBhIHNlY3JldA==", "3 Unknown nobody knows what is written there in [Global]"},
	} {
		c, said := mustParse(t, tc.text)
		if diff := cmp.Diff([]string{tc.want}, said); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.text, diff)
		}
		if c.Credentials.Username != "" || c.Classes[""] != nil {
			t.Errorf("%q: a key below a wrong header counts: %+v", tc.text, c)
		}
	}
}

// marker stands for a secret: no word of ours is like it.
const marker = "q7Zx9Kv2mW4t"

var markedLine = regexp.MustCompile(`(?im)^[ \t]*(password|token|trustee-password|application-credential-secret)[ \t]*=.*` + marker)

func FuzzParseConfig(f *testing.F) {
	for _, name := range []string{"magnum.conf", "kubespray.conf", "capo.conf", "ovh.conf"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("[Global]\npassword=" + marker + "\\x\ntoken")
	f.Add("[Global]\npassword=x" + marker + "#y\nlb-version=1\n[LoadBalancer]\nlb-version=1")
	f.Add("[Global \"" + marker + "\"]\ntoken=\"" + marker + "\"")
	f.Add("[LoadBalancer]\nlb-version=\"\\\"\"\nnode-selector=,=,a=b=c")
	f.Fuzz(func(t *testing.T, text string) {
		c, warnings, err := ParseConfig([]byte(text))
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		said := fmt.Sprint(warnings, err)
		if c != nil {
			said += fmt.Sprintf("%+v %#v", c, *c)
			again, warnedAgain, _ := ParseConfig([]byte(text))
			if !cmp.Equal(c, again) || !reflect.DeepEqual(warnings, warnedAgain) {
				t.Errorf("%q is read in two ways", text)
			}
			if _, refusal := c.Options(lb.Octavia{}, &lb.Service{}); refusal != nil && refusal.Remedy == "" {
				t.Errorf("no remedy: %+v", refusal)
			}
		}
		if strings.Count(text, marker) == 1 && markedLine.MatchString(text) && strings.Contains(said, marker) {
			t.Errorf("%q: the secret is in %s", text, said)
		}
	})
}
