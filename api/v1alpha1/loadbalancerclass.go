package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lbclass
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`
// +kubebuilder:printcolumn:name="Default",type=boolean,JSONPath=`.spec.default`
// +kubebuilder:printcolumn:name="Pools",type=string,JSONPath=`.spec.pools`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
//
// Kubernetes takes what follows the / in spec.loadBalancerClass as the name part of
// a label key, which is at most 63 long.
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name is longer than spec.loadBalancerClass of a Service can name: write at most 63 characters"

// LoadBalancerClass is to load balancers what a StorageClass is to volumes: a
// Service picks one by spec.loadBalancerClass: fairlead.dev/NAME.
type LoadBalancerClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec LoadBalancerClassSpec `json:"spec"`
	// +optional
	Status LoadBalancerClassStatus `json:"status,omitempty"`
}

// LoadBalancerClassSpec says what kind of load balancer the class gives.
//
// +kubebuilder:validation:XValidation:rule="!has(self.l2) || self.provider == 'L2'",messageExpression="'l2 is set, but provider is ' + self.provider + ': write provider: L2, or take l2 out'",message="l2 is set, but provider is another: write provider: L2, or take l2 out"
// +kubebuilder:validation:XValidation:rule="!has(self.pools) || self.provider == 'L2'",messageExpression="'pools are set, but provider is ' + self.provider + ': write provider: L2, or take pools out'",message="pools are set, but provider is another: write provider: L2, or take pools out"
// +kubebuilder:validation:XValidation:rule="!has(self.octavia) || self.provider == 'Octavia'",messageExpression="'octavia is set, but provider is ' + self.provider + ': write provider: Octavia, or take octavia out'",message="octavia is set, but provider is another: write provider: Octavia, or take octavia out"
type LoadBalancerClassSpec struct {
	// default makes this the class of Services that name none. Of two defaults the
	// older one counts. Services that run already stay with the provider that serves
	// them.
	//
	// +optional
	Default bool `json:"default,omitempty"`

	// A rule and not an enum: an enum's refusal is no sentence.
	//
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self in ['L2', 'Octavia']",message="provider must be L2 or Octavia: the other providers are not in this version"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="provider cannot be changed, for it would move every address of the class: create another class"

	// provider is the kind of load balancer. L2 announces addresses by ARP and NDP
	// from the nodes; Octavia makes an OpenStack load balancer for each Service. It
	// cannot be changed: another provider is another class.
	Provider Provider `json:"provider"`

	// pools, by name, that Services of the class get addresses from; only with
	// provider L2. Where it is empty, every AddressPool serves.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",messageExpression="'\"' + self + '\" is not the name of an AddressPool: write one that kubectl get addresspools shows'",message="an entry is not the name of an AddressPool: write one that kubectl get addresspools shows"
	Pools []string `json:"pools,omitempty"`

	// l2 restricts where the addresses are announced; only with provider L2.
	//
	// +optional
	L2 *L2 `json:"l2,omitempty"`

	// octavia says how the load balancers are made; only with provider Octavia.
	//
	// +optional
	Octavia *Octavia `json:"octavia,omitempty"`
}

// Provider is a kind of load balancer.
type Provider string

// The providers of this version.
const (
	// ProviderL2 announces addresses by ARP and NDP from the nodes.
	ProviderL2 Provider = "L2"
	// ProviderOctavia makes an OpenStack load balancer for each Service.
	ProviderOctavia Provider = "Octavia"
)

// L2 restricts where the addresses of a class are announced.
type L2 struct {
	// interfaces that announce, by name ("eth0") or shell pattern ("eth*",
	// "bond[0-9]"). Where it is empty, every usable one does.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([^\\\\[\\\\]/\\\\\\\\\\\\s]|\\\\[[^\\\\[\\\\]/\\\\\\\\\\\\s]+\\\\])+$')",messageExpression="'\"' + self + '\" is neither an interface nor a pattern: write a name (\"eth0\") or a shell pattern (\"eth*\", \"bond[0-9]\")'",message="an entry is neither an interface nor a pattern: write a name (\"eth0\") or a shell pattern (\"eth*\", \"bond[0-9]\")"
	Interfaces []string `json:"interfaces,omitempty"`

	// nodeSelector picks, by their labels, the nodes that may announce. Where it is
	// left out, every node may.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
}

// LoadBalancerClassStatus says whether the class is in force.
type LoadBalancerClassStatus struct {
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

// LoadBalancerClassList is what kubectl get loadbalancerclasses reads.
//
// +kubebuilder:object:root=true
type LoadBalancerClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []LoadBalancerClass `json:"items"`
}
