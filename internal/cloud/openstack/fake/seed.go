package fake

import (
	"fmt"
	"net/netip"
	"strings"
)

// IDs name what a new cloud has.
type IDs struct {
	Network, SubnetV4, SubnetV6         string // the project's: 10.0.0.0/24 and fd00:10::/64
	External, ExternalPool, ExternalTwo string // a network with the subnets 203.0.113.0/24 and 198.51.100.0/24
	FlavorSingle, FlavorHA              string // of Octavia
}

// Credentials open a new cloud. The user demo works in the project demo, with
// load-balancer_member; other in the project other; noroles may do nothing with load
// balancers; admin everything. All have one password.
type Credentials struct {
	AuthURL, Region                                    string
	User, Password, Project, ProjectID, Domain         string
	Other, OtherProject, NoRoles, Admin, AdminProject  string
	ApplicationCredentialID, ApplicationCredentialName string
	ApplicationCredentialSecret                        string
}

func (c *Cloud) seed() {
	member := []string{"member", "reader", roleMember}
	demo := c.addProject("demo")
	other := c.addProject("other")
	admins := c.addProject("admin")
	c.addUser("demo", demo, member)
	c.addUser("other", other, member)
	c.addUser("noroles", demo, []string{"member", "reader"})
	c.addUser("admin", admins, []string{"member", "reader", roleAdmin, roleMember, roleLBAdmin})
	// In the project demo it may fail load balancers over, which members may not.
	c.users[len(c.users)-1].roles[demo.id] = []string{"member", "reader", roleMember, roleLBAdmin}
	c.credentials = Credentials{
		User: "demo", Password: password, Project: "demo", ProjectID: demo.id, Domain: "Default", Other: "other", OtherProject: "other",
		NoRoles: "noroles", Admin: "admin", AdminProject: "admin",
		ApplicationCredentialID: strings.ReplaceAll(c.newID(), "-", ""), ApplicationCredentialName: "fairlead",
		ApplicationCredentialSecret: "app-secret",
	}

	tenant := c.addNetwork(demo.id, "private", false)
	room := struct {
		v4, external string
		addresses    int
	}{"10.0.0.0/24", "203.0.113.0/24", 100}
	if c.options.Roomy {
		room.v4, room.external, room.addresses = "10.0.0.0/16", "203.0.0.0/16", 5000
	}
	four := c.addSubnet(tenant, "private-v4", room.v4, "10.0.0.100", room.addresses)
	six := c.addSubnet(tenant, "private-v6", "fd00:10::/64", "fd00:10::100", room.addresses)
	external := c.addNetwork(admins.id, "public", true)
	pool := c.addSubnet(external, "public-pool", room.external, "203.0.113.10", room.addresses)
	two := c.addSubnet(external, "public-two", "198.51.100.0/24", "198.51.100.10", 100)
	c.ids = IDs{
		Network: tenant.id, SubnetV4: four.id, SubnetV6: six.id, External: external.id, ExternalPool: pool.id, ExternalTwo: two.id,
		FlavorSingle: c.newID(), FlavorHA: c.newID(),
	}
}

const password = "secret"

func (c *Cloud) addProject(name string) *project {
	p := &project{id: strings.ReplaceAll(c.newID(), "-", ""), name: name, quota: map[string]int{}}
	c.projects = append(c.projects, p)
	return p
}

func (c *Cloud) addUser(name string, p *project, roles []string) {
	u := &user{id: strings.ReplaceAll(c.newID(), "-", ""), name: name, password: password, roles: map[string][]string{p.id: roles}}
	c.users = append(c.users, u)
}

// IDs are the ids of what the cloud began with.
func (c *Cloud) IDs() IDs {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids
}

// Credentials are how to enter the cloud.
func (c *Cloud) Credentials() Credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.credentials
	known.AuthURL, known.Region = c.base+identityPrefix+"/v3", c.region
	return known
}

// CloudsYAML is a clouds.yaml with the clouds fake (by password) and fake-appcred.
func (c *Cloud) CloudsYAML() string {
	k := c.Credentials()
	return fmt.Sprintf(`clouds:
  fake:
    auth:
      auth_url: %[1]s
      username: %[2]s
      password: %[3]s
      project_name: %[4]s
      user_domain_name: %[5]s
      project_domain_name: %[5]s
    region_name: %[6]s
  fake-appcred:
    auth_type: v3applicationcredential
    auth:
      auth_url: %[1]s
      application_credential_id: %[7]s
      application_credential_secret: %[8]s
    region_name: %[6]s
`, k.AuthURL, k.User, k.Password, k.Project, k.Domain, k.Region, k.ApplicationCredentialID, k.ApplicationCredentialSecret)
}

// CloudConf is the configuration of the OpenStack cloud controller manager for this
// cloud, with the application credential.
func (c *Cloud) CloudConf() string {
	k, ids := c.Credentials(), c.IDs()
	return fmt.Sprintf(`[Global]
auth-url = %s
region = %s
application-credential-id = %s
application-credential-secret = %s

[LoadBalancer]
subnet-id = %s
floating-network-id = %s
`, k.AuthURL, k.Region, k.ApplicationCredentialID, k.ApplicationCredentialSecret, ids.SubnetV4, ids.External)
}

// AddNode makes the Neutron port of a Kubernetes node: a server's port in the tenant
// network with the given addresses, one of each family at most.
func (c *Cloud) AddNode(name string, addrs ...netip.Addr) (portID, serverID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ips []fixedIP
	for _, addr := range addrs {
		for _, s := range c.subnetsOf(c.findNetwork(c.ids.Network)) {
			if s.cidr.Contains(addr) {
				ips = append(ips, fixedIP{s, addr})
			}
		}
	}
	p := c.addPort(c.credentials.ProjectID, c.findNetwork(c.ids.Network), name, ips)
	p.deviceID, p.deviceOwner, p.status = c.newID(), "compute:nova", active
	p.groups = []string{c.defaultGroup(c.credentials.ProjectID).id}
	return p.id, p.deviceID
}
