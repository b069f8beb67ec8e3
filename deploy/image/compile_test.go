package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// program writes a module with Fairlead's path that is far smaller: it prints its
// version.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                      "module fairlead.dev/fairlead\n\ngo 1.26\n",
		"internal/version/version.go": "package version\n\nvar Version = \"unset\"\n",
		"cmd/fairlead/main.go":        "package main\n\nimport \"fairlead.dev/fairlead/internal/version\"\n\nfunc main() { println(version.Version) }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func compiled(t *testing.T, dir, arch string) []byte {
	t.Helper()
	t.Setenv("GOFLAGS", "")
	binary, err := compile(t.Context(), dir, "./cmd/fairlead", "v1.2.3", arch)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func TestTheSameSourceGivesTheSameBinaryWhereverItLies(t *testing.T) {
	if !bytes.Equal(compiled(t, program(t), runtime.GOARCH), compiled(t, program(t), runtime.GOARCH)) {
		t.Error("two folders with the same source give different binaries")
	}
}

func TestTheBinaryIsStaticAndNamesNoPath(t *testing.T) {
	dir := program(t)
	binary := compiled(t, dir, runtime.GOARCH)
	parsed, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parsed.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("it needs a dynamic linker: %v", part.Type)
		}
	}
	if bytes.Contains(binary, []byte(dir)) {
		t.Errorf("it names the folder %s", dir)
	}
	if _, err := buildinfo.Read(bytes.NewReader(binary)); err != nil {
		t.Errorf("it does not tell its modules: %v", err)
	}
}

func TestTheBinaryKnowsItsVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fairlead")
	if err := os.WriteFile(path, compiled(t, program(t), runtime.GOARCH), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != "v1.2.3" {
		t.Errorf("it says %q", got)
	}
}

func TestAnErrorSaysWhatTheCompilerSaid(t *testing.T) {
	t.Setenv("GOFLAGS", "")
	_, err := compile(t.Context(), program(t), "./cmd/nothing", "v1.2.3", runtime.GOARCH)
	if err == nil || !strings.Contains(err.Error(), "compile ./cmd/nothing") || !strings.Contains(err.Error(), "directory not found") {
		t.Errorf("got %v", err)
	}
}
