package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/lb"
)

// classes are the load balancer classes of a world, ready to be looked up.
type classes struct {
	byName map[string]*lb.Class
	// fallback serves Services that name no class; nil where none is default.
	fallback *lb.Class
	// implicit serves while there is no class object; nil otherwise.
	implicit *lb.Class
	byAge    []*lb.Class
	pools    []lb.Pool
	states   []lb.ClassState
}

func resolveClasses(w lb.World) classes {
	c := classes{byName: make(map[string]*lb.Class, len(w.Classes)), pools: w.Pools}
	if len(w.Classes) == 0 {
		c.implicit = &lb.Class{Name: lb.ImplicitClass, Default: true, Provider: lb.ProviderL2}
		if len(w.Pools) > 0 {
			c.fallback = c.implicit
		}
		return c
	}
	c.byAge = make([]*lb.Class, len(w.Classes))
	for i := range w.Classes {
		c.byAge[i] = &w.Classes[i]
		c.byName[w.Classes[i].Name] = &w.Classes[i]
	}
	slices.SortFunc(c.byAge, func(x, y *lb.Class) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.Name, y.Name))
	})
	for _, class := range c.byAge {
		c.states = append(c.states, lb.ClassState{Name: class.Name, Refusal: c.judge(class, w.Pools)})
	}
	slices.SortFunc(c.states, func(x, y lb.ClassState) int { return cmp.Compare(x.Name, y.Name) })
	return c
}

// judge looks for what is wrong with a class, and makes the oldest default one
// the fallback.
func (c *classes) judge(class *lb.Class, pools []lb.Pool) *lb.Refusal {
	if class.Default && c.fallback == nil {
		c.fallback = class
	}
	switch {
	case class.Problem != nil:
		return class.Problem
	case class.Default && c.fallback != class:
		return lb.Refuse(lb.SecondDefault, "set spec.default: false on one of the two",
			"LoadBalancerClass %q is marked default, but the older class %q is the default", class.Name, c.fallback.Name)
	}
	for _, name := range class.Pools {
		if !slices.ContainsFunc(pools, func(p lb.Pool) bool { return p.Name == name }) {
			return lb.Refuse(lb.PoolMissing, "create the AddressPool, or take the name out",
				"spec.pools of LoadBalancerClass %q names pool %q, which does not exist", class.Name, name)
		}
	}
	return nil
}

// of finds the class of a Service. Without a class and without a refusal the
// Service is not ours.
func (c *classes) of(s *lb.Service) (*lb.Class, *lb.Refusal) {
	if name, ours := strings.CutPrefix(s.Class, lb.ClassPrefix); ours {
		if class, ok := c.byName[name]; ok {
			return class, nil
		}
		if name == lb.ImplicitClass && c.implicit != nil {
			return c.implicit, nil
		}
		return nil, lb.Refuse(lb.UnknownClass, c.remedy(),
			"spec.loadBalancerClass %q names a LoadBalancerClass that does not exist", s.Class)
	}
	if s.Class != "" {
		return nil, nil
	}
	if c.fallback == nil && s.Marked && c.implicit != nil {
		return c.implicit, nil // the last pool went; its Services are ours still
	}
	if c.fallback == nil && s.Marked {
		return nil, lb.Refuse(lb.UnknownClass, "mark one with spec.default: true, or delete the Service",
			"the Service names no class, and no LoadBalancerClass is the default any more")
	}
	if c.fallback != nil && c.fallback.Provider.Cloud() && runningOnNodes(s) {
		return c.keeper(s), nil
	}
	return c.fallback, nil
}

func (c *classes) remedy() string {
	if len(c.byName) == 0 {
		return "create it, or leave the field out to use the default"
	}
	names := make([]string, 0, len(c.byName))
	for name := range c.byName {
		names = append(names, fmt.Sprintf("%q", lb.ClassPrefix+name))
	}
	slices.Sort(names)
	return "create it, or recreate the Service with " + strings.Join(names, " or ")
}
