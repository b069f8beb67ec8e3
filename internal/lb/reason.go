package lb

import "fmt"

// Refusal says why something did not happen, and what to do about it.
type Refusal struct {
	// Service that was refused; the zero Key for a pool or class.
	Service Key
	Reason  Reason
	// Detail is a sentence on this very case; it names the field.
	Detail string
	// Remedy is what to change first.
	Remedy string
}

// Message is what Events and conditions say.
func (r *Refusal) Message() string {
	if r.Remedy == "" {
		return r.Detail
	}
	return r.Detail + ": " + r.Remedy
}

// Refuse makes a Refusal; detail is a format for args.
func Refuse(reason Reason, remedy, detail string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Remedy: remedy, Detail: fmt.Sprintf(detail, args...)}
}

// Reason is a word from the one list that Events, conditions, metrics, commands
// and docs/reference/reasons.md share.
type Reason string

// Reasons that concern a Service.
const (
	UnknownClass         Reason = "UnknownClass"
	BadRequest           Reason = "BadRequest"
	ContradictoryRequest Reason = "ContradictoryRequest"
	NoPorts              Reason = "NoPorts"
	NoClusterIP          Reason = "NoClusterIP"
	NoPool               Reason = "NoPool"
	PoolNotFound         Reason = "PoolNotFound"
	PoolNotAllowed       Reason = "PoolNotAllowed"
	PoolExhausted        Reason = "PoolExhausted"
	QuotaExceeded        Reason = "QuotaExceeded"
	AddressOutsidePools  Reason = "AddressOutsidePools"
	AddressTaken         Reason = "AddressTaken"
	AddressReserved      Reason = "AddressReserved"
	FamilyMismatch       Reason = "FamilyMismatch"
	FamilyUnavailable    Reason = "FamilyUnavailable"
	PoolEditHeld         Reason = "PoolEditHeld"
	AddressConflict      Reason = "AddressConflict"
	NoSpeaker            Reason = "NoSpeaker"
	NoEndpoints          Reason = "NoEndpoints"
)

// Reasons that concern a Service of a cloud.
const (
	Building             Reason = "Building"
	Deleting             Reason = "Deleting"
	BadOption            Reason = "BadOption"
	Unsupported          Reason = "Unsupported"
	NoNodes              Reason = "NoNodes"
	CloudUnreachable     Reason = "CloudUnreachable"
	CloudDenied          Reason = "CloudDenied"
	CloudQuota           Reason = "CloudQuota"
	CloudRefused         Reason = "CloudRefused"
	LoadBalancerStuck    Reason = "LoadBalancerStuck"
	LoadBalancerError    Reason = "LoadBalancerError"
	LoadBalancerNotFound Reason = "LoadBalancerNotFound"
	FloatingIPMissing    Reason = "FloatingIPMissing"
	PortTaken            Reason = "PortTaken"
)

// Reasons that concern a pool or a class.
const (
	BadAddresses    Reason = "BadAddresses"
	BadReservation  Reason = "BadReservation"
	Overlap         Reason = "Overlap"
	ShrinkHeld      Reason = "ShrinkHeld"
	PoolInUse       Reason = "PoolInUse"
	PoolMissing     Reason = "PoolMissing"
	SecondDefault   Reason = "SecondDefault"
	BadSelector     Reason = "BadSelector"
	UnknownProvider Reason = "UnknownProvider"
	SecretMissing   Reason = "SecretMissing"
	BadCloudConfig  Reason = "BadCloudConfig"
)

// Reasons why pods of a node stay in service that speakers call dead.
const (
	NoMajority      Reason = "NoMajority"
	StillHeard      Reason = "StillHeard"
	NodeContradicts Reason = "NodeContradicts"
	KubeletAnswers  Reason = "KubeletAnswers"
	TooManyDead     Reason = "TooManyDead"
	LastEndpoint    Reason = "LastEndpoint"
)

// ReasonDoc explains a Reason to its reader.
type ReasonDoc struct {
	Reason  Reason
	Object  string // what kind of object carries it
	Meaning string
	Remedy  string
}

