// Package deploy is the one source of what is installed in a cluster: every object
// of deploy/install.yaml, as Go values.
//
// Manifests gives them, Write writes them, and go generate ./deploy renders
// install.yaml. The CRDs come from the types in api/v1alpha1. What an object allows
// has its reason beside it here, since a rendered file has no room for it.
//
// The image that the objects name is made by deploy/image. Nothing here talks to a
// cluster.
package deploy

import (
	"maps"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/version"
)

//go:generate go run ./render -o install.yaml

// DefaultNamespace is where Fairlead runs unless Options say otherwise.
const DefaultNamespace = "fairlead-system"

// Names of the two roles: of their ServiceAccounts, workloads and cluster roles,
// and of the controller's leader election Lease.
const (
	Controller = "fairlead-controller"
	Speaker    = "fairlead-speaker"
)

// SpeakersService is the headless Service whose EndpointSlices tell which speaker
// pods are ready, and on which node.
const SpeakersService = "fairlead-speakers"

// HeartbeatKeys is the Secret with the keys of heartbeats.
const HeartbeatKeys = "fairlead-heartbeat-keys"

// Ports of metrics (/metrics) and probes (/healthz, /readyz). They differ because
// the speaker is on the host network, where a controller of the host might be too.
const (
	ControllerPort int32 = 7472
	SpeakerPort    int32 = 7473
)

// HeartbeatPort is the UDP port of the heartbeats between speakers.
const HeartbeatPort int32 = 7474

// Options are what an installation may choose.
type Options struct {
	// Image with its tag; empty is DefaultImage().
	Image string
	// Namespace of the two workloads; empty is DefaultNamespace.
	Namespace string
}

// DefaultImage is the image of this version, by the name that deploy/image gives it.
func DefaultImage() string { return "fairlead.dev/fairlead:" + version.Version }

// Manifests are all objects of an installation, in the order in which they are
// applied: the kinds, the namespace, who may do what, then what runs.
func Manifests(o Options) ([]client.Object, error) {
	if o.Image == "" {
		o.Image = DefaultImage()
	}
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	crds, err := customResources()
	if err != nil {
		return nil, err
	}
	objects := crds
	objects = append(objects, namespace(o.Namespace))
	objects = append(objects, controllerRights(o.Namespace)...)
	objects = append(objects, speakerRights(o.Namespace)...)
	objects = append(objects, readerRights())
	objects = append(objects, heartbeatKeys(o.Namespace)...)
	objects = append(objects, ownSpeakerOnly(o.Namespace)...)
	objects = append(objects, poolSpecIsTheOwners(o.Namespace)...)
	objects = append(objects, controllerWorkload(o)...)
	objects = append(objects, speakerWorkload(o)...)
	return finish(objects)
}

// finish gives objects their kind and our label.
func finish(objects []client.Object) ([]client.Object, error) {
	for _, object := range objects {
		if err := setKind(object); err != nil {
			return nil, err
		}
		object.SetLabels(merge(object.GetLabels(), map[string]string{"app.kubernetes.io/name": "fairlead"}))
	}
	return objects, nil
}

// podLabels select the pods of a role; a workload's selector cannot be changed
// later, so no version is in it.
func podLabels(component string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":      "fairlead",
		"app.kubernetes.io/component": component,
	}
}

// merge adds more to labels, which may be nil.
func merge(labels, more map[string]string) map[string]string {
	out := maps.Clone(more)
	maps.Copy(out, labels)
	return out
}
