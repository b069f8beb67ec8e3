package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// List reads the world once, with seven list calls and no watch. What clouds have
// built is what the controller wrote of it last: nobody asks the clouds.
func List(ctx context.Context, c client.Reader, speakers lb.Key) (lb.World, error) {
	o := newObserver(speakers)
	for _, err := range []error{
		list(ctx, c, &corev1.ServiceList{}, func(l *corev1.ServiceList) { each(l.Items, o.setService) }),
		list(ctx, c, &v1alpha1.AddressPoolList{}, func(l *v1alpha1.AddressPoolList) { each(l.Items, o.setPool) }),
		list(ctx, c, &v1alpha1.LoadBalancerClassList{}, func(l *v1alpha1.LoadBalancerClassList) { each(l.Items, o.setClass) }),
		list(ctx, c, &corev1.NamespaceList{}, func(l *corev1.NamespaceList) { each(l.Items, o.setNamespace) }),
		list(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) { each(l.Items, o.setNode) }),
		list(ctx, c, &discoveryv1.EndpointSliceList{}, func(l *discoveryv1.EndpointSliceList) { each(l.Items, o.setSlice) }),
		list(ctx, c, &v1alpha1.SpeakerList{}, func(l *v1alpha1.SpeakerList) { each(l.Items, o.setSpeaker) }),
	} {
		if err != nil {
			return lb.World{}, err
		}
	}
	o.built = o.builtAsWritten()
	return o.World(), nil
}

func list[L client.ObjectList](ctx context.Context, c client.Reader, into L, take func(L)) error {
	err := c.List(ctx, into)
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("list %T: %w (is Fairlead installed? kubectl apply -f deploy/install.yaml)", into, err)
	}
	if err != nil {
		return fmt.Errorf("list %T: %w", into, err)
	}
	take(into)
	return nil
}

func each[T any](items []T, set func(*T) bool) {
	for i := range items {
		set(&items[i])
	}
}
