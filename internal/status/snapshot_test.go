package status

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/lb"
)

func inCloud(name string, edit func(*lb.Service)) lb.Service {
	s := lb.Service{Key: lb.Key{Namespace: "shop", Name: name}, UID: name, LoadBalancer: true, Class: "fairlead.dev/public", Families: []lb.Family{lb.IPv4},
		Ports: []lb.Port{{Protocol: "TCP", Number: 80}}, Marked: true, Finalized: true, CloudClass: "public"}
	if edit != nil {
		edit(&s)
	}
	return s
}

func report(name, id string, trouble *lb.Refusal, addresses ...string) lb.Built {
	b := lb.Built{Service: lb.Key{Namespace: "shop", Name: name}, UID: name, ID: id, Trouble: trouble}
	for _, a := range addresses {
		b.Addresses = append(b.Addresses, netip.MustParseAddr(a))
	}
	return b
}

// cloudWorld has a Service of a cloud in each state.
func cloudWorld() lb.World {
	byName := report("name", "lb-3", nil, "203.0.113.3")
	byName.Hostname = "lb.example.com"
	return lb.World{
		Classes: []lb.Class{{Name: "public", Provider: lb.ProviderOctavia, Octavia: &lb.Octavia{}}},
		Services: []lb.Service{
			inCloud("active", nil),
			inCloud("dual", nil),
			inCloud("going", func(s *lb.Service) { s.Deleting = true }),
			inCloud("name", nil),
			inCloud("new", nil),
			inCloud("poor", nil),
			inCloud("refused", func(s *lb.Service) { s.CloudClass, s.Finalized, s.Ports = "", false, nil }),
			inCloud("soon", nil),
			inCloud("unreachable", nil),
		},
		Built: []lb.Built{
			report("active", "lb-1", nil, "203.0.113.1"),
			report("dual", "lb-2", nil, "203.0.113.2", "2001:db8::2"),
			report("going", "lb-4", nil, "203.0.113.4"),
			byName,
			report("new", "", lb.Refuse(lb.Building, "wait", "the cloud was asked for it")),
			report("poor", "", lb.Refuse(lb.CloudQuota, "raise it", "the quota is used up")),
			report("soon", "lb-5", lb.Refuse(lb.Building, "wait", "it is PENDING_CREATE"), "203.0.113.5"),
			report("unreachable", "lb-6", lb.Refuse(lb.CloudUnreachable, "wait", "no answer"), "203.0.113.6"),
		},
	}
}

func TestServicesOfACloudAreShown(t *testing.T) {
	var text strings.Builder
	if err := Take(cloudWorld()).Write(&text, ""); err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(text.String(), "\n\n")
	want := `SERVICE            VIP              CLASS    POOL   NODE   STATE
shop/active        203.0.113.1      public   -      lb-1   active
shop/dual          203.0.113.2      public   -      lb-2   active
shop/dual          2001:db8::2      public   -      lb-2   active
shop/going         203.0.113.4      public   -      lb-4   deleting (the load balancer is being taken away: wait)
shop/name          lb.example.com   public   -      lb-3   active
shop/new           -                public   -      -      building (the cloud was asked for it: wait)
shop/poor          -                public   -      -      building: CloudQuota (the quota is used up: raise it)
shop/refused       -                -        -      -      refused: NoPorts (spec.ports of the Service is empty: add one)
shop/soon          203.0.113.5      public   -      lb-5   building (it is PENDING_CREATE: wait)
shop/unreachable   203.0.113.6      public   -      lb-6   active: CloudUnreachable (no answer: wait)`
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAServiceOfACloudIsExplainedWithWhatToChange(t *testing.T) {
	e, err := Explain(cloudWorld(), lb.Key{Namespace: "shop", Name: "poor"})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := e.Write(&text, ""); err != nil {
		t.Fatal(err)
	}
	want := `Service shop/poor
  yes  class: LoadBalancerClass "public", provider Octavia
  yes  finalizer: finalizer and note are on the Service: cloud objects may be made
  yes  result: no address yet, but CloudQuota: the quota is used up: raise it
Change first: the quota is used up: raise it
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Explain(cloudWorld(), lb.Key{Namespace: "shop", Name: "none"}); err == nil {
		t.Error("a Service that is not there is explained")
	}
}
