package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"github.com/google/go-cmp/cmp"
)

// cloudClass is a class of provider Octavia.
func cloudClass(name string, age int) lb.Class {
	return lb.Class{Name: name, Created: epoch.Add(time.Duration(age) * time.Second), Provider: lb.ProviderOctavia, Octavia: &lb.Octavia{Secret: "cloud-config"}}
}

func l2Class(name string, age int) lb.Class {
	return lb.Class{Name: name, Created: epoch.Add(time.Duration(age) * time.Second), Provider: lb.ProviderL2}
}

func byDefault(c lb.Class) lb.Class { c.Default = true; return c }

func ofClass(name string) func(*lb.Service) {
	return func(s *lb.Service) { s.Class = lb.ClassPrefix + name }
}

// noted is what a Service carries from before its first cloud object on.
func noted(class string, addrs ...string) func(*lb.Service) {
	return func(s *lb.Service) {
		holds(addrs...)(s)
		s.Finalized, s.CloudClass = true, class
	}
}

func deleting(s *lb.Service) { s.Deleting = true }

func clusterIP(s *lb.Service) { s.LoadBalancer, s.Class, s.Held = false, "", nil }

// fromOCCM is a Service that OCCM served until now.
func fromOCCM(addrs ...string) func(*lb.Service) {
	return func(s *lb.Service) {
		holds(addrs...)(s)
		s.Marked, s.Finalized = false, true
		s.Annotations = map[string]string{annotationID: "lb-of-occm"}
	}
}

func built(name, id string, addrs ...string) lb.Built {
	b := lb.Built{Service: lb.Key{Namespace: "shop", Name: name}, UID: name, ID: id}
	for _, a := range addrs {
		b.Addresses = append(b.Addresses, netip.MustParseAddr(a))
	}
	return b
}

func troubled(b lb.Built, r lb.Reason) lb.Built {
	b.Trouble = lb.Refuse(r, "do this", "it is so")
	return b
}

func gone(name string) lb.Built {
	return lb.Built{Service: lb.Key{Namespace: "shop", Name: name}, UID: name, Gone: true}
}

// told is what drivers are told of a world.
func told(w lb.World) []string {
	var out []string
	for _, s := range CloudServices(w) {
		line := s.Service.Name + " " + s.Class.Name
		if !s.Wanted {
			line += " away"
		}
		if s.Problem != nil {
			line += " " + string(s.Problem.Reason)
		}
		out = append(out, line)
	}
	return out
}

