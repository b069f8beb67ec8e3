package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

// leftovers are what the cloud has that was made for Services.
func leftovers(cloud *fake.Cloud) []string {
	var out []string
	for _, l := range cloud.LoadBalancers() {
		out = append(out, "load balancer "+l.Name)
	}
	for _, f := range cloud.FloatingIPs() {
		out = append(out, "floating IP "+f.Address.String())
	}
	for _, g := range cloud.SecurityGroups() {
		out = append(out, "security group "+g.Name)
	}
	for _, p := range cloud.Ports() {
		if p.DeviceOwner != "compute:nova" {
			out = append(out, "port "+p.Name)
		}
	}
	return out
}

// gone builds two Services and takes the cluster away, as one that was deleted without
// them.
func gone(t *testing.T) (cloud *fake.Cloud, config string) {
	t.Helper()
	api, cloud := stage(t, fake.Options{}, "manage-security-groups = true")
	api.addService("web", 30080)
	api.addService("dns", 30081)
	api.build(t, clusterUID)
	cloud.ResetCalls()
	return cloud, file(t, "cloud.conf", conf(cloud, ""))
}

// nowhere is a kubeconfig of a cluster that is gone.
func nowhere(t *testing.T) string {
	return file(t, "kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n")
}

func TestPurgeListsTheClustersAndThenWhatOneHas(t *testing.T) {
	cloud, config := gone(t)
	args := []string{"purge", "--cloud-config", config, "--kubeconfig", nowhere(t)}
	out, warnings, err := run(t.Context(), nil, args...)
	t.Log("\n" + out)
	if err != nil || !strings.Contains(out, "fairlead purge --cluster "+clusterUID) {
		t.Errorf("purge without a cluster: %v\n%s", err, out)
	}
	hushed(t, out, warnings)

	out, warnings, err = run(t.Context(), nil, append(args, "--cluster", clusterUID, "--dry-run")...)
	t.Log("\n" + out + warnings)
	for _, want := range []string{"shop/web", "shop/dns", "floating IP", "security group", "Steps, none of which was taken", "delete load balancer"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if err != nil || !strings.Contains(warnings, "No cluster was looked at") {
		t.Errorf("--dry-run: %v\n%s", err, warnings)
	}
	hushed(t, out, warnings)

	out, _, err = run(t.Context(), strings.NewReader(clusterUID[:8]+"\n"), append(args, "--cluster", clusterUID)...)
	if err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("without a terminal: %v\n%s", err, out)
	}
	unchanged(t, cloud)
}

func TestPurgeLeavesNothingAndMayBeRepeated(t *testing.T) {
	cloud, config := gone(t)
	args := []string{"purge", "--cloud-config", config, "--kubeconfig", nowhere(t), "--cluster", clusterUID, "--yes"}
	out, warnings, err := run(t.Context(), nil, args...)
	t.Log("\n" + out)
	if err != nil || !strings.Contains(out, "nothing is left of the cluster") {
		t.Errorf("purge: %v\n%s", err, out)
	}
	if left := leftovers(cloud); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	hushed(t, out, warnings)
	cloud.ResetCalls()
	out, _, err = run(t.Context(), nil, args...)
	if err != nil || !strings.Contains(out, "nothing to delete") {
		t.Errorf("once more: %v\n%s", err, out)
	}
	unchanged(t, cloud)
}

