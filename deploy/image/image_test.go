package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const reference = "fairlead.dev/fairlead:v1.2.3"

// packed assembles an image, of a binary that is none.
func packed(t *testing.T, binary, arch string) v1.Image {
	t.Helper()
	image, err := assemble([]byte(binary), arch, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digest(t *testing.T, described interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	hash, err := described.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

func TestTheSameBinaryGivesTheSameImage(t *testing.T) {
	first := digest(t, packed(t, "binary", "amd64"))
	if again := digest(t, packed(t, "binary", "amd64")); again != first {
		t.Errorf("two builds gave %s and %s", first, again)
	}
	if other := digest(t, packed(t, "another", "amd64")); other == first {
		t.Errorf("another binary gave %s as well", other)
	}
}

func TestTheLayerHoldsTheBinaryAndAUser(t *testing.T) {
	layers, err := packed(t, "binary", "amd64").Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 1 {
		t.Fatalf("%d layers, want 1", len(layers))
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	type entry struct {
		Mode     int64
		UID, GID int
		Time     int64
		Body     string
	}
	got := map[string]entry{}
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = entry{header.Mode, header.Uid, header.Gid, header.ModTime.Unix(), string(body)}
	}
	want := map[string]entry{
		"etc/":       {Mode: 0o755},
		"etc/group":  {Mode: 0o644, Body: "root:x:0:\nnonroot:x:65532:\n"},
		"etc/passwd": {Mode: 0o644, Body: "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"},
		"fairlead":   {Mode: 0o755, Body: "binary"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestTheImageStartsFairleadWithoutRoot(t *testing.T) {
	config, err := packed(t, "binary", "arm64").ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != "arm64" {
		t.Errorf("it is for %s/%s", config.OS, config.Architecture)
	}
	if config.Config.User != "65532:65532" {
		t.Errorf("its user is %q", config.Config.User)
	}
	if diff := cmp.Diff([]string{"/fairlead"}, config.Config.Entrypoint); diff != "" {
		t.Errorf("entry point (-want +got):\n%s", diff)
	}
	if got := config.Config.Labels["org.opencontainers.image.version"]; got != "v1.2.3" {
		t.Errorf("its version is %q", got)
	}
	if !config.Created.Equal(epoch) {
		t.Errorf("it was created %v", config.Created)
	}
}

func TestTheArchiveHoldsTheImageUnderItsName(t *testing.T) {
	dir := t.TempDir()
	want := packed(t, "binary", "amd64")
	var written [2]string
	for i := range written {
		path := filepath.Join(dir, "a.tar")
		if err := writeArchive(path, reference, want); err != nil {
			t.Fatal(err)
		}
		bytes, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written[i] = string(bytes)
	}
	if written[0] != written[1] {
		t.Error("writing it twice gives different bytes")
	}
	// What containerd and docker look at: manifest.json and its names.
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, "a.tar")) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{reference}, manifest[0].RepoTags); diff != "" || len(manifest) != 1 {
		t.Errorf("names of %d images (-want +got):\n%s", len(manifest), diff)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tarball.ImageFromPath(filepath.Join(dir, "a.tar"), &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
}

func TestAnArchiveNeedsATag(t *testing.T) {
	if err := writeArchive(filepath.Join(t.TempDir(), "a.tar"), "fairlead", packed(t, "binary", "amd64")); err == nil {
		t.Error("a name without registry and tag was taken, which a node would look up elsewhere")
	}
}

func TestTheLayoutHoldsEveryArchitecture(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "oci")
	images := []platformImage{{"amd64", packed(t, "one", "amd64")}, {"arm64", packed(t, "two", "arm64")}}
	first, err := writeLayout(dir, reference, images)
	if err != nil {
		t.Fatal(err)
	}
	// Over what is there: a build does not add to the build of before.
	second, err := writeLayout(dir, reference, images)
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Errorf("writing it twice gives %s and %s", first, second)
	}
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(root); err != nil {
		t.Error(err)
	}
	top, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(top.Manifests) != 1 || top.Manifests[0].Digest != second || top.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != reference {
		t.Errorf("the layout holds %+v, want the index %s alone, by its name", top.Manifests, second)
	}
	index, err := root.ImageIndex(second)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range inside.Manifests {
		got[m.Platform.String()] = m.Digest.String()
	}
	want := map[string]string{"linux/amd64": digest(t, images[0].image), "linux/arm64": digest(t, images[1].image)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}
