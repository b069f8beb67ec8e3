package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// CloudService is a Service that a cloud's driver has to do with.
type CloudService struct {
	Service lb.Service
	// Class by which the load balancer is or was made.
	Class lb.Class
	// Wanted is false when all that is there for the Service should go.
	Wanted bool
	// Problem is set where the Service or its class cannot be understood: what exists
	// stays as it is.
	Problem *lb.Refusal
}

// CloudServices are the Services that drivers should serve, or take the load balancers
// of away, by Service. Those that Plan refuses, and those whose class is gone, are not
// among them.
func CloudServices(w lb.World) []CloudService {
	c := resolveClasses(w)
	var out []CloudService
	for i := range w.Services {
		u := c.custodyOf(&w.Services[i])
		if u == nil || u.class == nil || u.refused() {
			continue
		}
		out = append(out, CloudService{Service: *u.Service, Class: *u.class, Wanted: u.wanted, Problem: u.problem})
	}
	slices.SortFunc(out, func(x, y CloudService) int { return x.Service.Compare(y.Service.Key) })
	return out
}

// custody is a Service that a cloud has, or should have, a load balancer for.
type custody struct {
	*lb.Service
	name    string    // of the class
	class   *lb.Class // nil where it is gone, and with it the way into the cloud
	wanted  bool
	problem *lb.Refusal
}

// custodyOf finds the cloud that has to do with a Service; nil is none.
//
// A Service stays with the class that our note on it names until its load balancer is
// gone, whatever it names now: a default that is moved to another class, as the
// default StorageClass, counts for what comes after. Only what is not there any more
// can be made anew somewhere else.
func (c *classes) custodyOf(s *lb.Service) *custody {
	running := s.LoadBalancer && !s.Deleting
	if s.CloudClass == "" {
		class, _ := c.of(s)
		if class == nil || !class.Provider.Cloud() || !running && !left(s) {
			return nil
		}
		u := &custody{Service: s, name: class.Name, class: class, wanted: running}
		u.problem = hopeless(s, class)
		return u
	}
	u := &custody{Service: s, name: s.CloudClass, class: c.byName[s.CloudClass]}
	if u.class == nil || !u.class.Provider.Cloud() {
		u.class = nil
		u.problem = lb.Refuse(lb.UnknownClass, "create the class again, as it was",
			"the Service has a load balancer of LoadBalancerClass %q, which does not exist any more", s.CloudClass)
		return u
	}
	u.wanted = running && (s.Class == "" || s.Class == lb.ClassPrefix+s.CloudClass)
	u.problem = hopeless(s, u.class)
	return u
}

// annotationID is where OCCM keeps which load balancer a Service has.
const annotationID = "loadbalancer.openstack.org/load-balancer-id"

// left tells whether a Service that needs no load balancer any more may have one of
// OCCM, whose work we took over. The finalizer is on the Services of every load
// balancer controller: without the class or OCCM's annotation it may be another's.
func left(s *lb.Service) bool {
	return s.Finalized && !s.Marked && (s.Class != "" || s.Annotations[annotationID] != "")
}

// refused tells whether the Service gets nothing. Where something may be there
// already, it stays instead.
func (u *custody) refused() bool {
	return u.wanted && u.problem != nil && u.CloudClass == "" && !u.Finalized && len(u.Held) == 0 && u.Hostname == ""
}

// bare is what the Service shows, and all that is known of its load balancer before
// its driver says more.
func (u *custody) bare() *lb.Built {
	return &lb.Built{Service: u.Key, UID: u.UID, Addresses: u.Held, Hostname: u.Hostname, Proxy: u.Proxy}
}

// concludeCloud turns a Service of a cloud into a balancer, a refusal or a release,
// by what its driver said of it.
func (a *allocation) concludeCloud(u *custody, d *lb.Desired) {
	report := a.reportOf(u)
	switch {
	case u.class == nil:
		a.balance(u, u.bare(), u.problem, d)
	case u.refused():
		a.refuse(u, d)
	case !u.wanted && report != nil && report.Gone:
		a.note(u.Service, "result", true, "nothing is left in the cloud: the Service is released")
		d.Released = append(d.Released, u.Key)
	case !u.wanted && (report == nil || u.Deleting && !u.Finalized):
		// Without a report it is not known what is left. And the API server takes no
		// finalizer on a Service that is being deleted.
		a.note(u.Service, "result", false, "it is not known yet whether something is left in the cloud: the Service stays as it is")
	case !u.wanted:
		a.balance(u, report, cmp.Or(report.Trouble,
			lb.Refuse(lb.Deleting, "wait", "the load balancer is being taken away")), d)
	case report != nil && !report.Gone:
		a.balance(u, report, cmp.Or(u.problem, report.Trouble), d)
	case u.problem == nil && u.Finalized && u.CloudClass != "":
		a.note(u.Service, "result", false, "the cloud was not looked at yet: the Service stays as it is")
	default:
		// The finalizer and our note go on before the first cloud object.
		what := "the load balancer is about to be built"
		if len(u.Held) > 0 || u.Hostname != "" {
			what = "the load balancer that the Service has is about to be taken over"
		}
		a.balance(u, u.bare(), cmp.Or(u.problem, lb.Refuse(lb.Building, "wait", "%s", what)), d)
	}
}

