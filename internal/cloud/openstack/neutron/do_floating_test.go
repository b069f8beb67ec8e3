package neutron

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gophercloud/gophercloud/v2"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

// signed reads all floating IPs, and tells whose they are.
func signed(ctx context.Context, t *testing.T, client *gophercloud.ServiceClient) []FloatingIP {
	t.Helper()
	all, err := FloatingIPs(ctx, client, FloatingQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return sign(all)
}

func sign(all []FloatingIP) []FloatingIP {
	for i := range all {
		all[i].Ours = strings.HasPrefix(all[i].Description, "Floating IP for Kubernetes")
		all[i].Keep = strings.HasSuffix(all[i].Description, "(kept)")
	}
	return all
}

// converge takes steps until there are none, from replies alone.
func converge(t *testing.T, client *gophercloud.ServiceClient, want FloatingWant, have []FloatingIP) []FloatingIP {
	t.Helper()
	for range 5 {
		steps, refusal := FloatingSteps(want, have)
		if refusal != nil {
			t.Fatal(refusal.Message())
		}
		if len(steps) == 0 {
			return have
		}
		for _, s := range steps {
			var err error
			if have, err = ApplyFloating(t.Context(), client, s, have); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("no end of steps")
	return nil
}

// shown are the floating IPs of the cloud as people would write them.
func shown(c *fake.Cloud) []string {
	var out []string
	for _, f := range c.FloatingIPs() {
		to := "free"
		if f.PortID != "" {
			to = f.Fixed.String()
		}
		out = append(out, f.Address.String()+" "+to+" "+f.Description)
	}
	return out
}

func wantShown(t *testing.T, c *fake.Cloud, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, shown(c)); diff != "" {
		t.Errorf("floating IPs (-want +got):\n%s", diff)
	}
}

func TestFloatingIPLife(t *testing.T) {
	c, client := demo(t, fake.Options{})
	port, _ := c.AddNode("vip", addr("10.0.0.10"))
	want := FloatingWant{Port: port, Fixed: addr("10.0.0.10"), Network: c.IDs().External, Description: mineText}

	have := converge(t, client, want, nil)
	wantCalls(t, c, "POST /floatingips")
	wantShown(t, c, "203.0.113.10 10.0.0.10 "+mineText)

	// Keeping it changes the description, and leaves it where it is.
	keptText := mineText + " (kept)"
	want.Keep, want.Description, want.Earlier = true, keptText, []string{mineText}
	have = converge(t, client, want, have)
	wantCalls(t, c, "PUT /floatingips/{id}")
	wantShown(t, c, "203.0.113.10 10.0.0.10 "+keptText)

	// A stranger's address is asked for: ours is kept.
	strange, err := ApplyFloating(t.Context(), client, CreateFloating{Network: c.IDs().External, Description: "mail"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want.Address = strange[0].Address
	calls(c)
	have = converge(t, client, want, sign(append(have, strange...)))
	wantCalls(t, c, "PUT /floatingips/{id}", "PUT /floatingips/{id}")
	wantShown(t, c, "203.0.113.10 free "+keptText, "203.0.113.11 10.0.0.10 mail")

	// Any will do again: what is there stays. What was remembered is what there is.
	want.Address = netip.Addr{}
	converge(t, client, want, have)
	wantCalls(t, c)
	byAddress := cmpopts.SortSlices(func(x, y FloatingIP) bool { return x.Address.Less(y.Address) })
	if diff := cmp.Diff(signed(t.Context(), t, client), have, byAddress, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
		t.Errorf("remembered (-cloud +memory):\n%s", diff)
	}

	// It goes: the stranger's is detached, the kept one kept, a free one deleted.
	want.Remove, want.Keep = true, false
	have = converge(t, client, want, have)
	wantShown(t, c, "203.0.113.10 free "+keptText, "203.0.113.11 free mail")
	for i := range have {
		have[i].Keep = false
	}
	converge(t, client, want, have)
	wantShown(t, c, "203.0.113.11 free mail")
}

func TestFloatingIPOfALostAnswerIsFoundAgain(t *testing.T) {
	c, client := demo(t, fake.Options{})
	port, _ := c.AddNode("vip", addr("10.0.0.10"))
	want := FloatingWant{Port: port, Fixed: addr("10.0.0.10"), Network: c.IDs().External, Description: mineText}
	c.Intercept(func(call fake.Call) fake.Fault {
		if call.Method == http.MethodPost {
			return fake.Fault{Lost: fake.LostAfter}
		}
		return fake.Fault{}
	})
	steps, _ := FloatingSteps(want, nil)
	if _, err := ApplyFloating(t.Context(), client, steps[0], nil); !Uncertain(err) {
		t.Fatalf("uncertain: %v", err)
	}
	c.Intercept(nil)
	if steps, refusal := FloatingSteps(want, signed(t.Context(), t, client)); len(steps) > 0 || refusal != nil {
		t.Errorf("steps %v, %v", printed(steps), refusal)
	}
	// The VIP was made again in the meantime: the floating IP is free, and is reused.
	c.Remove(port)
	want.Port, _ = c.AddNode("vip", addr("10.0.0.11"))
	want.Fixed = addr("10.0.0.11")
	c.ResetCalls()
	converge(t, client, want, signed(t.Context(), t, client))
	wantCalls(t, c, "GET /floatingips", "PUT /floatingips/{id}")
	wantShown(t, c, "203.0.113.10 10.0.0.11 "+mineText)
}

func TestGivenFloatingIPComesBeforeTheOldOneGoes(t *testing.T) {
	c := fake.New(fake.Options{})
	client := open(t, c, c.Credentials().Admin) // who may choose addresses
	port, _ := c.AddNode("vip", addr("10.0.0.10"))
	want := FloatingWant{Port: port, Fixed: addr("10.0.0.10"), Network: c.IDs().External, Description: mineText}
	have := converge(t, client, want, nil)
	want.Address = addr("203.0.113.77")
	calls(c)
	converge(t, client, want, have)
	wantCalls(t, c, "POST /floatingips", "PUT /floatingips/{id}", "PUT /floatingips/{id}", "DELETE /floatingips/{id}")
	wantShown(t, c, "203.0.113.77 10.0.0.10 "+mineText)
}

func TestGivenFloatingIPRefusals(t *testing.T) {
	c, client := demo(t, fake.Options{})
	admin := open(t, c, c.Credentials().Admin)
	if _, err := ApplyFloating(t.Context(), admin, CreateFloating{Network: c.IDs().External, Address: addr("203.0.113.7")}, nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		client  *gophercloud.ServiceClient
		address string
		want    string
	}{
		{"may not choose", client, "203.0.113.8", "may not choose the address of a new one: allocate it first"},
		{"somebody else's", admin, "203.0.113.7", "somebody else's: ask for another"},
		{"not of the network", admin, "192.0.2.1", "192.0.2.1 is no address of the external network"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ApplyFloating(t.Context(), tt.client, CreateFloating{Network: c.IDs().External, Address: addr(tt.address)}, nil)
			var refused *RefusalError
			if !errors.As(err, &refused) || refused.Refusal.Reason != lb.FloatingIPMissing || !strings.Contains(refused.Refusal.Message(), tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	c.SetQuota("floatingip", 0)
	_, err := ApplyFloating(t.Context(), client, CreateFloating{Network: c.IDs().External}, nil)
	if refused := new(RefusalError); Kind(err) != "OverQuota" || errors.As(err, &refused) {
		t.Errorf("quota: %v", err)
	}
}

func TestSubnetsAreTriedInTheirOrder(t *testing.T) {
	c, client := demo(t, fake.Options{})
	ids := c.IDs()
	full := map[string]bool{ids.ExternalPool: true}
	c.Intercept(func(call fake.Call) fake.Fault {
		for id := range full {
			if strings.Contains(call.Body, id) {
				return fake.Fault{Status: http.StatusConflict, Body: `{"NeutronError": {"type": "IpAddressGenerationFailure", "message": "No more IP addresses available"}}`}
			}
		}
		return fake.Fault{}
	})
	step := CreateFloating{Network: ids.External, Subnets: []string{ids.ExternalPool, ids.ExternalTwo}, Description: mineText}
	have, err := ApplyFloating(t.Context(), client, step, nil)
	if err != nil || len(have) != 1 || have[0].Address != addr("198.51.100.10") || !have[0].Ours {
		t.Fatalf("%+v, %v", have, err)
	}
	full[ids.ExternalTwo] = true
	_, err = ApplyFloating(t.Context(), client, step, nil)
	if err == nil || Kind(err) != "IpAddressGenerationFailure" || Uncertain(err) || !strings.Contains(err.Error(), "in any of 2 subnets") {
		t.Errorf("error %v", err)
	}
}

func TestFloatingIPsThatAreGone(t *testing.T) {
	c, client := demo(t, fake.Options{})
	port, _ := c.AddNode("vip", addr("10.0.0.10"))
	have := []FloatingIP{{ID: "gone", Address: addr("203.0.113.9"), Ours: true}}
	for _, s := range []Step{DetachFloating{ID: "gone", Port: port}, DeleteFloating{ID: "gone"}} {
		after, err := ApplyFloating(t.Context(), client, s, have)
		if err != nil || len(after) > 0 {
			t.Errorf("%s: %+v, %v", s, after, err)
		}
	}
	for _, s := range []Step{AttachFloating{ID: "gone", Port: port}, AttachFloating{Address: addr("203.0.113.9"), Port: port}, AddRules{}} {
		if after, err := ApplyFloating(t.Context(), client, s, have); err == nil || Uncertain(err) || len(after) != 1 {
			t.Errorf("%s: %+v, %v", s, after, err)
		}
	}
}

func TestAStrangersFloatingIPMustNotHaveChanged(t *testing.T) {
	c, client := demo(t, fake.Options{})
	vip, _ := c.AddNode("vip", addr("10.0.0.10"))
	mail, _ := c.AddNode("mail", addr("10.0.0.25"))
	have, err := ApplyFloating(t.Context(), client, CreateFloating{Network: c.IDs().External, Description: "mail"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	have = sign(have)
	steps, _ := FloatingSteps(FloatingWant{Port: vip, Network: c.IDs().External, Address: have[0].Address, Description: mineText}, have)
	if _, err := ApplyFloating(t.Context(), client, AttachFloating{ID: have[0].ID, Address: have[0].Address, Port: mail}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ApplyFloating(t.Context(), client, steps[0], have); !gophercloud.ResponseCodeIs(err, http.StatusPreconditionFailed) {
		t.Errorf("%s: %v, want 412", steps[0], err)
	}
	wantShown(t, c, have[0].Address.String()+" 10.0.0.25 mail")
	// The next look tells where it is.
	_, refusal := FloatingSteps(FloatingWant{Port: vip, Network: c.IDs().External, Address: have[0].Address, Description: mineText}, signed(t.Context(), t, client))
	if refusal == nil || !strings.Contains(refusal.Detail, "leads to port "+mail+" of compute:nova") {
		t.Errorf("refusal %+v", refusal)
	}
}

func TestFloatingQueries(t *testing.T) {
	c, client := demo(t, fake.Options{})
	port, _ := c.AddNode("vip", addr("10.0.0.10"))
	for _, s := range []CreateFloating{{Port: port, Description: mineText}, {Description: otherText}, {Description: "mail"}} {
		s.Network = c.IDs().External
		if _, err := ApplyFloating(t.Context(), client, s, nil); err != nil {
			t.Fatal(err)
		}
	}
	calls(c)
	found, err := FloatingIPs(t.Context(), client, FloatingQuery{
		Project: c.Credentials().ProjectID, Ports: []string{port}, Addresses: []netip.Addr{addr("203.0.113.10")}, Descriptions: []string{otherText},
	})
	if err != nil || len(found) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
	wantCalls(t, c, "GET /floatingips", "GET /floatingips", "GET /floatingips")
	if all, err := FloatingIPs(t.Context(), client, FloatingQuery{Project: c.Credentials().ProjectID}); err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
}
