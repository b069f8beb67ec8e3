// Package netns runs a piece of Go code inside another network namespace.
//
// A namespace is named by its path, usually /proc/<pid>/ns/net. Only the
// network is switched; files, processes and the host name stay the caller's.
package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs fn on a thread that is inside the network namespace at path.
// Sockets that fn opens stay there for good; goroutines that fn starts do not
// follow it.
func Do(path string, fn func() error) error {
	target, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer target.Close()

	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("remember own network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	result := fn()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so the runtime ends it with this goroutine
		// and no other code ever finds itself in the wrong network.
		return fmt.Errorf("return from network namespace %s: %w", path, err)
	}
	runtime.UnlockOSThread()
	return result
}

// Dial connects from inside the network namespace at path. addr must be a
// numeric address: name resolution would leave the namespace.
func Dial(ctx context.Context, path, network, addr string) (conn net.Conn, err error) {
	var dialer net.Dialer
	err = Do(path, func() error {
		conn, err = dialer.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}
