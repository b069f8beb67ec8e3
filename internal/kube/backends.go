package kube

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/lb"
)

// Backends reads the endpoints of all Services. From a cache it makes no call and
// copies no object.
func Backends(ctx context.Context, c client.Reader) ([]lb.Backend, error) {
	var list discoveryv1.EndpointSliceList
	if err := c.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list EndpointSlices: %w", err)
	}
	var out []lb.Backend
	for i := range list.Items {
		out = append(out, backendsFrom(&list.Items[i])...)
	}
	return out, nil
}

// backendsFrom reads an EndpointSlice. Unknown counts as yes, as in the API's own
// words; serving tells of the pod also where spec.publishNotReadyAddresses makes
// everything ready.
func backendsFrom(s *discoveryv1.EndpointSlice) []lb.Backend {
	service := lb.Key{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
	family := lb.IPv4
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv6:
		family = lb.IPv6
	case discoveryv1.AddressTypeFQDN:
		return nil
	}
	if service.Name == "" {
		return nil // of no Service
	}
	out := make([]lb.Backend, 0, len(s.Endpoints))
	for _, e := range s.Endpoints {
		is := func(b *bool, unknown bool) bool { return b == nil && unknown || b != nil && *b }
		b := lb.Backend{Service: service, Family: family,
			Ready: is(e.Conditions.Ready, true) && is(e.Conditions.Serving, true) && !is(e.Conditions.Terminating, false)}
		if e.NodeName != nil {
			b.Node = *e.NodeName
		}
		if t := e.TargetRef; t != nil && t.Kind == "Pod" {
			b.Pod = lb.Pod{Namespace: t.Namespace, Name: t.Name, UID: string(t.UID)}
		}
		out = append(out, b)
	}
	return out
}
