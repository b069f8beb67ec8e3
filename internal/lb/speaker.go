package lb

import (
	"net"
	"net/netip"
	"time"
)

// Speaker is what a node's speaker last said of itself.
type Speaker struct {
	Node string
	// Leaving is set while the speaker hands over before it stops.
	Leaving    bool
	Interfaces []Interface
	Claims     []Claim
	// Hearing is nil where the speaker exchanges no heartbeats.
	Hearing *Hearing
	// Unaware are the addresses that by the observation of this node the speaker does not
	// take although it is its turn, sorted: it is cut off from the API server, and does
	// not know of them. Each observer fills it in for itself.
	Unaware []netip.Addr
}

// Interface is one that a speaker announces on.
type Interface struct {
	Name string
	MAC  net.HardwareAddr
}

// Claim is an address that a speaker owns, and how far it has come with it.
type Claim struct {
	Address netip.Addr
	State   ClaimState
	Since   time.Time
	// Interfaces it is announced on, sorted.
	Interfaces []string
	// Detail tells of a Conflict who answers, and where.
	Detail string
	// Cause is why the node took the address, and From the node that had it before;
	// empty where none had.
	Cause Cause
	From  string
	// Epoch is one above that of every claim on the address that the node knew when it
	// took it: the later of two claims is known without trust in clocks.
	Epoch uint64
	// Offer names the node that shall take the address over, to mend an imbalance;
	// empty is nobody.
	Offer string
}

// ClaimState is how far a speaker has come with an address.
type ClaimState string

// The states of a claim, in the order in which they follow each other.
const (
	// Probing asks the segment whether somebody else holds the address.
	Probing ClaimState = "Probing"
	// Announced answers for the address.
	Announced ClaimState = "Announced"
	// Conflict has found another host with the address and stays silent.
	Conflict ClaimState = "Conflict"
	// NoInterface has none to announce on.
	NoInterface ClaimState = "NoInterface"
)

// Cause is why a node took an address.
type Cause string

// The causes of a claim.
const (
	// First: no node had it.
	First Cause = "First"
	// Resumed: this node had it before its speaker was restarted.
	Resumed Cause = "Resumed"
	// Failure: the node that had it is dead, or lost its quorum.
	Failure Cause = "Failure"
	// HandOver: the speaker of the node that had it stops.
	HandOver Cause = "HandOver"
	// Moved: the node that had it lives and may not have it any more: its labels, its
	// interfaces, or where the pods of a Local Service are.
	Moved Cause = "Moved"
	// Mended: the node that had it had more than its share.
	Mended Cause = "Mended"
)

// Causes lists them all.
func Causes() []Cause { return []Cause{First, Resumed, Failure, HandOver, Moved, Mended} }

// Hearing is what a speaker finds out by heartbeats.
type Hearing struct {
	// Boot is the speaker's process: another after each restart.
	Boot string
	// Quorate is set while the node is in touch with half of its segment or more.
	// Without it the node gives its addresses up.
	Quorate bool
	// Counted is how many neighbours it counts as alive.
	Counted int
	// Missing are the neighbours that it does not hear, by node.
	Missing []Missing
	// Late is the longest wait for a heartbeat beyond the interval of late, and LateNode
	// whose it was.
	Late     time.Duration
	LateNode string
	// Keys are the ids of the keys that it takes heartbeats by; it signs with the first.
	Keys []string
	// Fence tells what silences the node should its speaker freeze.
	Fence Fence
}

// Fence is what keeps a frozen speaker from being heard when it thaws.
type Fence struct {
	// Kernel is set where the kernel does it; else the process itself, as well as it can.
	Kernel bool
	// Detail says why the kernel does not.
	Detail string
}

// Missing is a neighbour that is not heard.
type Missing struct {
	Node string
	// State is a state of package liveness, such as Dead.
	State string
	Since time.Time
	Why   string
}
