package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddressPool is a set of addresses that Services of type LoadBalancer get theirs from.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=apool
// +kubebuilder:printcolumn:name="Addresses",type=string,JSONPath=`.spec.addresses`
// +kubebuilder:printcolumn:name="Auto-assign",type=boolean,JSONPath=`.spec.autoAssign`
// +kubebuilder:printcolumn:name="IPv4 in use",type=integer,JSONPath=`.status.ipv4.inUse`
// +kubebuilder:printcolumn:name="IPv4 free",type=integer,JSONPath=`.status.ipv4.free`
// +kubebuilder:printcolumn:name="IPv6 in use",type=integer,JSONPath=`.status.ipv6.inUse`
// +kubebuilder:printcolumn:name="IPv6 free",type=integer,JSONPath=`.status.ipv6.free`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AddressPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AddressPoolSpec `json:"spec"`
	// +optional
	Status AddressPoolStatus `json:"status,omitempty"`
}

// AddressPoolSpec says which addresses there are, and who may have them.
type AddressPoolSpec struct {
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=100
	//
	// The rules follow internal/lb.ParseRange, in its order, and use its words.
	// Each rule lets through what an earlier one refuses, so that one mistake gets
	// one message.
	// +kubebuilder:validation:items:XValidation:rule="self.trim() != ''",message="an entry is empty: write a CIDR (\"192.0.2.0/28\"), a range (\"192.0.2.1-192.0.2.9\") or an address"
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('%')",messageExpression="'\"' + self + '\" names an interface: write the addresses without the % and what follows it'",message="an entry names an interface: write the addresses without the % and what follows it"
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('/') || self.contains('%') || isCIDR(self.trim())",messageExpression="'\"' + self + '\" is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120'",message="an entry is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self.trim()) || cidr(self.trim()).prefixLength() > 0",messageExpression="'\"' + self + '\" is every address there is: write the part of your network that is free for Services'",message="an entry is every address there is: write the part of your network that is free for Services"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self.trim()) || cidr(self.trim()).prefixLength() == 0 || cidr(self.trim()) == cidr(self.trim()).masked()",messageExpression="'\"%s\" has host bits set: write \"%s\", or a range that starts at %s'.format([self, string(cidr(self.trim()).masked()), string(cidr(self.trim()).ip())])",message="an entry has host bits set: write the first address of the network before the /"
	// +kubebuilder:validation:items:XValidation:rule="self.contains('/') || self.contains('%') || !self.contains('-') || (self.split('-').size() == 2 && self.split('-').all(end, isIP(end.trim())))",messageExpression="'\"' + self + '\" is not a range of addresses: write it as 192.0.2.1-192.0.2.9 or fd00:1::1-fd00:1::9'",message="an entry is not a range of addresses: write it as 192.0.2.1-192.0.2.9 or fd00:1::1-fd00:1::9"
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('-') || self.split('-').size() != 2 || !self.split('-').all(end, isIP(end.trim())) || ip(self.split('-')[0].trim()).family() == ip(self.split('-')[1].trim()).family()",messageExpression="'\"' + self + '\" mixes families: write one range for IPv4 and one for IPv6'",message="a range mixes families: write one range for IPv4 and one for IPv6"
	//
	// The two ends as numbers, in order. CEL cannot compare IPv6 addresses; the
	// controller does.
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('-') || self.split('-').size() != 2 || !self.split('-').all(end, isIP(end.trim()) && ip(end.trim()).family() == 4) || [self.split('-')[0].trim().split('.'), self.split('-')[1].trim().split('.')].map(o, int(o[0]) * 16777216 + int(o[1]) * 65536 + int(o[2]) * 256 + int(o[3])).isSorted()",messageExpression="'\"' + self + '\" is reversed: write \"' + self.split('-')[1].trim() + '-' + self.split('-')[0].trim() + '\"'",message="a range is reversed: write the lower address first"
	// +kubebuilder:validation:items:XValidation:rule="self.trim() == '' || self.contains('/') || self.contains('-') || self.contains('%') || isIP(self.trim())",messageExpression="'\"' + self + '\" is not an IP address: write it as 192.0.2.1 or fd00:1::1, or write a CIDR or a range'",message="an entry is not an IP address: write it as 192.0.2.1 or fd00:1::1, or write a CIDR or a range"
	//
	// A CIDR is judged by its first address, a range by both ends.
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self.trim()) ? (cidr(self.trim()).prefixLength() == 0 || cidr(self.trim()).ip().isGlobalUnicast() || cidr(self.trim()).ip().isLinkLocalUnicast()) : self.split('-').all(end, !isIP(end.trim()) || ip(end.trim()).isGlobalUnicast() || ip(end.trim()).isLinkLocalUnicast())",messageExpression="'\"' + self + '\" cannot be a Service\\'s address: write unicast addresses of your network'",message="an entry cannot be a Service's address: write unicast addresses of your network"
	//
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.replace(' ', '') == a.replace(' ', '')))",messageExpression="'\"' + self.filter(a, self.filter(b, b.replace(' ', '') == a.replace(' ', '')).size() > 1)[0] + '\" is there twice: take one of the two out'",message="an entry is there twice: take one of the two out"

	// addresses of the pool: each entry a CIDR ("192.0.2.0/28"), a range
	// ("192.0.2.1-192.0.2.9", with or without blanks around the dash) or a single
	// address. Both families may be in one pool. Every address counts, also the
	// first and the last of a CIDR.
	Addresses []string `json:"addresses"`

	// autoAssign lets Services that ask for no pool and no address get one from
	// here. Where it is false, only a Service that names the pool or one of its
	// addresses gets it.
	//
	// +optional
	// +kubebuilder:default=true
	AutoAssign *bool `json:"autoAssign,omitempty"`

	// avoidBuggyIPs leaves out IPv4 addresses that end in .0 or .255, which some
	// old routers drop.
	//
	// +optional
	AvoidBuggyIPs bool `json:"avoidBuggyIPs,omitempty"`

	// priority orders the pools for Services that name none: 1 comes before 2, and
	// 0, which is also what no priority means, comes last.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Priority int32 `json:"priority,omitempty"`

	// namespaces whose Services may have an address of the pool, besides those that
	// namespaceSelector picks. Where both are left out, every namespace is served.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",messageExpression="'\"' + self + '\" is not the name of a namespace: write lower case letters, digits and dashes, at most 63, as kubectl get namespaces shows them'",message="an entry is not the name of a namespace: write lower case letters, digits and dashes, at most 63, as kubectl get namespaces shows them"
	Namespaces []string `json:"namespaces,omitempty"`

	// namespaceSelector picks, by their labels, namespaces whose Services may have an
	// address of the pool, besides those in namespaces.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// serviceSelector restricts the pool further, to Services with these labels.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"
	ServiceSelector *metav1.LabelSelector `json:"serviceSelector,omitempty"`

	// quota bounds what one namespace may hold of the pool.
	//
	// +optional
	Quota *Quota `json:"quota,omitempty"`

	// reservations keep addresses of the pool for named Services, also while those
	// Services do not exist.
	//
	// +optional
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	Reservations []Reservation `json:"reservations,omitempty"`
}

