package kube

import (
	"net"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// SpeakerFrom reads a Speaker; what cannot be read is left out.
func SpeakerFrom(s *v1alpha1.Speaker) lb.Speaker {
	out := lb.Speaker{Node: s.Name, Leaving: s.Status.Leaving}
	for _, i := range s.Status.Interfaces {
		mac, err := net.ParseMAC(i.MAC)
		if err != nil {
			continue
		}
		out.Interfaces = append(out.Interfaces, lb.Interface{Name: i.Name, MAC: mac})
	}
	for _, c := range s.Status.Claims {
		addr, err := netip.ParseAddr(c.Address)
		if err != nil {
			continue
		}
		out.Claims = append(out.Claims, lb.Claim{Address: addr, State: lb.ClaimState(c.State), Since: c.Since.Time, Interfaces: c.Interfaces, Detail: c.Detail})
	}
	return out
}

// SpeakerStatusOf is what a Speaker should say.
func SpeakerStatusOf(s *lb.Speaker, version string) v1alpha1.SpeakerStatus {
	out := v1alpha1.SpeakerStatus{Leaving: s.Leaving, Version: version}
	for _, i := range s.Interfaces {
		out.Interfaces = append(out.Interfaces, v1alpha1.Interface{Name: i.Name, MAC: i.MAC.String()})
	}
	for _, c := range s.Claims {
		if c.State == lb.Announced {
			out.Announced++
		}
		out.Claims = append(out.Claims, v1alpha1.Claim{
			Address: c.Address.String(), State: v1alpha1.ClaimState(c.State), Interfaces: c.Interfaces,
			Since: metav1.NewMicroTime(c.Since), Detail: c.Detail,
		})
	}
	return out
}
