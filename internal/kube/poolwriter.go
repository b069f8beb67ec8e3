package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/lb"
)

// PoolFinalizer keeps a pool that Services depend on: without the object nobody
// could say which addresses were meant to go.
const PoolFinalizer = "fairlead.dev/addresses-in-use"

// ReasonAccepted is the reason of a condition Accepted that is true.
const ReasonAccepted = "Accepted"

// WritePool makes an AddressPool say state, and lets it go when it may. It writes
// nothing that is there already, and tells whether it wrote; seen is not changed.
func WritePool(ctx context.Context, c client.Client, seen *v1alpha1.AddressPool, state lb.PoolState) (wrote bool, err error) {
	pool := seen.DeepCopy()
	wrote, err = holdPool(ctx, c, pool, state)
	if err != nil || state.Releasable {
		return wrote, err
	}
	before := pool.DeepCopy()
	pool.Status.Addresses = nil
	for _, r := range state.InForce {
		pool.Status.Addresses = append(pool.Status.Addresses, r.String())
	}
	pool.Status.IPv4, pool.Status.IPv6 = nil, nil
	for _, u := range state.Usage {
		usage := &v1alpha1.Usage{Total: u.Total, InUse: u.InUse, Free: u.Free}
		if u.Family == lb.IPv4 {
			pool.Status.IPv4 = usage
		} else {
			pool.Status.IPv6 = usage
		}
	}
	pool.Status.ObservedGeneration = pool.Generation
	message := "every address of spec.addresses is in force"
	meta.SetStatusCondition(&pool.Status.Conditions, accepted(state.Refusal, message, pool.Generation))
	if equality.Semantic.DeepEqual(before.Status, pool.Status) {
		return wrote, nil
	}
	if err := c.Status().Patch(ctx, pool, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return true, fmt.Errorf("write status of AddressPool %s: %w", pool.Name, err)
	}
	return true, nil
}

// holdPool puts our finalizer on, or takes it off when nobody depends on the pool.
func holdPool(ctx context.Context, c client.Client, pool *v1alpha1.AddressPool, state lb.PoolState) (changed bool, err error) {
	before := pool.DeepCopy()
	switch {
	case state.Releasable:
		changed = controllerutil.RemoveFinalizer(pool, PoolFinalizer)
	case pool.DeletionTimestamp == nil:
		changed = controllerutil.AddFinalizer(pool, PoolFinalizer)
	}
	if !changed {
		return false, nil
	}
	// The list of finalizers is replaced: only on the version that it was read from.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, pool, patch); client.IgnoreNotFound(err) != nil {
		return true, fmt.Errorf("write finalizer of AddressPool %s: %w", pool.Name, err)
	}
	return true, nil
}

// WriteClass makes a LoadBalancerClass say state.
func WriteClass(ctx context.Context, c client.Client, seen *v1alpha1.LoadBalancerClass, state lb.ClassState) error {
	class := seen.DeepCopy()
	class.Status.ObservedGeneration = class.Generation
	meta.SetStatusCondition(&class.Status.Conditions, accepted(state.Refusal, "the class is in force", class.Generation))
	if equality.Semantic.DeepEqual(seen.Status, class.Status) {
		return nil
	}
	if err := c.Status().Patch(ctx, class, client.MergeFrom(seen)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write status of LoadBalancerClass %s: %w", class.Name, err)
	}
	return nil
}

func accepted(r *lb.Refusal, message string, generation int64) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: ReasonAccepted, Message: message, ObservedGeneration: generation}
	if r != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(r.Reason), r.Message()
	}
	c.Message = clip(c.Message, maxMessage)
	return c
}
