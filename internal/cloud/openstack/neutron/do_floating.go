package neutron

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"

	"fairlead.dev/fairlead/internal/lb"
)

// floatingChange is what a step did to what is known of floating IPs.
type floatingChange func([]FloatingIP) []FloatingIP

// ApplyFloating performs one of FloatingSteps, and gives have as it is afterwards: that
// saves a look. After an error that is Uncertain, a conflict or a 404, it takes one.
func ApplyFloating(ctx context.Context, client *gophercloud.ServiceClient, step Step, have []FloatingIP) ([]FloatingIP, error) {
	var change floatingChange
	var err error
	switch s := step.(type) {
	case CreateFloating:
		change, err = createFloating(ctx, client, s)
	case AttachFloating:
		change, err = attachFloating(ctx, client, s, have)
	case DescribeFloating:
		opts := floatingips.UpdateOpts{PortID: &s.Port, FixedIP: fixedText(s.Fixed), Description: &s.Description}
		change, err = updateFloating(ctx, client, s.ID, opts, s.Keep)
	case DetachFloating:
		change, err = detachFloating(ctx, client, s)
	case DeleteFloating:
		change, err = deleteFloating(ctx, client, s.ID)
	default:
		err = errOtherStep
	}
	if err != nil {
		return have, fmt.Errorf("%s: %w", step, err)
	}
	return change(have), nil
}

// without takes a floating IP out of what is known.
func without(id string) floatingChange {
	return func(have []FloatingIP) []FloatingIP {
		return slices.DeleteFunc(slices.Clone(have), func(f FloatingIP) bool { return f.ID == id })
	}
}

// createFloating tries the subnets in their order, as long as it is only that they are
// used up.
func createFloating(ctx context.Context, client *gophercloud.ServiceClient, s CreateFloating) (floatingChange, error) {
	opts := floatingips.CreateOpts{FloatingNetworkID: s.Network, PortID: s.Port, Description: s.Description}
	if s.Port != "" {
		opts.FixedIP = fixedText(s.Fixed)
	}
	subnets := s.Subnets
	if s.Address.IsValid() {
		opts.FloatingIP, subnets = s.Address.String(), nil
	}
	if len(subnets) == 0 {
		subnets = []string{""}
	}
	var err error
	for _, opts.SubnetID = range subnets {
		var wire wireFloatingIP
		if err = floatingips.Create(ctx, client, opts).ExtractIntoStructPtr(&wire, "floatingip"); err == nil {
			f := wire.floatingIP()
			f.Ours, f.Keep = true, s.Keep
			return func(have []FloatingIP) []FloatingIP { return append(without(f.ID)(have), f) }, nil
		}
		if !exhausted(err) {
			return nil, refusedFloating(s, err)
		}
	}
	if len(subnets) > 1 {
		err = fmt.Errorf("no address is left in any of %d subnets: %w", len(subnets), err)
	}
	return nil, err
}

// exhausted tells that a subnet or network has no address left.
func exhausted(err error) bool {
	switch Kind(err) {
	case "IpAddressGenerationFailure", "IpAddressGenerationFailureNoMatchingSubnet", "ExternalIpAddressExhausted":
		return true
	}
	return false
}

// refusedFloating puts what the cloud says of a given address in the words of who gave
// it.
func refusedFloating(s CreateFloating, err error) error {
	if !s.Address.IsValid() {
		return err
	}
	var refusal *lb.Refusal
	kind := Kind(err)
	switch {
	case gophercloud.ResponseCodeIs(err, http.StatusForbidden):
		refusal = lb.Refuse(lb.FloatingIPMissing, "allocate it first, or let somebody who may: openstack floating ip create --floating-ip-address "+s.Address.String()+" "+s.Network,
			"the project has no floating IP %s, and may not choose the address of a new one", s.Address)
	case conflicts(err) && kind != "OverQuota":
		refusal = lb.Refuse(lb.FloatingIPMissing, "ask for another address", "floating IP %s is somebody else's", s.Address)
	case kind == "InvalidIpForNetwork" || kind == "InvalidIpForSubnet":
		refusal = lb.Refuse(lb.FloatingIPMissing, "ask for one of its addresses, or name another network with floating-network-id",
			"%s is no address of the external network %s", s.Address, s.Network)
	default:
		return err
	}
	return &RefusalError{refusal, err}
}

func attachFloating(ctx context.Context, client *gophercloud.ServiceClient, s AttachFloating, have []FloatingIP) (floatingChange, error) {
	id := s.ID
	if id == "" {
		// A step before made it.
		i := slices.IndexFunc(have, func(f FloatingIP) bool { return f.Address == s.Address })
		if i < 0 {
			return nil, errNoFloatingIP
		}
		id = have[i].ID
	}
	opts := floatingips.UpdateOpts{PortID: &s.Port, FixedIP: fixedText(s.Fixed), RevisionNumber: unless0(s.Revision)}
	if s.Description != "" {
		opts.Description = &s.Description
	}
	return updateFloating(ctx, client, id, opts, s.Keep)
}

func detachFloating(ctx context.Context, client *gophercloud.ServiceClient, s DetachFloating) (floatingChange, error) {
	opts := floatingips.UpdateOpts{PortID: new(string), RevisionNumber: unless0(s.Revision)}
	if s.Description != "" {
		opts.Description = &s.Description
	}
	change, err := updateFloating(ctx, client, s.ID, opts, s.Keep)
	if gone(err) {
		return without(s.ID), nil
	}
	return change, err
}

func unless0(revision int) *int {
	if revision == 0 {
		return nil
	}
	return &revision
}

// updateFloating changes where a floating IP leads, and its description if there is
// one, which then says whether to keep it.
func updateFloating(ctx context.Context, client *gophercloud.ServiceClient, id string, opts floatingips.UpdateOpts, keep bool) (floatingChange, error) {
	var wire wireFloatingIP
	if err := floatingips.Update(ctx, client, id, opts).ExtractIntoStructPtr(&wire, "floatingip"); err != nil {
		return nil, err
	}
	return func(have []FloatingIP) []FloatingIP {
		now := wire.floatingIP()
		for _, f := range have {
			if f.ID == id {
				now.Ours, now.Keep = f.Ours, f.Keep
			}
		}
		if opts.Description != nil {
			now.Keep = keep
		}
		return append(without(id)(have), now)
	}, nil
}

func deleteFloating(ctx context.Context, client *gophercloud.ServiceClient, id string) (floatingChange, error) {
	if err := floatingips.Delete(ctx, client, id).ExtractErr(); err != nil && !gone(err) {
		return nil, err
	}
	return without(id), nil
}
