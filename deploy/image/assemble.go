package main

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// platformImage is the image of one architecture.
type platformImage struct {
	arch  string // GOARCH
	image v1.Image
}

// platform that the image runs on.
func (p platformImage) platform() *v1.Platform {
	return &v1.Platform{OS: "linux", Architecture: p.arch}
}

// assemble makes an image of one layer from the binary.
func assemble(binary []byte, arch, version string) (v1.Image, error) {
	l, err := layer(files(binary))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: arch,
		OS:           "linux",
		Created:      v1.Time{Time: epoch},
		Config: v1.Config{
			User:       nonRoot + ":" + nonRoot,
			Entrypoint: []string{"/fairlead"},
			WorkingDir: "/",
			Labels:     labels(version),
		},
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("configure the image: %w", err)
	}
	image, err = mutate.Append(image, mutate.Addendum{
		Layer:   l,
		History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "fairlead deploy/image"},
	})
	if err != nil {
		return nil, fmt.Errorf("put the layer into the image: %w", err)
	}
	return image, nil
}

// labels are those of the OCI image specification that do not change from one build
// of the same source to the next: no time of creation, no commit.
func labels(version string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "fairlead",
		"org.opencontainers.image.description": "Load balancer for Kubernetes Services on bare metal and OpenStack",
		"org.opencontainers.image.version":     version,
		"org.opencontainers.image.url":         "https://fairlead.dev",
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}
}
