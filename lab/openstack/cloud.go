package openstack

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
)

// Where the services are. The catalog is in the databases, which are copied
// from one cloud to the next, so these do not depend on anything.
const (
	keystonePort = 5000
	neutronPort  = 9696
	octaviaPort  = 9876

	identityURL = "http://127.0.0.1:5000"
	authURL     = identityURL + "/v3"
	neutronURL  = "http://127.0.0.1:9696"
	octaviaURL  = "http://127.0.0.1:9876"
	region      = "RegionOne"
	password    = "lab-password" // of every account
)

// Cloud is a running cloud.
type Cloud struct {
	Options Options
	AuthURL string
	Region  string

	// Lab is who tests are: member and load-balancer_member of project "lab",
	// which owns the tenant network.
	Lab Account
	// Other has the same roles in a project of its own.
	Other Account
	// Observer may read in project "lab". Octavia refuses it all (403): it has
	// no load-balancer role.
	Observer Account
	// Admin is the administrator of everything.
	Admin Account
	// AppCredential is of Lab, what a program in a cluster is given.
	AppCredential AppCredential

	// External is the network of floating IPs.
	External Network
	// OtherExternal is a second external network, for tests of the choice. No
	// router leads there, so its floating IPs cannot be associated.
	OtherExternal Network
	// Tenant is the network of the nodes, with one subnet of each family.
	Tenant Network
	// Router joins Tenant to External.
	Router string
	// Flavors are the ids of Octavia's flavors "single" and "ha", by name.
	Flavors map[string]string

	// Amphora is where amphorae would be; tests have no use for it.
	Amphora struct{ Network, SecurityGroup string }
}

// Account is a user and the project it works in. Both are in the domain "Default".
type Account struct{ User, Password, Project, ProjectID string }

// AppCredential is an application credential.
type AppCredential struct{ ID, Secret string }

// Network is a Neutron network.
type Network struct {
	ID, Name string
	Subnets  []Subnet
}

// Subnet is a Neutron subnet.
type Subnet struct {
	ID, Name string
	CIDR     netip.Prefix
	Tags     []string `json:",omitempty"`
}

// Subnet is the subnet of that name; without one, the zero value.
func (n Network) Subnet(name string) Subnet {
	for _, s := range n.Subnets {
		if s.Name == name {
			return s
		}
	}
	return Subnet{}
}

// IPv4 is the first IPv4 subnet of the network.
func (n Network) IPv4() Subnet { return n.first(netip.Addr.Is4) }

// IPv6 is the first IPv6 subnet of the network.
func (n Network) IPv6() Subnet { return n.first(netip.Addr.Is6) }

func (n Network) first(family func(netip.Addr) bool) Subnet {
	for _, s := range n.Subnets {
		if family(s.CIDR.Addr()) {
			return s
		}
	}
	return Subnet{}
}

// Logs is the directory with the log of every service.
func (c *Cloud) Logs() string { return filepath.Join(c.Options.Dir, "log") }

// StatusSocket is octavia-driver-agent's, which providers report to and Inject uses.
func (c *Cloud) StatusSocket() string {
	return filepath.Join(c.Options.Dir, "sock", "octavia-status.sock")
}

// CloudsYAML is what OpenStack's clients read: the clouds lab, lab-other,
// lab-observer, lab-admin and lab-appcred.
func (c *Cloud) CloudsYAML() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "clouds:")
	for _, entry := range []struct {
		name string
		Account
	}{{"lab", c.Lab}, {"lab-other", c.Other}, {"lab-observer", c.Observer}, {"lab-admin", c.Admin}} {
		fmt.Fprintf(&b, "  %s:\n    region_name: %s\n    auth:\n      auth_url: %s\n", entry.name, c.Region, c.AuthURL)
		fmt.Fprintf(&b, "      username: %s\n      password: %s\n      project_name: %s\n", entry.User, entry.Password, entry.Project)
		fmt.Fprintf(&b, "      user_domain_name: Default\n      project_domain_name: Default\n")
	}
	fmt.Fprintf(&b, "  lab-appcred:\n    auth_type: v3applicationcredential\n    region_name: %s\n    auth:\n      auth_url: %s\n", c.Region, c.AuthURL)
	fmt.Fprintf(&b, "      application_credential_id: %s\n      application_credential_secret: %s\n", c.AppCredential.ID, c.AppCredential.Secret)
	return b.Bytes()
}

// CloudConf is a configuration as the OpenStack cloud controller manager has
// it: sections Global and LoadBalancer.
func (c *Cloud) CloudConf() []byte {
	return fmt.Appendf(nil, `[Global]
auth-url=%s
region=%s
application-credential-id=%s
application-credential-secret=%s

[LoadBalancer]
lb-provider=amphora
floating-network-id=%s
floating-subnet-id=%s
network-id=%s
subnet-id=%s
`, c.AuthURL, c.Region, c.AppCredential.ID, c.AppCredential.Secret,
		c.External.ID, c.External.IPv4().ID, c.Tenant.ID, c.Tenant.IPv4().ID)
}

// openRC is for a shell: . openrc [cloud]
func (c *Cloud) openRC() []byte {
	return fmt.Appendf(nil, `for name in ${!OS_*}; do unset "$name"; done
export OS_CLIENT_CONFIG_FILE=%s
export OS_CLOUD=${1:-lab}
`, filepath.Join(c.Options.Dir, "clouds.yaml"))
}
