package openstack

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// Endpoints are where the services are, as somebody sees them: scheme, host and port.
type Endpoints struct{ Identity, Network, LoadBalancer string }

// Direct is where they are on this machine.
func Direct() Endpoints {
	return Endpoints{Identity: identityURL, Network: neutronURL, LoadBalancer: octaviaURL}
}

// AddRegion adds a region to the catalog in which the services are at other addresses:
// those of a relay or a proxy that the caller runs. The cloud that is returned is the
// same one by way of that region: its configurations name it. A region of that name is
// replaced.
func (c *Cloud) AddRegion(ctx context.Context, name string, at Endpoints) (*Cloud, error) {
	s, err := login(ctx, c.Admin)
	if err != nil {
		return nil, err
	}
	if err := s.removeRegion(ctx, name); err != nil {
		return nil, fmt.Errorf("replace region %s: %w", name, err)
	}
	if _, err := s.create(ctx, authURL+"/regions", "region", fields{"id": name}); err != nil {
		return nil, fmt.Errorf("add region %s: %w", name, err)
	}
	var reply struct{ Services []struct{ ID, Type string } }
	if err := s.call(ctx, http.MethodGet, authURL+"/services", nil, &reply); err != nil {
		return nil, fmt.Errorf("add region %s: %w", name, err)
	}
	urls := map[string]string{"identity": at.Identity + "/v3", "network": at.Network, "load-balancer": at.LoadBalancer}
	for _, service := range reply.Services {
		if urls[service.Type] == "" {
			continue
		}
		endpoint := fields{"service_id": service.ID, "interface": "public", "url": urls[service.Type], "region_id": name}
		if _, err := s.create(ctx, authURL+"/endpoints", "endpoint", endpoint); err != nil {
			return nil, fmt.Errorf("add region %s: %w", name, err)
		}
	}
	there := *c
	there.Region, there.AuthURL = name, urls["identity"]
	return &there, nil
}

// RemoveRegion undoes AddRegion. That there is none is no error.
func (c *Cloud) RemoveRegion(ctx context.Context, name string) error {
	s, err := login(ctx, c.Admin)
	if err != nil {
		return err
	}
	if err := s.removeRegion(ctx, name); err != nil {
		return fmt.Errorf("remove region %s: %w", name, err)
	}
	return nil
}

func (s session) removeRegion(ctx context.Context, name string) error {
	var reply struct{ Endpoints []struct{ ID string } }
	query := url.Values{"region_id": {name}}
	if err := s.call(ctx, http.MethodGet, authURL+"/endpoints?"+query.Encode(), nil, &reply); err != nil {
		return err
	}
	for _, endpoint := range reply.Endpoints {
		if err := s.call(ctx, http.MethodDelete, authURL+"/endpoints/"+endpoint.ID, nil, nil); err != nil && !isStatus(err, http.StatusNotFound) {
			return err
		}
	}
	err := s.call(ctx, http.MethodDelete, authURL+"/regions/"+url.PathEscape(name), nil, nil)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}
