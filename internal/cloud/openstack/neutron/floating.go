package neutron

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// FloatingIP is an address of an external network that may lead to a port.
type FloatingIP struct {
	ID          string
	Address     netip.Addr
	NetworkID   string
	Description string
	ProjectID   string
	Status      string
	Revision    int
	// PortID and Fixed are what it leads to; empty while it is detached.
	PortID string
	Fixed  netip.Addr
	// PortGone is set where the port does not exist any more.
	PortGone bool
	// Holder says what has the port: "compute:nova 1b2c…".
	Holder string

	// Ours: its description says that it was made for a Service of this cluster, so
	// that it may be deleted. Keep: the description says that it is to be kept. Both are
	// for the caller to set: descriptions are not understood here.
	Ours, Keep bool
}

// attached tells whether it leads anywhere.
func (f FloatingIP) attached() bool { return f.PortID != "" && !f.PortGone }

// FloatingWant is what one VIP needs.
type FloatingWant struct {
	// Remove: no floating IP at all. Port may be empty where it is gone.
	Remove bool
	// Port of the VIP, and the address there; the zero Addr on a port with one.
	Port  string
	Fixed netip.Addr
	// From are ports that a floating IP may be taken from: earlier VIPs of the Service.
	From []string
	// Network and Subnets are where to allocate; see ChooseFloating.
	Network string
	Subnets []string
	// Address that it must be; the zero Addr is any.
	Address netip.Addr
	// Shown is the address that the Service shows, which is preferred.
	Shown netip.Addr
	// Description of those that are made for the Service, and Earlier ones that mean
	// the same Service.
	Description string
	Earlier     []string
	// Keep: not deleted with the Service. Description says so, too.
	Keep bool
}

// here tells whether a floating IP leads to the VIP.
func (w *FloatingWant) here(f FloatingIP) bool {
	return f.attached() && f.PortID == w.Port && (f.Fixed == w.Fixed || !w.Fixed.IsValid() || !f.Fixed.IsValid())
}

// mine tells whether a floating IP was made for the Service, so that it may be reused
// or deleted when it is found somewhere else than at the VIP.
func (w *FloatingWant) mine(f FloatingIP) bool {
	return f.Ours && (f.Description == w.Description || slices.Contains(w.Earlier, f.Description))
}

func (w *FloatingWant) free(f FloatingIP) bool {
	return !f.attached() || slices.Contains(w.From, f.PortID)
}

// FloatingSteps gives the VIP its floating IP, and only that one. have may hold more
// than what concerns the VIP: all of the project.
//
// A floating IP that leads to the VIP already stays, whoever attached it. Otherwise one
// of the Service's own that is free is reused: it is left from a request whose answer
// was lost, from an earlier VIP or from an earlier life of the Service. Only then one is
// created.
func FloatingSteps(w FloatingWant, have []FloatingIP) ([]Step, *lb.Refusal) {
	have = slices.SortedFunc(slices.Values(have), func(x, y FloatingIP) int { return w.order(x, y) })
	if w.Remove {
		return w.remove(have), nil
	}
	chosen, found, refusal := w.choose(have)
	if refusal != nil {
		return nil, refusal
	}
	var steps, last []Step
	busy := false
	for _, f := range have {
		if found && f.ID == chosen.ID {
			continue
		}
		// At the same port but another address of it, a stranger is none of ours.
		extra := f.attached() && f.PortID == w.Port && (w.here(f) || f.Ours)
		switch {
		case extra:
			busy = busy || w.here(f)
			last = append(last, w.drop(f)...)
		case w.mine(f) && !f.Keep && w.free(f):
			last = append(last, DeleteFloating{ID: f.ID, Address: f.Address, Replaced: true})
		}
	}
	create := CreateFloating{Network: w.Network, Subnets: w.Subnets, Address: w.Address, Description: w.Description, Keep: w.Keep}
	attach := AttachFloating{ID: chosen.ID, Address: cmp.Or(w.Address, chosen.Address), Port: w.Port, Fixed: w.Fixed, Revision: guard(chosen)}
	switch describe := chosen.Ours && chosen.Description != w.Description && w.maySay(chosen); {
	case !found && !busy:
		create.Port, create.Fixed = w.Port, w.Fixed
		return append([]Step{create}, last...), nil
	case !found:
		// One address may have one floating IP. The new one is there before the old one
		// goes, since it may turn out that it cannot be had.
		steps = append(steps, create)
	case w.here(chosen) && describe:
		fixed := cmp.Or(chosen.Fixed, w.Fixed)
		steps = append(steps, DescribeFloating{ID: chosen.ID, Address: chosen.Address, Port: w.Port, Fixed: fixed, Description: w.Description, Keep: w.Keep})
		fallthrough
	case w.here(chosen):
		return append(steps, last...), nil
	case describe:
		attach.Description, attach.Keep = w.Description, w.Keep
	}
	// Detach the old, attach the new, and only then delete the old.
	isDetach := func(s Step) bool { _, is := s.(DetachFloating); return is }
	for _, s := range last {
		if isDetach(s) {
			steps = append(steps, s)
		}
	}
	steps = append(steps, attach)
	return append(steps, slices.DeleteFunc(last, isDetach)...), nil
}

