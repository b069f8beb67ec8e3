// Package images makes the container images of a lab's nodes without Docker
// and without a registry: OCI archives, from programs built here and from
// files of Debian packages.
package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/lab/build"
)

// Names under which the images are known in a lab.
const (
	Pause = "registry.k8s.io/pause:3.10.2"
	Nginx = "docker.io/library/nginx:latest"
	// Echo answers HTTP with its host name, that is the name of its pod, and the client's address.
	Echo = "fairlead.dev/lab/echo:latest"
)

// recipe is part of every key: raise it when this package makes images differently.
const recipe = "1"

type image struct {
	name   string
	from   string // what decides the content, besides the recipe
	root   func(ctx context.Context, dir string) error
	config v1.Config
}

// All returns the archives of all images, after making those the cache lacks.
func All(ctx context.Context, programs build.Programs, progress io.Writer) ([]string, error) {
	cache, err := build.CacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	list := []image{
		single(Pause, programs.Path(build.ImagesFamily, "pause"), v1.Config{Entrypoint: []string{"/pause"}}),
		single(Echo, programs.Path(build.InsideFamily, "inside"), v1.Config{Entrypoint: []string{"/inside", "echo"}}),
		nginx(),
	}
	archives := make([]string, len(list))
	missing := false
	for i, img := range list {
		archives[i] = filepath.Join(dir, img.file())
		if _, err := os.Stat(archives[i]); err != nil {
			missing = true
		}
	}
	if !missing {
		return archives, nil
	}
	unlock, err := build.Lock(ctx, cache, progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	g, ctx := errgroup.WithContext(ctx)
	for i, img := range list {
		g.Go(func() error { return img.make(ctx, archives[i], progress) })
	}
	return archives, g.Wait()
}

func (img image) file() string {
	sum := sha256.Sum256([]byte(recipe + img.name + img.from))
	return hex.EncodeToString(sum[:])[:16] + ".tar"
}

func (img image) make(ctx context.Context, archive string, progress io.Writer) error {
	if _, err := os.Stat(archive); err == nil {
		return nil
	}
	fmt.Fprintf(progress, "making image %s…\n", img.name)
	work, err := os.MkdirTemp("", "fairlead-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := img.root(ctx, root); err != nil {
		return fmt.Errorf("fill image %s: %w", img.name, err)
	}
	partial := archive + ".partial"
	defer os.Remove(partial)
	if err := writeArchive(partial, img.name, img.config, root, work); err != nil {
		return fmt.Errorf("write image %s: %w", img.name, err)
	}
	return os.Rename(partial, archive)
}

// single is an image of one static program. The program's path holds the key of its content.
func single(name, program string, config v1.Config) image {
	return image{name: name, from: program, config: config, root: func(_ context.Context, dir string) error {
		data, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, filepath.Base(program)), data, 0o755)
	}}
}
