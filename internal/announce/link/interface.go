package link

import (
	"slices"

	"fairlead.dev/fairlead/internal/announce/ether"
)

// Interface is one that addresses can be announced on.
type Interface struct {
	Index int
	Name  string
	MAC   ether.MAC
	// ARP is set where it can broadcast, NDP where it has a link-local address.
	ARP, NDP bool
	// Epoch changes when the segment may have forgotten our MAC without the
	// interface having been gone: the carrier came back, a bond changed its active
	// port, a hypervisor moved us.
	Epoch uint64
}

// Snapshot is what there is at one moment.
type Snapshot struct {
	Interfaces []Interface // usable ones, by name
	// Own is the MAC of every interface, usable or not, sorted.
	Own []ether.MAC
}

// Equal tells whether two snapshots say the same.
func (s Snapshot) Equal(o Snapshot) bool {
	return slices.Equal(s.Interfaces, o.Interfaces) && slices.Equal(s.Own, o.Own)
}