// order puts what should be chosen first.
func (w *FloatingWant) order(x, y FloatingIP) int {
	rank := func(f FloatingIP) int {
		rank := 0
		for _, good := range []bool{w.here(f), f.Address == w.Shown, f.attached(), w.mine(f), f.NetworkID == w.Network} {
			rank *= 2
			if !good {
				rank++
			}
		}
		return rank
	}
	return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x.ID, y.ID))
}

// choose finds the floating IP that is to lead to the VIP; not found is to be created.
func (w *FloatingWant) choose(have []FloatingIP) (chosen FloatingIP, found bool, _ *lb.Refusal) {
	none := func(what string) *lb.Refusal {
		return lb.Refuse(lb.FloatingIPMissing, "name one with floating-network-id", "no external network to take %s from", what)
	}
	if w.Address.IsValid() {
		return w.chooseGiven(have, none)
	}
	for _, f := range have {
		reusable := w.mine(f) && w.free(f) && (w.Network == "" || f.NetworkID == w.Network)
		moved := f.attached() && slices.Contains(w.From, f.PortID)
		if w.here(f) || reusable || moved {
			return f, true, nil
		}
	}
	if w.Network == "" {
		return FloatingIP{}, false, none("a floating IP")
	}
	return FloatingIP{}, false, nil
}

func (w *FloatingWant) chooseGiven(have []FloatingIP, none func(string) *lb.Refusal) (FloatingIP, bool, *lb.Refusal) {
	var elsewhere *FloatingIP
	for i, f := range have {
		switch {
		case f.Address != w.Address:
		case w.here(f) || w.free(f) || f.PortID == w.Port:
			return f, true, nil
		default:
			elsewhere = &have[i]
		}
	}
	switch {
	case elsewhere != nil:
		return FloatingIP{}, false, lb.Refuse(lb.FloatingIPMissing, "detach it there, or ask for another address",
			"floating IP %s is in use: it leads to port %s%s", w.Address, elsewhere.PortID, of(elsewhere.Holder))
	case w.Network == "":
		return FloatingIP{}, false, none("floating IP " + w.Address.String())
	}
	return FloatingIP{}, false, nil
}

func of(holder string) string {
	if holder == "" {
		return ""
	}
	return " of " + holder
}

// maySay tells whether the description of one of ours may be changed: not where it is
// kept for another Service, since that is then forgotten.
func (w *FloatingWant) maySay(f FloatingIP) bool { return w.mine(f) || w.Keep || !f.Keep }

// guard is the revision that a change must find: others use what is not ours.
func guard(f FloatingIP) int {
	if f.Ours {
		return 0
	}
	return f.Revision
}

// drop takes a floating IP off the VIP for another one.
func (w *FloatingWant) drop(f FloatingIP) []Step {
	detach := DetachFloating{ID: f.ID, Address: f.Address, Port: f.PortID, Revision: guard(f), Replaced: true}
	if !f.Ours || f.Keep {
		return []Step{detach}
	}
	if w.Keep {
		detach.Description, detach.Keep = w.Description, true
		return []Step{detach}
	}
	return []Step{detach, DeleteFloating{ID: f.ID, Address: f.Address, Replaced: true}}
}

// remove lets go of everything: what is ours is deleted unless it is to be kept, what
// is not is detached. Kept is what was, or is now, asked to be: an address that is lost
// cannot be had again.
func (w *FloatingWant) remove(have []FloatingIP) []Step {
	var steps []Step
	for _, f := range have {
		there := f.attached() && (f.PortID == w.Port || slices.Contains(w.From, f.PortID))
		if f.attached() && !there || !there && !w.mine(f) {
			continue
		}
		detach := DetachFloating{ID: f.ID, Address: f.Address, Port: f.PortID, Revision: guard(f)}
		switch {
		case f.Ours && !f.Keep && !w.Keep:
			steps = append(steps, DeleteFloating{ID: f.ID, Address: f.Address})
		case there && f.Ours && !f.Keep:
			detach.Description, detach.Keep = w.Description, true
			fallthrough
		case there:
			steps = append(steps, detach)
		}
	}
	return steps
}

// fixedText is how a request names the address of a port; empty where there is one only.
func fixedText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
