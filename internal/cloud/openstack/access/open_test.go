package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

func noFile(string) ([]byte, error) { return nil, fs.ErrNotExist }

func secretOf(pairs ...string) Source {
	s := Source{Data: map[string][]byte{}, ReadFile: noFile}
	for i := 0; i < len(pairs); i += 2 {
		s.Data[pairs[i]] = []byte(pairs[i+1])
	}
	return s
}

func open(t *testing.T, cloud *fake.Cloud, from Source) *Cloud {
	t.Helper()
	c, err := Open(t.Context(), from, Options{Transport: cloud.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func global(lines ...string) string { return "[Global]\n" + strings.Join(lines, "\n") + "\n" }

// bodies are the requests that Keystone gets.
func signIns(cloud *fake.Cloud) []string {
	var out []string
	for _, call := range cloud.Calls() {
		if call.Route() == "POST /v3/auth/tokens" {
			out = append(out, call.Body)
		}
	}
	return out
}

func TestEveryWayIn(t *testing.T) {
	cloud := fake.New(fake.Options{})
	k := cloud.Credentials()
	url, password := "auth-url="+k.AuthURL, `password="`+k.Password+`"`
	scoped := `"scope":{"project":{"domain":{"name":"Default"},"name":"demo"}}`
	byName := `"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"Default"},"name":"demo","password":"secret"}}}`
	for _, tc := range []struct {
		name string
		from Source
		want []string // of the request
		not  []string
	}{
		{"user and project by name, one domain for both", secretOf("cloud.conf", global(url, "username=demo", password, "tenant-name=demo", "domain-name=Default")), []string{byName, scoped}, nil},
		{"a domain for each", secretOf("cloud.conf", global(url, "username=demo", password, "tenant-name=demo", "user-domain-name=Default", "tenant-domain-name=Default")), []string{byName, scoped}, nil},
		{"a domain of their own counts before the one for both", secretOf("cloud.conf", global(url, "username=demo", password, "tenant-name=demo", "domain-id=other", "user-domain-name=Default", "tenant-domain-name=Default")), []string{byName, scoped}, nil},
		{"the project's domain is the user's where nobody says", secretOf("cloud.conf", global(url, "username=demo", password, "tenant-name=demo", "user-domain-name=Default")), []string{byName, scoped}, nil},
		{"an id of a domain counts before its name", secretOf("cloud.conf", global(url, "username=demo", password, "tenant-id="+k.ProjectID, "domain-id=default", "domain-name=Default")), []string{`"domain":{"id":"default"}`, `"scope":{"project":{"id":"` + k.ProjectID + `"}}`}, nil},
		{"an address without a version", secretOf("cloud.conf", global("auth-url="+strings.TrimSuffix(k.AuthURL, "/v3"), "username=demo", password, "tenant-name=demo", "domain-name=Default")), []string{byName}, nil},
		{"an application credential by id", secretOf("cloud.conf", global(url, "application-credential-id="+k.ApplicationCredentialID, "application-credential-secret="+k.ApplicationCredentialSecret)), []string{`"application_credential":{"id":"`}, []string{"scope"}},
		{"an application credential by name", secretOf("cloud.conf", global(url, "application-credential-name="+k.ApplicationCredentialName, "application-credential-secret="+k.ApplicationCredentialSecret, "username=demo", "user-domain-name=Default")), []string{`"application_credential":{"name":"fairlead","secret":"app-secret","user":{"domain":{"name":"Default"},"name":"demo"}}`}, []string{"scope"}},
		{"an application credential counts before a password", secretOf("cloud.conf", global(url, "username=demo", password, "tenant-name=demo", "domain-name=Default", "application-credential-id="+k.ApplicationCredentialID, "application-credential-secret="+k.ApplicationCredentialSecret)), []string{`"application_credential":{"id":"`}, []string{"scope", `"password"`}},
		{"clouds.yaml", secretOf("clouds.yaml", onlyEntry(cloud.CloudsYAML())), []string{byName, scoped}, nil},
		{"clouds.yaml with the wanted entry", func() Source { s := secretOf("clouds.yaml", cloud.CloudsYAML()); s.Cloud = "fake-appcred"; return s }(), []string{`"application_credential":{"id":"`}, nil},
		{"clouds.yaml with the entry that cloud.conf names", secretOf("cloud.conf", global("use-clouds=true", "cloud=fake"), "clouds.yaml", cloud.CloudsYAML()), []string{byName}, nil},
		{"clouds-file in the Secret, by its base name", secretOf("cloud.conf", global("use-clouds=true", "cloud=fake", "clouds-file=/etc/config/my.yaml"), "my.yaml", cloud.CloudsYAML()), []string{byName}, nil},
		{"cloud.conf counts before clouds.yaml", secretOf("cloud.conf", global("use-clouds=true", "cloud=fake", "tenant-id="+k.ProjectID), "clouds.yaml", cloud.CloudsYAML()), []string{`"scope":{"project":{"id":"` + k.ProjectID + `"}}`}, nil},
		{"secure.yaml counts before clouds.yaml", secretOf("clouds.yaml", strings.ReplaceAll(onlyEntry(cloud.CloudsYAML()), k.Password, "wrong"), "secure.yaml", "clouds: {fake: {auth: {password: "+k.Password+"}}}"), []string{byName}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cloud.ResetCalls()
			c := open(t, cloud, tc.from)
			if c.ProjectID != k.ProjectID {
				t.Errorf("project %q, want %q", c.ProjectID, k.ProjectID)
			}
			bodies := signIns(cloud)
			if len(bodies) != 1 || len(cloud.Calls()) != 1 {
				t.Fatalf("opening took %v, want one sign-in alone", cloud.CountCalls())
			}
			for _, want := range tc.want {
				if !strings.Contains(bodies[0], want) {
					t.Errorf("%s\nis not in %s", want, bodies[0])
				}
			}
			for _, not := range tc.not {
				if strings.Contains(bodies[0], not) {
					t.Errorf("%s\nis in %s", not, bodies[0])
				}
			}
			if v, err := c.APIVersion(t.Context()); err != nil || v.String() != "v2.26" {
				t.Errorf("Octavia's version is %v, %v", v, err)
			}
		})
	}
}

// onlyEntry leaves the first cloud of the fake's clouds.yaml.
func onlyEntry(text string) string { return text[:strings.Index(text, "  fake-appcred:")] }

func TestATrustIsUsedAsMagnumMeansIt(t *testing.T) {
	var bodies []string
	keystone := answering(func(r *http.Request, body string) (int, string) {
		bodies = append(bodies, body)
		return http.StatusUnauthorized, `{"error": {"message": "no such trust"}}`
	})
	for _, conf := range []string{
		global("auth-url=http://k.invalid/v3", "user-id=u1", "password=pw", "trust-id=t1", "domain-name=Default", "tenant-name=x"),
		global("auth-url=http://k.invalid/v3", "user-id=u0", "password=p0", "trust-id=t1", "trustee-id=u1", "trustee-password=pw"),
	} {
		if _, err := Open(t.Context(), secretOf("cloud.conf", conf), Options{Transport: keystone}); err == nil {
			t.Error("a refusal is no error")
		}
	}
	want := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u1","password":"pw"}}},"scope":{"OS-TRUST:trust":{"id":"t1"}}}}`
	if diff := cmp.Diff([]string{want, want}, bodies); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestATokenIsTakenAsItIs(t *testing.T) {
	cloud := fake.New(fake.Options{})
	first := open(t, cloud, secretOf("cloud.conf", cloud.CloudConf()))
	token := first.Network.Token()
	second := open(t, cloud, secretOf("cloud.conf", global("auth-url="+cloud.Credentials().AuthURL, "token="+token)))
	if _, err := second.Extensions(t.Context()); err != nil || second.ProjectID != first.ProjectID {
		t.Errorf("project %q: %v", second.ProjectID, err)
	}
	cloud.RevokeTokens()
	if _, err := second.APIVersion(t.Context()); err != nil { // needs no token
		t.Error(err)
	}
	_, err := loadbalancers.Get(t.Context(), second.LoadBalancer, "x").Extract()
	if f := Classify(err); f.Kind != Denied || f.Uncertain {
		t.Errorf("a token that has ended is %+v", f)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	cloud := fake.New(fake.Options{})
	url := "auth-url=" + cloud.Credentials().AuthURL
	enter := []string{url, "username=demo", "password=secret", "tenant-name=demo", "domain-name=Default"}
	for _, tc := range []struct {
		from Source
		want string
	}{
		{secretOf("cloud.conf", global("lb-version=1", "auth_url=x")), `cloud.conf line 3: names have "-" where this one has "_"`},
		{secretOf("cloud.conf", "[LoadBalancer]\nlb-version=v1"), `cloud.conf line 2: [LoadBalancer] lb-version = "v1": write v2, or leave the key out`},
		{secretOf("cloud.conf", ""), "there is no auth-url: write Keystone's address, such as https://keystone.example.org:5000/v3, into [Global], or as auth_url into clouds.yaml"},
		{secretOf("cloud.conf", global("auth-url=keystone")), "auth-url is no address: write Keystone's, such as https://keystone.example.org:5000/v3"},
		{secretOf("cloud.conf", global("auth-url=http://a:hunter2@k.invalid/v3")), "auth-url has a user or password in it: write them as username and password"},
		{secretOf("cloud.conf", global(url)), "there are no credentials: write application-credential-id and application-credential-secret, or username and password, into [Global], or the same below auth into clouds.yaml"},
		{secretOf("cloud.conf", global(url, "password=x")), "there is no user: write username or user-id into [Global], or username or user_id into clouds.yaml"},
		{secretOf("cloud.conf", global(url, "password=x", "username=u")), "the user u has no domain: write user-domain-name into [Global], or user_domain_name into clouds.yaml; it is often Default"},
		{secretOf("cloud.conf", global(url, "application-credential-id=x")), "the application credential has no secret: write application-credential-secret"},
		{secretOf("cloud.conf", global(url, "trust-id=x", "user-id=u")), "the trust's user has no password: write trustee-password or password"},
		{secretOf("cloud.conf", global(append(enter, "ca-file=/etc/ssl/ca.pem")...)), "ca-file: the file /etc/ssl/ca.pem is not there, and the Secret has no key ca.pem with its content"},
		{secretOf("cloud.conf", global(append(enter, "ca-file=/etc/ssl/ca.pem")...), "ca.pem", "hunter2"), "ca-file: /etc/ssl/ca.pem has no certificate in PEM format"},
		{secretOf("cloud.conf", global(append(enter, "cert-file=c.pem")...)), "cert-file and key-file belong together: write both or none"},
		{secretOf("cloud.conf", global(append(enter, "cert-file=c.pem", "key-file=k.pem")...), "c.pem", "hunter2", "k.pem", "hunter2"), "cert-file and key-file: c.pem and k.pem are no certificate and its key in PEM format"},
		{secretOf("cloud.conf", global(append(enter, "region=Mars")...)), "the catalog has no service network in the region Mars: write one of RegionOne"},
		{secretOf("cloud.conf", global(url, "username=demo", "password=secret", "domain-name=Default")), "the credentials belong to no project: write tenant-id or tenant-name into [Global], or project_id or project_name into clouds.yaml"},
		{secretOf("clouds.yaml", "clouds: {a: {}, b: {}}"), "clouds.yaml has several entries: name one of a, b"},
		{secretOf("clouds.yaml", ""), "clouds.yaml has no entry: write one below clouds"},
		{secretOf("clouds.yaml", "clouds:\n  a: {verify: hunter2}"), "clouds.yaml: line 2 is not as it should be: look at the indentation, and whether texts are where texts belong"},
		{secretOf("clouds.yaml", "clouds:\n a: x\n  hunter2: {"), "clouds.yaml: line 3 is not as it should be: look at the indentation, and whether texts are where texts belong"},
		{secretOf("clouds.yaml", "clouds: {a: {profile: vexxhost}}"), "clouds.yaml: the entry a takes its values from a profile, which is not here: write them into the entry"},
		{secretOf("cloud.conf", global("use-clouds", "cloud=x"), "clouds.yaml", "clouds: {a: {}, b: {}}"), `clouds.yaml has no entry "x": name one of a, b`},
		{secretOf("cloud.conf", global("use-clouds")), "[Global] clouds-file: the file /etc/openstack/clouds.yaml is not there, and the Secret has no key clouds.yaml with its content"},
	} {
		_, err := Open(t.Context(), tc.from, Options{Transport: cloud.Transport()})
		var bad *ConfigError
		if !errors.As(err, &bad) || err.Error() != tc.want {
			t.Errorf("%v (%T)\nwant %s", err, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats a secret: %v", err)
		}
	}
	if _, err := Open(t.Context(), secretOf("ca.pem", "x"), Options{}); !errors.Is(err, ErrNoConfiguration) {
		t.Errorf("a Secret without configuration: %v", err)
	}
}

func TestACloudWithoutOctaviaSaysSo(t *testing.T) {
	cloud := fake.New(fake.Options{})
	hide := roundTrip(func(r *http.Request) (*http.Response, error) {
		response, err := cloud.Transport().RoundTrip(r)
		if err != nil {
			return nil, err
		}
		return edit(response, func(text string) string { return strings.ReplaceAll(text, `"load-balancer"`, `"nothing"`) }), nil
	})
	_, err := Open(t.Context(), secretOf("cloud.conf", cloud.CloudConf()), Options{Transport: hide})
	want := "the catalog has no service load-balancer with a public address: this cloud has no Octavia, or the user may not see it"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestVersionsAndSlashesInTheCatalogDoNotCount(t *testing.T) {
	cloud := fake.New(fake.Options{})
	for _, suffix := range []string{"", "/", "/v2.0", "/v2.0/", "/v2"} {
		change := roundTrip(func(r *http.Request) (*http.Response, error) {
			response, err := cloud.Transport().RoundTrip(r)
			if err != nil || !strings.HasSuffix(r.URL.Path, "/auth/tokens") {
				return response, err
			}
			return edit(response, func(text string) string {
				return strings.NewReplacer(`/load-balancer"`, `/load-balancer`+suffix+`"`, `/networking"`, `/networking`+suffix+`"`).Replace(text)
			}), nil
		})
		c, err := Open(t.Context(), secretOf("cloud.conf", cloud.CloudConf()), Options{Transport: change})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := loadbalancers.List(c.LoadBalancer, nil).AllPages(t.Context()); err != nil {
			t.Errorf("with %q: %v", suffix, err)
		}
		if _, err := c.APIVersion(t.Context()); err != nil {
			t.Errorf("with %q: %v", suffix, err)
		}
		if has, err := c.Extensions(t.Context()); err != nil || !has["router"] {
			t.Errorf("with %q: %v, %v", suffix, has, err)
		}
	}
}

func TestVersionAndExtensionsAreAskedForOnce(t *testing.T) {
	cloud := fake.New(fake.Options{OctaviaVersion: "v2.5"})
	c := open(t, cloud, secretOf("cloud.conf", cloud.CloudConf()))
	cloud.ResetCalls()
	cloud.Intercept(func(call fake.Call) fake.Fault {
		if call.Number%2 == 0 {
			return fake.Reply(http.StatusServiceUnavailable)
		}
		return fake.Fault{}
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				if _, err := c.APIVersion(t.Context()); err == nil {
					break
				}
			}
			for {
				if _, err := c.Extensions(t.Context()); err == nil {
					break
				}
			}
		})
	}
	wg.Wait()
	good := 0
	for _, call := range cloud.Calls() {
		if call.Status == http.StatusOK {
			good++
		}
	}
	if good != 2 {
		t.Errorf("%d calls were answered, want one of each kind", good)
	}
	v, _ := c.APIVersion(t.Context())
	if v.AtLeast(6) || !v.AtLeast(5) {
		t.Errorf("the version is %s", v)
	}
}

func TestWhoWaitsForAnotherWaitsNoLongerThanTheyWant(t *testing.T) {
	r := remember[int]()
	begun, end := make(chan bool), make(chan bool)
	go r.get(context.Background(), func(context.Context) (int, error) { close(begun); <-end; return 7, nil })
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.get(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with %v", err)
	}
	close(end)
	if n, err := r.get(t.Context(), nil); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestManyWhoseTokenEndedSignInOnce(t *testing.T) {
	cloud := fake.New(fake.Options{})
	c := open(t, cloud, secretOf("cloud.conf", cloud.CloudConf()))
	for range 5 {
		cloud.RevokeTokens()
		cloud.ResetCalls()
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if _, err := floatingips.List(c.Network, nil).AllPages(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := loadbalancers.List(c.LoadBalancer, nil).AllPages(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(signIns(cloud)); n != 1 {
			t.Errorf("%d sign-ins for one token that ended", n)
		}
	}
}

func TestAChangedPasswordIsDeniedAndTriedOnce(t *testing.T) {
	cloud := fake.New(fake.Options{})
	c := open(t, cloud, secretOf("clouds.yaml", onlyEntry(cloud.CloudsYAML())))
	cloud.SetPassword("another")
	cloud.RevokeTokens()
	cloud.ResetCalls()
	_, err := loadbalancers.Create(t.Context(), c.LoadBalancer, loadbalancers.CreateOpts{Name: "x", VipSubnetID: cloud.IDs().SubnetV4}).Extract()
	f := Classify(err)
	if f.Kind != Denied || f.Uncertain || f.Status != http.StatusUnauthorized || !strings.HasPrefix(f.Message, "signing in again: The request you have made requires authentication") {
		t.Errorf("%+v", f)
	}
	if n := len(cloud.Calls()); n != 2 {
		t.Errorf("%d calls, want the one and a sign-in: more could lock the user out", n)
	}
}

func TestACallEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := fake.New(fake.Options{})
		c := open(t, cloud, secretOf("cloud.conf", cloud.CloudConf()+"[Metadata]\nrequest-timeout=7s\n"))
		cloud.Intercept(func(fake.Call) fake.Fault { return fake.Fault{Delay: time.Hour} })
		begin := time.Now()
		_, err := loadbalancers.Create(t.Context(), c.LoadBalancer, loadbalancers.CreateOpts{Name: "x", VipSubnetID: cloud.IDs().SubnetV4}).Extract()
		f := Classify(err)
		if f.Kind != Unreachable || !f.Uncertain || time.Since(begin) != 7*time.Second {
			t.Errorf("after %s: %+v", time.Since(begin), f)
		}
		if f.Message != "no answer from openstack.invalid in time" {
			t.Errorf("message %q", f.Message)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = loadbalancers.Get(ctx, c.LoadBalancer, "x").Extract()
		if f := Classify(err); f.Kind != Unreachable || f.Uncertain || !errors.Is(f, context.Canceled) {
			t.Errorf("a call that was given up is %+v", f)
		}
	})
}

func TestCallsAreCountedByTemplate(t *testing.T) {
	cloud := fake.New(fake.Options{})
	registry := prometheus.NewRegistry()
	var logged bytes.Buffer
	o := Options{Transport: cloud.Transport(), Metrics: registry, Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for range 2 { // of two classes with two Secrets
		c, err := Open(t.Context(), secretOf("cloud.conf", cloud.CloudConf()), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.APIVersion(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _ = loadbalancers.Get(t.Context(), c.LoadBalancer, "3b0f8c1a-9d9f-4b7c-9f5f-1d2e3c4b5a69").Extract()
		_, _ = floatingips.Get(t.Context(), c.Network, "3b0f8c1a-9d9f-4b7c-9f5f-1d2e3c4b5a69").Extract()
		cloud.Intercept(func(fake.Call) fake.Fault { return fake.Fault{Lost: fake.LostBefore} })
		_, _ = floatingips.List(c.Network, nil).AllPages(t.Context())
		cloud.Intercept(nil)
	}
	want := []string{
		"fairlead_cloud_request_seconds GET floatingips network: 2",
		"fairlead_cloud_request_seconds GET floatingips/{id} network: 2",
		"fairlead_cloud_request_seconds GET loadbalancers/{id} load-balancer: 2",
		"fairlead_cloud_request_seconds GET versions load-balancer: 2",
		"fairlead_cloud_request_seconds POST auth/tokens identity: 2",
		"fairlead_cloud_requests_total 200 GET versions load-balancer: 2",
		"fairlead_cloud_requests_total 201 POST auth/tokens identity: 2",
		"fairlead_cloud_requests_total 404 GET floatingips/{id} network: 2",
		"fairlead_cloud_requests_total 404 GET loadbalancers/{id} load-balancer: 2",
		"fairlead_cloud_requests_total none GET floatingips network: 2",
	}
	if diff := cmp.Diff(want, figures(t, registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if !strings.Contains(logged.String(), `msg="cloud call" service=load-balancer method=GET resource=loadbalancers/{id} code=404`) || strings.Contains(logged.String(), "3b0f8c1a") {
		t.Errorf("log:\n%s", logged.String())
	}
}

// figures are the metrics as name, labels and count.
func figures(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			line := f.GetName()
			for _, l := range m.GetLabel() {
				line += " " + l.GetValue()
			}
			out = append(out, fmt.Sprintf("%s: %v", line, m.GetCounter().GetValue()+float64(m.GetHistogram().GetSampleCount())))
		}
	}
	slices.Sort(out)
	return out
}

func TestResource(t *testing.T) {
	for path, want := range map[string]string{
		"/": "versions", "": "versions", "/v2.0": "versions", "/v2/lbaas/loadbalancers": "loadbalancers",
		"/v2.0/lbaas/pools/0a1b/members/2c3d":           "pools/{id}/members/{id}",
		"/v2.0/lbaas/loadbalancers/0a1b/status":         "loadbalancers/{id}/status",
		"/v2.0/ports/0a1b/tags/tags":                    "ports/{id}/tags/tags",
		"/v2.0/ports/0a1b/tags/kube_cluster_id":         "ports/{id}/tags/{id}",
		"/v2.0/security-groups/x y":                     "security-groups/{id}",
		"/v2.0/floatingips.json":                        "floatingips",
		"/v2.0/lbaas/providers/ovn/flavor_capabilities": "providers/{id}/flavor_capabilities",
		"/a/b/c/d/e/f/g/h":                              "{id}/{id}/{id}/{id}/{id}/{id}/...",
		"/v3/auth/tokens":                               "auth/tokens",
	} {
		if got := resource(path); got != want {
			t.Errorf("resource(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestUserAgent(t *testing.T) {
	cloud := fake.New(fake.Options{})
	var agent string
	see := roundTrip(func(r *http.Request) (*http.Response, error) {
		agent = r.UserAgent()
		return cloud.Transport().RoundTrip(r)
	})
	if _, err := Open(t.Context(), secretOf("cloud.conf", cloud.CloudConf()), Options{Transport: see}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(agent, "fairlead/v") {
		t.Errorf("User-Agent %q", agent)
	}
}

func TestACloudPrintsItsNameAlone(t *testing.T) {
	cloud := fake.New(fake.Options{})
	c := open(t, cloud, secretOf("cloud.conf", cloud.CloudConf()))
	want := "project " + c.ProjectID + " at openstack.invalid"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, c); got != want {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if text, err := json.Marshal(c); err != nil || string(text) != `"`+want+`"` {
		t.Errorf("JSON is %s, %v", text, err)
	}
}
