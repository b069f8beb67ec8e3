package deploy

import (
	"embed"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// crdFiles are written by go generate ./api/v1alpha1.
//
//go:embed crds/*.yaml
var crdFiles embed.FS

// customResources reads the CRDs, by file name.
func customResources() ([]client.Object, error) {
	entries, err := crdFiles.ReadDir("crds")
	if err != nil {
		return nil, fmt.Errorf("list the embedded CRDs: %w", err)
	}
	var out []client.Object
	for _, entry := range entries {
		text, err := crdFiles.ReadFile("crds/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read the embedded CRD %s: %w", entry.Name(), err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			return nil, fmt.Errorf("understand the embedded CRD %s: %w (run go generate ./api/...)", entry.Name(), err)
		}
		out = append(out, crd)
	}
	return out, nil
}
