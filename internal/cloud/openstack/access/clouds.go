package access

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"fairlead.dev/fairlead/internal/compat/occm"
)

// cloudsFile is a clouds.yaml (openstacksdk, "Configuring OpenStack SDK Applications").
// It is not read by gophercloud's clouds.Parse: that takes its environment variables
// before the file, opens certificates on disk alone, and repeats values in errors.
type cloudsFile struct {
	Clouds map[string]entry `yaml:"clouds"`
}

type entry struct {
	Profile  string `yaml:"profile"`
	Cloud    string `yaml:"cloud"`
	AuthType string `yaml:"auth_type"`
	Auth     struct {
		AuthURL                     string `yaml:"auth_url"`
		Token                       string `yaml:"token"`
		UserID                      string `yaml:"user_id"`
		Username                    string `yaml:"username"`
		Password                    string `yaml:"password"`
		ApplicationCredentialID     string `yaml:"application_credential_id"`
		ApplicationCredentialName   string `yaml:"application_credential_name"`
		ApplicationCredentialSecret string `yaml:"application_credential_secret"`
		ProjectID                   string `yaml:"project_id"`
		ProjectName                 string `yaml:"project_name"`
		TenantID                    string `yaml:"tenant_id"`
		TenantName                  string `yaml:"tenant_name"`
		DomainID                    string `yaml:"domain_id"`
		DomainName                  string `yaml:"domain_name"`
		UserDomainID                string `yaml:"user_domain_id"`
		UserDomainName              string `yaml:"user_domain_name"`
		ProjectDomainID             string `yaml:"project_domain_id"`
		ProjectDomainName           string `yaml:"project_domain_name"`
		DefaultDomain               string `yaml:"default_domain"`
		TrustID                     string `yaml:"trust_id"`
	} `yaml:"auth"`
	Region       string   `yaml:"region_name"`
	Regions      []region `yaml:"regions"`
	EndpointType string   `yaml:"endpoint_type"`
	Interface    string   `yaml:"interface"`
	Verify       *bool    `yaml:"verify"`
	CACert       string   `yaml:"cacert"`
	Cert         string   `yaml:"cert"`
	Key          string   `yaml:"key"`
}

// region is a name, or an object with one.
type region string

// UnmarshalYAML implements yaml.Unmarshaler.
func (r *region) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*r = region(n.Value)
		return nil
	}
	var object struct {
		Name string `yaml:"name"`
	}
	err := n.Decode(&object)
	*r = region(object.Name)
	return err
}

// clouds fills what is empty in the credentials, as OCCM does: cloud.conf counts
// before clouds.yaml, and clouds.yaml after secure.yaml.
func (s Source) clouds(c *occm.Credentials) error {
	text, ok := s.Data["clouds.yaml"]
	if !ok || c.CloudsFile != "" {
		path := c.CloudsFile
		if path == "" {
			path = "/etc/openstack/clouds.yaml"
		}
		var err error
		if text, err = s.file("[Global] clouds-file", expand(path)); err != nil {
			return err
		}
	}
	file, err := readClouds("clouds.yaml", text)
	if err != nil {
		return err
	}
	secure, err := readClouds("secure.yaml", s.Data["secure.yaml"])
	if err != nil {
		return err
	}
	name, err := pick(file, s.Cloud, c.Cloud)
	if err != nil {
		return err
	}
	c.Cloud = name
	plain, private := file.Clouds[name], secure.Clouds[name]
	if plain.Profile != "" || plain.Cloud != "" {
		return wrong("clouds.yaml: the entry %s takes its values from a profile, which is not here: write them into the entry", name)
	}
	// What says who it is belongs together: a part from here and a part from there
	// would be nobody.
	private.fill(c)
	plain.fill(c)
	return nil
}

func pick(file cloudsFile, wanted ...string) (string, error) {
	names := slices.Sorted(maps.Keys(file.Clouds))
	for _, name := range wanted {
		if name == "" {
			continue
		}
		if _, ok := file.Clouds[name]; !ok {
			return "", wrong("clouds.yaml has no entry %q: name one of %s", name, strings.Join(names, ", "))
		}
		return name, nil
	}
	switch len(names) {
	case 0:
		return "", wrong("clouds.yaml has no entry: write one below clouds")
	case 1:
		return names[0], nil
	}
	return "", wrong("clouds.yaml has several entries: name one of %s", strings.Join(names, ", "))
}

var lineNumber = regexp.MustCompile(`line \d+`)

// readClouds says where the text is wrong and not how: the library's errors repeat
// values.
func readClouds(name string, text []byte) (cloudsFile, error) {
	var out cloudsFile
	if err := yaml.Unmarshal(text, &out); err != nil {
		where := lineNumber.FindString(err.Error())
		if where == "" {
			where = "some line"
		}
		return out, wrong("%s: %s is not as it should be: look at the indentation, and whether texts are where texts belong", name, where)
	}
	return out, nil
}

func (e *entry) fill(c *occm.Credentials) {
	a := &e.Auth
	empty := func(to *string, from ...string) {
		for _, f := range from {
			if *to == "" {
				*to = f
			}
		}
	}
	secret := func(to *occm.Secret, from string) {
		if !to.Given() {
			*to = occm.NewSecret(from)
		}
	}
	empty(&c.AuthURL, a.AuthURL)
	empty(&c.UserID, a.UserID)
	empty(&c.Username, a.Username)
	empty(&c.ApplicationCredentialID, a.ApplicationCredentialID)
	empty(&c.ApplicationCredentialName, a.ApplicationCredentialName)
	empty(&c.ProjectID, a.ProjectID, a.TenantID)
	empty(&c.ProjectName, a.ProjectName, a.TenantName)
	empty(&c.DomainID, a.DomainID)
	empty(&c.DomainName, a.DomainName)
	empty(&c.UserDomainID, a.UserDomainID)
	empty(&c.UserDomainName, a.UserDomainName)
	empty(&c.ProjectDomainID, a.ProjectDomainID)
	empty(&c.ProjectDomainName, a.ProjectDomainName)
	if c.DomainID == "" && c.DomainName == "" {
		c.DomainID = a.DefaultDomain
	}
	empty(&c.TrustID, a.TrustID)
	secret(&c.Password, a.Password)
	secret(&c.ApplicationCredentialSecret, a.ApplicationCredentialSecret)
	if e.AuthType != "password" && e.AuthType != "v3password" {
		secret(&c.Token, a.Token)
	}
	empty(&c.Region, e.Region)
	if len(e.Regions) == 1 {
		empty(&c.Region, string(e.Regions[0]))
	}
	if c.Endpoint == "" {
		c.Endpoint = occm.Endpoint(strings.TrimSuffix(cmp.Or(e.EndpointType, e.Interface), "URL"))
	}
	empty(&c.CAFile, e.CACert)
	empty(&c.CertFile, e.Cert)
	empty(&c.KeyFile, e.Key)
	if e.Verify != nil && !*e.Verify {
		c.Insecure = true
	}
}
