package kube

import "fairlead.dev/fairlead/internal/lb"

// ClusterUID tells this cluster from all others: the UID of its Namespace
// kube-system. It is empty until Namespaces were listed.
func (o *Observer) ClusterUID() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.clusterUID
}

// builtAsWritten are the reports that the Services' statuses tell of.
func (o *Observer) builtAsWritten() []lb.Built {
	var out []lb.Built
	for _, key := range o.services.keys() {
		r := o.services.rows[key]
		if r.status.Cloud.Class == "" {
			continue
		}
		b := lb.Built{Service: key, UID: r.uid, Addresses: r.status.Addresses, Hostname: r.status.Hostname,
			Proxy: r.status.Proxy, ID: r.status.Cloud.ID}
		if c := r.status.Condition; c.Reason != ReasonAssigned {
			b.Trouble = &lb.Refusal{Service: key, Reason: lb.Reason(c.Reason), Detail: c.Message}
		}
		out = append(out, b)
	}
	return out
}
