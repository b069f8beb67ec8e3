package speaker

import (
	"log/slog"
	"slices"

	"fairlead.dev/fairlead/internal/lb"
	"fairlead.dev/fairlead/internal/liveness"
	"fairlead.dev/fairlead/internal/plan"
)

// sight corrects what Kubernetes remembers by what is seen on the segment.
type sight struct {
	node       string
	neighbours Neighbours
	log        *slog.Logger

	peers []liveness.Peer // that the neighbours were last set to
	told  map[string]told
	deaf  bool
}

// told is what a neighbour published, read once.
type told struct {
	news    []byte
	speaker lb.Speaker
}

func newSight(node string, n Neighbours, log *slog.Logger) *sight {
	return &sight{node: node, neighbours: n, log: log, told: make(map[string]told)}
}

// introduce tells the neighbours who should be there: the nodes with a speaker.
func (s *sight) introduce(w *lb.World) {
	nodes := make(map[string]*lb.Node, len(w.Nodes))
	for i := range w.Nodes {
		nodes[w.Nodes[i].Name] = &w.Nodes[i]
	}
	peers := make([]liveness.Peer, 0, len(w.Speakers))
	for i := range w.Speakers {
		if n := nodes[w.Speakers[i].Node]; n != nil && w.Speakers[i].Hearing != nil {
			peers = append(peers, liveness.Peer{Node: n.Name, Addresses: n.Addresses})
		}
	}
	same := func(x, y liveness.Peer) bool { return x.Node == y.Node && slices.Equal(x.Addresses, y.Addresses) }
	if s.peers == nil || !slices.EqualFunc(peers, s.peers, same) {
		s.peers = peers
		s.neighbours.SetPeers(peers)
	}
}

// correct makes w what this node decides upon. self is this speaker as it is, which is
// newer than what its object says.
//
// Where no speaker of the cluster has a quorum, heartbeats are what is broken, such as by
// a firewall rule: taking all addresses from everybody would make an outage of it. Then
// Kubernetes is believed.
func (s *sight) correct(w *lb.World, self lb.Speaker) (known bool) {
	for i := range w.Speakers {
		if w.Speakers[i].Node == s.node {
			known = true
			w.Speakers[i] = self
		}
	}
	deaf := plan.AllDeaf(*w)
	if deaf != s.deaf {
		s.deaf = deaf
		if deaf {
			s.log.Warn("heartbeats reach nobody; believing Kubernetes", "hint", "is the UDP port of heartbeats open between the nodes?")
		} else {
			s.log.Info("heartbeats are heard again")
		}
	}
	if deaf {
		return known
	}
	parted := make(map[string]bool)
	for _, n := range s.neighbours.View() {
		parted[n.Node] = n.State == liveness.Left
	}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		n.Alive, n.Parted = s.neighbours.Alive(n.Name, n.Alive), parted[n.Name]
	}
	for i := range w.Speakers {
		if w.Speakers[i].Node != s.node {
			s.update(&w.Speakers[i])
		}
	}
	return known
}

// update replaces what the object of another speaker says by what the speaker told us.
func (s *sight) update(speaker *lb.Speaker) {
	// Heard on the segment is newer than written to the API server.
	if h := speaker.Hearing; h != nil && s.neighbours.Alive(speaker.Node, false) {
		heard := *h
		heard.Quorate = true
		speaker.Hearing = &heard
	}
	news, ok := s.neighbours.News(speaker.Node)
	if !ok || len(news) == 0 {
		delete(s.told, speaker.Node)
		return
	}
	last, read := s.told[speaker.Node]
	if !read || &last.news[0] != &news[0] {
		decoded, err := decodeNews(speaker.Node, news)
		if err != nil {
			s.log.Debug("news not read", "node", speaker.Node, "err", err)
			return
		}
		last = told{news, decoded}
		s.told[speaker.Node] = last
	}
	speaker.Leaving = last.speaker.Leaving
	speaker.Interfaces = last.speaker.Interfaces
	speaker.Claims = last.speaker.Claims
}
