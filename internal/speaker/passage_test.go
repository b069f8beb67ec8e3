package speaker

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/plan"
	"fairlead.dev/fairlead/internal/relay"
)

func TestConnectionsAreRelayedToALivingPredecessor(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	theirs, ours := net.HardwareAddr{2, 0, 0, 0, 0, 2}, net.HardwareAddr{2, 0, 0, 0, 0, 1}
	world := func(alive bool, ifaces ...lb.Interface) *lb.World {
		return &lb.World{Nodes: []lb.Node{{Name: "n1", Alive: true}, {Name: "n2", Alive: alive}}, Speakers: []lb.Speaker{{Node: "n2", Interfaces: ifaces}}}
	}
	eth0 := lb.Interface{Name: "eth0", MAC: theirs}
	mine := []lb.Interface{{Name: "eth0", MAC: ours}}
	took := []plan.Ownership{{Address: vip, Node: "n1", Predecessors: []string{"n2"}}}
	want := []relay.Relay{{VIP: vip, Interface: "eth0", Via: theirs}}
	for _, c := range []struct {
		name   string
		owners []plan.Ownership
		world  *lb.World
		want   []relay.Relay
	}{
		{"one that lives", took, world(true, eth0), want},
		{"not one that died", took, world(false, eth0), nil},
		{"not when there was none", []plan.Ownership{{Address: vip, Node: "n1"}}, world(true, eth0), nil},
		{"not for what another node owns", []plan.Ownership{{Address: vip, Node: "n2", Predecessors: []string{"n1"}}}, world(true, eth0), nil},
		{"by its only interface, whatever its name", took, world(true, lb.Interface{Name: "ens3", MAC: theirs}), want},
		{"not by a guess among several", took, world(true, lb.Interface{Name: "ens3", MAC: theirs}, lb.Interface{Name: "ens4", MAC: theirs}), nil},
		{"not to ourselves", took, world(true, lb.Interface{Name: "eth0", MAC: ours}), nil},
	} {
		got, _ := passages{}.relays(noon, "n1", c.owners, evidence{}, c.world, mine)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRelayingEndsWithTheMinuteTheOwnershipOrThePredecessor(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	alive := &lb.World{Nodes: []lb.Node{{Name: "n2", Alive: true}}, Speakers: []lb.Speaker{{Node: "n2", Interfaces: []lb.Interface{{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}}}}}
	dead := &lb.World{Nodes: []lb.Node{{Name: "n2"}}, Speakers: alive.Speakers}
	mine := []lb.Interface{{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
	took := []plan.Ownership{{Address: vip, Node: "n1", Predecessors: []string{"n2"}}}
	settled := []plan.Ownership{{Address: vip, Node: "n1"}}
	answering := evidence{answering: map[netip.Addr]bool{vip: true}}
	for _, c := range []struct {
		name   string
		after  time.Duration
		owners []plan.Ownership
		world  *lb.World
		relays int
	}{
		{"goes on when the predecessor is silent", 59 * time.Second, settled, alive, 1},
		{"does not begin again while this node answers", relay.Limit, took, alive, 0},
		{"ends after a minute", relay.Limit, settled, alive, 0},
		{"ends when the predecessor dies", time.Second, settled, dead, 0},
		{"ends with the ownership", time.Second, nil, alive, 0},
	} {
		p := passages{}
		if first, next := p.relays(noon, "n1", took, evidence{}, alive, mine); len(first) != 1 || !next.Equal(noon.Add(relay.Limit)) {
			t.Fatalf("%s: begins with %v until %s", c.name, first, next)
		}
		if got, _ := p.relays(noon.Add(c.after), "n1", c.owners, answering, c.world, mine); len(got) != c.relays {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAGoodbyeIsNoDeathForOpenConnections(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	theirs := net.HardwareAddr{2, 0, 0, 0, 0, 2}
	mine := []lb.Interface{{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
	owners := []plan.Ownership{{Address: vip, Node: "n1"}}
	for _, c := range []struct {
		name    string
		node    lb.Node
		leaving bool
		relayed int
	}{
		{"said goodbye", lb.Node{Name: "n2", Parted: true}, true, 1},
		{"is back, and not counted in yet", lb.Node{Name: "n2", Parted: true}, false, 1},
		{"stops, and Kubernetes calls its pod unready", lb.Node{Name: "n2"}, true, 1},
		{"died", lb.Node{Name: "n2"}, false, 0},
		{"is gone", lb.Node{Name: "n3"}, true, 0},
	} {
		p := passages{vip: {from: "n2", until: noon.Add(relay.Limit)}}
		w := &lb.World{Nodes: []lb.Node{c.node}, Speakers: []lb.Speaker{{Node: "n2", Leaving: c.leaving, Interfaces: []lb.Interface{{Name: "eth0", MAC: theirs}}}}}
		if got, _ := p.relays(noon, "n1", owners, evidence{}, w, mine); len(got) != c.relayed {
			t.Errorf("a node that %s: %d relays, want %d", c.name, len(got), c.relayed)
		}
	}
}
