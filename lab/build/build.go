package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Programs are the directories with built programs, by family.
type Programs map[string]string

// Path is where a program of a family is.
func (p Programs) Path(family, name string) string { return filepath.Join(p[family], name) }

// CacheDir is where built programs and images are kept between labs.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return filepath.Join(dir, "fairlead-lab"), nil
}

// All returns every program, after building what the cache lacks. Only one
// process builds at a time; the others wait and find its result.
func All(ctx context.Context, progress io.Writer) (Programs, error) {
	return Some(ctx, progress, InsideFamily, ImagesFamily, KubernetesFamily, ContainerdFamily, RuncFamily, CNIFamily)
}

// Some is All for the named families.
func Some(ctx context.Context, progress io.Writer, names ...string) (Programs, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	root, err := Root(ctx)
	if err != nil {
		return nil, err
	}
	programs, missing, err := survey(ctx, cache, root, names)
	if err != nil || len(missing)+len(missingPackages()) == 0 {
		return programs, err
	}
	unlock, err := Lock(ctx, cache, progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := InstallPackages(ctx, progress); err != nil {
		return nil, err
	}
	// What was missing may be there by now: somebody else had the lock.
	programs, missing, err = survey(ctx, cache, root, names)
	if err != nil {
		return nil, err
	}
	for i, m := range missing {
		if err := m.build(ctx, root, i+1, len(missing), progress); err != nil {
			return nil, err
		}
	}
	return programs, nil
}

type job struct {
	family  family
	program program
	target  string
}

func survey(ctx context.Context, cache, root string, names []string) (Programs, []job, error) {
	goVersion, err := output(ctx, root, "go", "env", "GOVERSION")
	if err != nil {
		return nil, nil, err
	}
	programs := Programs{}
	var missing []job
	for _, f := range families {
		if !slices.Contains(names, f.name) {
			continue
		}
		key, err := f.key(root, goVersion)
		if err != nil {
			return nil, nil, err
		}
		dir := filepath.Join(cache, f.name+"-"+key, "bin")
		programs[f.name] = dir
		for _, p := range f.programs {
			target := filepath.Join(dir, p.name)
			if _, err := os.Stat(target); err != nil {
				missing = append(missing, job{f, p, target})
			}
		}
	}
	return programs, missing, nil
}

// key changes with everything that could change the programs.
func (f family) key(root, goVersion string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, goVersion, runtime.GOARCH, f.env, f.args)
	paths := []string{filepath.Join(root, f.dir, "go.mod"), filepath.Join(root, f.dir, "go.sum")}
	for _, dir := range f.sources {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			return "", fmt.Errorf("key of %s: %w", f.name, err)
		}
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("key of %s: %w", f.name, err)
		}
		fmt.Fprintln(h, strings.TrimPrefix(path, root), len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// build compiles one program. It appears under its name only when complete.
func (j job) build(ctx context.Context, root string, i, n int, progress io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(j.target), 0o755); err != nil {
		return err
	}
	partial := j.target + ".partial"
	defer os.Remove(partial)
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", partial}, j.family.args...)
	cmd := exec.CommandContext(ctx, "go", append(args, j.program.pkg)...)
	cmd.Dir = filepath.Join(root, j.family.dir)
	cmd.Env = append(os.Environ(), append(j.family.env, "GOFLAGS=", "GOWORK=off")...)
	cmd.SysProcAttr = background()
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) } // the compilers too
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log

	what := fmt.Sprintf("building %s (%d of %d)", j.program.name, i, n)
	took, err := narrate(progress, what, j.program.usual, cmd.Run)
	if err != nil {
		return fmt.Errorf("build %s after %s: %w\n%s", j.program.name, took, err, log.String())
	}
	return os.Rename(partial, j.target)
}

// narrate says what is being done, every quarter of a minute that it is still
// being done, and how long it took.
func narrate(w io.Writer, what string, usual time.Duration, do func() error) (time.Duration, error) {
	start := time.Now()
	fmt.Fprintf(w, "%s, usually up to %s…\n", what, usual)
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			took := time.Since(start).Round(time.Second)
			if err == nil {
				fmt.Fprintf(w, "%s: done in %s\n", what, took)
			}
			return took, err
		case <-tick.C:
			fmt.Fprintf(w, "%s: %s so far\n", what, time.Since(start).Round(time.Second))
		}
	}
}

// Root is the directory of this repository. The lab is built from its own
// source tree, so it must be run from inside it.
func Root(ctx context.Context) (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		root := filepath.Join(filepath.Dir(file), "..", "..")
		if _, err := os.Stat(filepath.Join(root, "lab", "programs")); err == nil {
			return root, nil
		}
	}
	dir, err := output(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}", "fairlead.dev/fairlead")
	if err != nil {
		return "", fmt.Errorf("find the source of the lab (run it inside the repository): %w", err)
	}
	return dir, nil
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}
