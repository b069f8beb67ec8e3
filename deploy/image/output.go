package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes the image as docker save does, under its full name, so that
// a node that imports it has what a pod's spec asks for. The format has no manifest
// of ours: the node writes its own, so that its digest is not that of the layout.
func writeArchive(path, reference string, image v1.Image) error {
	tag, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("name the image: %w", err)
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// writeLayout writes an OCI layout with one index of all architectures, and returns
// the digest of that index. What was in the folder is lost.
func writeLayout(path, reference string, images []platformImage) (v1.Hash, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        p.image,
			Descriptor: v1.Descriptor{Platform: p.platform()},
		})
	}
	if err := os.RemoveAll(path); err != nil {
		return v1.Hash{}, fmt.Errorf("remove the layout of before: %w", err)
	}
	l, err := layout.Write(path, empty.Index)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("write the layout %s: %w", path, err)
	}
	// containerd reads the first name, everybody else the second.
	names := map[string]string{
		"io.containerd.image.name":          reference,
		"org.opencontainers.image.ref.name": reference,
	}
	if err := l.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return v1.Hash{}, fmt.Errorf("write the layout %s: %w", path, err)
	}
	return index.Digest()
}
