package octavia

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
	"fairlead.dev/fairlead/internal/lb"
)

// history is what may happen to a cluster and its cloud, drawn before any of it happens.
type history struct {
	conf   string
	events []event
}

// event is one change, what goes wrong on the way to it, and the time until the next.
type event struct {
	what, service string
	set           int // which ports, nodes, ranges
	accident      accident
	fails         string // kind of Octavia's work that ends in ERROR
	whole         bool
	lag, pause    time.Duration
}

// accident befalls some calls after an event.
type accident struct {
	what        string
	after, many int
}

func (e event) String() string {
	text := fmt.Sprintf("%s %s %d, then %s", e.what, e.service, e.set, e.pause)
	if e.accident.what != "" {
		text += fmt.Sprintf("; %s at calls %d to %d", e.accident.what, e.accident.after, e.accident.after+e.accident.many-1)
	}
	if e.fails != "" {
		text += fmt.Sprintf("; %s ends in ERROR (whole: %t)", e.fails, e.whole)
	}
	if e.lag > 0 {
		text += fmt.Sprintf("; lists are %s behind", e.lag)
	}
	return text
}

func (h *history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q", h.conf)
	for _, e := range h.events {
		fmt.Fprintf(&b, "\n  %s", e)
	}
	return b.String()
}

var historyConfs = []string{
	plainConf, securedConf, "[LoadBalancer]\nmanage-security-groups = true\ncreate-monitor = true\n",
	"[LoadBalancer]\nprovider-requires-serial-api-calls = true\ncascade-delete = false\n",
	ovnConf + "manage-security-groups = true\n",
}

var accidents = map[string]fake.Fault{
	"409": fake.Reply(http.StatusConflict), "429": fake.TooMany(2 * time.Second), "500": fake.Reply(http.StatusInternalServerError),
	"503": fake.Reply(http.StatusServiceUnavailable), "lost before": {Lost: fake.LostBefore}, "lost after": {Lost: fake.LostAfter},
	"malformed": {Malformed: true}, "delay": {Delay: 30 * time.Second}, "kill before": {Lost: fake.LostBefore}, "kill after": {Lost: fake.LostAfter},
}

func genHistory(t *rapid.T) *history {
	h := &history{conf: rapid.SampledFrom(historyConfs).Draw(t, "conf")}
	kinds := []string{"", "", "", "409", "429", "500", "503", "lost before", "lost after", "malformed", "delay", "kill before", "kill after"}
	seldom := func(name string) bool { return rapid.IntRange(0, 5).Draw(t, name) == 5 }
	for range rapid.IntRange(3, 9).Draw(t, "length") {
		e := event{
			what:    rapid.SampledFrom([]string{"create", "create", "share", "delete", "ports", "nodes", "ranges", "affinity", "inside", "nothing"}).Draw(t, "what"),
			service: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service"),
			set:     rapid.IntRange(0, 1023).Draw(t, "set"),
			pause:   rapid.SampledFrom([]time.Duration{0, 500 * time.Millisecond, 3 * time.Second, 20 * time.Second, time.Minute}).Draw(t, "pause"),
		}
		if e.accident.what = rapid.SampledFrom(kinds).Draw(t, "accident"); e.accident.what != "" {
			e.accident.after, e.accident.many = rapid.IntRange(0, 12).Draw(t, "after"), rapid.IntRange(1, 3).Draw(t, "many")
		}
		if seldom("fails") {
			e.fails = rapid.SampledFrom([]string{"create", "update", "delete"}).Draw(t, "failing")
			e.whole = rapid.Bool().Draw(t, "whole")
		}
		if seldom("behind") {
			e.lag = rapid.SampledFrom([]time.Duration{2 * time.Second, 25 * time.Second}).Draw(t, "lag")
		}
		h.events = append(h.events, e)
	}
	return h
}

// teller plays a history on a stage, and knows what of it may show in addresses.
type teller struct {
	*stage
	machines []lb.Node
	// moves are how often a Service's address may have changed since it was made, group
	// the Services that shared a load balancer with it.
	moves map[string]int
	group map[string]string
	// hurt: a load balancer was in ERROR.
	hurt  atomic.Bool
	fails atomic.Pointer[event]
	from  atomic.Int64 // calls
}

func newTeller(s *stage) *teller {
	s.addNode("node-4")
	s.addNode("node-5")
	h := &teller{stage: s, machines: slices.Clone(s.nodes), moves: make(map[string]int), group: make(map[string]string)}
	s.nodes = slices.Clone(h.machines[:3])
	return h
}

// portsOf a Service are the ports that a number stands for: one to three, and no two
// Services have one in common, so that all can share.
func portsOf(service string, set int) ([]lb.Port, []uint16) {
	base := 8000 + 100*uint16(service[0]-'a')
	all := []lb.Port{{Protocol: "TCP", Number: base}, {Protocol: "UDP", Number: base}, {Protocol: "TCP", Number: base + 1}, {Protocol: "UDP", Number: base + 2}}
	var ports []lb.Port
	var nodePorts []uint16
	for i, p := range all {
		if set>>i&1 == 1 && len(ports) < 3 {
			ports, nodePorts = append(ports, p), append(nodePorts, 23000+base+uint16(i))
		}
	}
	if len(ports) == 0 {
		return all[:1], []uint16{23000 + base}
	}
	return ports, nodePorts
}

