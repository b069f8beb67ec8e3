package relay

import (
	"fmt"
	"slices"

	"github.com/google/nftables"

	"fairlead.dev/fairlead/internal/nft"
)

// tableName is of the one table that all is in.
const tableName = "fairlead_relay"

func table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyNetdev, Name: tableName}
}

// intact tells whether the kernel still has our base chains. They go with their
// interface, and with everything else when somebody flushes the ruleset.
func intact(all []ingress) bool {
	if len(all) == 0 {
		return true
	}
	c, err := nft.Connect()
	if err != nil {
		return false
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return false
	}
	have := make(map[string]bool)
	for _, ch := range chains {
		have[ch.Name] = have[ch.Name] || ch.Table.Name == tableName
	}
	for _, in := range all {
		for _, hook := range in.Hooks {
			if !have[in.chain(hook)] {
				return false
			}
		}
	}
	return true
}

// beganSet is the set of the connections that began here.
func beganSet(t *nftables.Table, f family) *nftables.Set {
	return &nftables.Set{
		Table: t, Name: f.began(), Dynamic: true, HasTimeout: true, Timeout: memory, Size: capacity, Concatenation: true,
		KeyType: nftables.MustConcatSetType(f.Type, nftables.TypeInetService, f.Type, nftables.TypeInetService),
	}
}

// makeTable makes the table anew, with the sets that remember.
func makeTable() error {
	c, err := nft.Connect()
	if err != nil {
		return err
	}
	t := table()
	nft.Renew(c, t)
	for _, f := range families {
		if err := c.AddSet(beganSet(t, f), nil); err != nil {
			return err
		}
	}
	return c.Flush()
}

// remember adds connections to those that began here.
func remember(f family, known []connection) error {
	known = known[:min(len(known), capacity/2)] // the rest is for new ones
	for part := range slices.Chunk(known, nft.Chunk) {
		c, err := nft.Connect()
		if err != nil {
			return err
		}
		elements := make([]nftables.SetElement, len(part))
		for i, k := range part {
			elements[i].Key = k.key()
		}
		if err := c.SetAddElements(beganSet(table(), f), elements); err != nil {
			return err
		}
		if err := c.Flush(); err != nil {
			return fmt.Errorf("add to the set %s: %w", f.began(), err)
		}
	}
	return nil
}

// replace changes the rules from old to next in one transaction. Base chains that stay
// are kept, so that no packet passes unseen.
func replace(old, next ruleset) error {
	c, err := nft.Connect()
	if err != nil {
		return err
	}
	t := table()
	for _, ch := range slices.Backward(old.Chains) {
		c.FlushChain(&nftables.Chain{Table: t, Name: ch.Name})
	}
	for _, ch := range old.Chains {
		stays := ch.Device != "" && slices.ContainsFunc(next.Chains, func(n chain) bool { return n.Name == ch.Name })
		if !stays {
			c.DelChain(&nftables.Chain{Table: t, Name: ch.Name})
		}
	}
	for _, s := range old.Sets {
		c.DelSet(&nftables.Set{Table: t, Name: s.Name})
	}
	for _, s := range next.Sets {
		if err := s.addTo(c, t); err != nil {
			return err
		}
	}
	for _, ch := range next.Chains {
		ch.addTo(c, t)
	}
	return c.Flush()
}

func (s set) addTo(c *nftables.Conn, t *nftables.Table) error {
	out := &nftables.Set{Table: t, Name: s.Name, KeyType: s.Key, IsMap: s.Map}
	if s.Map {
		out.DataType = nftables.TypeEtherAddr
	}
	if err := c.AddSet(out, nil); err != nil {
		return err
	}
	for part := range slices.Chunk(s.Elements, nft.Chunk) {
		if err := c.SetAddElements(out, part); err != nil {
			return err
		}
	}
	return nil
}

func (ch chain) addTo(c *nftables.Conn, t *nftables.Table) {
	out := &nftables.Chain{Table: t, Name: ch.Name}
	if ch.Device != "" {
		accept := nftables.ChainPolicyAccept
		out.Type, out.Policy, out.Device = nftables.ChainTypeFilter, &accept, ch.Device
		out.Hooknum, out.Priority = nftables.ChainHookIngress, nftables.ChainPriorityRef(priority)
	}
	c.AddChain(out)
	for _, rule := range ch.Rules {
		c.AddRule(&nftables.Rule{Table: t, Chain: out, Exprs: rule})
	}
}
