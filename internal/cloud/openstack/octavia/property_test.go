package octavia

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/compat/occm"
	"fairlead.dev/fairlead/internal/lb"
)

// Whatever happens to a cluster and its cloud, and however often the process is killed
// meanwhile: left in peace, every Service has what it asks for, once, and what is gone
// has nothing.
func TestAnyHistoryEndsAsItsServicesAskFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := genHistory(rt)
		var wrong []string
		defer func() {
			if t.Failed() {
				t.Logf("history: %s", h)
			}
		}()
		// Nothing is drawn in the bubble: what rapid throws would be nobody's to catch there.
		synctest.Test(t, func(t *testing.T) {
			s := newTeller(newStage(t, brisk(), h.conf))
			defer func() { s.stop() }()
			s.tell(h)
			wrong = s.ending()
		})
		if len(wrong) > 0 {
			rt.Fatalf("%s\n%s", strings.Join(wrong, "\n"), h)
		}
	})
}

// ending is what is wrong once a history is over.
func (h *teller) ending() []string {
	// Work on a member that ended in ERROR is found by a deep audit, and a floating IP that
	// no list showed while its Service went by the second audit after.
	wrong := h.settles(100 * time.Minute)
	if len(wrong) > 0 {
		return append(wrong, h.String())
	}
	h.calm(30 * time.Second) // longer than a call may be under way
	if wrong := append(h.wrong(), h.restless()...); len(wrong) > 0 {
		return append(wrong, h.String())
	}
	for name := range h.services {
		h.leaving[name] = true
	}
	h.change(func() {})
	for end := time.Now().Add(40 * time.Minute); len(h.services) > 0 && time.Now().Before(end); {
		h.play(time.Second)
	}
	// In peace nothing is left for audits to find.
	if left := h.leftovers(); len(left)+len(h.services) > 0 {
		return []string{fmt.Sprintf("after all went: %d Services, %v", len(h.services), left), h.String()}
	}
	return nil
}

// settles plays until nothing is wrong.
func (h *teller) settles(patience time.Duration) (wrong []string) {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		h.play(2 * time.Second)
		h.correct()
		h.change(h.count)
		if wrong = h.wrong(); len(wrong) == 0 {
			return nil
		}
	}
	return wrong
}

// correct does what a refusal tells the owner of a Service to do that names a load
// balancer which had to be built again before the Service was on it.
func (h *teller) correct() {
	for name, r := range h.trouble {
		if svc := h.services[name]; svc != nil && r != nil && r.Reason == lb.LoadBalancerNotFound && h.hurt.Load() {
			h.change(func() { delete(svc.Annotations, occm.AnnotationID) })
		}
	}
}

// restless are changes that another process makes where all is as it should be.
func (h *teller) restless() (out []string) {
	h.cloud.ResetCalls()
	h.play(time.Minute)
	h.restart()
	h.play(15 * time.Minute)
	_, changes := h.own()
	for _, c := range changes {
		out = append(out, "changed though all was well: "+c)
	}
	return out
}

// wrong compares what the cloud has with what the Services ask for. It knows nothing of
// the driver but the tag by which a load balancer is a Service's.
func (h *teller) wrong() (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	at := make(map[string][]*lb.Service) // by load balancer
	balancers := h.cloud.LoadBalancers()
	for name, svc := range h.services {
		if h.leaving[name] {
			bad("%s is not gone", name)
			continue
		}
		if r := h.trouble[name]; r != nil {
			bad("%s has trouble: %s: %s", name, r.Reason, r.Message())
		}
		n := 0
		for i := range balancers {
			if l := &balancers[i]; slices.Contains(l.Tags, "fairlead_service_"+svc.UID) {
				at[l.ID] = append(at[l.ID], svc)
				n++
			}
		}
		if n != 1 {
			bad("%s has %d load balancers", name, n)
		}
		if moves := len(h.shown[name]) - 1; moves > h.moves[name] && !h.hurt.Load() {
			bad("%s showed %v, and was moved %d times", name, h.shown[name], h.moves[name])
		}
	}
	floats := h.cloud.FloatingIPs()
	led := 0
	for i := range balancers {
		l := &balancers[i]
		if len(at[l.ID]) == 0 {
			bad("load balancer %s is nobody's", l.Name)
			continue
		}
		wrong = append(wrong, h.wrongAt(l, at[l.ID])...)
		address := []netip.Addr{l.VIPAddress}
		if !inside(at[l.ID][0]) {
			address = nil
			for _, f := range floats {
				if f.PortID == l.VIPPortID {
					address = append(address, f.Address)
					led++
				}
			}
		}
		for _, svc := range at[l.ID] {
			if len(address) != 1 || !slices.Equal(svc.Held, address) {
				bad("%s shows %v, and %v lead to it", svc.Name, svc.Held, address)
			}
		}
	}
	if led != len(floats) {
		bad("%d floating IPs lead to load balancers that want one: %+v", led, floats)
	}
	return append(wrong, h.wrongRules()...)
}

