package stray

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"

	"fairlead.dev/fairlead/internal/nft"
)

// Filter drops the strays of this node. Its methods may be called from any goroutine.
type Filter struct {
	mu sync.Mutex
	// known is set while what is in the kernel is what is in has.
	known bool
	has   []netip.Addr // sorted
}

// New returns a Filter that has not touched the kernel yet.
func New() *Filter { return &Filter{} }

// Set makes the kernel drop strays to these addresses and to no others; the first call
// also removes what a killed process left. Saying the same again costs one look at the
// kernel, or nothing without addresses.
//
// Set an address first and announce it then.
func (f *Filter) Set(vips []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := slices.Clone(vips)
	slices.SortFunc(next, netip.Addr.Compare)
	next = slices.Compact(next)
	if err := f.apply(next); err != nil {
		f.known = false
		return fmt.Errorf("drop what nobody translates: %w (it takes the capability NET_ADMIN, and CONFIG_NF_TABLES_INET in the kernel)", err)
	}
	f.known, f.has = true, next
	return nil
}

// Close removes everything of ours from the kernel.
func (f *Filter) Close() error { return f.Set(nil) }

func (f *Filter) apply(next []netip.Addr) error {
	if len(next) == 0 {
		if f.known && len(f.has) == 0 {
			return nil
		}
		return nft.Remove(table())
	}
	if f.known && len(f.has) > 0 && intact() {
		if slices.Equal(f.has, next) || change(missing(next, f.has), missing(f.has, next)) == nil {
			return nil
		}
	}
	return remake(next)
}

// missing are those of all that are not among others; both are sorted.
func missing(all, others []netip.Addr) (out []netip.Addr) {
	for _, a := range all {
		if _, found := slices.BinarySearchFunc(others, a, netip.Addr.Compare); !found {
			out = append(out, a)
		}
	}
	return out
}

// intact tells whether the kernel still has our chain: it goes when somebody flushes
// the ruleset.
func intact() bool {
	c, err := nft.Connect()
	if err != nil {
		return false
	}
	_, err = c.ListChain(table(), chainName)
	return err == nil
}

// change adds and removes addresses in one transaction.
func change(added, removed []netip.Addr) error {
	c, err := nft.Connect()
	if err != nil {
		return err
	}
	for _, f := range families {
		if err := each(f.of(added), f, c.SetAddElements); err != nil {
			return err
		}
		if err := each(f.of(removed), f, c.SetDeleteElements); err != nil {
			return err
		}
	}
	return c.Flush()
}

// each does something to the set of a family, some addresses at a time.
func each(vips []netip.Addr, f family, do func(*nftables.Set, []nftables.SetElement) error) error {
	for part := range slices.Chunk(vips, nft.Chunk) {
		elements := make([]nftables.SetElement, len(part))
		for i, vip := range part {
			elements[i].Key = vip.AsSlice()
		}
		if err := do(f.set(), elements); err != nil {
			return err
		}
	}
	return nil
}

// remake makes the table anew in one transaction, whether or not there was one.
func remake(vips []netip.Addr) error {
	c, err := nft.Connect()
	if err != nil {
		return err
	}
	t := table()
	nft.Renew(c, t)
	if err := c.AddSet(protocols()); err != nil {
		return err
	}
	for _, f := range families {
		if err := c.AddSet(f.set(), nil); err != nil {
			return err
		}
		if err := each(f.of(vips), f, c.SetAddElements); err != nil {
			return err
		}
	}
	accept := nftables.ChainPolicyAccept
	ch := c.AddChain(&nftables.Chain{
		Table: t, Name: chainName, Type: nftables.ChainTypeFilter, Policy: &accept,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityRef(priority),
	})
	for _, f := range families {
		c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: f.rule()})
	}
	return c.Flush()
}
