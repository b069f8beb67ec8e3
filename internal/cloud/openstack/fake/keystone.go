package fake

import (
	"net/http"
	"slices"
	"time"
)

type project struct {
	id, name string
	quota    map[string]int // what is missing is unlimited
}

type user struct {
	id, name, password string
	roles              map[string][]string // by project id
}

type token struct {
	id      string
	user    *user
	project *project
	roles   []string
	methods []string
	issued  time.Time
	expires time.Time
	revoked bool
}

// Roles that Octavia's default policy asks for.
const (
	roleMember  = "load-balancer_member"
	roleLBAdmin = "load-balancer_admin"
	roleAdmin   = "admin"
)

func (t *token) admin() bool { return slices.Contains(t.roles, roleAdmin) }

// mayLB tells whether Octavia's policy lets the token do anything in its project.
func (t *token) mayLB() bool { return t.admin() || slices.Contains(t.roles, roleMember) }

func (c *Cloud) keystoneRoutes() map[string]handler {
	version := func(r *request) (reply, error) {
		return reply{body: map[string]any{"version": c.identityVersion()}}, nil
	}
	return map[string]handler{
		"GET /{$}": func(r *request) (reply, error) {
			return reply{status: http.StatusMultipleChoices, body: map[string]any{
				"versions": map[string]any{"values": []any{c.identityVersion()}}}}, nil
		},
		"GET /v3":                version,
		"GET /v3/{$}":            version,
		"POST /v3/auth/tokens":   c.createToken,
		"GET /v3/auth/tokens":    c.showToken,
		"DELETE /v3/auth/tokens": c.revokeToken,
		"GET /v3/auth/catalog":   c.showCatalog,
	}
}

func (c *Cloud) identityVersion() map[string]any {
	return map[string]any{
		"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
		"links":       []any{map[string]any{"rel": "self", "href": c.base + identityPrefix + "/v3/"}},
		"media-types": []any{map[string]any{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}},
	}
}

func unauthorized() error {
	return &refusal{http.StatusUnauthorized, "", "The request you have made requires authentication."}
}

type authRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string
			Password struct {
				User struct {
					ID, Name, Password string
				}
			}
			ApplicationCredential struct {
				ID, Name, Secret string
				User             struct{ ID, Name string }
			} `json:"application_credential"`
			Token struct{ ID string }
		}
		Scope struct {
			Project struct{ ID, Name string }
		}
	}
}

func (c *Cloud) createToken(r *request) (reply, error) {
	var in authRequest
	if err := decodeLoosely(r.body, &in); err != nil {
		return reply{}, err
	}
	id, scope := in.Auth.Identity, in.Auth.Scope.Project
	t := &token{methods: id.Methods, issued: r.now, expires: r.now.Add(c.options.TokenLife)}
	switch {
	case slices.Contains(id.Methods, "password"):
		t.user = c.findUser(id.Password.User.ID, id.Password.User.Name)
		if t.user == nil || t.user.password != id.Password.User.Password {
			return reply{}, unauthorized()
		}
	case slices.Contains(id.Methods, "application_credential"):
		given := id.ApplicationCredential
		known := c.credentials
		if given.Secret != known.ApplicationCredentialSecret ||
			given.ID != known.ApplicationCredentialID && given.Name != known.ApplicationCredentialName {
			return reply{}, unauthorized()
		}
		t.user, scope.ID = c.findUser("", known.User), known.ProjectID
	case slices.Contains(id.Methods, "token"):
		old := c.tokens[id.Token.ID]
		if old == nil || !old.good(r.now) {
			return reply{}, unauthorized()
		}
		// A token does not live longer because it is exchanged.
		t.user, t.expires = old.user, old.expires
		if scope.ID == "" && scope.Name == "" && old.project != nil {
			scope.ID = old.project.id
		}
	default:
		return reply{}, unauthorized()
	}
	if scope.ID != "" || scope.Name != "" {
		if t.project = c.findProject(scope.ID, scope.Name); t.project == nil {
			return reply{}, unauthorized()
		}
		if t.roles = t.user.roles[t.project.id]; t.roles == nil {
			return reply{}, unauthorized()
		}
	}
	t.id = "gAAAA" + c.newID()
	c.tokens[t.id] = t
	return reply{status: http.StatusCreated, header: http.Header{"X-Subject-Token": {t.id}}, body: c.renderToken(t)}, nil
}

