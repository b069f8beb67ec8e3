package octavia

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

// gossip is a cloud that repeats whatever it was told in its refusals.
type gossip struct {
	cloud http.RoundTripper

	mu      sync.Mutex
	tokens  []string
	refuses func(n int, r *http.Request) int // a status; 0 answers well, below 0 loses the connection
	n       int
}

func (g *gossip) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	status := 0
	if g.refuses != nil {
		status = g.refuses(g.n, r)
	}
	if status == 0 {
		response, err := g.cloud.RoundTrip(r)
		if err == nil && response.Header.Get("X-Subject-Token") != "" {
			g.tokens = append(g.tokens, response.Header.Get("X-Subject-Token"))
		}
		return response, err
	}
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
	}
	token := r.Header.Get("X-Auth-Token")
	if status < 0 {
		return nil, errors.New("read: connection reset by peer")
	}
	told := fmt.Sprintf("you are %s, and said %s", token, sent)
	text, err := json.Marshal([]any{
		map[string]any{"faultcode": "Client", "faultstring": told},
		map[string]any{"NeutronError": map[string]any{"type": "Bad", "message": told}},
		map[string]any{"error": map[string]any{"code": status, "message": told}},
	}[g.n%3])
	if err != nil {
		return nil, err
	}
	if g.n%4 == 0 {
		text = []byte("<html>X-Auth-Token: " + told + "</html>")
	}
	header := http.Header{"Content-Type": {"application/json"}, "X-Openstack-Request-Id": {"req-" + token}}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

func (g *gossip) refuse(f func(n int, r *http.Request) int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuses = f
}

// shown is everything that anybody gets to see.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// tell shows a value in every way.
func (s *shown) tell(v any) {
	fmt.Fprintf(s, "%v\n%+v\n%#v\n", v, v, v)
	slog.New(slog.NewJSONHandler(s, nil)).Info("shown", "value", v)
	if text, err := json.Marshal(v); err == nil {
		fmt.Fprintf(s, "%s\n", text)
	}
}

func TestNoSecretIsShownWhateverTheCloudRefuses(t *testing.T) {
	const password = `pa"ss\word é & more`
	for way, login := range map[string]func(c fake.Credentials) string{
		"password": func(c fake.Credentials) string {
			return fmt.Sprintf("username = %s\npassword = \"%s\"\ntenant-name = %s\ndomain-name = Default\n", c.User, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password), c.Project)
		},
		"application credential": func(c fake.Credentials) string {
			return fmt.Sprintf("application-credential-id = %s\napplication-credential-secret = %s\n", c.ApplicationCredentialID, c.ApplicationCredentialSecret)
		},
	} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, brisk(), securedConf)
				s.cloud.SetPassword(password)
				who := s.cloud.Credentials()
				cloud := &gossip{cloud: s.cloud.Transport()}
				out := &shown{}
				log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
				registry := prometheus.NewRegistry()
				open := func() (*Clients, error) {
					conf := fmt.Sprintf("[Global]\nauth-url = %s\n%s[LoadBalancer]\nmanage-security-groups = true\n", who.AuthURL, login(who))
					c, err := access.Open(t.Context(), access.Source{Data: map[string][]byte{"cloud.conf": []byte(conf)}}, access.Options{Transport: cloud, Log: log, Metrics: registry})
					if err != nil {
						return nil, err
					}
					out.tell(c)
					return &Clients{LoadBalancer: c.LoadBalancer, Network: c.Network}, nil
				}
				clients, err := open()
				if err != nil {
					t.Fatal(err)
				}
				s.driver = New(Options{Cloud: "test", Pace: s.pace, Log: log, Metrics: registry})
				ctx, kill := context.WithCancel(t.Context())
				s.kill, s.ended = kill, make(chan struct{})
				go func() {
					defer close(s.ended)
					if err := s.driver.Run(ctx); err != nil {
						out.tell(err)
					}
				}()
				defer s.stop()
				s.driver.Connect(clients, nil)
				reasons := make(map[lb.Reason]bool)
				watch := func(d time.Duration) {
					for range int(d / time.Second) {
						s.play(time.Second)
						for _, b := range s.driver.Built() {
							if out.tell(b); b.Trouble != nil {
								out.tell(b.Trouble.Message())
								out.tell(*b.Trouble)
								reasons[b.Trouble.Reason] = true
							}
						}
					}
				}
				refusals := []int{400, 401, 403, 404, 409, 413, 429, 500, 503, -1}
				for i, status := range refusals {
					s.change(func() { s.service(fmt.Sprintf("web-%d", i), "80/TCP", "53/UDP") })
					watch(5 * time.Second)
					// Some calls of each kind, and then all of them.
					cloud.refuse(func(n int, _ *http.Request) int {
						if n%3 == 0 {
							return status
						}
						return 0
					})
					s.change(func() { s.services[fmt.Sprintf("web-%d", i)].Affinity = time.Hour })
					watch(20 * time.Second)
					cloud.refuse(func(int, *http.Request) int { return status })
					s.cloud.RevokeTokens()
					watch(10 * time.Second)
					_, err := Foresee(t.Context(), clients, s.input())
					out.tell(err)
					_, err = open()
					out.tell(err)
					if s.driver.Connect(nil, lb.Refuse(lb.CloudDenied, "correct the Secret", "%v", err)); err == nil {
						t.Errorf("signed in with %d", status)
					}
					watch(2 * time.Second)
					cloud.refuse(nil)
					if clients, err = open(); err != nil {
						t.Fatal(err)
					}
					s.driver.Connect(clients, nil)
				}
				s.until("well again", s.quiet)
				figures, err := registry.Gather()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range figures {
					fmt.Fprintln(out, f)
				}
				quoted, _ := json.Marshal(password)
				secrets := append([]string{password, string(quoted[1 : len(quoted)-1]), url.QueryEscape(password), url.PathEscape(password), `pa\"ss`, "word é", who.ApplicationCredentialSecret}, cloud.tokens...)
				text := out.text.String()
				for _, secret := range secrets {
					if at := strings.Index(text, secret); at >= 0 {
						t.Fatalf("%q is shown: ...%s...", secret, text[max(0, at-300):min(len(text), at+200)])
					}
				}
				for _, r := range []lb.Reason{lb.CloudDenied, lb.CloudUnreachable} {
					if !reasons[r] || !strings.Contains(text, "fairlead_cloud_failures_total") || len(cloud.tokens) < len(refusals) {
						t.Errorf("the test misses its mark: %v, %d tokens, %d bytes", reasons, len(cloud.tokens), len(text))
					}
				}
			})
		})
	}
}