// wrongAt compares a load balancer with what the Services on it ask for.
func (h *teller) wrongAt(l *fake.LoadBalancer, services []*lb.Service) (wrong []string) {
	ofOVN := l.Provider == "ovn"
	if l.ProvisioningStatus != "ACTIVE" {
		wrong = append(wrong, l.Name+" is "+l.ProvisioningStatus)
	}
	var want, have []string
	for _, svc := range services {
		for i, p := range svc.Ports {
			text := fmt.Sprintf("%d/%s sticky %t from %v", p.Number, p.Protocol, svc.Affinity > 0, svc.SourceRanges)
			if ofOVN {
				text = fmt.Sprintf("%d/%s sticky %t from []", p.Number, p.Protocol, svc.Affinity > 0)
			}
			if h.config.LoadBalancer.CreateMonitor {
				text += map[string]string{"TCP": " asked by TCP", "UDP": " asked by UDP-CONNECT"}[p.Protocol]
			}
			for _, n := range h.able() {
				text += " " + netip.AddrPortFrom(n.Addresses[0], svc.NodePorts[i]).String()
			}
			want = append(want, text)
		}
	}
	for _, x := range l.Listeners {
		i := slices.IndexFunc(l.Pools, func(p fake.Pool) bool { return p.ID == x.DefaultPoolID })
		// A listener of OVN's stays in PENDING_UPDATE after its pool was changed.
		if i < 0 || x.ProvisioningStatus != "ACTIVE" && !(ofOVN && x.ProvisioningStatus == "PENDING_UPDATE") {
			wrong = append(wrong, fmt.Sprintf("listener %d/%s is %s, its pool the %dth", x.Port, x.Protocol, x.ProvisioningStatus, i))
			continue
		}
		p := &l.Pools[i]
		text := fmt.Sprintf("%d/%s sticky %t from %v", x.Port, x.Protocol, p.Persistence != nil, x.AllowedCIDRs)
		if p.Protocol != x.Protocol {
			text += " to " + p.Protocol
		}
		if m := p.Monitor; m != nil {
			text += " asked by " + m.Type
			if m.ProvisioningStatus != "ACTIVE" {
				text += " (" + m.ProvisioningStatus + ")"
			}
		}
		if p.ProvisioningStatus != "ACTIVE" {
			text += " pool " + p.ProvisioningStatus
		}
		members := slices.SortedFunc(slices.Values(p.Members), func(x, y fake.Member) int { return x.Address.Compare(y.Address) })
		for _, m := range members {
			text += " " + netip.AddrPortFrom(m.Address, uint16(m.Port)).String()
			if m.ProvisioningStatus != "ACTIVE" {
				text += " " + m.ProvisioningStatus
			}
		}
		have = append(have, text)
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		wrong = append(wrong, fmt.Sprintf("%s: listeners\n  want %q\n  have %q", l.Name, want, have))
	}
	if len(l.Pools) != len(l.Listeners) {
		wrong = append(wrong, fmt.Sprintf("%s: %d pools for %d listeners", l.Name, len(l.Pools), len(l.Listeners)))
	}
	return wrong
}

// able are the nodes that may take connections: the ready ones, or all if none is.
func (h *teller) able() []lb.Node {
	ready := slices.DeleteFunc(slices.Clone(h.nodes), func(n lb.Node) bool { return !n.Alive })
	if len(ready) == 0 {
		return h.nodes
	}
	return ready
}

// wrongRules compares what the nodes' security groups let in with the Services' node
// ports.
func (h *teller) wrongRules() []string {
	var want, have []string
	if h.config.LoadBalancer.SecurityGroups {
		for _, svc := range h.services {
			for i, p := range svc.Ports {
				want = append(want, fmt.Sprintf("%s %d", strings.ToLower(p.Protocol), svc.NodePorts[i]))
			}
		}
	}
	var wrong []string
	seen := make(map[string]bool)
	for _, g := range h.cloud.SecurityGroups() {
		if seen[g.Name] {
			wrong = append(wrong, "two groups "+g.Name)
		}
		seen[g.Name] = true
		for _, r := range g.Rules {
			if r.Direction != "ingress" || r.PortMin == 0 {
				continue
			}
			same := fmt.Sprint(g.Name, r.Protocol, r.PortMin, r.PortMax, r.RemotePrefix, r.Ethertype)
			if seen[same] || r.PortMin != r.PortMax {
				wrong = append(wrong, "rule twice, or wide: "+same)
			}
			seen[same] = true
			have = append(have, fmt.Sprintf("%s %d", r.Protocol, r.PortMin))
		}
		for _, p := range h.cloud.Ports() {
			node := slices.ContainsFunc(h.nodes, func(n lb.Node) bool { return p.DeviceID == n.ServerID })
			if is := slices.Contains(p.SecurityGroups, g.ID); p.DeviceOwner == "compute:nova" && is != node {
				wrong = append(wrong, fmt.Sprintf("%s in group %s: %t, a node: %t", p.Name, g.Name, is, node))
			}
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if have = slices.Compact(have); !slices.Equal(want, have) {
		wrong = append(wrong, fmt.Sprintf("rules\n  want %q\n  have %q", want, have))
	}
	return wrong
}
