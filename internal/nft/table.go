// Package nft is what all parts of the speaker that make nftables rules have in common:
// the connection to the kernel, the end of a table, and the expressions of rules.
package nft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Chunk bounds the elements in one message: an attribute ends at 64 KiB.
const Chunk = 400

// Connect opens a connection for one transaction. The kernel answers every message of
// a batch before the first answer is read; the default buffers hold some 200.
func Connect() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(4<<20), c.SetWriteBuffer(4<<20))
	}))
}

// Renew has a transaction make a table anew, empty.
func Renew(c *nftables.Conn, t *nftables.Table) {
	c.AddTable(t)
	c.DelTable(t) // there is one now, whether or not a killed process left it
	c.AddTable(t)
}

// Remove removes a table with all that is in it, if there is one.
func Remove(t *nftables.Table) error {
	c, err := Connect()
	if err != nil {
		return err
	}
	found, err := c.ListTablesOfFamily(t.Family)
	// Without nf_tables in the kernel there is nothing left of ours either.
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list tables of nftables: %w (without the capability NET_ADMIN?)", err)
	}
	if !slices.ContainsFunc(found, func(f *nftables.Table) bool { return f.Name == t.Name }) {
		return nil
	}
	c.DelTable(t)
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the table %s: %w", t.Name, err)
	}
	return nil
}
