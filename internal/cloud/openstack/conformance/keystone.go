package conformance

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
)

// projectOf reads the project out of the token.
func projectOf(p *gophercloud.ProviderClient) (string, error) {
	created, ok := p.GetAuthResult().(tokens.CreateResult)
	if !ok {
		return "", fmt.Errorf("authentication left a %T", p.GetAuthResult())
	}
	project, err := created.ExtractProject()
	if err != nil {
		return "", err
	}
	if project == nil {
		return "", fmt.Errorf("the token is for no project")
	}
	return project.ID, nil
}

func (s *suite) keystone(t *testing.T) {
	t.Run("a wrong password is 401", func(t *testing.T) {
		auth := s.Auth
		auth.Password = "wrong"
		_, err := s.connect(t.Context(), auth)
		refused(t, "authenticate", err, http.StatusUnauthorized)
	})
	t.Run("an application credential is a token of its project", func(t *testing.T) {
		if s.ApplicationCredential == nil {
			t.Skip("the target names none")
		}
		c := s.enter(t, *s.ApplicationCredential)
		if c.project != s.project {
			t.Errorf("project %s, want %s", c.project, s.project)
		}
		wrong := *s.ApplicationCredential
		wrong.ApplicationCredentialSecret = "wrong"
		_, err := s.connect(t.Context(), wrong)
		refused(t, "authenticate with a wrong secret", err, http.StatusUnauthorized)
	})
	t.Run("a token that is no good any more is replaced", func(t *testing.T) {
		c := s.enter(t, s.Auth)
		c.provider.SetToken("nonsense")
		if _, err := networks.List(c.network, networks.ListOpts{Limit: 1}).AllPages(t.Context()); err != nil {
			t.Errorf("list networks with a bad token: %v", err)
		}
	})
	t.Run("a token that is no good is 401 everywhere", func(t *testing.T) {
		for name, service := range map[string]func(client) *gophercloud.ServiceClient{
			"network":       func(c client) *gophercloud.ServiceClient { return c.network },
			"load balancer": func(c client) *gophercloud.ServiceClient { return c.lb },
		} {
			c := s.enter(t, s.Auth)
			c.provider.ReauthFunc = nil
			c.provider.SetToken("nonsense")
			url := service(c).ServiceURL("networks")
			if name == "load balancer" {
				url = service(c).ServiceURL("lbaas", "loadbalancers")
			}
			if status, answer := raw(t, service(c), http.MethodGet, url, nil); status != http.StatusUnauthorized {
				t.Errorf("%s: %d %v", name, status, answer)
			}
		}
	})
}
