package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Lock waits until no other process builds into cache.
func Lock(ctx context.Context, cache string, progress io.Writer) (unlock func(), err error) {
	return LockFile(ctx, filepath.Join(cache, "lock"), "another process is building the lab's programs; waiting for it", progress)
}

// LockFile waits until no other process has the lock of a file, and says once that it
// does. The file and its directory are made where they are not there. A process that ends
// lets go of its locks.
func LockFile(ctx context.Context, file, waiting string, progress io.Writer) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", file, err)
		}
		if !told {
			fmt.Fprintln(progress, waiting)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
