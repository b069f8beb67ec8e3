package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Speaker is what the speaker on a node says of itself: its name is the node's.
// Nobody else writes it, and nobody configures anything with it; the other
// speakers and the commands read it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Addresses",type=integer,JSONPath=`.status.announced`
// +kubebuilder:printcolumn:name="Leaving",type=boolean,JSONPath=`.status.leaving`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Speaker struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status SpeakerStatus `json:"status,omitempty"`
}

// The lists have no bound: a status that the API server refuses because a node
// announces too much would hide just the node that matters.

// SpeakerStatus is what a node announces, and on what.
type SpeakerStatus struct {
	// leaving is set while the speaker hands its addresses over before it stops.
	//
	// +optional
	Leaving bool `json:"leaving"`

	// announced is the number of claims in state Announced.
	//
	// +optional
	Announced int32 `json:"announced"`

	// interfaces that the speaker can announce on.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Interfaces []Interface `json:"interfaces,omitempty"`

	// claims are the addresses that the node owns, and how far it has come with each.
	//
	// +optional
	// +listType=map
	// +listMapKey=address
	Claims []Claim `json:"claims,omitempty"`

	// hearing is what the speaker finds out by heartbeats; absent where it exchanges none.
	//
	// +optional
	Hearing *Hearing `json:"hearing,omitempty"`

	// version of the speaker, such as v0.1.0.
	//
	// +optional
	Version string `json:"version,omitempty"`
}

// Interface is one that a speaker can announce on.
type Interface struct {
	// name as the kernel has it, such as eth0.
	Name string `json:"name"`
	// mac is the hardware address that answers carry, as 02:00:5e:10:00:01.
	//
	// +optional
	MAC string `json:"mac,omitempty"`
}

// Claim is an address that a node owns.
type Claim struct {
	// address, one.
	Address string `json:"address"`

	// state is how far the speaker has come with it.
	State ClaimState `json:"state"`

	// interfaces that it is announced on.
	//
	// +optional
	// +listType=atomic
	Interfaces []string `json:"interfaces,omitempty"`

	// since when the claim is in this state, by the node's clock, to the microsecond.
	Since metav1.MicroTime `json:"since"`

	// detail tells of a Conflict who answers, and where.
	//
	// +optional
	Detail string `json:"detail,omitempty"`

	// cause is why the node took the address: First, Resumed, Failure, HandOver, Moved or Mended.
	//
	// +optional
	Cause string `json:"cause,omitempty"`

	// from is the node that had the address before.
	//
	// +optional
	From string `json:"from,omitempty"`

	// epoch is one above that of every claim on the address that was known when the node took it.
	//
	// +optional
	Epoch int64 `json:"epoch,omitempty"`

	// offer is the node that shall take the address over, to mend an imbalance.
	//
	// +optional
	Offer string `json:"offer,omitempty"`
}

// Hearing is what a speaker finds out by heartbeats.
type Hearing struct {
	// boot is the speaker's process: another after each restart.
	Boot string `json:"boot"`

	// quorate tells whether the node is in touch with half of its segment or more. Without it, it announces nothing.
	Quorate bool `json:"quorate"`

	// counted is the number of neighbours that it counts as alive.
	Counted int32 `json:"counted"`

	// missing are the neighbours that it does not hear.
	//
	// +optional
	// +listType=map
	// +listMapKey=node
	Missing []Missing `json:"missing,omitempty"`

	// lateMilliseconds is how long beyond the interval a heartbeat was waited for, at the worst, when this was written.
	//
	// +optional
	LateMilliseconds int32 `json:"lateMilliseconds,omitempty"`

	// lateNode is whose heartbeat that was.
	//
	// +optional
	LateNode string `json:"lateNode,omitempty"`

	// keys are the ids of the keys that it takes heartbeats by; it signs with the first.
	//
	// +optional
	// +listType=atomic
	Keys []string `json:"keys,omitempty"`

	// fence is what silences the node should its speaker freeze: Kernel or Process.
	//
	// +optional
	Fence string `json:"fence,omitempty"`

	// fenceDetail says why the kernel does not.
	//
	// +optional
	FenceDetail string `json:"fenceDetail,omitempty"`
}

// Missing is a neighbour that is not heard.
type Missing struct {
	// node that it is.
	Node string `json:"node"`

	// state is Unheard, Vouched, Suspected, Minority, Dead or Left.
	State string `json:"state"`

	// since when, by the clock of the node that writes this.
	Since metav1.MicroTime `json:"since"`

	// why it is in that state.
	//
	// +optional
	Why string `json:"why,omitempty"`
}

// The values of Hearing.Fence.
const (
	FenceKernel  = "Kernel"
	FenceProcess = "Process"
)

// ClaimState is how far a speaker has come with an address.
//
// +kubebuilder:validation:Enum=Probing;Announced;Conflict;NoInterface
type ClaimState string

// The states of a claim, in the order in which they follow each other.
const (
	// ClaimProbing asks the segment whether somebody else holds the address.
	ClaimProbing ClaimState = "Probing"
	// ClaimAnnounced answers for the address.
	ClaimAnnounced ClaimState = "Announced"
	// ClaimConflict has found another host with the address and stays silent.
	ClaimConflict ClaimState = "Conflict"
	// ClaimNoInterface has none to announce on.
	ClaimNoInterface ClaimState = "NoInterface"
)

// SpeakerList is what kubectl get speakers reads.
//
// +kubebuilder:object:root=true
type SpeakerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Speaker `json:"items"`
}
