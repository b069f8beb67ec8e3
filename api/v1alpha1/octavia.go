package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Octavia says how the OpenStack load balancers of a class are made. What is left out
// is as the cloud configuration says; annotations on a Service go before both.
type Octavia struct {
	// configSecret is the Secret with the cloud configuration, in the namespace of
	// Fairlead: with a key cloud.conf, as OCCM's, or clouds.yaml. The controller may
	// read the one that its Role names.
	//
	// +optional
	// +kubebuilder:default=cloud-config
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",messageExpression="'\"' + self + '\" is not the name of a Secret: write one that kubectl get secrets shows in the namespace of Fairlead'",message="configSecret is not the name of a Secret: write one that kubectl get secrets shows in the namespace of Fairlead"
	ConfigSecret string `json:"configSecret,omitempty"`

	// cloud is an entry of clouds.yaml.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Cloud string `json:"cloud,omitempty"`

	// loadBalancerClass is the section [LoadBalancerClass "NAME"] of cloud.conf that
	// counts. Its networks and subnets go before those of annotations, as in OCCM.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=255
	LoadBalancerClass string `json:"loadBalancerClass,omitempty"`

	// loadBalancerProvider is an Octavia provider: amphora, ovn, or another that
	// openstack loadbalancer provider list shows.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",messageExpression="'\"' + self + '\" is not the name of a provider: write one that openstack loadbalancer provider list shows'",message="loadBalancerProvider is not the name of a provider: write one that openstack loadbalancer provider list shows"
	LoadBalancerProvider string `json:"loadBalancerProvider,omitempty"`

	// floatingNetworkID is the external network that floating IPs are from.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$')",messageExpression="'\"' + self + '\" is not an id: write the one that openstack network list --external shows'",message="floatingNetworkID is not an id: write the one that openstack network list --external shows"
	FloatingNetworkID string `json:"floatingNetworkID,omitempty"`

	// floatingSubnet picks the subnets of that network that floating IPs are from, one
	// after the other until an address is free. Where it is left out, any.
	//
	// +optional
	FloatingSubnet *FloatingSubnet `json:"floatingSubnet,omitempty"`

	// networkID is the network of the load balancer's own address. Where this and
	// subnetID are left out, it is where the nodes are.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$')",messageExpression="'\"' + self + '\" is not an id: write the one that openstack network list shows'",message="networkID is not an id: write the one that openstack network list shows"
	NetworkID string `json:"networkID,omitempty"`

	// subnetID is the subnet of the load balancer's own address.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$')",messageExpression="'\"' + self + '\" is not an id: write the one that openstack subnet list shows'",message="subnetID is not an id: write the one that openstack subnet list shows"
	SubnetID string `json:"subnetID,omitempty"`

	// memberSubnetID is the subnet in which the load balancer reaches the nodes. Where
	// it is left out, it is subnetID.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$')",messageExpression="'\"' + self + '\" is not an id: write the one that openstack subnet list shows'",message="memberSubnetID is not an id: write the one that openstack subnet list shows"
	MemberSubnetID string `json:"memberSubnetID,omitempty"`

	// flavorID is an Octavia flavor.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$')",messageExpression="'\"' + self + '\" is not an id: write the one that openstack loadbalancer flavor list shows'",message="flavorID is not an id: write the one that openstack loadbalancer flavor list shows"
	FlavorID string `json:"flavorID,omitempty"`

	// availabilityZone is one of Octavia's.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=255
	AvailabilityZone string `json:"availabilityZone,omitempty"`

	// method spreads connections over the nodes: ROUND_ROBIN, LEAST_CONNECTIONS,
	// SOURCE_IP or SOURCE_IP_PORT. The provider ovn knows the last one only.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self in ['ROUND_ROBIN', 'LEAST_CONNECTIONS', 'SOURCE_IP', 'SOURCE_IP_PORT']",messageExpression="'\"' + self + '\" is no method: write ROUND_ROBIN, LEAST_CONNECTIONS, SOURCE_IP or SOURCE_IP_PORT'",message="method is unknown: write ROUND_ROBIN, LEAST_CONNECTIONS, SOURCE_IP or SOURCE_IP_PORT"
	Method string `json:"method,omitempty"`

	// internal load balancers have no floating IP.
	//
	// +optional
	Internal *bool `json:"internal,omitempty"`

	// nodeSelector picks, by their labels, the nodes that connections are sent to.
	// Where it is left out, all are.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="an operator of matchExpressions is unknown: write In, NotIn, Exists or DoesNotExist"
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// monitor makes the load balancer find out which nodes answer. What is left out in
	// it is as the cloud configuration says. With externalTrafficPolicy: Local, nodes
	// are watched anyway.
	//
	// +optional
	Monitor *Monitor `json:"monitor,omitempty"`

	// securityGroups Managed opens the nodes' ports for the load balancer, by security
	// groups that go with the Service; None leaves that to you.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self in ['Managed', 'None']",messageExpression="'\"' + self + '\" is unknown: write Managed or None'",message="securityGroups is unknown: write Managed or None"
	SecurityGroups SecurityGroups `json:"securityGroups,omitempty"`

	// publish WhenActive shows the address when the load balancer was built, which is
	// the default; AtOnce shows it as soon as it is known, for those who have to enter
	// it elsewhere first.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self in ['WhenActive', 'AtOnce']",messageExpression="'\"' + self + '\" is unknown: write WhenActive or AtOnce'",message="publish is unknown: write WhenActive or AtOnce"
	Publish Publish `json:"publish,omitempty"`
}

