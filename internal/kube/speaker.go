package kube

import (
	"math"
	"net"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
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
		out.Claims = append(out.Claims, lb.Claim{
			Address: addr, State: lb.ClaimState(c.State), Since: c.Since.Time, Interfaces: c.Interfaces, Detail: c.Detail,
			Cause: lb.Cause(c.Cause), From: c.From, Epoch: uint64(max(0, c.Epoch)), Offer: c.Offer,
		})
	}
	out.Hearing = hearingFrom(s.Status.Hearing)
	return out
}

func hearingFrom(h *v1alpha1.Hearing) *lb.Hearing {
	if h == nil {
		return nil
	}
	out := &lb.Hearing{
		Boot: h.Boot, Quorate: h.Quorate, Counted: int(h.Counted), Keys: h.Keys,
		Late: time.Duration(h.LateMilliseconds) * time.Millisecond, LateNode: h.LateNode,
		Fence: lb.Fence{Kernel: h.Fence == v1alpha1.FenceKernel, Detail: h.FenceDetail},
	}
	for _, m := range h.Missing {
		out.Missing = append(out.Missing, lb.Missing{Node: m.Node, State: m.State, Since: m.Since.Time, Why: m.Why})
	}
	return out
}

func hearingOf(h *lb.Hearing) *v1alpha1.Hearing {
	if h == nil {
		return nil
	}
	out := &v1alpha1.Hearing{
		Boot: h.Boot, Quorate: h.Quorate, Counted: int32(h.Counted), Keys: h.Keys,
		LateMilliseconds: int32(h.Late.Milliseconds()), LateNode: h.LateNode,
		Fence: v1alpha1.FenceProcess, FenceDetail: h.Fence.Detail,
	}
	if h.Fence.Kernel {
		out.Fence = v1alpha1.FenceKernel
	}
	for _, m := range h.Missing {
		out.Missing = append(out.Missing, v1alpha1.Missing{Node: m.Node, State: m.State, Since: metav1.NewMicroTime(m.Since), Why: m.Why})
	}
	return out
}

// SameSpeaker tells whether two speakers are the same in a Speaker object.
func SameSpeaker(a, b *lb.Speaker) bool {
	return equality.Semantic.DeepEqual(SpeakerStatusOf(a, ""), SpeakerStatusOf(b, ""))
}

// SpeakerStatusOf is what a Speaker should say.
func SpeakerStatusOf(s *lb.Speaker, version string) v1alpha1.SpeakerStatus {
	out := v1alpha1.SpeakerStatus{Leaving: s.Leaving, Version: version, Hearing: hearingOf(s.Hearing)}
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
			Cause: string(c.Cause), From: c.From, Epoch: int64(min(c.Epoch, math.MaxInt64)), Offer: c.Offer,
		})
	}
	return out
}