func TestPurgeThatIsStoppedAtAnyCallIsResumed(t *testing.T) {
	cloud, config := gone(t)
	args := []string{"purge", "--cloud-config", config, "--kubeconfig", nowhere(t), "--cluster", clusterUID, "--yes"}
	for stops := 0; ; stops++ {
		ctx, stop := context.WithCancel(t.Context())
		var once atomic.Bool
		cloud.Intercept(func(c fake.Call) fake.Fault {
			if !c.Mutating || once.Swap(true) {
				return fake.Fault{}
			}
			return fake.Fault{After: stop} // the next one comes too late
		})
		out, warnings, err := run(ctx, nil, args...)
		stop()
		cloud.Intercept(nil)
		hushed(t, out, warnings)
		if err == nil {
			if stops < 4 {
				t.Errorf("stopped %d times only", stops)
			}
			break
		}
		if !strings.Contains(err.Error(), "again") || stops > 30 {
			t.Fatalf("stop %d: %v\n%s", stops, err, out)
		}
	}
	if left := leftovers(cloud); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestPurgeSaysWhatIsLeftAndWhy(t *testing.T) {
	cloud, config := gone(t)
	cloud.Intercept(func(c fake.Call) fake.Fault {
		if c.Method == http.MethodDelete && strings.HasPrefix(c.Path, "/v2.0/floatingips") {
			return fake.Fault{Status: http.StatusForbidden, Body: `{"NeutronError": {"type": "PolicyNotAuthorized", "message": "The floating IP is pinned by ` + passphrase + `", "detail": ""}}`}
		}
		return fake.Fault{}
	})
	out, warnings, err := run(t.Context(), nil, "purge", "--cloud-config", config, "--kubeconfig", nowhere(t), "--cluster", clusterUID, "--yes")
	t.Log("\n" + out)
	if err == nil || !strings.Contains(out, "What is left:") || !strings.Contains(out, "because: The floating IP is pinned") {
		t.Errorf("purge: %v\n%s", err, out)
	}
	hushed(t, out, warnings, err.Error())
	if len(cloud.LoadBalancers()) > 0 || len(cloud.FloatingIPs()) != 2 {
		t.Errorf("one thing that cannot go keeps others: %v", leftovers(cloud))
	}
}

func TestPurgeLeavesOtherClustersAndWhatIsKept(t *testing.T) {
	api, cloud := stage(t, fake.Options{}, "manage-security-groups = true")
	api.addService("kept", 30080).Annotations = map[string]string{"loadbalancer.openstack.org/keep-floatingip": "true"}
	api.build(t, clusterUID)
	mine := leftovers(cloud)
	api.services = nil
	api.addService("web", 30090)
	api.build(t, otherUID)
	all := len(leftovers(cloud))

	config := file(t, "cloud.conf", conf(cloud, ""))
	args := []string{"purge", "--cloud-config", config, "--kubeconfig", nowhere(t)}
	out, _, err := run(t.Context(), nil, args...)
	if err != nil || !strings.Contains(out, "--cluster "+clusterUID) || !strings.Contains(out, "--cluster "+otherUID) {
		t.Errorf("clusters: %v\n%s", err, out)
	}
	out, _, err = run(t.Context(), nil, append(args, "--cluster", clusterUID, "--cluster-name", "kubernetes", "--yes")...)
	t.Log("\n" + out)
	if err != nil || !strings.Contains(out, "kept by annotation") {
		t.Errorf("purge: %v\n%s", err, out)
	}
	if left := leftovers(cloud); len(left) != all-len(mine)+1 {
		t.Errorf("left %v; the first cluster had %v", left, mine)
	}
	if len(cloud.LoadBalancers()) != 1 || len(cloud.FloatingIPs()) != 2 {
		t.Errorf("left: %v", leftovers(cloud))
	}
}

func TestPurgeOfALivingClusterNeedsAWordMore(t *testing.T) {
	api, cloud := stage(t, fake.Options{}, "")
	api.addService("web", 30080)
	api.build(t, clusterUID)
	api.services[0].Status.LoadBalancer.Ingress = ingress(cloud.FloatingIPs()[0].Address)
	cloud.ResetCalls()
	out, warnings, err := api.command(t.Context(), nil, "purge", "--cluster", clusterUID, "--yes")
	if err == nil || !strings.Contains(err.Error(), "--even-in-use") || !strings.Contains(warnings, "WARNING: this cluster lives") || !strings.Contains(warnings, "shop/web 203.0.113.") {
		t.Errorf("purge: %v\n%s%s", err, out, warnings)
	}
	unchanged(t, cloud)
	out, warnings, err = api.command(t.Context(), nil, "purge", "--cluster", otherUID, "--cluster-name", "kubernetes", "--dry-run")
	if err != nil || strings.Contains(out, "shop/web") {
		t.Errorf("another cluster of the same name: %v\n%s%s", err, out, warnings)
	}
	out, warnings, err = api.command(t.Context(), nil, "purge", "--cluster", clusterUID, "--yes", "--even-in-use")
	if err != nil || len(leftovers(cloud)) > 0 {
		t.Errorf("--even-in-use: %v\n%s%s\nleft: %v", err, out, warnings, leftovers(cloud))
	}
}

func TestPurgeAsksForTheClusterByName(t *testing.T) {
	for _, c := range []struct {
		uid, name, answer string
		goes              bool
	}{
		{uid: clusterUID, answer: "c0ffee00\n", goes: true},
		{uid: clusterUID, answer: " c0ffee00", goes: true},
		{uid: clusterUID, answer: "y\n"},
		{uid: clusterUID, answer: "\n"},
		{uid: clusterUID, answer: ""},
		{name: "kubernetes", answer: "kubernetes\n", goes: true},
		{name: "kubernetes", answer: "yes\n"},
	} {
		var out strings.Builder
		p := purge{uid: c.uid, name: c.name, in: strings.NewReader(c.answer), out: &out, interactive: true}
		if err := p.confirm(t.Context()); (err == nil) != c.goes {
			t.Errorf("the answer %q to %q: %v", c.answer, out.String(), err)
		}
	}
}

func TestPurgeThatIsStoppedAtTheQuestionDeletesNothing(t *testing.T) {
	silent, typing := io.Pipe()
	defer typing.Close()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	p := purge{uid: clusterUID, in: silent, out: io.Discard, interactive: true}
	if err := p.confirm(ctx); err == nil {
		t.Error("Ctrl-C at the question is taken for yes")
	}
}

func TestPurgeTakesNoNameForAUID(t *testing.T) {
	if _, _, err := run(t.Context(), nil, "purge", "--cluster", "kubernetes"); err == nil || !strings.Contains(err.Error(), "--cluster-name") {
		t.Errorf("--cluster kubernetes: %v", err)
	}
}

func TestPurgeTakesTheCredentialsOfTheOpenStackCommand(t *testing.T) {
	cloud, _ := gone(t)
	args := []string{"purge", "--kubeconfig", nowhere(t), "--cluster", clusterUID, "--dry-run"}
	looks := func(what string, more ...string) {
		t.Helper()
		out, warnings, err := run(t.Context(), nil, append(args, more...)...)
		if err != nil || !strings.Contains(out, "shop/web") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
		hushed(t, out, warnings)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	if _, _, err := run(t.Context(), nil, args...); err == nil || !strings.Contains(err.Error(), "give --cloud-config FILE") {
		t.Errorf("without credentials: %v", err)
	}
	k := cloud.Credentials()
	for name, value := range map[string]string{"AUTH_URL": k.AuthURL, "USERNAME": k.User, "PASSWORD": passphrase, "PROJECT_NAME": k.Project,
		"USER_DOMAIN_NAME": k.Domain, "PROJECT_DOMAIN_ID": "default", "REGION_NAME": k.Region, "INTERFACE": "public"} {
		t.Setenv("OS_"+name, value)
	}
	looks("variables")
	yaml := file(t, "clouds.yaml", cloud.CloudsYAML())
	looks("--cloud-config clouds.yaml", "--cloud-config", yaml, "--cloud", "fake-appcred")
	t.Setenv("OS_CLIENT_CONFIG_FILE", yaml)
	t.Setenv("OS_CLOUD", "fake-appcred")
	looks("OS_CLOUD")
	looks("--cloud", "--cloud", "fake-appcred")
}
