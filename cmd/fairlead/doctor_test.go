package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cloud/openstack/doctor"
	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

func TestDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	api, cloud := stage(t, fake.Options{}, "manage-security-groups = true")
	api.addService("web", 30080)
	out, warnings, err := api.command(t.Context(), nil, "doctor")
	t.Log("\n" + out)
	if err != nil || strings.Contains(out, "problem") || strings.Contains(out, "unknown") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	hushed(t, out, warnings)
	unchanged(t, cloud)
	if out, _, err = api.command(t.Context(), nil, "doctor", "-o", "yaml"); err != nil || !strings.Contains(out, "- check: sign-in") {
		t.Errorf("doctor -o yaml: %v\n%s", err, out)
	}
}

// findings runs doctor and gives what is not ok, by check.
func findings(t *testing.T, api *apiServer, cloud *fake.Cloud, args ...string) (map[string][]doctor.Finding, error) {
	t.Helper()
	out, warnings, err := api.command(t.Context(), nil, append([]string{"doctor", "-o", "json"}, args...)...)
	hushed(t, out, warnings)
	unchanged(t, cloud)
	var all struct{ Clouds []diagnosis }
	if out != "" {
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
	}
	bad := make(map[string][]doctor.Finding)
	for _, d := range all.Clouds {
		for _, f := range d.Findings {
			if f.State != doctor.OK {
				bad[f.Check] = append(bad[f.Check], f)
			}
		}
	}
	return bad, err
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		options fake.Options
		conf    string
		prepare func(*apiServer, *fake.Cloud)
		args    []string
		check   string
		state   doctor.State
		want    string
	}{
		{name: "a mistyped key", conf: "flaovr-id = x", check: "configuration", state: doctor.Warning, want: "did you mean flavor-id?"},
		{name: "a password that is not right", prepare: func(_ *apiServer, c *fake.Cloud) { c.SetPassword("another") }, check: "sign-in", state: doctor.Problem, want: "renew the credentials"},
		{name: "a Secret that is not there", prepare: func(a *apiServer, _ *fake.Cloud) { delete(a.secrets, "cloud-config") }, check: "configuration", state: doctor.Problem, want: "create secret generic"},
		{name: "a Secret that may not be read", prepare: func(a *apiServer, _ *fake.Cloud) { a.forbidden = true }, check: "configuration", state: doctor.Problem, want: "you may not read"},
		{name: "a Secret without a key", prepare: func(a *apiServer, _ *fake.Cloud) { a.secrets["cloud-config"] = nil }, check: "configuration", state: doctor.Problem, want: "neither a key cloud.conf"},
		{name: "a user without the role", prepare: func(a *apiServer, c *fake.Cloud) {
			a.secrets["cloud-config"]["cloud.conf"] = []byte(strings.Replace(strings.Replace(conf(c, ""), "username = demo", "username = noroles", 1), passphrase, "secret", 1))
		}, check: "role", state: doctor.Problem, want: "load-balancer_member"},
		{name: "a region that is not there", prepare: func(a *apiServer, c *fake.Cloud) {
			a.secrets["cloud-config"]["cloud.conf"] = []byte(strings.Replace(conf(c, ""), "RegionOne", "Elsewhere", 1))
		}, check: "sign-in", state: doctor.Problem, want: "write one of RegionOne"},
		{name: "a provider that is not there", options: fake.Options{Providers: []string{"ovn"}}, check: "provider", state: doctor.Problem, want: "asks for the provider amphora"},
		{name: "an Octavia without tags", options: fake.Options{OctaviaVersion: "v2.4"}, check: "API version", state: doctor.Problem, want: "upgrade Octavia"},
		{name: "a Neutron without revisions", options: fake.Options{MissingExtensions: []string{"standard-attr-revisions"}}, conf: "manage-security-groups = true", check: "extensions", state: doctor.Warning, want: "lacks standard-attr-revisions"},
		{name: "a load balancer quota that is used up", prepare: func(_ *apiServer, c *fake.Cloud) { c.SetQuota("load_balancer", 1) }, check: "quota", state: doctor.Problem, want: "load balancers: 0 of 1, and the Service that waits and one more would need 2 more"},
		{name: "a floating IP quota that is used up", prepare: func(_ *apiServer, c *fake.Cloud) { c.SetQuota("floatingip", 0) }, check: "quota", state: doctor.Problem, want: `"floatingip" raised to 2`},
		{name: "a floating subnet that nothing matches", conf: "floating-subnet = nothing-*", check: "floating IPs", state: doctor.Problem, want: "public-pool"},
		{name: "a subnet that is not there", conf: "member-subnet-id = 00000000-0000-4000-8000-00000000dead", check: "ids", state: doctor.Problem, want: "00000000-0000-4000-8000-00000000dead, which is not there"},
		{name: "a flavor that is not there", conf: "flavor-id = 00000000-0000-4000-8000-00000000dead", check: "ids", state: doctor.Problem, want: "the flavor"},
		{name: "a zone that is not there", conf: "availability-zone = az9", check: "ids", state: doctor.Problem, want: "the availability zone az9"},
		{name: "a node that is no port", conf: "manage-security-groups = true", prepare: func(a *apiServer, _ *fake.Cloud) {
			a.nodes[1].Spec.ProviderID, a.nodes[1].Status.Addresses[0].Address = "", "192.168.7.7"
		}, check: "nodes", state: doctor.Warning, want: "and not node-2"},
		{name: "node ports that are closed", check: "node ports", state: doctor.Problem, want: "shop/web: the security groups of node-1, node-2 do not let in tcp 30080 from 10.0.0.0/24"},
		{name: "a Service with an annotation that cannot be read", prepare: func(a *apiServer, _ *fake.Cloud) {
			a.services[0].Annotations = map[string]string{"loadbalancer.openstack.org/connection-limit": "many"}
		}, check: "Services", state: doctor.Problem, want: "shop/web: BadOption"},
		{name: "a Neutron that does not answer", prepare: func(_ *apiServer, c *fake.Cloud) {
			c.Intercept(func(c fake.Call) fake.Fault {
				if strings.Contains(c.Path, "/quotas/") {
					return fake.Reply(http.StatusInternalServerError)
				}
				return fake.Fault{}
			})
		}, check: "Neutron's quota", state: doctor.Unknown, want: "it cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			api, cloud := stage(t, c.options, c.conf)
			api.addService("web", 30080)
			if c.prepare != nil {
				c.prepare(api, cloud)
			}
			bad, err := findings(t, api, cloud, c.args...)
			found := false
			for _, f := range bad[c.check] {
				found = found || f.State == c.state && strings.Contains(f.String(), c.want)
			}
			if !found {
				t.Errorf("no %s of %s with %q in %v", c.state, c.check, c.want, bad)
			}
			if c.state == doctor.Problem && err == nil {
				t.Error("a problem does not end the command with an error")
			}
		})
	}
}

