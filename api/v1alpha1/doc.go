// Package v1alpha1 holds the objects that a Fairlead user writes, as Kubernetes
// stores them: AddressPool and LoadBalancerClass, and the Speaker that each node
// writes of itself.
//
// What an object may say is checked by CEL rules in the CRDs, which are generated
// from the markers here: a bad object is refused by kubectl apply, with a sentence
// that says what to write instead. The rules need Kubernetes 1.31 (the CEL library
// "format"). What CEL cannot see, such as a reversed IPv6 range or two pools that
// overlap, the controller reports in the condition Accepted.
//
// Nothing is decided here, and nothing but Kubernetes' apimachinery is imported:
// other programs may import the package.
//
// +kubebuilder:object:generate=true
// +groupName=fairlead.dev
package v1alpha1

//go:generate go tool controller-gen object crd paths=. output:crd:dir=../../deploy/crds