// Reasons is the list, in the order of the documentation.
func Reasons() []ReasonDoc {
	return []ReasonDoc{
		{UnknownClass, "Service", "spec.loadBalancerClass names a LoadBalancerClass of ours that does not exist.", "Create the class, or recreate the Service with one that exists; the field cannot be changed."},
		{BadRequest, "Service", "An annotation or spec.loadBalancerIP cannot be read.", "Write what the message shows. The addresses that the Service holds stay."},
		{ContradictoryRequest, "Service", "Two fields ask for different things, such as an address and a pool that does not contain it.", "Keep one of them."},
		{NoPorts, "Service", "The Service has no port, so nothing could answer.", "Add spec.ports."},
		{NoClusterIP, "Service", "The Service is headless; traffic to a load balancer address needs a cluster IP.", "Remove clusterIP: None, or use another type."},
		{NoPool, "Service", "The class has no pool that is in force and open to this Service.", "Create an AddressPool, or open one to the Service's namespace."},
		{PoolNotFound, "Service", "The pool that the Service asks for does not exist, is not in force, or is not one of its class.", "Name one of the pools in the message."},
		{PoolNotAllowed, "Service", "The pool that is asked for, or that contains the address asked for, is closed to this Service.", "Add the namespace or label to the pool, or ask for another."},
		{PoolExhausted, "Service", "No address is free in the pools that may serve the Service.", "Widen a pool, delete a Service, or share an address. The first Service that waits gets the first address that is freed."},
		{QuotaExceeded, "Service", "The namespace holds as many addresses of the pool as the pool grants to one.", "Raise quota.perNamespace, or delete a Service of the namespace."},
		{AddressOutsidePools, "Service", "The address that is asked for is in no pool of the class.", "Ask for an address inside a pool, or add it to one."},
		{AddressTaken, "Service", "Another Service holds the address, and the two may not share it.", "Ask for another address, or let them share: same fairlead.dev/sharing-key, no port in common, and the same selector where traffic is Local."},
		{AddressReserved, "Service", "The address is reserved for another Service.", "Ask for another address, or change the pool's reservations."},
		{FamilyMismatch, "Service", "The addresses that are asked for do not fit the Service's IP families.", "Ask for one address a family of the Service."},
		{FamilyUnavailable, "Service", "No pool has a free address of one of the Service's families.", "Add addresses of that family to a pool, or use ipFamilyPolicy: SingleStack."},
		{PoolEditHeld, "Service", "No pool contains the address any more, but so many Services would lose theirs that it is taken for a mistake: they keep them.", "Create the AddressPool again, or recreate the Services."},
		{AddressConflict, "Service", "Another host on the segment answers for the address, so no node of ours does.", "Remove the address from that host, or take it out of the pool."},
		{NoSpeaker, "Service", "No node can announce the address: no speaker runs on a node that is ready, selected and not excluded. Shown by fairlead status and explain.", "Look at fairlead status and the DaemonSet fairlead-speaker."},
		{NoEndpoints, "Service", "externalTrafficPolicy is Local, and no node that may announce the address has a pod that serves. Shown by fairlead status and explain.", "Look at the Service's selector and its pods."},
		{Building, "Service", "The cloud is building the load balancer.", "Wait. fairlead plan shows what is left to do."},
		{Deleting, "Service", "The load balancer is being taken away; the Service goes after it.", "Wait. fairlead plan shows what is left to do."},
		{BadOption, "Service", "An annotation, or an option of the class or the cloud configuration, cannot be read, or does not exist in the cloud. The load balancer stays as it is.", "Write what the message shows."},
		{Unsupported, "Service", "The provider or the cloud's version cannot do what the Service asks for.", "Take the option out, or use a class with another provider."},
		{NoNodes, "Service", "No node can take the Service's connections: none is selected, ready and not excluded, or the Service has no node ports.", "Look at kubectl get nodes, the node selector, and spec.allocateLoadBalancerNodePorts."},
		{CloudUnreachable, "Service", "The cloud does not answer, or answers with errors. What exists goes on working.", "Look at fairlead doctor. It is tried again."},
		{CloudDenied, "Service", "The cloud refuses the credentials, or they may not do this.", "Look at fairlead doctor; renew the Secret, or give the user the role load-balancer_member."},
		{CloudQuota, "Service", "A quota of the project is used up.", "Raise the quota that the message names, or delete what is not needed. It is tried again."},
		{CloudRefused, "Service", "The cloud answers that a request is wrong; the message has its words.", "Change the option that it names."},
		{LoadBalancerStuck, "Service", "The load balancer has been in a PENDING state for so long that the cloud seems to have forgotten it. Only its operator can end that; no second one is made.", "Ask the cloud's operator, with the id in the message."},
		{LoadBalancerError, "Service", "The load balancer is in state ERROR. It is being failed over or built again with the same address.", "Wait; if it comes back, ask the cloud's operator, with the id in the message."},
		{LoadBalancerNotFound, "Service", "The load balancer that the Service asks for by id does not exist in the project.", "Correct or remove the annotation loadbalancer.openstack.org/load-balancer-id."},
		{FloatingIPMissing, "Service", "The floating IP that is asked for is not there or not free, or there is no external network to take one from.", "Allocate it first, ask for another, or name a network that the message shows."},
		{PortTaken, "Service", "Another Service on the same load balancer has the port.", "Change the port, or use another load balancer."},
		{BadAddresses, "AddressPool", "spec.addresses has an entry that cannot be used. What was in force stays in force.", "Write what the message shows."},
		{BadReservation, "AddressPool", "A reservation is outside the pool, is there twice, or cannot be read. The addresses that were in force stay in force, and the other reservations count.", "Write what the message shows."},
		{Overlap, "AddressPool", "Addresses are in two pools. The one that had them first keeps them.", "Take them out of one of the two."},
		{ShrinkHeld, "AddressPool", "The edit would take addresses from more than a tenth of the running Services. The addresses before the edit stay in force.", "Take the edit back, or confirm it with the annotation that the message shows."},
		{PoolInUse, "AddressPool", "The pool is being deleted while Services hold its addresses; it goes when they do.", "Delete those Services, or confirm the deletion with the annotation that the message shows."},
		{PoolMissing, "LoadBalancerClass", "spec.pools names a pool that does not exist or is not in force. The others serve.", "Create the pool, or take its name out."},
		{SecondDefault, "LoadBalancerClass", "Two classes are marked default. The older one is.", "Unmark one of them."},
		{BadSelector, "AddressPool, LoadBalancerClass", "A selector cannot be read.", "Write what the message shows."},
		{SecretMissing, "LoadBalancerClass", "The Secret with the cloud configuration is not there, or has none of the keys. Load balancers that exist go on working.", "Create it as the message shows."},
		{BadCloudConfig, "LoadBalancerClass", "The cloud configuration cannot be read. The one before it stays in force.", "Write what the message shows."},
		{UnknownProvider, "LoadBalancerClass", "This version has no such provider.", "Use one that the message names."},
		{NoMajority, "Node", "Speakers call the node dead, but not more than half of all. Its pods stay in service.", "Look at the speakers. In a cluster of two, neither can outvote the other."},
		{StillHeard, "Node", "Some speakers call the node dead, and others hear it. Its pods stay in service.", "Look at the network between the nodes in the message."},
		{NodeContradicts, "Node", "Speakers call the node dead, whose own speaker says that it lost them. Its pods stay in service.", "Look at the node's network."},
		{KubeletAnswers, "Node", "Speakers call the node dead, but its kubelet answers: the speaker may be broken, or the segment. The pods stay in service.", "Look at the node's speaker and its network."},
		{TooManyDead, "Node", "More nodes are dead than pods are taken out of service for at a time: one, or a tenth of all.", "Look at the nodes. Kubernetes marks the pods itself after --node-monitor-grace-period."},
		{LastEndpoint, "Node", "The node is dead, but pods on it are the last ready endpoint of a Service: they stay in service.", "Run more than one replica, on more than one node."},
	}
}
