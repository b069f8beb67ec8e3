package main

import (
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
)

// planTimes are those of whole plans, of which half are of a world where every
// Service waits and half of one where every Service has its address.
func planTimes() []time.Duration {
	var out []time.Duration
	for range 10 {
		w := bigWorld()
		start := time.Now()
		d := plan.Plan(w)
		out = append(out, time.Since(start))
		for i := range w.Services {
			w.Services[i].Held = d.Balancers[i].Addresses()
			w.Services[i].Marked = true
		}
		start = time.Now()
		plan.Plan(w)
		out = append(out, time.Since(start))
	}
	return out
}

func bigWorld() lb.World {
	ranges, err := lb.ParseRanges([]string{"10.200.0.0/16"})
	if err != nil {
		panic(err) // the text is ours
	}
	w := lb.World{Pools: []lb.Pool{{Name: "bench", Ranges: ranges, InForce: ranges, AutoAssign: true}}}
	for i := range 1000 {
		w.Nodes = append(w.Nodes, lb.Node{Name: fmt.Sprintf("node-%04d", i), Alive: true})
	}
	for i := range 10000 {
		w.Services = append(w.Services, lb.Service{
			Key: lb.Key{Namespace: "default", Name: fmt.Sprintf("s-%05d", i)}, Created: time.Unix(int64(i%100), 0), LoadBalancer: true,
			Families: []lb.Family{lb.IPv4}, Ports: []lb.Port{{Protocol: "TCP", Number: 80}},
		})
	}
	return w
}
