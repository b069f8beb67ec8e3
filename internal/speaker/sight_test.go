package speaker

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
)

// village is a neighbourhood whose members the test knows.
type village struct {
	kubernetesKnows
	alive map[string]bool // what heartbeats say; others are not known
	news  map[string][]byte
	peers []liveness.Peer
	set   int
}

func (v *village) Alive(node string, kubernetes bool) bool {
	if alive, known := v.alive[node]; known {
		return alive
	}
	return kubernetes
}

func (v *village) News(node string) ([]byte, bool) {
	news, ok := v.news[node]
	return news, ok
}

func (v *village) SetPeers(peers []liveness.Peer) {
	v.peers = peers
	v.set++
}

func hears(quorate bool) *lb.Hearing { return &lb.Hearing{Quorate: quorate} }

func TestWhatANeighbourSaysGoesBeforeWhatKubernetesRemembers(t *testing.T) {
	old, new := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	says := lb.Speaker{Node: "b", Leaving: true, Claims: []lb.Claim{{Address: new, State: lb.Announced, Since: time.UnixMicro(5), Epoch: 3}}}
	v := &village{alive: map[string]bool{"b": true, "c": false}, news: map[string][]byte{"b": encodeNews(&says), "d": []byte("nonsense")}}
	s := newSight("a", v, slog.New(slog.DiscardHandler))
	w := lb.World{
		Nodes: []lb.Node{{Name: "a", Alive: true}, {Name: "b"}, {Name: "c", Alive: true}, {Name: "d", Alive: true}},
		Speakers: []lb.Speaker{
			{Node: "a", Hearing: hears(true), Claims: []lb.Claim{{Address: old}}},
			{Node: "b", Hearing: hears(false), Claims: []lb.Claim{{Address: old}}},
			{Node: "c", Hearing: hears(true)},
			{Node: "d", Hearing: hears(true), Claims: []lb.Claim{{Address: old}}},
		},
	}
	if !s.correct(&w, lb.Speaker{Node: "a", Hearing: hears(true)}) {
		t.Error("this speaker is not known, although it has an object")
	}
	if w.Nodes[1].Alive != true || w.Nodes[2].Alive != false {
		t.Errorf("heartbeats do not decide who lives: %+v", w.Nodes)
	}
	if b := w.Speakers[1]; !b.Leaving || len(b.Claims) != 1 || b.Claims[0].Address != new || b.Claims[0].Epoch != 3 || !b.Hearing.Quorate {
		t.Errorf("b is %+v", b)
	}
	if a := w.Speakers[0]; len(a.Claims) != 0 {
		t.Errorf("this speaker believes its object: %+v", a)
	}
	if d := w.Speakers[3]; len(d.Claims) != 1 || d.Claims[0].Address != old {
		t.Errorf("news that cannot be read replaced the object: %+v", d)
	}
}

func TestWhereNobodyHasAQuorumKubernetesIsBelieved(t *testing.T) {
	v := &village{alive: map[string]bool{"b": false}}
	s := newSight("a", v, slog.New(slog.DiscardHandler))
	world := func(quorate bool) lb.World {
		return lb.World{
			Nodes:    []lb.Node{{Name: "a", Alive: true}, {Name: "b", Alive: true}},
			Speakers: []lb.Speaker{{Node: "a"}, {Node: "b", Hearing: hears(quorate)}},
		}
	}
	w := world(false)
	s.correct(&w, lb.Speaker{Node: "a", Hearing: hears(false)})
	if !w.Nodes[1].Alive || !s.deaf {
		t.Errorf("b is alive %v, deaf %v: one rule in a firewall takes all addresses away", w.Nodes[1].Alive, s.deaf)
	}
	w = world(true)
	s.correct(&w, lb.Speaker{Node: "a", Hearing: hears(false)})
	if w.Nodes[1].Alive || s.deaf {
		t.Errorf("b is alive %v, deaf %v, although somebody has a quorum", w.Nodes[1].Alive, s.deaf)
	}
}

func TestPeersAreNodesWhoseSpeakersExchangeHeartbeats(t *testing.T) {
	v := &village{}
	s := newSight("a", v, slog.New(slog.DiscardHandler))
	addr := []netip.Addr{netip.MustParseAddr("10.0.0.2")}
	w := lb.World{
		Nodes:    []lb.Node{{Name: "a"}, {Name: "b", Addresses: addr}, {Name: "c"}},
		Speakers: []lb.Speaker{{Node: "a", Hearing: hears(true)}, {Node: "b", Hearing: hears(true)}, {Node: "c"}, {Node: "gone", Hearing: hears(true)}},
	}
	s.introduce(&w)
	s.introduce(&w)
	if len(v.peers) != 2 || v.peers[1].Node != "b" || v.peers[1].Addresses[0] != addr[0] || v.set != 1 {
		t.Errorf("peers are %+v, set %d times", v.peers, v.set)
	}
}
