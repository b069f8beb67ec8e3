package access

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

func pemOf(certificate []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
}

// A cloud that repeats everything it was sent, and what it should not know, in all its
// refusals: what is shown of them has no secret.
func TestNoSecretIsShownWhateverTheCloudAnswers(t *testing.T) {
	const password = `pa"ss\word é&1`
	var (
		tokens  []string
		refusal int // answers with this status; 0 as the fake does
		body    func(r *http.Request, sent string) string
	)
	cloud := fake.New(fake.Options{})
	cloud.SetPassword(password)
	cloudy := roundTrip(func(r *http.Request) (*http.Response, error) {
		if refusal == 0 {
			response, err := cloud.Transport().RoundTrip(r)
			if err == nil && response.Header.Get("X-Subject-Token") != "" {
				tokens = append(tokens, response.Header.Get("X-Subject-Token"))
			}
			return response, err
		}
		response, err := answering(func(r *http.Request, sent string) (int, string) { return refusal, body(r, sent) }).RoundTrip(r)
		response.Header.Set("X-Subject-Token", "gAAAAnew-token-nobody-has-seen")
		response.Header.Set("Set-Cookie", r.Header.Get("X-Auth-Token"))
		response.Header.Set("X-Openstack-Request-Id", "req-"+r.Header.Get("X-Auth-Token"))
		return response, err
	})
	echoes := map[string]func(r *http.Request, sent string) string{
		"octavia": func(r *http.Request, sent string) string {
			return octavia("token " + r.Header.Get("X-Auth-Token") + " sent " + sent)
		},
		"neutron": func(r *http.Request, sent string) string { return neutron("Bad", fmt.Sprint(r.Header)+sent) },
		"keystone": func(_ *http.Request, sent string) string {
			return fmt.Sprintf(`{"error": {"message": %q}}`, "wrong password "+password+" in "+sent)
		},
		"text": func(r *http.Request, sent string) string {
			return "X-Auth-Token: " + r.Header.Get("X-Auth-Token") + "\n" + sent + " https://demo:" + url.QueryEscape(password) + "@host/ gAAAAnew-token-nobody-has-seen"
		},
		"html":      func(_ *http.Request, sent string) string { return "<html><body>" + sent + "</body></html>" },
		"malformed": func(_ *http.Request, sent string) string { return `{"faultstring": "` + sent + password },
	}
	conf := global("auth-url="+cloud.Credentials().AuthURL, "username=demo", `password="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password)+`"`, "tenant-name=demo", "domain-name=Default")
	for name, echo := range echoes {
		t.Run(name, func(t *testing.T) {
			var shown bytes.Buffer
			show := func(values ...any) {
				log := slog.New(slog.NewJSONHandler(&shown, nil))
				for _, v := range values {
					fmt.Fprintf(&shown, "%v\n%+v\n%s\n", v, v, v)
					log.Info("shown", "value", v)
					text, _ := json.Marshal(v)
					shown.Write(text)
					if err, ok := v.(error); ok {
						for ; err != nil; err = errors.Unwrap(err) {
							fmt.Fprintf(&shown, "%v\n%+v\n", err, err)
						}
						f := Classify(v.(error))
						fmt.Fprintf(&shown, "%v\n%+v\n%#v\n%s %s\n", f, f, f, f.RequestID, f.Message)
					}
				}
			}
			o := Options{Transport: cloudy, Log: slog.New(slog.NewTextHandler(&shown, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			refusal, body = 0, echo
			c, err := Open(t.Context(), secretOf("cloud.conf", conf), o)
			if err != nil {
				t.Fatal(err)
			}
			show(c, c.Config, c.Config.Credentials, c.Warnings)
			fmt.Fprintf(&shown, "%#v %#v\n", c, c.Config)
			for _, refusal = range []int{400, 401, 403, 404, 409, 429, 500, 503} {
				_, err = loadbalancers.Create(t.Context(), c.LoadBalancer, loadbalancers.CreateOpts{Name: "x", VipSubnetID: "y"}).Extract()
				show(err)
				_, err = floatingips.List(c.Network, nil).AllPages(t.Context())
				show(err)
				_, err = Open(t.Context(), secretOf("cloud.conf", conf), o)
				show(err)
				_, err = c.APIVersion(t.Context())
				show(err)
			}
			refusal = http.StatusCreated // what should be a token
			_, err = Open(t.Context(), secretOf("cloud.conf", conf), o)
			show(err)
			quoted, _ := json.Marshal(password)
			secrets := append([]string{password, string(quoted[1 : len(quoted)-1]), url.QueryEscape(password), "gAAAAnew-token-nobody-has-seen"}, tokens...)
			for _, secret := range secrets {
				if at := strings.Index(shown.String(), secret); at >= 0 {
					text := shown.String()
					t.Errorf("%q is shown: ...%s...", secret, text[max(0, at-200):min(len(text), at+100)])
				}
			}
			if strings.Contains(shown.String(), `pa\"ss`) || strings.Contains(shown.String(), "word é") {
				t.Error("a part of the password is shown")
			}
			if shown.Len() < 1000 {
				t.Errorf("hardly anything was shown: %s", shown.String())
			}
		})
	}
}

func TestWordsAreCleaned(t *testing.T) {
	for words, want := range map[string]string{
		"a\n\tb\x00\x1b[31m c":                         "a b [31m c",
		"Invalid password: hunter2":                    "Invalid password: (hidden)",
		`{"password": "hunter2", "name": "x"}`:         `{"password": "(hidden)", "name": "x"}`,
		"u'adminPass': u'hunter2'":                     "u'adminPass': u'(hidden)'",
		"X-Auth-Token: abcdef":                         "X-Auth-Token: (hidden)",
		"Authorization: Bearer abc":                    "Authorization: Bearer (hidden)",
		"GET https://u:hunter2@h/x?token=abc&limit=1":  "GET https://u:(hidden)@h/x?token=(hidden)&limit=1",
		"token gAAAAABlabcdefghi_-x= is over":          "token (hidden) is over",
		"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.abc end": "(hidden) end",
		"Could not find token.":                        "Could not find token.",
		strings.Repeat("é", 400):                       strings.Repeat("é", 299) + "…",
		"bad \xff byte":                                "bad byte",
	} {
		if got := clean(words); got != want {
			t.Errorf("clean(%q)\n got %q\nwant %q", words, got, want)
		}
	}
}

func TestHugeRefusalsAreCut(t *testing.T) {
	cloud := answering(func(*http.Request, string) (int, string) { return 500, strings.Repeat("x", 1<<20) })
	r, err := cloud.RoundTrip(&http.Request{})
	if err != nil {
		t.Fatal(err)
	}
	(&transport{}).refused(&http.Request{}, r)
	if r.ContentLength > 1000 {
		t.Errorf("%d bytes are kept", r.ContentLength)
	}
}

func TestSecretsAreFoundInEveryForm(t *testing.T) {
	for _, secret := range []string{"hunter2", `a"b\c`, "pä ss&<1>", "100%+x", "😀 smile"} {
		for _, form := range append(formsOf(secret), inJSON(inJSON(inASCII(secret), true), false), strings.ToLower(url.QueryEscape(secret)), strings.ReplaceAll(secret, `"`, `\'"`)) {
			got := scrub("before "+form+" after", []string{"", secret})
			if strings.Contains(got, form) || strings.Contains(unescaped(got), unescaped(secret)) {
				t.Errorf("%q as %q: %s", secret, form, got)
			}
			if !strings.Contains(got, "hidden") {
				t.Errorf("%q as %q: %s", secret, form, got)
			}
		}
	}
	if got := scrub("nothing secret", []string{"hunter2", ""}); got != "nothing secret" {
		t.Errorf("words without a secret become %q", got)
	}
}
