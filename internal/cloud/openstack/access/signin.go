package access

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/compat/occm"
)

// signIn makes Keystone's request of the credentials. Where they say more than one
// thing, the narrower counts: an application credential before a token before a
// password, and an id before a name. gophercloud refuses what is said twice.
func signIn(c *occm.Credentials) (gophercloud.AuthOptions, error) {
	o := gophercloud.AuthOptions{IdentityEndpoint: c.AuthURL, AllowReauth: true}
	if err := checkURL(c.AuthURL); err != nil {
		return o, err
	}
	application := c.ApplicationCredentialID != "" || c.ApplicationCredentialName != ""
	switch {
	case application && !c.ApplicationCredentialSecret.Given():
		return o, wrong("the application credential has no secret: write application-credential-secret")
	case c.ApplicationCredentialID != "":
		o.ApplicationCredentialID = c.ApplicationCredentialID
		o.ApplicationCredentialSecret = c.ApplicationCredentialSecret.Reveal()
		return o, nil // its project is its own
	case application:
		o.ApplicationCredentialName = c.ApplicationCredentialName
		o.ApplicationCredentialSecret = c.ApplicationCredentialSecret.Reveal()
		return o, who(&o, c, c.UserID)
	case c.TrustID != "":
		if o.Password = c.TrusteePassword.Reveal(); o.Password == "" {
			o.Password = c.Password.Reveal()
		}
		user := c.TrusteeID
		if user == "" {
			user = c.UserID
		}
		if o.Password == "" {
			return o, wrong("the trust's user has no password: write trustee-password or password")
		}
		o.Scope = &gophercloud.AuthScope{TrustID: c.TrustID}
		return o, who(&o, c, user)
	case c.Token.Given():
		o.TokenID = c.Token.Reveal()
		o.Scope = scope(c)
		// A token without another scope is taken as it is, and cannot be renewed.
		o.AllowReauth = o.Scope != nil
		return o, nil
	case c.Password.Given():
		o.Password = c.Password.Reveal()
		o.Scope = scope(c)
		return o, who(&o, c, c.UserID)
	}
	return o, wrong("there are no credentials: write application-credential-id and application-credential-secret, or username and password, into [Global], or the same below auth into clouds.yaml")
}

// who fills in the user.
func who(o *gophercloud.AuthOptions, c *occm.Credentials, id string) error {
	if o.UserID = id; id != "" {
		return nil
	}
	if c.Username == "" {
		return wrong("there is no user: write username or user-id into [Global], or username or user_id into clouds.yaml")
	}
	o.Username = c.Username
	o.DomainID, o.DomainName = domain(c.UserDomainID, c.UserDomainName, c)
	if o.DomainID == "" && o.DomainName == "" {
		return wrong("the user %s has no domain: write user-domain-name into [Global], or user_domain_name into clouds.yaml; it is often Default", c.Username)
	}
	return nil
}

// domain is the one that is given, or else the one for all.
func domain(id, name string, c *occm.Credentials) (string, string) {
	if id == "" && name == "" {
		id, name = c.DomainID, c.DomainName
	}
	if id != "" {
		return id, ""
	}
	return "", name
}

// scope is the project; nil leaves it to Keystone, where a user may have a default.
func scope(c *occm.Credentials) *gophercloud.AuthScope {
	if c.ProjectID != "" {
		return &gophercloud.AuthScope{ProjectID: c.ProjectID}
	}
	if c.ProjectName == "" {
		return nil
	}
	s := &gophercloud.AuthScope{ProjectName: c.ProjectName}
	if s.DomainID, s.DomainName = domain(c.ProjectDomainID, c.ProjectDomainName, c); s.DomainID == "" && s.DomainName == "" {
		// OCCM's users leave it out where it is the user's.
		s.DomainID, s.DomainName = domain(c.UserDomainID, c.UserDomainName, c)
	}
	return s
}

func checkURL(text string) error {
	if text == "" {
		return wrong("there is no auth-url: write Keystone's address, such as https://keystone.example.org:5000/v3, into [Global], or as auth_url into clouds.yaml")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return wrong("auth-url is no address: write Keystone's, such as https://keystone.example.org:5000/v3")
	}
	if u.User != nil {
		return wrong("auth-url has a user or password in it: write them as username and password")
	}
	return nil
}

// secure makes the connections: with the CA of the configuration alone where it has
// one, and with its client certificate.
func secure(from Source, c *occm.Credentials) (*http.Transport, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} // who writes tls-insecure = true asks for it
	if c.CAFile != "" {
		text, err := from.file("ca-file", expand(c.CAFile))
		if err != nil {
			return nil, err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return nil, wrong("ca-file: %s has no certificate in PEM format", c.CAFile)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, wrong("cert-file and key-file belong together: write both or none")
	}
	if c.CertFile != "" {
		cert, err := from.file("cert-file", expand(c.CertFile))
		if err != nil {
			return nil, err
		}
		key, err := from.file("key-file", expand(c.KeyFile))
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, wrong("cert-file and key-file: %s and %s are no certificate and its key in PEM format", c.CertFile, c.KeyFile)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = settings
	t.MaxIdleConnsPerHost = 16 // as many calls as a driver has on their way
	return t, nil
}
