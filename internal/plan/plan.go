package plan

import (
	"cmp"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// Plan decides what should exist. Applying its result to the world and planning
// again changes nothing.
func Plan(w lb.World) lb.Desired {
	return newAllocation(w, lb.Key{}).desired()
}

// desired runs the passes of an allocation. Their order is the policy: what is
// held stays, who asks for one address goes before who takes any, and within a
// pass the older Service goes first.
func (a *allocation) desired() lb.Desired {
	for _, c := range a.claimants {
		a.adopt(c)
	}
	// A request that is granted frees what its Service held, which may be what
	// another one waits for.
	for a.grantRequests() {
	}
	for _, c := range a.claimants {
		a.assign(c)
	}
	var d lb.Desired
	for _, c := range a.claimants {
		a.conclude(c, &d)
	}
	d.Released = a.released
	for _, u := range a.clouds {
		a.concludeCloud(u, &d)
	}
	slices.SortFunc(d.Balancers, func(x, y lb.Balancer) int { return x.Service.Compare(y.Service) })
	slices.SortFunc(d.Refusals, func(x, y lb.Refusal) int { return x.Service.Compare(y.Service) })
	slices.SortFunc(d.Released, lb.Key.Compare)
	d.Pools = a.poolStates()
	d.Classes = a.classes.states
	return d
}

func (a *allocation) grantRequests() (freed bool) {
	for _, c := range a.claimants {
		if a.request(c) {
			freed = true
		}
	}
	return freed
}

// byAge orders older Services first; the key breaks ties, so that the order is
// the same everywhere.
func byAge(x, y *claimant) int {
	return cmp.Or(x.Created.Compare(y.Created), x.Key.Compare(y.Key))
}
