package controller

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/kube"
	"fairlead.dev/fairlead/internal/lb"
)

const clusterUID = "c0ffee00-0000-4000-8000-00000000000a"

// written is a log that a test reads while it is written.
type written struct {
	mu sync.Mutex
	bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Buffer.Write(p)
}

func (w *written) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.String()
}

// sky is a world with one class of a cloud and one Service, and clouds that serve it.
type sky struct {
	t      *testing.T
	cloud  *fake.Cloud
	api    *kubefake.Clientset
	world  lb.World
	clouds *clouds
	log    written
	end    func()
	// version of the Secret.
	version int
}

func newSky(t *testing.T) *sky {
	s := &sky{t: t, cloud: fake.New(fake.Options{}), api: kubefake.NewClientset()}
	s.cloud.Listen()
	t.Cleanup(s.cloud.Close)
	addr := netip.MustParseAddr("10.0.0.11")
	_, server := s.cloud.AddNode("node-1", addr)
	s.world = lb.World{
		Classes: []lb.Class{{Name: "public", Default: true, Provider: lb.ProviderOctavia, Octavia: &lb.Octavia{Secret: "cloud-config"}}},
		Nodes:   []lb.Node{{Name: "node-1", Alive: true, Addresses: []netip.Addr{addr}, ServerID: server}},
		Services: []lb.Service{{Key: lb.Key{Namespace: "shop", Name: "web"}, UID: "5e41ce00-0000-4000-8000-000000000001", LoadBalancer: true,
			Families: []lb.Family{lb.IPv4}, Ports: []lb.Port{{Protocol: "TCP", Number: 80}}, NodePorts: []uint16{30080},
			Finalized: true, Marked: true, CloudClass: "public", Annotations: map[string]string{}}},
	}
	return s
}

// secret writes the Secret with a cloud.conf.
func (s *sky) secret(conf string) {
	s.t.Helper()
	s.version++ // the fake counts no versions
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead-system", Name: "cloud-config", ResourceVersion: strconv.Itoa(s.version)}, Data: map[string][]byte{"cloud.conf": []byte(conf)}}
	secrets := s.api.CoreV1().Secrets("fairlead-system")
	if _, err := secrets.Update(s.t.Context(), secret, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := secrets.Create(s.t.Context(), secret, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sky) remove() {
	s.t.Helper()
	if err := s.api.CoreV1().Secrets("fairlead-system").Delete(s.t.Context(), "cloud-config", metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// start is a controller that begins to lead.
func (s *sky) start() {
	log := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.clouds = newClouds("kubernetes", "fairlead-system", kube.NewSecrets(s.api, "fairlead-system", log), nil, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func(c *clouds) {
		defer close(done)
		if err := c.run(ctx); err != nil {
			s.t.Error(err)
		}
	}(s.clouds)
	s.end = func() { cancel(); <-done }
}

// until runs the controller's loop until what is built is as it should be.
func (s *sky) until(what string, so func([]lb.Built) bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		built := s.clouds.want(&s.world, clusterUID)
		for _, b := range built {
			if len(b.Addresses) > 0 {
				s.world.Services[0].Held = b.Addresses
			}
		}
		if so(built) {
			return
		}
		select {
		case <-s.clouds.changed:
		case <-s.clouds.secrets.Changed():
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.t.Fatalf("%s: not so after 30 s:\n%s", what, s.log.text())
}

func served(built []lb.Built) bool {
	return len(built) == 1 && len(built[0].Addresses) == 1 && built[0].Trouble == nil
}

func troubled(reason lb.Reason) func([]lb.Built) bool {
	return func(built []lb.Built) bool {
		return len(built) == 1 && built[0].Trouble != nil && built[0].Trouble.Reason == reason
	}
}

// conf is a cloud.conf that keeps security groups.
func (s *sky) conf(password string) string {
	s.cloud.SetPassword(password)
	who := s.cloud.Credentials()
	return fmt.Sprintf("[Global]\nauth-url=%s\nusername=%s\npassword=%s\ntenant-name=%s\ndomain-name=%s\nregion=%s\n"+
		"[LoadBalancer]\nmanage-security-groups = true\nlb-method = LEAST_CONNECTIONS\n",
		who.AuthURL, who.User, password, who.Project, who.Domain, who.Region)
}

func TestASecretThatComesLateChangesNothingThatIsThere(t *testing.T) {
	s := newSky(t)
	s.secret(s.conf("passw0rd"))
	s.start()
	s.until("served", served)
	if method := s.cloud.LoadBalancers()[0].Pools[0].Algorithm; method != "LEAST_CONNECTIONS" {
		t.Errorf("the pool's method is %q: it was made without the configuration", method)
	}
	s.end()
	s.remove()
	s.cloud.ResetCalls()
	s.start()
	s.until("the Secret is missed", troubled(lb.SecretMissing))
	if held := s.clouds.want(&s.world, clusterUID)[0].Addresses; len(held) != 1 {
		t.Errorf("without the Secret the Service shows %v", held)
	}
	s.secret(s.conf("passw0rd"))
	s.until("served again", served)
	time.Sleep(2 * time.Second) // a change would have been made by now
	if made := s.cloud.Mutations(); len(made) > 0 {
		t.Errorf("a restart and a Secret that came late made %v", made)
	}
	s.end()
}

func TestCredentialsAreRenewedWithoutARestart(t *testing.T) {
	s := newSky(t)
	s.secret(s.conf("first-passw0rd"))
	now := s.conf("second-passw0rd")
	s.start()
	defer func() { s.end() }()
	s.until("denied", troubled(lb.CloudDenied))
	states := []lb.ClassState{{Name: "public"}}
	if s.clouds.refusals(&s.world, states); states[0].Refusal == nil || states[0].Refusal.Reason != lb.CloudDenied {
		t.Errorf("the class says %v", states[0].Refusal)
	}
	s.secret(now)
	s.until("served", served)
	s.secret("[LoadBalancer]\ncreate-monitor = perhaps\n")
	s.until("the class tells of the bad configuration", func([]lb.Built) bool {
		states := []lb.ClassState{{Name: "public"}}
		s.clouds.refusals(&s.world, states)
		return states[0].Refusal != nil && states[0].Refusal.Reason == lb.BadCloudConfig
	})
	if built := s.clouds.want(&s.world, clusterUID); !served(built) {
		t.Errorf("a bad configuration took the good one out of force: %+v", built)
	}
	for _, secret := range []string{"first-passw0rd", "second-passw0rd"} {
		if strings.Contains(s.log.text(), secret) {
			t.Errorf("the log has a password")
		}
	}
}
