package fake_test

import (
	"context"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cloud/openstack/conformance"
	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"github.com/gophercloud/gophercloud/v2"
)

// target is the fake as the suite sees any cloud.
func target(c *fake.Cloud) conformance.Target {
	k, ids := c.Credentials(), c.IDs()
	user := func(name, project string) gophercloud.AuthOptions {
		return gophercloud.AuthOptions{
			IdentityEndpoint: k.AuthURL, Username: name, Password: k.Password, TenantName: project, DomainName: k.Domain,
		}
	}
	other, noRoles, admin := user(k.Other, k.OtherProject), user(k.NoRoles, k.Project), user(k.Admin, k.AdminProject)
	return conformance.Target{
		Auth: user(k.User, k.Project), Region: k.Region, Other: &other, NoRoles: &noRoles, Admin: &admin,
		ApplicationCredential: &gophercloud.AuthOptions{
			IdentityEndpoint: k.AuthURL, ApplicationCredentialID: k.ApplicationCredentialID, ApplicationCredentialSecret: k.ApplicationCredentialSecret,
		},
		Network: ids.Network, SubnetV4: ids.SubnetV4, SubnetV6: ids.SubnetV6, External: ids.External, FreeV4: "10.0.0.50", OVN: true,
		Poll: time.Millisecond, Patience: 10 * time.Second,
		Inject: func(_ context.Context, id, provisioning, operating string) error {
			c.SetStatus(id, provisioning, operating)
			return nil
		},
	}
}

func TestConformance(t *testing.T) {
	t.Run("over HTTP", func(t *testing.T) {
		cloud := fake.New(fake.Options{Times: slow})
		cloud.Listen()
		defer cloud.Close()
		conformance.Run(t, target(cloud))
	})
	t.Run("forgetting children", func(t *testing.T) {
		cloud := fake.New(fake.Options{Times: slow, ForgetsChildren: true})
		to := target(cloud)
		to.Transport = cloud.Transport()
		conformance.Run(t, to)
	})
	t.Run("in process", func(t *testing.T) {
		cloud := fake.New(fake.Options{Times: slow})
		to := target(cloud)
		to.Transport = cloud.Transport()
		conformance.Run(t, to)
	})
}

// slow enough that pending states are seen.
var slow = map[string]fake.Times{
	"amphora": {Create: 30 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 10 * time.Millisecond, Failover: 10 * time.Millisecond},
	"ovn":     {Create: 10 * time.Millisecond, Update: 5 * time.Millisecond, Delete: 5 * time.Millisecond},
}
