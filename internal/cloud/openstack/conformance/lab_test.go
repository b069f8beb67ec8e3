//go:build openstack

package conformance_test

import (
	"context"
	"net/netip"
	"os"
	"testing"

	"fairlead.dev/fairlead/internal/cloud/openstack/conformance"
	"fairlead.dev/fairlead/lab/openstack"
	"github.com/gophercloud/gophercloud/v2"
)

// TestRealServices holds the real ones to the suite; the fake passes the same in its
// own package. FAIRLEAD_OPENSTACK_DIR is the directory of a lab that is up.
func TestRealServices(t *testing.T) {
	dir := os.Getenv("FAIRLEAD_OPENSTACK_DIR")
	if dir == "" {
		t.Fatal("FAIRLEAD_OPENSTACK_DIR names no cloud: make test-openstack starts one, or make openstack-up")
	}
	cloud, err := openstack.Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	user := func(a openstack.Account) gophercloud.AuthOptions {
		return gophercloud.AuthOptions{IdentityEndpoint: cloud.AuthURL, Username: a.User, Password: a.Password, TenantName: a.Project, DomainName: "Default"}
	}
	target := conformance.Target{
		Auth: user(cloud.Lab), Region: cloud.Region, External: cloud.External.ID, Network: cloud.Tenant.ID, OVN: !cloud.Options.NoOVN,
		Inject: func(ctx context.Context, id, provisioning, operating string) error {
			return cloud.Inject(ctx, openstack.LoadBalancers, id, provisioning, operating)
		},
		ApplicationCredential: &gophercloud.AuthOptions{
			IdentityEndpoint: cloud.AuthURL, ApplicationCredentialID: cloud.AppCredential.ID, ApplicationCredentialSecret: cloud.AppCredential.Secret,
		},
	}
	other, noRoles, admin := user(cloud.Other), user(cloud.Observer), user(cloud.Admin)
	target.Other, target.NoRoles, target.Admin = &other, &noRoles, &admin
	for _, subnet := range cloud.Tenant.Subnets {
		prefix := subnet.CIDR
		if prefix.Addr().Is6() {
			target.SubnetV6 = subnet.ID
			continue
		}
		target.SubnetV4 = subnet.ID
		// Below the allocation pool, and above the nodes.
		bytes := prefix.Addr().As4()
		bytes[3] = 101
		target.FreeV4 = netip.AddrFrom4(bytes).String()
	}
	conformance.Run(t, target)
}
