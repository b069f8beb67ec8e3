package images

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestEqualTreesMakeEqualArchives(t *testing.T) {
	var archives [2][]byte
	for i := range archives {
		root, work := t.TempDir(), t.TempDir()
		for _, name := range []string{"b", "a"} {
			path := filepath.Join(root, name)
			if err := os.WriteFile(path, []byte(name), 0o755); err != nil {
				t.Fatal(err)
			}
			when := time.Now().Add(time.Duration(i) * time.Hour)
			if err := os.Chtimes(path, when, when); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("a", filepath.Join(root, "c")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(work, "image.tar")
		if err := writeArchive(file, "example.org/x:1", v1.Config{}, root, work); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archives[i] = data
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives of equal trees differ")
	}
}
