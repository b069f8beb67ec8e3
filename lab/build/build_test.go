package build

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestKeyFollowsEverythingThatDecidesTheResult(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x")
	write("go.sum", "")
	write("src/a.go", "package a")
	write("src/a_test.go", "package a")
	f := family{name: "x", dir: ".", sources: []string{"src"}}
	key := func() string {
		t.Helper()
		k, err := f.key(root, "go1.26")
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	before := key()
	write("src/a_test.go", "package a // other")
	if key() != before {
		t.Error("a test of the program changed the key")
	}
	write("src/a.go", "package a // other")
	changed := key()
	if changed == before {
		t.Error("the source changed, the key did not")
	}
	f.args = []string{"-tags", "x"}
	if key() == changed {
		t.Error("the flags changed, the key did not")
	}
}

func TestOnlyOneProcessBuilds(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(t.Context(), dir, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var said bytes.Buffer
	if _, err := Lock(ctx, dir, &said); !errors.Is(err, context.DeadlineExceeded) || said.Len() == 0 {
		t.Errorf("a second builder got %v and was told %q", err, said.String())
	}
	unlock()
	again, err := Lock(t.Context(), dir, &said)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(root, "bin", "x")
	j := job{family{name: "x", dir: "."}, program{"x", "./nowhere", time.Second}, target}
	if err := j.build(t.Context(), root, 1, 1, &bytes.Buffer{}); err == nil {
		t.Fatal("a package that is not there was built")
	}
	left, err := filepath.Glob(filepath.Join(root, "bin", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