// reportOf is what a driver said of this very Service, not of one of its name before.
func (a *allocation) reportOf(u *custody) *lb.Built {
	report := a.built[u.Key]
	if report == nil || report.UID != u.UID {
		return nil
	}
	return report
}

func (a *allocation) refuse(u *custody, d *lb.Desired) {
	refusal := *u.problem
	refusal.Service = u.Key
	d.Refusals = append(d.Refusals, refusal)
	a.note(u.Service, "result", false, "%s: %s", refusal.Reason, refusal.Message())
}

func (a *allocation) balance(u *custody, built *lb.Built, shortfall *lb.Refusal, d *lb.Desired) {
	shown := *built
	if !u.LoadBalancer {
		// The API server cleared the status with the change of type, and takes no
		// address on another type.
		shown.Addresses, shown.Hostname = nil, ""
	}
	b := lb.Balancer{Service: u.Key, Class: u.name, Provider: lb.ProviderOctavia, Built: &shown}
	if u.class != nil {
		b.Provider = u.class.Provider
	}
	what := cmp.Or(shown.Hostname, addressList(shown.Addresses), "no address yet")
	if shown.ID != "" {
		what += " of load balancer " + shown.ID
	}
	if shortfall != nil {
		own := *shortfall
		own.Service = u.Key
		b.Shortfall = &own
		a.note(u.Service, "result", true, "%s, but %s: %s", what, own.Reason, own.Message())
	} else {
		a.note(u.Service, "result", true, "%s", what)
	}
	d.Balancers = append(d.Balancers, b)
}

// explainCustody notes why a Service is, or stays, a cloud's.
func (a *allocation) explainCustody(u *custody) {
	if !a.tracing(u.Service) {
		return
	}
	switch {
	case u.class == nil:
		a.note(u.Service, "class", false, "%s", u.problem.Message())
	case !u.wanted:
		a.note(u.Service, "class", true, "LoadBalancerClass %q, provider %s: its load balancer is not wanted any more", u.name, u.class.Provider)
	case u.CloudClass != "" && u.Class == "" && u.class != a.classes.fallback:
		a.note(u.Service, "class", true, "LoadBalancerClass %q, provider %s: the Service names none and stays with the class that it has a load balancer of", u.name, u.class.Provider)
	default:
		a.note(u.Service, "class", true, "LoadBalancerClass %q, provider %s", u.name, u.class.Provider)
	}
	if u.wanted {
		a.note(u.Service, "finalizer", u.Finalized && u.CloudClass != "", "%s", map[bool]string{
			true:  "finalizer and note are on the Service: cloud objects may be made",
			false: "finalizer and note are not on the Service yet: nothing is made in the cloud before",
		}[u.Finalized && u.CloudClass != ""])
	}
	if u.Request.Pool != "" {
		a.note(u.Service, "request", false, "annotation fairlead.dev/pool is for addresses of pools: a cloud does not look at it")
	}
}

// runningOnNodes tells whether the nodes announce an address of the Service: it has one, and
// no cloud made it.
func runningOnNodes(s *lb.Service) bool {
	return s.Marked && s.CloudClass == "" && len(s.Held) > 0
}

// keeper is the class of a Service that runs on the nodes while the default has
// become a cloud's: the oldest one of provider L2 that has the address.
func (c *classes) keeper(s *lb.Service) *lb.Class {
	for _, class := range c.byAge {
		if class.Provider.Cloud() {
			continue
		}
		for i := range c.pools {
			p := &c.pools[i]
			if (len(class.Pools) == 0 || slices.Contains(class.Pools, p.Name)) &&
				slices.ContainsFunc(s.Held, func(addr netip.Addr) bool { return lb.Contains(p.InForce, addr) }) {
				return class
			}
		}
	}
	return &lb.Class{Name: lb.ImplicitClass, Provider: lb.ProviderL2}
}
