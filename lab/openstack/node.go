package openstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
)

// nodeOwner is what Nova says of a server's port, without its availability zone.
const nodeOwner = "compute:nova"

// AddNode makes a port that stands for a node: it has the node's addresses in
// the tenant's subnets, and belongs to a server that nobody runs.
func (c *Cloud) AddNode(ctx context.Context, name string, addrs ...netip.Addr) (portID, serverID string, err error) {
	if len(addrs) == 0 {
		return "", "", fmt.Errorf("node %s: name at least one address", name)
	}
	var fixed []fields
	for _, addr := range addrs {
		s := c.Tenant.containing(addr)
		if s.ID == "" {
			return "", "", fmt.Errorf("node %s: %s is in neither tenant subnet (%s, %s); choose others with Options.IPv4 and IPv6",
				name, addr, c.Options.IPv4, c.Options.IPv6)
		}
		fixed = append(fixed, fields{"subnet_id": s.ID, "ip_address": addr.String()})
	}
	s, err := login(ctx, c.Lab)
	if err != nil {
		return "", "", err
	}
	serverID = newUUID()
	portID, err = s.create(ctx, neutronURL+"/v2.0/ports", "port", fields{
		"name": name, "network_id": c.Tenant.ID, "fixed_ips": fixed,
		"device_id": serverID, "device_owner": nodeOwner,
	})
	if err != nil {
		return "", "", fmt.Errorf("add node %s: %w", name, err)
	}
	return portID, serverID, nil
}

// RemoveNode deletes the ports of a node. That there is none is no error.
func (c *Cloud) RemoveNode(ctx context.Context, name string) error {
	s, err := login(ctx, c.Lab)
	if err != nil {
		return err
	}
	query := url.Values{"name": {name}, "network_id": {c.Tenant.ID}, "device_owner": {nodeOwner}, "fields": {"id"}}
	var reply struct{ Ports []struct{ ID string } }
	if err := s.call(ctx, http.MethodGet, neutronURL+"/v2.0/ports?"+query.Encode(), nil, &reply); err != nil {
		return fmt.Errorf("remove node %s: %w", name, err)
	}
	var errs []error
	for _, p := range reply.Ports {
		if err := s.call(ctx, http.MethodDelete, neutronURL+"/v2.0/ports/"+p.ID, nil, nil); err != nil && !isStatus(err, http.StatusNotFound) {
			errs = append(errs, fmt.Errorf("remove node %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (n Network) containing(addr netip.Addr) Subnet {
	for _, s := range n.Subnets {
		if s.CIDR.Contains(addr) {
			return s
		}
	}
	return Subnet{}
}

// newUUID is a random one (RFC 9562 s.5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
