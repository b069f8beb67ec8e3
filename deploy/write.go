package deploy

import (
	"fmt"
	"io"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// scheme knows every kind that Manifests returns.
var scheme = runtime.NewScheme()

func init() {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
}

// setKind writes apiVersion and kind into an object; Go values come without.
func setKind(object client.Object) error {
	gvk, err := apiutil.GVKForObject(object, scheme)
	if err != nil {
		return fmt.Errorf("tell the kind of %s: %w", object.GetName(), err)
	}
	object.GetObjectKind().SetGroupVersionKind(gvk)
	return nil
}

// Write writes objects as one YAML stream, keys sorted, for kubectl apply -f. The
// same objects always give the same bytes.
func Write(w io.Writer, objects []client.Object) error {
	for _, object := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return fmt.Errorf("read the fields of %s: %w", name(object), err)
		}
		// An empty status is written by some types; it is not ours to say.
		delete(fields, "status")
		text, err := yaml.Marshal(fields)
		if err != nil {
			return fmt.Errorf("write %s: %w", name(object), err)
		}
		if _, err := fmt.Fprintf(w, "---\n%s", text); err != nil {
			return fmt.Errorf("write %s: %w", name(object), err)
		}
	}
	return nil
}

func name(object client.Object) string {
	return object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetName()
}
