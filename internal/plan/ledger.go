package plan

import (
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// ledger tells who holds an address.
type ledger struct {
	holders map[netip.Addr][]*lb.Service
	// shared lists the addresses that were ever held under a sharing key, so that
	// a sharer finds them without walking its pool.
	shared map[string][]netip.Addr
}

func newLedger(size int) ledger {
	return ledger{holders: make(map[netip.Addr][]*lb.Service, size), shared: make(map[string][]netip.Addr)}
}

// blocker is the first holder of addr that s may not share it with, or nil.
func (l *ledger) blocker(addr netip.Addr, s *lb.Service) *lb.Service {
	for _, h := range l.holders[addr] {
		if h != s && !mayShare(h, s) {
			return h
		}
	}
	return nil
}

func (l *ledger) hold(addr netip.Addr, s *lb.Service) {
	l.holders[addr] = append(l.holders[addr], s)
	if key := s.Request.SharingKey; key != "" && !slices.Contains(l.shared[key], addr) {
		l.shared[key] = append(l.shared[key], addr)
	}
}

func (l *ledger) free(addr netip.Addr, s *lb.Service) {
	rest := slices.DeleteFunc(l.holders[addr], func(h *lb.Service) bool { return h == s })
	if len(rest) == 0 {
		delete(l.holders, addr)
		return
	}
	l.holders[addr] = rest
}
