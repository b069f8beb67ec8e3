package fake

import (
	"fmt"
	"slices"
)

// What the drivers refuse (ovn_octavia_provider/driver.py, 3.0.0). The answers come
// before anything is changed, so they lock nothing.

func driverListener(b *loadBalancer, l *listener) error {
	if b.provider != ovn {
		return nil
	}
	if err := ovnProtocol(l.protocol); err != nil {
		return err
	}
	if len(l.allowedCIDRs) > 0 {
		return unsupported(ovn, "OVN provider does not support allowed_cidrs option")
	}
	return nil
}

func ovnProtocol(protocol string) error {
	if !slices.Contains([]string{"TCP", "UDP", "SCTP"}, protocol) {
		return unsupported(ovn, fmt.Sprintf("OVN provider does not support %s protocol", protocol))
	}
	return nil
}

func driverPool(b *loadBalancer, protocol, algorithm string) error {
	if b.provider != ovn {
		if b.provider == amphora && algorithm == "SOURCE_IP_PORT" {
			return unsupported(amphora, "Amphora provider does not support SOURCE_IP_PORT algorithm.")
		}
		return nil
	}
	if err := ovnProtocol(protocol); err != nil {
		return err
	}
	if algorithm != "SOURCE_IP_PORT" {
		return unsupported(ovn, fmt.Sprintf("OVN provider does not support %s algorithm", algorithm))
	}
	return nil
}

func driverMember(b *loadBalancer, m *member) error {
	if b.provider != ovn {
		return nil
	}
	if m.monitorAddress != "" || m.monitorPort != nil {
		return unsupported(ovn, "OVN Load Balancer does not support different member monitor address or port.")
	}
	if m.address.Is6() != b.vip.addr.Is6() {
		return unsupported(ovn, "OVN provider does not support mixing IPv4/IPv6 configuration within the same Load Balancer.")
	}
	if m.subnetID == "" && !b.vip.subnet.cidr.Contains(m.address) {
		return unsupported(ovn, "Subnet is required, or Loadbalancer associated with Pool must have a subnet, for Member creation "+
			"with OVN Provider Driver if it is not the same as LB VIP subnet")
	}
	return nil
}

func driverMonitor(b *loadBalancer, kind string) error {
	if b.provider == ovn && kind != "TCP" && kind != "UDP-CONNECT" {
		return unsupported(ovn, fmt.Sprintf("OVN provider does not support %s health monitor type. Supported types: UDP-CONNECT, TCP", kind))
	}
	return nil
}

// driverCreates is what the driver says about a fully populated creation.
func (b *loadBalancer) driverCreates() error {
	for _, l := range b.listeners {
		if err := driverListener(b, l); err != nil {
			return err
		}
	}
	for _, p := range b.pools {
		if err := driverPool(b, p.protocol, p.algorithm); err != nil {
			return err
		}
		for _, m := range p.members {
			if err := driverMember(b, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// trap is the one of dual-stack VIPs of amphorae: for a listener with allowed_cidrs the
// driver asks Neutron for a security group rule of every family and every range, which
// Neutron refuses for the other family (400). A whole load balancer ends in ERROR, a
// single listener alone; and a deletion has to be repeated.
func (b *loadBalancer) trap(ch Change) Result {
	mixed := slices.ContainsFunc(b.additional, func(v vip) bool { return v.addr.IsValid() && v.addr.Is6() != b.vip.addr.Is6() })
	limited := slices.ContainsFunc(b.listeners, func(l *listener) bool { return len(l.allowedCIDRs) > 0 })
	if !mixed || !limited || b.provider == ovn {
		b.trapped = false
		return Done
	}
	if ch.Object == "loadbalancer" && ch.Kind == "delete" {
		again := b.trapped
		b.trapped = true
		if again {
			return Done
		}
		return Failed
	}
	return Failed
}
