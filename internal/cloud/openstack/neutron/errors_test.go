package neutron

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

// The clients of the program go through access, which passes refusals on in a form of
// its own.
func TestTheKindOfARefusalIsKnownThroughAccess(t *testing.T) {
	c := fake.New(fake.Options{})
	open, err := access.Open(t.Context(), access.Source{Data: map[string][]byte{"cloud.conf": []byte(c.CloudConf())}}, access.Options{Transport: c.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	c.SetQuota("floatingip", 0)
	_, err = floatingips.Create(t.Context(), open.Network, floatingips.CreateOpts{FloatingNetworkID: c.IDs().External}).Extract()
	if got := Kind(err); got != "OverQuota" {
		t.Errorf("kind %q of %v, want OverQuota", got, err)
	}
	err = floatingips.Delete(t.Context(), open.Network, "00000000-0000-4000-8000-000000000000").ExtractErr()
	if got := Kind(err); got != "FloatingIPNotFound" {
		t.Errorf("kind %q of %v, want FloatingIPNotFound", got, err)
	}
}
