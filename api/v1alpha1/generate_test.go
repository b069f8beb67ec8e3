package v1alpha1_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("builds controller-gen")
	}
	dir := t.TempDir()
	// The generators of doc.go's go:generate line, with other outputs.
	cmd := exec.CommandContext(t.Context(), "go", "tool", "controller-gen", "object", "crd", "paths=.",
		"output:object:dir="+dir, "output:crd:dir="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run controller-gen: %v\n%s", err, out)
	}
	committed, err := filepath.Glob(filepath.Join(crdDir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	compareFiles(t, dir, append(committed, "zz_generated.deepcopy.go"))
}

// compareFiles tells where what was generated into dir is not what is committed.
func compareFiles(t *testing.T, dir string, committed []string) {
	t.Helper()
	fresh, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(fresh) != len(committed) {
		t.Errorf("%d files are generated, %d are committed: run go generate ./api/...", len(fresh), len(committed))
	}
	for _, path := range committed {
		want, err := os.ReadFile(filepath.Join(dir, filepath.Base(path)))
		if err != nil {
			t.Errorf("%s is committed but not generated any more", path)
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale: run go generate ./api/... (-generated +committed):\n%s", path, diff)
		}
	}
}