// Quota bounds what one namespace may hold of a pool.
type Quota struct {
	// perNamespace is the number of addresses, both families counted together, that
	// the Services of one namespace may hold.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	PerNamespace int32 `json:"perNamespace"`
}

// Reservation keeps an address for a Service.
type Reservation struct {
	// service that the address is kept for, as "namespace/name".
	//
	// +required
	// +kubebuilder:validation:MaxLength=127
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",messageExpression="'\"' + self + '\" does not name a Service: write its namespace and its name as \"shop/web\"'",message="service does not name a Service: write its namespace and its name as \"shop/web\""
	Service string `json:"service"`

	// The list is keyed by the address, so an address must have one spelling only.
	//
	// +required
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",messageExpression="'\"' + self + '\" is not an IP address: write one address of the pool, as 192.0.2.1 or fd00:1::1'",message="address is not an IP address: write one address of the pool, as 192.0.2.1 or fd00:1::1"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip.isCanonical(self)",messageExpression="'\"%s\" is not the short way to write the address: write \"%s\"'.format([self, string(ip(self))])",message="address is not written in the short way: write as kubectl shows it, such as fd00:1::1"

	// address that is kept; it must be in the pool, and written the short way.
	Address string `json:"address"`
}

// AddressPoolStatus says what is in force, and how full it is.
type AddressPoolStatus struct {
	// addresses in force, as ranges: what allocation uses. They differ from
	// spec.addresses while an edit is refused or held (see the condition Accepted).
	// The controller reads them back after a restart: this is where the last good
	// configuration is kept.
	//
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`

	// ipv4 counts the pool's IPv4 addresses; left out where it has none.
	//
	// +optional
	IPv4 *Usage `json:"ipv4,omitempty"`

	// ipv6 counts the pool's IPv6 addresses; left out where it has none.
	//
	// +optional
	IPv6 *Usage `json:"ipv6,omitempty"`

	// conditions: Accepted tells whether spec, as it is now, is in force.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that this status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// Usage counts the addresses of one family. 9223372036854775807 stands for that
// many or more.
type Usage struct {
	// total number of addresses in force.
	Total int64 `json:"total"`
	// inUse is the number of addresses that Services hold; a shared one counts once.
	InUse int64 `json:"inUse"`
	// free is the number of addresses that a Service could get now: neither in use,
	// nor reserved, nor left out by avoidBuggyIPs.
	Free int64 `json:"free"`
}

// AddressPoolList is what kubectl get addresspools reads.
//
// +kubebuilder:object:root=true
type AddressPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AddressPool `json:"items"`
}
