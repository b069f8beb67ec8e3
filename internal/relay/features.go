package relay

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/nft"
)

// feature is a part of nftables that the rules need, with the kernel option that has
// it. Each is tried in a table of its own that is never used.
type feature struct {
	name string
	try  func(*nftables.Conn, *nftables.Table)
}

var features = []feature{
	{"nftables tables of the family netdev (CONFIG_NF_TABLES_NETDEV)", func(*nftables.Conn, *nftables.Table) {}},
	{"the ingress hook (CONFIG_NETFILTER_INGRESS)", func(c *nftables.Conn, t *nftables.Table) {
		chain{Name: "probe", Device: "lo"}.addTo(c, t)
	}},
	{"sets that packets add to, with timeouts (nf_tables, Linux 4.18 or later)", func(c *nftables.Conn, t *nftables.Table) {
		_ = c.AddSet(beganSet(t, ipv6), nil)
		chain{Name: "probe", Rules: [][]expr.Any{begins(ipv6)}}.addTo(c, t)
	}},
	{"sending to a device (CONFIG_NFT_DUP_NETDEV, module nft_dup_netdev)", func(c *nftables.Conn, t *nftables.Table) {
		lo := expr.Immediate{Register: nft.Reg, Data: []byte{1, 0, 0, 0}}
		chain{Name: "probe", Rules: [][]expr.Any{{&lo, &expr.Dup{RegDev: nft.Reg, IsRegDevSet: true}}}}.addTo(c, t)
	}},
}

// explain finds out which feature is missing when the kernel refuses the rules. Its
// own error is the same for most of them: no such file.
func explain(cause error) error {
	if errors.Is(cause, unix.EPERM) {
		return fmt.Errorf("%w (without the capability NET_ADMIN?)", cause)
	}
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	if missing := firstMissing(nft.Connect); missing != "" {
		return fmt.Errorf("%w: the kernel lacks %s: %w", errors.ErrUnsupported, missing, cause)
	}
	return cause
}

// firstMissing is the first feature that the kernel refuses by itself, or nothing.
func firstMissing(connect func() (*nftables.Conn, error)) string {
	t := &nftables.Table{Family: nftables.TableFamilyNetdev, Name: tableName + "_probe"}
	for _, f := range features {
		c, err := connect()
		if err != nil {
			return f.name
		}
		c.AddTable(t)
		f.try(c, t)
		c.DelTable(t)
		if c.Flush() != nil {
			return f.name
		}
	}
	return ""
}
