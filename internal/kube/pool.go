package kube

import (
	"net/netip"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// PoolFrom reads an AddressPool. What cannot be read becomes its Problem.
func PoolFrom(p *v1alpha1.AddressPool) lb.Pool {
	out := lb.Pool{
		Name:          p.Name,
		Created:       p.CreationTimestamp.Time,
		Generation:    p.Generation,
		AutoAssign:    p.Spec.AutoAssign == nil || *p.Spec.AutoAssign,
		AvoidBuggyIPs: p.Spec.AvoidBuggyIPs,
		Priority:      int(p.Spec.Priority),
		Namespaces:    p.Spec.Namespaces,
		Confirmed:     p.Annotations[v1alpha1.ConfirmAnnotation] == strconv.FormatInt(p.Generation, 10),
		Deleting:      p.DeletionTimestamp != nil,
	}
	if q := p.Spec.Quota; q != nil {
		out.QuotaPerNamespace = int(q.PerNamespace)
	}
	// A status that somebody mangled is no memory; the spec decides anew.
	out.InForce, _ = lb.ParseRanges(p.Status.Addresses)
	out.Ranges, out.Problem = rangesOf(p)
	if out.Problem == nil {
		out.Reservations, out.Problem = reservationsOf(p, out.Ranges)
	}
	var err error
	if out.NamespaceSelector, err = selectorFrom(p.Spec.NamespaceSelector); err != nil && out.Problem == nil {
		out.Problem = lb.Refuse(lb.BadSelector, "", "spec.namespaceSelector of AddressPool %q: %v", p.Name, err)
	}
	if out.ServiceSelector, err = selectorFrom(p.Spec.ServiceSelector); err != nil && out.Problem == nil {
		out.Problem = lb.Refuse(lb.BadSelector, "", "spec.serviceSelector of AddressPool %q: %v", p.Name, err)
	}
	return out
}

func rangesOf(p *v1alpha1.AddressPool) ([]lb.Range, *lb.Refusal) {
	ranges, err := lb.ParseRanges(p.Spec.Addresses)
	if err != nil {
		return nil, lb.Refuse(lb.BadAddresses, "", "spec.addresses of AddressPool %q, %v", p.Name, err)
	}
	return ranges, nil
}

func reservationsOf(p *v1alpha1.AddressPool, ranges []lb.Range) ([]lb.Reservation, *lb.Refusal) {
	var out []lb.Reservation
	seen := make(map[netip.Addr]bool, len(p.Spec.Reservations))
	for i, r := range p.Spec.Reservations {
		namespace, name, ok := strings.Cut(r.Service, "/")
		addr, err := netip.ParseAddr(r.Address)
		switch {
		case !ok || namespace == "" || name == "" || strings.Contains(name, "/"):
			return nil, lb.Refuse(lb.BadReservation, `write it as "shop/web"`,
				"spec.reservations[%d].service of AddressPool %q: %q does not name a Service", i, p.Name, r.Service)
		case err != nil:
			return nil, lb.Refuse(lb.BadReservation, "write it as 192.0.2.1 or fd00:1::1",
				"spec.reservations[%d].address of AddressPool %q: %q is not an IP address", i, p.Name, r.Address)
		case !lb.Contains(ranges, addr):
			return nil, lb.Refuse(lb.BadReservation, "reserve an address of spec.addresses",
				"spec.reservations[%d].address of AddressPool %q: %s is not in the pool", i, p.Name, addr)
		case seen[addr]:
			return nil, lb.Refuse(lb.BadReservation, "reserve it once",
				"spec.reservations[%d].address of AddressPool %q: %s is there twice", i, p.Name, addr)
		}
		seen[addr] = true
		out = append(out, lb.Reservation{Service: lb.Key{Namespace: namespace, Name: name}, Address: addr})
	}
	return out, nil
}
