package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// settlement says which ranges of each pool are in force, by pool name, and what
// is wrong with those that are not.
type settlement struct {
	inForce map[string][]lb.Range
	refusal map[string]*lb.Refusal
}

// settle decides which edits of pools take effect. What was accepted before goes
// before what is new, and the older pool before the younger; an edit that cannot
// be had leaves the pool as it was.
func settle(pools []lb.Pool, services []*lb.Service) settlement {
	s := settlement{inForce: make(map[string][]lb.Range, len(pools)), refusal: make(map[string]*lb.Refusal)}
	byAge := make([]*lb.Pool, len(pools))
	for i := range pools {
		byAge[i] = &pools[i]
	}
	slices.SortFunc(byAge, func(x, y *lb.Pool) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.Name, y.Name))
	})
	for _, p := range byAge {
		s.inForce[p.Name] = p.InForce
	}
	var edited []*lb.Pool
	for _, p := range byAge {
		switch {
		case p.Problem != nil:
			s.refusal[p.Name] = p.Problem
		case p.Deleting || !slices.Equal(p.Ranges, p.InForce):
			edited = append(edited, p)
		}
	}
	s.holdLosses(edited, services)
	s.accept(edited)
	return s
}

// holdLosses refuses the edits that together would take addresses from more than
// a tenth of the running Services, and from more than one.
func (s *settlement) holdLosses(edited []*lb.Pool, services []*lb.Service) {
	if len(edited) == 0 {
		return
	}
	var after []lb.Range // what would be left if every edit were accepted
	for name, ranges := range s.inForce {
		i := slices.IndexFunc(edited, func(p *lb.Pool) bool { return p.Name == name })
		switch {
		case i < 0:
			after = append(after, ranges...)
		case !edited[i].Deleting:
			after = append(after, edited[i].Ranges...)
		}
	}
	running, losers := 0, make(map[string]int, len(edited))
	total := 0
	for _, svc := range services {
		if len(svc.Held) == 0 {
			continue
		}
		running++
		lost := slices.IndexFunc(svc.Held, func(a netip.Addr) bool { return !lb.Contains(after, a) })
		if lost < 0 {
			continue
		}
		for _, p := range edited {
			if lb.Contains(p.InForce, svc.Held[lost]) && !p.Confirmed {
				losers[p.Name]++
				total++
			}
		}
	}
	if !tooMany(total, running) {
		return
	}
	for _, p := range edited {
		if losers[p.Name] > 0 {
			s.refusal[p.Name] = lossRefusal(p, losers[p.Name], running)
		}
	}
}

// tooMany is the brake on withdrawals: more than one, and more than a tenth.
func tooMany(losers, running int) bool {
	return losers > 1 && losers*10 > running
}

func lossRefusal(p *lb.Pool, losers, running int) *lb.Refusal {
	remedy := fmt.Sprintf("take the edit back, or confirm it: kubectl annotate --overwrite addresspool %s fairlead.dev/confirm=%d", p.Name, p.Generation)
	if p.Deleting {
		return lb.Refuse(lb.PoolInUse, remedy, "deleting the pool would take addresses from %d of %d running Services", losers, running)
	}
	return lb.Refuse(lb.ShrinkHeld, remedy, "spec.addresses would take addresses from %d of %d running Services; the addresses before the edit stay in force", losers, running)
}

// accept puts edits in force until none of the rest can be: one edit may wait for
// the addresses that another gives up.
func (s *settlement) accept(edited []*lb.Pool) {
	for progress := true; progress; {
		progress = false
		for i, p := range edited {
			if p == nil || s.refusal[p.Name] != nil {
				continue
			}
			if p.Deleting {
				s.inForce[p.Name] = nil
			} else if _, overlaps := s.overlap(p); overlaps {
				continue
			} else {
				s.inForce[p.Name] = p.Ranges
			}
			edited[i], progress = nil, true
		}
	}
	for _, p := range edited {
		if p == nil || s.refusal[p.Name] != nil {
			continue
		}
		with, _ := s.overlap(p)
		s.refusal[p.Name] = with
	}
}

// overlap looks for another pool that has some address of p's new ranges in force.
func (s *settlement) overlap(p *lb.Pool) (*lb.Refusal, bool) {
	names := make([]string, 0, len(s.inForce))
	for name := range s.inForce {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == p.Name {
			continue
		}
		for _, r := range s.inForce[name] {
			for _, mine := range p.Ranges {
				if mine.Overlaps(r) {
					return lb.Refuse(lb.Overlap, fmt.Sprintf("take %s out of one of the two", r),
						"spec.addresses %s of pool %q overlaps %s of pool %q, which has it in force", mine, p.Name, r, name), true
				}
			}
		}
	}
	return nil, false
}
