package speaker

import (
	"context"

	"fairlead.dev/fairlead/internal/liveness"
)

// Neighbours tells which nodes live and what their speakers claim, on the segment and
// without the API server, which takes most of a minute to notice a death.
type Neighbours interface {
	// Alive corrects what Kubernetes says of a node.
	Alive(node string, kubernetes bool) bool
	// Standing is how this node stands with its segment.
	Standing() liveness.Standing
	// Publish tells the neighbours what this node claims; News is what one of them told.
	Publish(news []byte) error
	News(node string) (news []byte, ok bool)
	// Informed tells whether nothing that a living neighbour published is still under way.
	Informed() bool
	SetPeers(peers []liveness.Peer)
	View() []liveness.Neighbour
	// Leave says goodbye, and returns when all have heard it.
	Leave(ctx context.Context)
	// Changed fires when one of the others may answer something else than before.
	Changed() <-chan struct{}
}

// kubernetesKnows believes what Kubernetes says: there are no heartbeats.
type kubernetesKnows struct{}

func (kubernetesKnows) Alive(_ string, kubernetes bool) bool { return kubernetes }
func (kubernetesKnows) Standing() liveness.Standing          { return liveness.Standing{Quorate: true} }
func (kubernetesKnows) Publish([]byte) error                 { return nil }
func (kubernetesKnows) News(string) ([]byte, bool)           { return nil, false }
func (kubernetesKnows) Informed() bool                       { return true }
func (kubernetesKnows) SetPeers([]liveness.Peer)             {}
func (kubernetesKnows) View() []liveness.Neighbour           { return nil }
func (kubernetesKnows) Leave(context.Context)                {}
func (kubernetesKnows) Changed() <-chan struct{}             { return nil }
