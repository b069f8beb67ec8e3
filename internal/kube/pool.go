package kube

import (
	"cmp"
	"fmt"
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
	reservations, problem := reservationsOf(p, out.Ranges)
	out.Reservations = reservations
	if out.Problem == nil {
		out.Problem = problem
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

// reservationsOf reads the reservations, and names the first that cannot be had.
// The others count: an address that is kept for somebody must not go to another
// because of a mistake in the next line.
func reservationsOf(p *v1alpha1.AddressPool, ranges []lb.Range) (out []lb.Reservation, problem *lb.Refusal) {
	seen := make(map[netip.Addr]bool, len(p.Spec.Reservations))
	for i, r := range p.Spec.Reservations {
		field := fmt.Sprintf("spec.reservations[%d] of AddressPool %q", i, p.Name)
		namespace, name, ok := strings.Cut(r.Service, "/")
		addr, err := netip.ParseAddr(r.Address)
		var wrong *lb.Refusal
		switch {
		case !ok || namespace == "" || name == "" || strings.Contains(name, "/"):
			wrong = lb.Refuse(lb.BadReservation, `write it as "shop/web"`, "%s: service %q does not name a Service", field, r.Service)
		case err != nil:
			wrong = lb.Refuse(lb.BadReservation, "write it as 192.0.2.1 or fd00:1::1", "%s: address %q is not an IP address", field, r.Address)
		case seen[addr]:
			wrong = lb.Refuse(lb.BadReservation, "reserve it once", "%s: address %s is there twice", field, addr)
		case !lb.Contains(ranges, addr):
			wrong = lb.Refuse(lb.BadReservation, "reserve an address of spec.addresses", "%s: address %s is not in the pool", field, addr)
		}
		if wrong != nil {
			problem = cmp.Or(problem, wrong)
			if err != nil || !ok || seen[addr] {
				continue
			}
		}
		seen[addr] = true
		out = append(out, lb.Reservation{Service: lb.Key{Namespace: namespace, Name: name}, Address: addr})
	}
	return out, problem
}