func TestServicesOfACloud(t *testing.T) {
	web := newService
	public, lan := cloudClass("public", 1), l2Class("lan", 2)
	bad := public
	bad.Problem = lb.Refuse(lb.BadOption, "y", "x")
	unread := func(s *lb.Service) { s.Request.Problem = lb.Refuse(lb.BadRequest, "y", "x") }
	for _, c := range []struct {
		name    string
		classes []lb.Class
		service lb.Service
		built   []lb.Built
		want    []string
		told    []string
	}{
		{name: "a new one gets finalizer and note first", service: web("a", 1, ofClass("public")),
			want: []string{"a  Building"}, told: []string{"a public"}},
		{name: "then it is left alone until the cloud was looked at", service: web("a", 1, ofClass("public"), noted("public")),
			told: []string{"a public"}},
		{name: "one that runs is left alone until then, too", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1")),
			told: []string{"a public"}},
		{name: "while it is built", service: web("a", 1, ofClass("public"), noted("public")), built: []lb.Built{troubled(built("a", "lb-1"), lb.Building)},
			want: []string{"a  Building"}, told: []string{"a public"}},
		{name: "when it is built", service: web("a", 1, ofClass("public"), noted("public")), built: []lb.Built{built("a", "lb-1", "203.0.113.1")},
			want: []string{"a 203.0.113.1"}, told: []string{"a public"}},
		{name: "trouble with what runs", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1")), built: []lb.Built{troubled(built("a", "lb-1", "203.0.113.1"), lb.CloudUnreachable)},
			want: []string{"a 203.0.113.1 CloudUnreachable"}, told: []string{"a public"}},
		{name: "a report on a Service of its name before does not count", service: web("a", 1, ofClass("public")),
			built: []lb.Built{{Service: lb.Key{Namespace: "shop", Name: "a"}, UID: "before", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.9")}}},
			want:  []string{"a  Building"}, told: []string{"a public"}},
		{name: "pools are not for it", service: web("a", 1, ofClass("public"), asksPool("lan")),
			want: []string{"a  Building"}, told: []string{"a public"}},

		{name: "one that cannot be understood is refused", service: web("a", 1, ofClass("public"), unread), want: []string{"a BadRequest"}},
		{name: "one without ports is refused", service: web("a", 1, ofClass("public"), func(s *lb.Service) { s.Ports = nil }), want: []string{"a NoPorts"}},
		{name: "a class that cannot be understood refuses", classes: []lb.Class{bad}, service: web("a", 1, ofClass("public")), want: []string{"a BadOption"}},
		{name: "one that runs keeps its address and says so", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1"), unread),
			built: []lb.Built{built("a", "lb-1", "203.0.113.1")}, want: []string{"a 203.0.113.1 BadRequest"}, told: []string{"a public BadRequest"}},
		{name: "also before the cloud was looked at", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1"), unread),
			want: []string{"a 203.0.113.1 BadRequest"}, told: []string{"a public BadRequest"}},
		{name: "also when OCCM made it", classes: []lb.Class{byDefault(public)}, service: web("a", 1, fromOCCM("203.0.113.1"), unread),
			want: []string{"a 203.0.113.1 BadRequest"}, told: []string{"a public BadRequest"}},

		{name: "a deleted one waits for the cloud", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1"), deleting),
			told: []string{"a public away"}},
		{name: "and keeps what it shows while it goes", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1"), deleting),
			built: []lb.Built{built("a", "lb-1", "203.0.113.1")}, want: []string{"a 203.0.113.1 Deleting"}, told: []string{"a public away"}},
		{name: "and says what is in the way", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1"), deleting),
			built: []lb.Built{troubled(built("a", "lb-1", "203.0.113.1"), lb.LoadBalancerStuck)}, want: []string{"a 203.0.113.1 LoadBalancerStuck"}, told: []string{"a public away"}},
		{name: "and is released when nothing is left", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1"), deleting),
			built: []lb.Built{gone("a")}, want: []string{"a released"}, told: []string{"a public away"}},
		{name: "a deleted one without our finalizer cannot get it back", service: web("a", 1, ofClass("public"), noted("public"), deleting, func(s *lb.Service) { s.Finalized = false }),
			built: []lb.Built{built("a", "lb-1")}, told: []string{"a public away"}},
		{name: "a refused one is let go at once", service: web("a", 1, ofClass("public"), holds(), deleting), want: []string{"a released"}},
		{name: "a deleted one that was never ours", service: web("a", 1, ofClass("public"), deleting)},
		{name: "another type shows no address while it goes", service: web("a", 1, noted("public", "203.0.113.1"), clusterIP),
			built: []lb.Built{built("a", "lb-1", "203.0.113.1")}, want: []string{"a  Deleting"}, told: []string{"a public away"}},
		{name: "another type is released when nothing is left", service: web("a", 1, noted("public"), clusterIP),
			built: []lb.Built{gone("a")}, want: []string{"a released"}, told: []string{"a public away"}},
		{name: "one that is wanted again is not released", service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1")),
			built: []lb.Built{gone("a")}, told: []string{"a public"}},

		{name: "another class of ours: the load balancer goes first", classes: []lb.Class{public, lan}, service: web("a", 1, noted("public"), ofClass("lan")),
			built: []lb.Built{built("a", "lb-1", "203.0.113.1")}, want: []string{"a 203.0.113.1 Deleting"}, told: []string{"a public away"}},
		{name: "a class of others: the load balancer goes first", service: web("a", 1, noted("public"), func(s *lb.Service) { s.Class = "example.com/x" }),
			built: []lb.Built{gone("a")}, want: []string{"a released"}, told: []string{"a public away"}},
		{name: "then another class of ours serves", classes: []lb.Class{public, lan}, service: web("a", 1, ofClass("lan")), want: []string{"a 10.0.0.1"}},

		{name: "a class that vanished leaves everything as it is", classes: []lb.Class{lan}, service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1")),
			want: []string{"a 203.0.113.1 UnknownClass"}},
		{name: "also for a deleted one: nobody could take the load balancer away", classes: []lb.Class{lan}, service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1"), deleting),
			want: []string{"a 203.0.113.1 UnknownClass"}},
		{name: "a class that came back as another is not the one", classes: []lb.Class{l2Class("public", 9)}, service: web("a", 1, ofClass("public"), noted("public", "203.0.113.1")),
			want: []string{"a 203.0.113.1 UnknownClass"}},

		{name: "a default that moved to another cloud counts for new ones only", classes: []lb.Class{public, byDefault(cloudClass("other", 3))}, service: web("a", 1, noted("public", "203.0.113.1")),
			built: []lb.Built{built("a", "lb-1", "203.0.113.1")}, want: []string{"a 203.0.113.1"}, told: []string{"a public"}},
		{name: "a default that moved to the nodes counts for new ones only", classes: []lb.Class{public, byDefault(lan)}, service: web("a", 1, noted("public", "203.0.113.1")),
			built: []lb.Built{built("a", "lb-1", "203.0.113.1")}, want: []string{"a 203.0.113.1"}, told: []string{"a public"}},
		{name: "no default any more", classes: []lb.Class{public}, service: web("a", 1, noted("public", "203.0.113.1")),
			built: []lb.Built{built("a", "lb-1", "203.0.113.1")}, want: []string{"a 203.0.113.1"}, told: []string{"a public"}},
		{name: "a default that moved to a cloud leaves what runs on the nodes", classes: []lb.Class{byDefault(public), lan}, service: web("a", 1, holds("10.0.0.2")),
			want: []string{"a 10.0.0.2"}},
		{name: "also where there was no class before", classes: []lb.Class{byDefault(public)}, service: web("a", 1, holds("10.0.0.2")), want: []string{"a 10.0.0.2"}},
		{name: "one that waited for a pool is the cloud's", classes: []lb.Class{byDefault(public), lan}, service: web("a", 1, holds()),
			want: []string{"a  Building"}, told: []string{"a public"}},

		{name: "what OCCM made is taken over with its address", classes: []lb.Class{byDefault(public)}, service: web("a", 1, fromOCCM("203.0.113.1")),
			want: []string{"a 203.0.113.1 Building"}, told: []string{"a public"}},
		{name: "and taken away when it is not needed any more", classes: []lb.Class{byDefault(public)}, service: web("a", 1, fromOCCM("203.0.113.1"), deleting),
			built: []lb.Built{gone("a")}, want: []string{"a released"}, told: []string{"a public away"}},
		{name: "the finalizer of another one's load balancer is not ours", classes: []lb.Class{byDefault(public)},
			service: web("a", 1, deleting, func(s *lb.Service) { s.Finalized = true })},
		{name: "OCCM's annotation on a Service of the nodes means nothing", classes: []lb.Class{byDefault(public), lan},
			service: web("a", 1, fromOCCM("10.0.0.2"), func(s *lb.Service) { s.Marked = true }), want: []string{"a 10.0.0.2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.classes == nil {
				c.classes = []lb.Class{public}
			}
			w := lb.World{Classes: c.classes, Services: []lb.Service{c.service}, Built: c.built, Pools: []lb.Pool{newPool(t, "lan", "10.0.0.1-10.0.0.9")}}
			if diff := cmp.Diff(c.want, summary(Plan(w))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.told, told(w)); diff != "" {
				t.Errorf("told to the driver (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddressesOfACloudAreNotAnnounced(t *testing.T) {
	w := speakingWorld(0, 2)
	w.Classes = []lb.Class{byDefault(cloudClass("public", 1))}
	w.Pools = []lb.Pool{newPool(t, "lan", "10.0.0.1-10.0.0.9")}
	w.Services = []lb.Service{
		newService("cloud", 1, noted("public", "10.0.0.1")),
		newService("nodes", 1, holds("10.0.0.2")),
		newService("occm", 1, fromOCCM("10.0.0.3")),
		newService("vanished", 1, ofClass("other"), noted("other", "10.0.0.4")),
	}
	var got []string
	for _, o := range Owners(w) {
		got = append(got, o.Address.String())
	}
	if want := []string{"10.0.0.2"}; !slices.Equal(got, want) {
		t.Errorf("announced are %v, want %v", got, want)
	}
	if usage := Plan(w).Pools[0].Usage[0]; usage.InUse != 1 {
		t.Errorf("%d addresses of the pool are in use, want the one on the nodes", usage.InUse)
	}
}

func TestWhoRunsOnTheNodesKeepsTheClassThatHasItsAddress(t *testing.T) {
	edge, lan := l2Class("edge", 2), l2Class("lan", 3)
	edge.Pools, lan.Pools = []string{"edge"}, []string{"lan"}
	w := lb.World{
		Classes:  []lb.Class{byDefault(cloudClass("public", 1)), edge, lan},
		Pools:    []lb.Pool{newPool(t, "edge", "10.1.0.1-10.1.0.9"), newPool(t, "lan", "10.0.0.1-10.0.0.9")},
		Services: []lb.Service{newService("a", 1, holds("10.0.0.1")), newService("b", 1, holds("10.1.0.1"))},
	}
	var got []string
	for _, b := range Plan(w).Balancers {
		got = append(got, b.Service.Name+" "+b.Class)
	}
	if want := []string{"a lan", "b edge"}; !slices.Equal(got, want) {
		t.Errorf("classes are %v, want %v", got, want)
	}
}

func TestAServiceOfACloudIsExplained(t *testing.T) {
	for _, c := range []struct {
		name    string
		service lb.Service
		built   []lb.Built
		want    []string // in the checks, in this order
	}{
		{"new", newService("a", 1, ofClass("public"), asksPool("lan")), nil,
			[]string{`LoadBalancerClass "public", provider Octavia`, "nothing is made in the cloud before", "fairlead.dev/pool is for addresses of pools", "no address yet, but Building"}},
		{"not looked at", newService("a", 1, ofClass("public"), noted("public")), nil,
			[]string{"cloud objects may be made", "the cloud was not looked at yet"}},
		{"at work", newService("a", 1, ofClass("public"), noted("public", "203.0.113.1")), []lb.Built{built("a", "lb-1", "203.0.113.1")},
			[]string{"203.0.113.1 of load balancer lb-1"}},
		{"of a default before", newService("a", 1, noted("other", "203.0.113.1")), []lb.Built{built("a", "lb-1", "203.0.113.1")},
			[]string{"stays with the class that it has a load balancer of"}},
		{"of a class that is gone", newService("a", 1, noted("gone", "203.0.113.1")), nil,
			[]string{`LoadBalancerClass "gone", which does not exist any more: create the class again`, "203.0.113.1, but UnknownClass"}},
		{"going", newService("a", 1, noted("public", "203.0.113.1"), deleting), []lb.Built{built("a", "lb-1", "203.0.113.1")},
			[]string{"not wanted any more", "but Deleting"}},
		{"gone", newService("a", 1, noted("public", "203.0.113.1"), deleting), []lb.Built{gone("a")}, []string{"nothing is left in the cloud"}},
		{"going, not looked at", newService("a", 1, noted("public", "203.0.113.1"), deleting), nil, []string{"it is not known yet"}},
		{"refused", newService("a", 1, ofClass("public"), func(s *lb.Service) { s.Ports = nil }), nil, []string{"NoPorts: spec.ports of the Service is empty"}},
	} {
		w := lb.World{Classes: []lb.Class{byDefault(cloudClass("public", 1)), cloudClass("other", 2)}, Services: []lb.Service{c.service}, Built: c.built}
		var lines []string
		for _, check := range Explain(w, c.service.Key) {
			lines = append(lines, check.Rule+": "+check.Detail)
		}
		rest := strings.Join(lines, "\n")
		for _, part := range c.want {
			_, after, found := strings.Cut(rest, part)
			if !found {
				t.Errorf("%s: %q is not said, or not in that place, in:\n%s", c.name, part, strings.Join(lines, "\n"))
				break
			}
			rest = after
		}
	}
}
