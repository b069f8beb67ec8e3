package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// versionVariable is what the linker sets: see internal/version.
const versionVariable = "fairlead.dev/fairlead/internal/version.Version"

// compile builds a main package of the module in dir into a static binary for Linux.
//
// Every setting is for reproducibility or for running without a C library: paths and
// the state of the checkout stay out, and the levels of the CPU are fixed to the
// lowest, since otherwise the machine's environment would choose them.
func compile(ctx context.Context, dir, pkg, version, arch string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "fairlead-image-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to compile into: %w", err)
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "fairlead")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid= -X "+versionVariable+"="+version, "-o", binary, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile %s: %w\n%s", pkg, err, out)
	}
	return os.ReadFile(binary)
}
