// Package openstack runs a real Keystone, Neutron and Octavia on this machine's
// loopback, for tests, demonstrations and benchmarks.
//
//	cloud, err := openstack.Up(ctx, openstack.Options{Progress: os.Stderr})
//	if err != nil { ... }
//	defer cloud.Down(ctx)
//	port, server, err := cloud.AddNode(ctx, "n1", netip.MustParseAddr("172.31.0.11"))
//	os.WriteFile("clouds.yaml", cloud.CloudsYAML(), 0o600)
//	...
//	err = cloud.Inject(ctx, openstack.LoadBalancers, id, "ERROR", "")
//
// The services are those of Debian 12 (OpenStack Zed), with MariaDB, RabbitMQ
// and the databases of OVN, and they behave as in any cloud: policies, quotas,
// 409 while something is PENDING, a VIP that is a Neutron port. Octavia has two
// providers, amphora and ovn. What is missing is everything below the API: no
// Nova, no hypervisor, no agent and no packet. An amphora is a row in a
// database, and behind a VIP nobody listens. A Neutron port stands for a node.
//
// It needs root, once a Debian archive, and no container engine or systemd.
// The ports are the usual ones, so there is one cloud a machine (or a network
// namespace). Package lab runs the Kubernetes beside it; the tenant's subnets
// are by default those of its nodes.
package openstack
