package kube

import (
	"math"
	"net/netip"
	"reflect"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// record is a Service as last seen, and what we wrote to it that we have not seen
// yet. What we decided counts from the moment it is sent: planning from an older
// event would give the Service another address than the one on its way.
type record struct {
	uid     string
	version uint64 // of the last event
	service lb.Service
	status  ServiceStatus

	// assumed is set while status and service.Held are what we sent; events below
	// version floor are older than that.
	assumed bool
	floor   uint64
	// unsure is set when nobody knows whether what was sent was done; it is sent again.
	unsure bool
	seen   ServiceStatus // what the last event said, to go back to
}

// observe takes an event in and tells whether a decision may depend on it.
func (r *record) observe(e record) (changed bool) {
	r.version = e.version
	r.seen = e.status
	if r.assumed && e.version < r.floor && !e.status.Equal(r.status) {
		// The event is older than our write: its spec counts, its status does not.
		e.service.Held, e.service.Marked = r.service.Held, r.service.Marked
		e.status = r.status
		if r.floor != math.MaxUint64 {
			r.seen = r.status // confirmed since
		}
	} else {
		r.assumed, r.unsure = false, false
	}
	changed = !reflect.DeepEqual(r.service, e.service) || !r.status.Equal(e.status)
	r.service, r.status = e.service, e.status
	return changed
}

// assume counts a status as written. Its version is not known yet.
func (r *record) assume(s ServiceStatus) {
	r.assumed, r.floor, r.unsure = true, math.MaxUint64, false
	r.status = s
	r.service.Held = s.Addresses
	r.service.Marked = s.Condition.Reason != ""
}

// confirm tells the version that the assumed status was written as.
func (r *record) confirm(version uint64) {
	if r.assumed {
		r.floor, r.seen = version, r.status
	}
}

// revert gives up an assumed status that was refused.
func (r *record) revert() {
	r.assumed, r.unsure = false, false
	r.status = r.seen
	r.service.Held = r.seen.Addresses
	r.service.Marked = r.seen.Condition.Reason != ""
}

// shown are the addresses that the Service's status may have now: those last seen,
// and those on their way.
func (r *record) shown() []netip.Addr {
	if !r.assumed {
		return r.status.Addresses
	}
	out := slices.Clone(r.seen.Addresses)
	for _, a := range r.status.Addresses {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
