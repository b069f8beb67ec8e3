package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// direct speaks to the loopback, so no proxy of the environment's has a say.
var direct = &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}, Timeout: 2 * time.Minute}

// session is an account with a token.
type session struct {
	token     string
	projectID string
	userID    string
}

// login gets a token for an account.
func login(ctx context.Context, a Account) (session, error) {
	type named = map[string]any
	domain := named{"id": "default"}
	body := named{"auth": named{
		"identity": named{
			"methods":  []string{"password"},
			"password": named{"user": named{"name": a.User, "password": a.Password, "domain": domain}},
		},
		"scope": named{"project": named{"name": a.Project, "domain": domain}},
	}}
	var reply struct {
		Token struct {
			Project, User struct{ ID string }
		}
	}
	header, err := request(ctx, "", http.MethodPost, authURL+"/auth/tokens", body, &reply)
	if err != nil {
		return session{}, fmt.Errorf("log in as %s: %w", a.User, err)
	}
	return session{token: header.Get("X-Subject-Token"), projectID: reply.Token.Project.ID, userID: reply.Token.User.ID}, nil
}

// call sends a request with JSON and reads the reply into out, unless nil.
func (s session) call(ctx context.Context, method, url string, in, out any) error {
	_, err := request(ctx, s.token, method, url, in, out)
	return err
}

// create makes an object and returns its id. Its fields come and go inside an
// object of its kind: {"network": {"name": …}}.
func (s session) create(ctx context.Context, url, kind string, fields map[string]any) (string, error) {
	reply := map[string]struct{ ID string }{}
	if err := s.call(ctx, http.MethodPost, url, map[string]any{kind: fields}, &reply); err != nil {
		return "", err
	}
	return reply[kind].ID, nil
}

// statusError is a reply that says no.
type statusError struct {
	method, url string
	code        int
	body        string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", e.method, e.url, e.code, http.StatusText(e.code), strings.TrimSpace(e.body))
}

func request(ctx context.Context, token, method, url string, in, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	resp, err := direct.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	if resp.StatusCode >= 300 {
		return nil, &statusError{method, url, resp.StatusCode, string(data)}
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, url, err)
		}
	}
	return resp.Header, nil
}

func isStatus(err error, code int) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// Call makes a call in the name of an account: what a user does by hand. The URL
// begins with one of Direct, in and out are JSON, unless nil.
func (c *Cloud) Call(ctx context.Context, who Account, method, url string, in, out any) error {
	s, err := login(ctx, who)
	if err != nil {
		return err
	}
	return s.call(ctx, method, url, in, out)
}
