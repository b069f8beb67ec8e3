package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// SpeakerWriter keeps the Speaker object of one node. It is not safe for
// concurrent use.
type SpeakerWriter struct {
	Client  client.Client
	Version string
	// last is what the object says, as far as we know.
	last *v1alpha1.Speaker
}

// Write makes the object say what the speaker is, creating it if needed. It makes
// no call when nothing differs.
func (w *SpeakerWriter) Write(ctx context.Context, s *lb.Speaker) error {
	want := SpeakerStatusOf(s, w.Version)
	if w.last != nil && equality.Semantic.DeepEqual(w.last.Status, want) {
		return nil
	}
	if w.last == nil {
		if err := w.find(ctx, s.Node); err != nil {
			return err
		}
	}
	next := w.last.DeepCopy()
	next.Status = want
	err := w.Client.Status().Patch(ctx, next, client.MergeFrom(w.last))
	if err != nil {
		// Somebody deleted or changed the object: find it again the next time.
		w.last = nil
		return fmt.Errorf("write status of Speaker %s: %w", s.Node, err)
	}
	next.Status = want // as sent: reading it back loses the zone of a time
	w.last = next
	return nil
}

// Forget makes the next Write look at what the object says.
func (w *SpeakerWriter) Forget() { w.last = nil }

// find reads the object of a node, or creates it. The Node owns it: when that is
// deleted, Kubernetes collects its Speaker.
func (w *SpeakerWriter) find(ctx context.Context, node string) error {
	var found v1alpha1.Speaker
	err := w.Client.Get(ctx, client.ObjectKey{Name: node}, &found)
	if apierrors.IsNotFound(err) {
		var owner corev1.Node
		if err := w.Client.Get(ctx, client.ObjectKey{Name: node}, &owner); err != nil {
			return fmt.Errorf("find Node %s: %w (does --node-name match kubectl get nodes?)", node, err)
		}
		found = v1alpha1.Speaker{ObjectMeta: metav1.ObjectMeta{Name: node, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Node", Name: owner.Name, UID: owner.UID},
		}}}
		err = w.Client.Create(ctx, &found)
	}
	if err != nil {
		return fmt.Errorf("find Speaker %s: %w", node, err)
	}
	w.last = &found
	return nil
}
