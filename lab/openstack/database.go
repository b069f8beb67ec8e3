package openstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/build"
)

// recipe is part of every snapshot's key: raise it when this package fills
// the databases differently. Changed files change the key by themselves.
const recipe = "2"

// makeDatabases makes the databases and migrates them from nothing.
func (r *run) makeDatabases(ctx context.Context) error {
	_, err := r.command(ctx, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+r.path("mysql"),
		"--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve")
	if err != nil {
		return err
	}
	if err := r.startMariaDB(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for service, argv := range map[string][]string{
		"keystone": {"keystone-manage", "--config-file", r.path("conf", "keystone.conf"), "db_sync"},
		"neutron":  {"neutron-db-manage", "--config-file", r.path("conf", "neutron.conf"), "upgrade", "heads"},
		"octavia":  {"octavia-db-manage", "--config-file", r.path("conf", "octavia.conf"), "upgrade", "head"},
	} {
		g.Go(func() error {
			// The migrations of Neutron make keys that are too long in utf8mb4.
			if err := r.sql(ctx, "", "create database "+service+" character set utf8mb3"); err != nil {
				return err
			}
			return r.python(ctx, "migrate-"+service, argv...)
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	r.say("databases migrated")
	return nil
}

// snapshotDir is where filled databases of this kind are kept: those of the
// same packages, files and options.
func (r *run) snapshotDir(ctx context.Context) (string, error) {
	cache, err := build.CacheDir()
	if err != nil {
		return "", err
	}
	versions, err := packageVersions(ctx)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, recipe, versions, r.options.kind()) // fmt prints maps in the order of their keys
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		fmt.Fprintln(h, path, len(data))
		h.Write(data)
		return err
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "openstack-"+hex.EncodeToString(h.Sum(nil))[:12]), nil
}

// kept is what a snapshot holds of a cloud's directory.
var kept = []string{"mysql", "ovn", "keys"}

// restore copies a snapshot, if there is one, into the directory of the cloud.
func (r *run) restore(ctx context.Context, snapshot string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(snapshot, "cloud.json"))
	if errors.Is(err, fs.ErrNotExist) {
		r.say("no snapshot of this kind of cloud yet: migrating and filling databases, usually up to a minute")
		return false, nil
	}
	if err != nil {
		return false, err
	}
	options := r.options
	if err := json.Unmarshal(data, r.cloud); err != nil {
		return false, fmt.Errorf("read snapshot %s: %w (delete it)", snapshot, err)
	}
	r.cloud.Options = options
	for _, name := range kept {
		if err := r.copy(ctx, filepath.Join(snapshot, name), r.options.Dir); err != nil {
			return false, err
		}
	}
	r.say("databases restored from %s", snapshot)
	return true, nil
}

// keep makes a snapshot. It stops MariaDB meanwhile, as files of a running
// server are no backup; the services reconnect.
func (r *run) keep(ctx context.Context, snapshot string) error {
	if err := unix.Kill(r.mariadb.pid, unix.SIGTERM); err != nil {
		return fmt.Errorf("stop MariaDB: %w", err)
	}
	select {
	case <-r.mariadb.gone:
	case <-time.After(time.Minute):
		return errors.New("MariaDB does not stop")
	case <-ctx.Done():
		return ctx.Err()
	}
	partial := fmt.Sprintf("%s.%d", snapshot, os.Getpid())
	defer os.RemoveAll(partial)
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return err
	}
	for _, name := range kept {
		if err := r.copy(ctx, r.path(name), partial); err != nil {
			return err
		}
	}
	data, err := json.Marshal(r.cloud)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(partial, "cloud.json"), data, 0o600); err != nil {
		return err
	}
	// Sockets and logs of OVN would only be in the way.
	for _, pattern := range []string{"*.ctl", "*.log", ".*.lock", ".*.~lock~"} {
		matches, _ := filepath.Glob(filepath.Join(partial, "ovn", pattern))
		for _, path := range matches {
			os.Remove(path)
		}
	}
	if err := os.Rename(partial, snapshot); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	r.say("snapshot kept in %s", snapshot)
	return r.startMariaDB(ctx)
}

// copy copies a directory into another one, sharing blocks and leaving holes
// where the file system can.
func (r *run) copy(ctx context.Context, from, into string) error {
	_, err := r.command(ctx, "cp", "-a", "--reflink=auto", "--sparse=always", from, into)
	return err
}
