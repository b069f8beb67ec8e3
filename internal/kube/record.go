package kube

import (
	"math"
	"net/netip"
	"reflect"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
)

// gone is the version of a Service whose last finalizer was taken off: no event of
// it counts any more, but its deletion.
const gone = math.MaxUint64

// record is a Service as last seen, and what we wrote to it that we have not seen
// yet. What we decided counts from the moment it is sent: planning from an older
// event would give the Service another address than the one on its way.
type record struct {
	uid     string
	version uint64 // of the last event
	service lb.Service
	// status is what a decision counts on: seen, or what was sent while nobody knows
	// yet whether it was done.
	status ServiceStatus

	seen  ServiceStatus // by the last event or the last confirmed write, whichever is newer
	floor uint64        // events below are older than the last confirmed write; 0 once it was seen

	// writing is set between a write and its answer.
	writing bool
	// unsure counts writes whose answer said nothing: they may have been done. The
	// next one is sent whole, and until it is confirmed doubt may be there.
	unsure int
	doubt  []netip.Addr
	// letGo tells that an unsure write took the finalizer off, or our note of a cloud.
	letGo bool
}

// observe takes an event in and tells whether a decision may depend on it.
func (r *record) observe(e record) (changed bool) {
	r.version = e.version
	if e.version >= r.floor {
		r.seen, r.floor = e.status, 0
	}
	r.recognise()
	if !r.writing && r.unsure == 0 {
		changed = r.settle(r.seen)
	}
	// The event's spec counts; its status only as far as it got into ours.
	before := r.service
	r.service = e.service
	r.derive()
	if before.CloudClass == "" && r.service.CloudClass == "" && r.service.Marked {
		before.Finalized = r.service.Finalized // no decision on what nodes announce depends on it
	}
	return changed || !reflect.DeepEqual(before, r.service)
}

// recognise settles an unsure write that was seen to be done. After two it is not
// known which of them comes last.
func (r *record) recognise() {
	if r.unsure == 1 && !r.writing && r.seen.Equal(r.status) {
		r.unsure, r.doubt, r.letGo = 0, nil, false
	}
}

// settle makes decisions count on s, and tells whether they did not before.
func (r *record) settle(s ServiceStatus) (changed bool) {
	before := r.service
	changed = !r.status.Equal(s)
	r.status = s
	r.derive()
	cloud := before.CloudClass != "" || r.service.CloudClass != ""
	return changed || cloud && (before.Finalized != r.service.Finalized || before.CloudClass != r.service.CloudClass)
}

// derive makes the Service say what decisions count on.
func (r *record) derive() {
	s := &r.service
	s.Held, s.Hostname, s.Proxy = r.status.Addresses, r.status.Hostname, r.status.Proxy
	pending := r.writing || r.unsure > 0
	// While a release is on its way, or nobody knows of it, the Service still carries
	// our traces: a plan that forgot it would leave them there for good.
	s.Marked = r.status.Condition.Reason != "" || pending
	s.CloudClass = r.status.Cloud.Class
	if s.CloudClass == "" && pending {
		s.CloudClass = r.seen.Cloud.Class
	}
	// What is made in a cloud is found again only by the finalizer and the note. They
	// count once they were seen or confirmed, and no longer when they may be gone.
	s.Finalized = r.seen.Finalizer && !r.letGo && !r.letsGo()
}

// letsGo tells whether what decisions count on has no finalizer, or another note,
// than was seen.
func (r *record) letsGo() bool {
	return !r.status.Finalizer || r.status.Cloud.Class != r.seen.Cloud.Class
}

// assume counts a status as written, from when it is sent.
func (r *record) assume(s ServiceStatus) {
	r.writing = true
	r.settle(s)
}

// confirm tells the version that the assumed status was written as, gone if it
// ended the Service, and is true when an event has shown that it did not stay.
func (r *record) confirm(version uint64) (changed bool) {
	r.writing, r.unsure, r.doubt, r.letGo = false, 0, nil, false
	if r.version >= version {
		// No later event needs to come: a write that changes nothing has the version
		// of the write before it.
		return r.settle(r.seen)
	}
	r.seen, r.floor = r.status, version
	return r.settle(r.seen)
}

// revert gives up an assumed status that was refused. It says nothing of unsure
// writes before: what should be there is still sent again.
func (r *record) revert() {
	r.writing = false
	if r.unsure > 0 {
		r.unsure++
		return
	}
	r.settle(r.seen)
}

// lose tells that nobody knows whether the assumed status was written.
func (r *record) lose() {
	r.writing = false
	r.unsure++
	r.letGo = r.letGo || r.letsGo()
	for _, a := range r.status.Addresses {
		if !slices.Contains(r.doubt, a) {
			r.doubt = append(r.doubt, a)
		}
	}
	r.recognise() // its event may have been faster
	r.settle(r.status)
}

// abandon forgets an unsure write to a Service that is not ours any more.
func (r *record) abandon() {
	if r.writing {
		return
	}
	r.unsure, r.doubt, r.letGo = 0, nil, false
	r.settle(r.seen)
}

// shown are the addresses that the Service's status may have now: those last seen,
// and those that were sent and not seen yet.
func (r *record) shown() []netip.Addr {
	if !r.writing && r.unsure == 0 {
		return r.status.Addresses
	}
	out := slices.Concat(r.seen.Addresses, r.status.Addresses, r.doubt)
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
