package occm

// Credentials are what [Global] says of a user and how the cloud is reached. They can
// be printed: secrets stay hidden. Files are named here and read elsewhere.
type Credentials struct {
	AuthURL string

	UserID, Username string
	Password         Secret
	Token            Secret

	ApplicationCredentialID     string
	ApplicationCredentialName   string
	ApplicationCredentialSecret Secret

	TrustID         string
	TrusteeID       string
	TrusteePassword Secret

	// A project is OCCM's tenant. A domain that is not given for the user or the
	// project is the plain one.
	ProjectID, ProjectName             string
	DomainID, DomainName               string
	UserDomainID, UserDomainName       string
	ProjectDomainID, ProjectDomainName string

	Region   string
	Endpoint Endpoint

	CAFile, CertFile, KeyFile string
	// Insecure accepts any certificate.
	Insecure bool

	// UseClouds fills what is empty from the entry Cloud of CloudsFile.
	UseClouds  bool
	CloudsFile string
	Cloud      string
}

// Endpoint is which of a service's addresses in the catalog is used.
type Endpoint string

// The three kinds of Keystone's catalog; empty is public.
const (
	Public   Endpoint = "public"
	Internal Endpoint = "internal"
	Admin    Endpoint = "admin"
)

// Secrets are the texts that must not appear anywhere.
func (c *Credentials) Secrets() []string {
	var out []string
	for _, s := range []Secret{c.Password, c.Token, c.ApplicationCredentialSecret, c.TrusteePassword} {
		if s.Given() {
			out = append(out, s.Reveal())
		}
	}
	return out
}
