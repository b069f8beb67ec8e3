package openstack

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
)

// fields is what an object is made from.
type fields = map[string]any

// seedIdentity makes the catalog, roles and accounts.
func (r *run) seedIdentity(ctx context.Context) error {
	admin, err := login(ctx, Account{User: "admin", Password: password, Project: "admin"})
	if err != nil {
		return err
	}
	for _, s := range []struct{ kind, name, url string }{
		{"network", "neutron", neutronURL},
		{"load-balancer", "octavia", octaviaURL},
	} {
		id, err := admin.create(ctx, authURL+"/services", "service", fields{"type": s.kind, "name": s.name})
		if err != nil {
			return err
		}
		for _, side := range []string{"public", "internal", "admin"} {
			endpoint := fields{"service_id": id, "interface": side, "url": s.url, "region_id": region}
			if _, err := admin.create(ctx, authURL+"/endpoints", "endpoint", endpoint); err != nil {
				return err
			}
		}
	}
	roles, err := makeRoles(ctx, admin, "service", "load-balancer_observer", "load-balancer_global_observer",
		"load-balancer_member", "load-balancer_quota_admin", "load-balancer_admin")
	if err != nil {
		return err
	}
	c := r.cloud
	projects := map[string]string{}
	for _, a := range []struct {
		into          *Account
		user, project string
		roles         []string
	}{
		{new(Account), "service", "service", []string{"admin", "service"}},
		{&c.Lab, "lab", "lab", []string{"member", "reader", "load-balancer_member"}},
		{&c.Other, "other", "other", []string{"member", "reader", "load-balancer_member"}},
		{&c.Observer, "observer", "lab", []string{"reader"}},
	} {
		if projects[a.project] == "" {
			projects[a.project], err = admin.create(ctx, authURL+"/projects", "project", fields{"name": a.project, "domain_id": "default"})
			if err != nil {
				return err
			}
		}
		user, err := admin.create(ctx, authURL+"/users", "user", fields{"name": a.user, "password": password, "domain_id": "default"})
		if err != nil {
			return err
		}
		if err := grant(ctx, admin, projects[a.project], user, roles, a.roles...); err != nil {
			return err
		}
		*a.into = Account{User: a.user, Password: password, Project: a.project, ProjectID: projects[a.project]}
	}
	if err := grant(ctx, admin, admin.projectID, admin.userID, roles, "load-balancer_admin"); err != nil {
		return err
	}
	c.Admin = Account{User: "admin", Password: password, Project: "admin", ProjectID: admin.projectID}
	return r.makeAppCredential(ctx)
}

// makeRoles makes roles and returns the ids of all roles by name.
func makeRoles(ctx context.Context, admin session, names ...string) (map[string]string, error) {
	for _, name := range names {
		// The bootstrap of some releases makes "service" itself.
		_, err := admin.create(ctx, authURL+"/roles", "role", fields{"name": name})
		if err != nil && !isStatus(err, http.StatusConflict) {
			return nil, err
		}
	}
	var reply struct{ Roles []struct{ ID, Name string } }
	if err := admin.call(ctx, http.MethodGet, authURL+"/roles", nil, &reply); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, role := range reply.Roles {
		ids[role.Name] = role.ID
	}
	return ids, nil
}