// DefaultConfigSecret is the name that OCCM's own manifests give to its Secret.
const DefaultConfigSecret = "cloud-config"

// SecurityGroups says who lets the load balancer in at the nodes.
type SecurityGroups string

// The two ways.
const (
	SecurityGroupsManaged SecurityGroups = "Managed"
	SecurityGroupsNone    SecurityGroups = "None"
)

// Publish says when an address is shown.
type Publish string

// The two moments.
const (
	PublishWhenActive Publish = "WhenActive"
	PublishAtOnce     Publish = "AtOnce"
)

// FloatingSubnet picks subnets by one of its fields.
//
// +kubebuilder:validation:XValidation:rule="[has(self.id), has(self.name), has(self.tags)].filter(there, there).size() == 1",message="floatingSubnet picks by one thing: write id, name or tags, and only one of them"
type FloatingSubnet struct {
	// id of one subnet.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$')",messageExpression="'\"' + self + '\" is not an id: write the one that openstack subnet list shows, or use name'",message="id is not an id: write the one that openstack subnet list shows, or use name"
	ID string `json:"id,omitempty"`

	// name is a shell pattern ("public-*"), or with a leading ~ a regular expression. A
	// leading ! takes all but those.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name,omitempty"`

	// tags are separated by commas: a subnet has one of them, or with a leading & all.
	// A leading ! takes all but those.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Tags string `json:"tags,omitempty"`
}

// Monitor is how a load balancer finds out which nodes answer.
//
// +kubebuilder:validation:XValidation:rule="!has(self.delay) || !has(self.timeout) || !self.delay.matches('^([0-9]{1,4}m)?([0-9]{1,5}s)?$') || !self.timeout.matches('^([0-9]{1,4}m)?([0-9]{1,5}s)?$') || self.delay.size() == 0 || self.timeout.size() == 0 || duration(self.timeout) <= duration(self.delay)",message="timeout is longer than delay, and one check would run into the next: write a timeout of at most delay"
type Monitor struct {
	// delay between two checks, in whole seconds: "5s", "1m30s".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,4}m)?([0-9]{1,5}s)?$') && self != '' && duration(self) >= duration('1s')",messageExpression="'\"' + self + '\" is not a time of whole seconds: write it as 5s or 1m30s'",message="delay is not a time of whole seconds: write it as 5s or 1m30s"
	Delay string `json:"delay,omitempty"`

	// timeout of one check, in whole seconds, at most delay.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,4}m)?([0-9]{1,5}s)?$') && self != '' && duration(self) >= duration('1s')",messageExpression="'\"' + self + '\" is not a time of whole seconds: write it as 5s or 1m30s'",message="timeout is not a time of whole seconds: write it as 5s or 1m30s"
	Timeout string `json:"timeout,omitempty"`

	// maxRetries is how many checks must succeed before a node gets connections.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 10",message="Octavia counts up to ten checks: write 1 to 10"
	MaxRetries int32 `json:"maxRetries,omitempty"`

	// maxRetriesDown is how many checks must fail before a node gets no more.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 10",message="Octavia counts up to ten checks: write 1 to 10"
	MaxRetriesDown int32 `json:"maxRetriesDown,omitempty"`
}
