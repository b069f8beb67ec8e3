package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "fairlead.dev", Version: "v1alpha1"}

// SchemeBuilder collects what AddToScheme registers. It is apimachinery's own and
// not controller-runtime's, so that importing this package stays cheap.
var SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme makes the kinds of this package known to a client's scheme.
var AddToScheme = SchemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&AddressPool{}, &AddressPoolList{},
		&LoadBalancerClass{}, &LoadBalancerClassList{},
		&Speaker{}, &SpeakerList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
