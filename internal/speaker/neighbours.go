package speaker

import "fairlead.dev/fairlead/internal/lb"

// Neighbours tells which nodes live. Kubernetes takes most of a minute to notice
// that one does not; who knows better implements this.
type Neighbours interface {
	// Alive corrects what Kubernetes says of a node.
	Alive(node string, kubernetes bool) bool
	// Changed fires when Alive may answer something else than before.
	Changed() <-chan struct{}
}

// kubernetesKnows believes what Kubernetes says.
type kubernetesKnows struct{}

func (kubernetesKnows) Alive(_ string, kubernetes bool) bool { return kubernetes }
func (kubernetesKnows) Changed() <-chan struct{}             { return nil }

func correct(nodes []lb.Node, n Neighbours) {
	for i := range nodes {
		nodes[i].Alive = n.Alive(nodes[i].Name, nodes[i].Alive)
	}
}