func (t *token) good(now time.Time) bool { return !t.revoked && now.Before(t.expires) }

// authenticate finds the token of a call to any service.
func (c *Cloud) authenticate(r *request) error {
	t := c.tokens[r.Header.Get("X-Auth-Token")]
	if t == nil || !t.good(r.now) {
		return unauthorized()
	}
	r.token = t
	return nil
}

func (c *Cloud) needToken(h handler) handler {
	return func(r *request) (reply, error) {
		if err := c.authenticate(r); err != nil {
			return reply{}, err
		}
		if r.token.project == nil {
			return reply{}, unauthorized()
		}
		return h(r)
	}
}

// needRole is needToken and Octavia's policy: everything needs a role of its own.
func (c *Cloud) needRole(h handler) handler {
	return c.needToken(func(r *request) (reply, error) {
		if !r.token.mayLB() {
			return reply{}, policyForbidden()
		}
		return h(r)
	})
}

func policyForbidden() error {
	return &refusal{http.StatusForbidden, "", "Policy does not allow this request to be performed."}
}

func (c *Cloud) showToken(r *request) (reply, error) {
	if err := c.authenticate(r); err != nil {
		return reply{}, err
	}
	t := c.tokens[r.Header.Get("X-Subject-Token")]
	if t == nil || !t.good(r.now) {
		return reply{}, &refusal{http.StatusNotFound, "", "Could not find token."}
	}
	return reply{header: http.Header{"X-Subject-Token": {t.id}}, body: c.renderToken(t)}, nil
}

func (c *Cloud) revokeToken(r *request) (reply, error) {
	if err := c.authenticate(r); err != nil {
		return reply{}, err
	}
	t := c.tokens[r.Header.Get("X-Subject-Token")]
	if t == nil {
		return reply{}, &refusal{http.StatusNotFound, "", "Could not find token."}
	}
	t.revoked = true
	return reply{status: http.StatusNoContent}, nil
}

func (c *Cloud) showCatalog(r *request) (reply, error) {
	if err := c.authenticate(r); err != nil {
		return reply{}, err
	}
	return reply{body: map[string]any{"catalog": c.catalog()}}, nil
}

func (c *Cloud) renderToken(t *token) map[string]any {
	domain := map[string]any{"id": "default", "name": "Default"}
	const keystoneTime = "2006-01-02T15:04:05.000000Z"
	body := map[string]any{
		"methods": t.methods, "is_domain": false, "audit_ids": []string{"fake"},
		"expires_at": t.expires.UTC().Format(keystoneTime), "issued_at": t.issued.UTC().Format(keystoneTime),
		"user": map[string]any{"id": t.user.id, "name": t.user.name, "domain": domain, "password_expires_at": nil},
	}
	if t.project != nil {
		roles := []any{}
		for _, role := range t.roles {
			roles = append(roles, map[string]any{"id": role, "name": role})
		}
		body["project"] = map[string]any{"id": t.project.id, "name": t.project.name, "domain": domain}
		body["roles"] = roles
		body["catalog"] = c.catalog()
	}
	return map[string]any{"token": body}
}

func (c *Cloud) catalog() []any {
	service := func(kind, name, path string) any {
		var endpoints []any
		for _, side := range []string{"public", "internal", "admin"} {
			endpoints = append(endpoints, map[string]any{
				"id": kind + "-" + side, "interface": side, "region": c.region, "region_id": c.region, "url": c.base + path})
		}
		return map[string]any{"id": kind, "type": kind, "name": name, "endpoints": endpoints}
	}
	return []any{
		service("identity", "keystone", identityPrefix+"/v3"),
		service("network", "neutron", networkingPrefix),
		service("load-balancer", "octavia", loadBalancerPrefix),
	}
}

func (c *Cloud) findUser(id, name string) *user {
	for _, u := range c.users {
		if u.id == id || id == "" && u.name == name {
			return u
		}
	}
	return nil
}

func (c *Cloud) findProject(id, name string) *project {
	for _, p := range c.projects {
		if p.id == id || id == "" && p.name == name {
			return p
		}
	}
	return nil
}

// RevokeTokens ends all tokens, as a restart with new keys does.
func (c *Cloud) RevokeTokens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tokens {
		t.revoked = true
	}
}

// SetPassword changes the password of the demo user.
func (c *Cloud) SetPassword(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findUser("", c.credentials.User).password = password
}