func TestDoctorLooksAtEverySectionAndEveryCloud(t *testing.T) {
	api, cloud := stage(t, fake.Options{}, "manage-security-groups = true\n[LoadBalancerClass \"fast\"]\nfloating-subnet = public-t*")
	api.addClass(conf(cloud, ""))
	api.classes[1].Name, api.classes[1].Spec.Default, api.classes[1].Spec.Octavia.ConfigSecret = "second", false, "second"
	api.secrets["second"] = api.secrets["cloud-config"]
	api.secrets["cloud-config"] = map[string][]byte{"clouds.yaml": []byte(cloud.CloudsYAML())}
	api.classes[0].Spec.Octavia.Cloud = "fake-appcred"
	out, warnings, err := api.command(t.Context(), nil, "doctor")
	for _, want := range []string{"Secret fairlead-system/cloud-config, cloud fake-appcred\n", "\nSecret fairlead-system/second\n", `LoadBalancerClass "second": from network public (`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in (%v):\n%s", want, err, out)
		}
	}
	hushed(t, out, warnings)
	api.secrets["second"]["cloud.conf"] = []byte(conf(cloud, "[LoadBalancerClass \"fast\"]\nfloating-subnet = public-t*"))
	out, _, _ = api.command(t.Context(), nil, "doctor")
	if !strings.Contains(out, `[LoadBalancerClass "fast"]: from network public (`) || !strings.Contains(out, "subnet public-two (") {
		t.Errorf("sections of cloud.conf are not looked at:\n%s", out)
	}
}

func TestDoctorLooksAtACloudBeforeThereIsACluster(t *testing.T) {
	cloud := newCloud(t, fake.Options{})
	cloud.SetPassword(passphrase)
	config := file(t, "cloud.conf", conf(cloud, "manage-security-groups = true"))
	out, _, err := run(t.Context(), nil, "doctor", "--cloud-config", config, "--kubeconfig", nowhere(t))
	t.Log("\n" + out)
	if err != nil || !strings.Contains(out, "the cluster was not looked at") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	hushed(t, out)
	unchanged(t, cloud)
	if _, _, err := run(t.Context(), nil, "doctor", "--kubeconfig", nowhere(t)); err == nil || !strings.Contains(err.Error(), "--cloud-config FILE") {
		t.Errorf("without a cluster and a file: %v", err)
	}
}