func (h *teller) make(name string, set int) *lb.Service {
	svc := h.service(name)
	svc.Ports, svc.NodePorts = portsOf(name, set)
	delete(h.shown, name)
	delete(h.trouble, name)
	h.moves[name], h.group[name] = 0, svc.UID
	if set>>8&1 == 1 {
		annotate("internal", "true")(h.stage, svc)
	}
	return svc
}

// happens makes an event so, where it can be.
func (h *teller) happens(e event) {
	svc := h.services[e.service]
	if svc != nil && h.leaving[e.service] && e.what != "nodes" {
		return
	}
	switch {
	case e.what == "nodes":
		h.nodes = nil
		for i, n := range h.machines {
			n.Alive = e.set>>(i+5)&1 == 0
			if e.set>>i&1 == 1 || i == 0 && e.set%32 == 0 {
				h.nodes = append(h.nodes, n)
			}
		}
	case e.what == "create" && svc == nil:
		h.make(e.service, e.set)
	case e.what == "share" && svc == nil:
		for _, name := range []string{"a", "b", "c"} {
			first := h.services[name]
			if first == nil || h.leaving[name] || len(first.Held) == 0 || first.Annotations[annotation+"load-balancer-id"] == "" {
				continue
			}
			svc := h.make(e.service, e.set&^(1<<8))
			h.group[e.service] = h.group[name]
			annotate("load-balancer-id", first.Annotations[annotation+"load-balancer-id"])(h.stage, svc)
			if inside(first) {
				annotate("internal", "true")(h.stage, svc)
			}
			return
		}
	case svc == nil:
	case e.what == "delete":
		h.leaving[e.service] = true
	case e.what == "ports":
		svc.Ports, svc.NodePorts = portsOf(e.service, e.set)
	case e.what == "ranges":
		svc.SourceRanges = [][]netip.Prefix{nil, {prefix("192.0.2.0/24")}, {prefix("192.0.2.0/24"), prefix("198.51.100.0/25")}}[e.set%3]
	case e.what == "affinity":
		svc.Affinity = time.Hour - svc.Affinity
	case e.what == "inside":
		to := fmt.Sprint(!inside(svc))
		for name, other := range h.services {
			if h.group[name] == h.group[e.service] {
				annotate("internal", to)(h.stage, other)
				h.moves[name]++
			}
		}
	}
}

// count tells the driver which Services there are.
func (h *teller) count() {
	h.living = []string{}
	for _, svc := range h.services {
		h.living = append(h.living, svc.UID)
	}
	slices.Sort(h.living)
}

func inside(svc *lb.Service) bool {
	return svc.Annotations["service.beta.kubernetes.io/openstack-internal-load-balancer"] == "true"
}

// fault decides about a call while e is the last that happened.
func (h *teller) fault(e event, c fake.Call) fake.Fault {
	n := c.Number - int(h.from.Load())
	if e.accident.what == "" || !h.running.Load() || n <= e.accident.after || n > e.accident.after+e.accident.many {
		return fake.Fault{}
	}
	f := accidents[e.accident.what]
	switch {
	case n > e.accident.after+1 && strings.HasPrefix(e.accident.what, "kill"):
		return fake.Fault{}
	case e.accident.what == "kill before":
		f.Before = h.crash
	case e.accident.what == "kill after":
		f.After = h.crash
	}
	return f
}

func (h *teller) outcome(c fake.Change) fake.Outcome {
	e := h.fails.Load()
	if e == nil || e.fails != c.Kind || !h.fails.CompareAndSwap(e, nil) {
		return fake.Outcome{}
	}
	if c.Object == "loadbalancer" || e.whole {
		h.hurt.Store(true)
	}
	if e.whole {
		return fake.Outcome{Result: fake.FailedWhole}
	}
	return fake.Outcome{Result: fake.Failed}
}

// tell plays a history to its end, and then leaves cluster and cloud in peace.
func (h *teller) tell(t *history) {
	h.start()
	h.cloud.Outcomes(h.outcome)
	for _, e := range t.events {
		calls := h.cloud.Calls()
		if len(calls) > 0 {
			h.from.Store(int64(calls[len(calls)-1].Number))
		}
		if h.cloud.SetListLag(e.lag); e.fails != "" {
			h.fails.Store(&e)
		}
		h.cloud.Intercept(func(c fake.Call) fake.Fault { return h.fault(e, c) })
		h.change(func() {
			h.happens(e)
			h.count()
		})
		h.play(e.pause)
	}
	h.cloud.Intercept(nil)
	h.cloud.Outcomes(nil)
	h.cloud.SetListLag(0)
}