func grant(ctx context.Context, admin session, project, user string, ids map[string]string, roles ...string) error {
	for _, role := range roles {
		url := fmt.Sprintf("%s/projects/%s/users/%s/roles/%s", authURL, project, user, ids[role])
		if err := admin.call(ctx, http.MethodPut, url, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) makeAppCredential(ctx context.Context) error {
	s, err := login(ctx, r.cloud.Lab)
	if err != nil {
		return err
	}
	var reply struct {
		Credential struct{ ID, Secret string } `json:"application_credential"`
	}
	url := fmt.Sprintf("%s/users/%s/application_credentials", authURL, s.userID)
	body := fields{"application_credential": fields{"name": "cluster"}}
	if err := s.call(ctx, http.MethodPost, url, body, &reply); err != nil {
		return err
	}
	r.cloud.AppCredential = AppCredential(reply.Credential)
	return nil
}

// subnet is what one is made from, besides its network.
type subnet struct {
	name        string
	cidr        netip.Prefix
	first, last string // of what Neutron gives away
	gateway     string
	tags        []string
}

// seedNetworks makes the external networks, the tenant's network and router,
// and a network where amphorae would be.
func (r *run) seedNetworks(ctx context.Context) error {
	c := r.cloud
	admin, err := login(ctx, c.Admin)
	if err != nil {
		return err
	}
	tenant, err := login(ctx, c.Lab)
	if err != nil {
		return err
	}
	if err := makeUnlimited(ctx, admin, c.Lab.ProjectID, c.Other.ProjectID); err != nil {
		return err
	}
	c.External, err = makeNetwork(ctx, admin, external("public", "physnet1"),
		// Members may use a subnet by its id or by its tags.
		subnet{name: "public-a", cidr: netip.MustParsePrefix("203.0.113.0/24"), first: "203.0.113.10", last: "203.0.113.250"},
		subnet{name: "public-b", cidr: netip.MustParsePrefix("198.51.100.0/24"), first: "198.51.100.10", last: "198.51.100.250",
			tags: []string{"edge", "team-shop"}},
		subnet{name: "public-small", cidr: netip.MustParsePrefix("192.0.2.0/28"), first: "192.0.2.2", last: "192.0.2.3", tags: []string{"small"}},
		subnet{name: "public-v6", cidr: netip.MustParsePrefix("2001:db8:113::/64")})
	if err != nil {
		return err
	}
	c.OtherExternal, err = makeNetwork(ctx, admin, external("public-2", "physnet2"),
		subnet{name: "public-2-a", cidr: netip.MustParsePrefix("198.18.0.0/24")})
	if err != nil {
		return err
	}
	v4, v6 := tenantSubnets(r.options.IPv4, r.options.IPv6)
	if c.Tenant, err = makeNetwork(ctx, tenant, fields{"name": "nodes"}, v4, v6); err != nil {
		return err
	}
	// By the administrator, as members may not say where its address comes
	// from: it would take one of public-small's two now and then.
	gateway := fields{"network_id": c.External.ID, "external_fixed_ips": []fields{
		{"subnet_id": c.External.Subnet("public-a").ID}, {"subnet_id": c.External.Subnet("public-v6").ID}}}
	c.Router, err = admin.create(ctx, neutronURL+"/v2.0/routers", "router",
		fields{"name": "router", "project_id": c.Lab.ProjectID, "external_gateway_info": gateway})
	if err != nil {
		return err
	}
	for _, s := range c.Tenant.Subnets {
		url := fmt.Sprintf("%s/v2.0/routers/%s/add_router_interface", neutronURL, c.Router)
		if err := tenant.call(ctx, http.MethodPut, url, fields{"subnet_id": s.ID}, nil); err != nil {
			return err
		}
	}
	return r.makeAmphoraNetwork(ctx, admin)
}

// makeAmphoraNetwork makes it in the project of Octavia's own account, which
// could not use a network or security group of the administrator.
func (r *run) makeAmphoraNetwork(ctx context.Context, admin session) error {
	service, err := login(ctx, Account{User: "service", Password: password, Project: "service"})
	if err != nil {
		return err
	}
	if err := makeUnlimited(ctx, admin, service.projectID); err != nil {
		return err
	}
	// 100.64.0.0/10: in nobody's way.
	network, err := makeNetwork(ctx, service, fields{"name": "amphorae"}, subnet{name: "amphorae", cidr: netip.MustParsePrefix("100.64.0.0/16")})
	if err != nil {
		return err
	}
	group, err := service.create(ctx, neutronURL+"/v2.0/security-groups", "security_group", fields{"name": "amphora"})
	r.cloud.Amphora.Network, r.cloud.Amphora.SecurityGroup = network.ID, group
	return err
}

func external(name, wire string) fields {
	return fields{"name": name, "router:external": true, "provider:network_type": "flat", "provider:physical_network": wire}
}

// tenantSubnets leaves the lower half of each to nodes. The gateways are where
// package lab has its router; it keeps fd31::1:0/112 for load balancers.
func tenantSubnets(v4, v6 netip.Prefix) (subnet, subnet) {
	broadcast := lastOf(v4)
	gateway4 := broadcast.Prev()
	upper, err := netip.PrefixFrom(broadcast, v4.Bits()+1).Addr().Prefix(v4.Bits() + 1)
	if err != nil {
		panic(err) // the options were checked: there is a half
	}
	raw := v6.Addr().As16()
	raw[15] = 0xfe
	gateway6 := netip.AddrFrom16(raw)
	raw[13], raw[15] = 1, 0
	first6 := netip.AddrFrom16(raw)
	raw[14], raw[15] = 0xff, 0xff
	return subnet{name: "nodes-v4", cidr: v4, first: upper.Addr().String(), last: gateway4.Prev().String(), gateway: gateway4.String()},
		subnet{name: "nodes-v6", cidr: v6, first: first6.String(), last: netip.AddrFrom16(raw).String(), gateway: gateway6.String()}
}

// lastOf is the highest address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(raw)
}

func makeNetwork(ctx context.Context, s session, network fields, subnets ...subnet) (Network, error) {
	n := Network{Name: network["name"].(string)}
	var err error
	if n.ID, err = s.create(ctx, neutronURL+"/v2.0/networks", "network", network); err != nil {
		return n, err
	}
	for _, want := range subnets {
		f := fields{"name": want.name, "network_id": n.ID, "cidr": want.cidr.String(), "ip_version": 4, "enable_dhcp": false}
		if want.cidr.Addr().Is6() {
			f["ip_version"] = 6
		}
		if want.first != "" {
			f["allocation_pools"] = []fields{{"start": want.first, "end": want.last}}
		}
		if want.gateway != "" {
			f["gateway_ip"] = want.gateway
		}
		id, err := s.create(ctx, neutronURL+"/v2.0/subnets", "subnet", f)
		if err != nil {
			return n, err
		}
		if len(want.tags) > 0 {
			url := fmt.Sprintf("%s/v2.0/subnets/%s/tags", neutronURL, id)
			if err := s.call(ctx, http.MethodPut, url, fields{"tags": want.tags}, nil); err != nil {
				return n, err
			}
		}
		n.Subnets = append(n.Subnets, Subnet{ID: id, Name: want.name, CIDR: want.cidr, Tags: want.tags})
	}
	return n, nil
}

// makeUnlimited lifts Neutron's quotas, which tests reach soon. Those of
// Octavia are unlimited by themselves.
func makeUnlimited(ctx context.Context, admin session, projects ...string) error {
	for _, id := range projects {
		quota := fields{"port": -1, "security_group": -1, "security_group_rule": -1, "floatingip": -1, "network": -1, "subnet": -1, "router": -1}
		if err := admin.call(ctx, http.MethodPut, neutronURL+"/v2.0/quotas/"+id, fields{"quota": quota}, nil); err != nil {
			return err
		}
	}
	return nil
}

// seedOctavia makes two flavors and an availability zone.
func (r *run) seedOctavia(ctx context.Context) error {
	admin, err := login(ctx, r.cloud.Admin)
	if err != nil {
		return err
	}
	for name, data := range map[string]string{
		"single": `{"loadbalancer_topology": "SINGLE"}`,
		"ha":     `{"loadbalancer_topology": "ACTIVE_STANDBY"}`,
	} {
		profile, err := admin.create(ctx, octaviaURL+"/v2/lbaas/flavorprofiles", "flavorprofile",
			fields{"name": name, "provider_name": "amphora", "flavor_data": data})
		if err != nil {
			return err
		}
		r.cloud.Flavors[name], err = admin.create(ctx, octaviaURL+"/v2/lbaas/flavors", "flavor",
			fields{"name": name, "flavor_profile_id": profile, "enabled": true})
		if err != nil {
			return err
		}
	}
	zone, err := admin.create(ctx, octaviaURL+"/v2/lbaas/availabilityzoneprofiles", "availability_zone_profile",
		fields{"name": "az1", "provider_name": "amphora", "availability_zone_data": `{"compute_zone": "nova"}`})
	if err != nil {
		return err
	}
	_, err = admin.create(ctx, octaviaURL+"/v2/lbaas/availabilityzones", "availability_zone",
		fields{"name": "az1", "availability_zone_profile_id": zone, "enabled": true})
	return err
}
