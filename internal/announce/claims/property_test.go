package claims

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

// model remembers, beside the table, what the table may do.
type model struct {
	*rapid.T
	table  *Table
	timing Timing
	now    time.Time
	wanted map[netip.Addr]*permission
	up     map[int]Interface
}

// permission tells whether an address may be used.
type permission struct {
	granted   bool // it was wanted as not fresh, or was found free
	probes    int  // on the wire since a foreign host was heard last
	lastProbe time.Time
	handing   bool // to a peer
}

// addresses are few, so that things happen to the same ones; two v6 share a group.
var addresses = []netip.Addr{
	vip4, other4, netip.MustParseAddr("192.0.2.12"), vip6, netip.MustParseAddr("2001:db8:1::10"), netip.MustParseAddr("fd00::7"),
}

func (m *model) mayUse(a netip.Addr) bool {
	p := m.wanted[a]
	if p == nil {
		return false
	}
	if p.probes >= m.timing.Probes && m.now.Sub(p.lastProbe) >= m.timing.ProbeWait {
		p.granted = true
	}
	return p.granted
}

func (m *model) want(t *rapid.T) {
	chosen := map[netip.Addr]*permission{}
	var list []lb.Announcement
	for _, a := range rapid.SliceOfDistinct(rapid.SampledFrom(addresses), rapid.ID).Draw(t, "wanted") {
		p := m.wanted[a]
		if p == nil {
			p = &permission{}
		}
		fresh := rapid.Bool().Draw(t, "fresh")
		if !fresh && len(m.up) > 0 {
			p.granted = true
		}
		p.handing = rapid.Bool().Draw(t, "handing over")
		chosen[a] = p
		list = append(list, lb.Announcement{Address: a, Fresh: fresh, HandingOver: p.handing})
	}
	m.wanted = chosen
	m.table.Want(m.now, list, []ether.MAC{peer})
}

func (m *model) links(t *rapid.T) {
	m.up = map[int]Interface{}
	var list []Interface
	for _, i := range rapid.SliceOfDistinct(rapid.SampledFrom([]Interface{eth0, eth1}), func(i Interface) int { return i.Index }).Draw(t, "up") {
		i.Epoch = rapid.Uint64Range(0, 1).Draw(t, "epoch")
		m.up[i.Index] = i
		list = append(list, i)
	}
	m.table.SetInterfaces(m.now, list, nil)
	for _, c := range m.table.claims {
		if !c.fresh && len(m.up) > 0 {
			m.wanted[c.address].granted = true
		}
	}
}

func (m *model) hear(t *rapid.T) {
	a := rapid.SampledFrom(addresses).Draw(t, "about")
	index := rapid.SampledFrom([]int{eth0.Index, eth1.Index}).Draw(t, "on")
	mac := rapid.SampledFrom([]ether.MAC{foreign, peer, us}).Draw(t, "from")
	probe := rapid.Bool().Draw(t, "probe")
	switch {
	case a.Is4() && probe:
		m.table.HearARP(m.now, index, arp.Probe(mac, a))
	case a.Is4():
		m.table.HearARP(m.now, index, arp.Announcement(mac, a))
	case probe:
		m.table.HearNDP(m.now, index, ndp.Probe(mac, a))
	default:
		m.table.HearNDP(m.now, index, ndp.Announcement(mac, a))
	}
	_, there := m.up[index]
	if p := m.wanted[a]; p != nil && there && mac == foreign && !m.mayUse(a) {
		p.probes = 0
	}
}

// pass lets time go by to the next deadline, before it or beyond it.
func (m *model) pass(t *rapid.T) {
	d := time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond
	if next, ok := m.table.Next(); ok && next.After(m.now) && rapid.Bool().Draw(t, "to the deadline") {
		d = next.Sub(m.now)
	}
	m.now = m.now.Add(d)
	for _, send := range m.table.Due(m.now, nil) {
		i, up := m.up[send.Index]
		switch {
		case !up:
			t.Fatalf("%v on an interface that is gone", send)
		case m.wanted[send.Address] == nil:
			t.Fatalf("%v is about an address that is not wanted", send)
		case send.Say == Probe:
			p := m.wanted[send.Address]
			p.probes++
			p.lastProbe = m.now
		case !m.mayUse(send.Address):
			t.Fatalf("%v on %s before the probes passed in silence", send, i.Name)
		case m.wanted[send.Address].handing:
			t.Fatalf("%v on %s while it is handed over", send, i.Name)
		}
	}
}

// silence is a time in which the node must not be heard. Addresses that were not found
// free before it are asked for anew.
func (m *model) silence(t *rapid.T) {
	for _, a := range addresses {
		if p := m.wanted[a]; p != nil && !m.mayUse(a) {
			p.probes = 0
		}
	}
	if rapid.Bool().Draw(t, "a question is not answered") {
		a := rapid.SampledFrom(addresses).Draw(t, "asked for")
		m.table.Unsaid(m.now, Send{Index: eth0.Index, Address: a, Say: Announce})
	}
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "silent ms")) * time.Millisecond)
	m.table.Resume(m.now)
}

func (m *model) check(t *rapid.T) {
	if next, ok := m.table.Next(); ok && next.Before(m.now.Add(-time.Hour)) {
		t.Fatalf("deadline %s lies in the past", next)
	}
	for _, a := range addresses {
		for _, index := range []int{eth0.Index, eth1.Index} {
			var drop ether.Drop
			if a.Is4() {
				_, drop = m.table.HearARP(m.now, index, ask4(a, client))
			} else {
				_, drop = m.table.HearNDP(m.now, index, ask6(a, client))
			}
			_, up := m.up[index]
			if drop == "" && (!up || !m.mayUse(a)) {
				t.Fatalf("%s is answered on %d (up %v)", a, index, up)
			}
		}
	}
	for _, c := range m.table.Claims() {
		if m.wanted[c.Address] == nil {
			t.Fatalf("claim %v is not wanted", c)
		}
		if (c.State == lb.NoInterface) != (len(m.up) == 0) {
			t.Fatalf("claim %v with %d interfaces", c, len(m.up))
		}
	}
	if got, want := len(m.table.Claims()), len(m.wanted); got != want {
		t.Fatalf("%d claims of %d wanted", got, want)
	}
}

func TestOnlyWantedAndFreeAddressesAreUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			T: t, table: New(Timing{}, epoch), timing: Timing{}.withDefaults(), now: epoch,
			wanted: map[netip.Addr]*permission{}, up: map[int]Interface{},
		}
		t.Repeat(map[string]func(*rapid.T){
			"want": m.want, "links": m.links, "hear": m.hear, "pass": m.pass, "pass again": m.pass, "silence": m.silence, "": m.check,
		})
	})
}

// A caller that sleeps until the deadline and then acts always gets a later one.
func TestDeadlinesOnlyGoForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := New(Timing{}, epoch)
		table.SetInterfaces(epoch, []Interface{eth0, eth1}, nil)
		var list []lb.Announcement
		for _, a := range many(rapid.IntRange(1, 120).Draw(t, "addresses"), false) {
			a.Fresh = rapid.Bool().Draw(t, "fresh")
			a.HandingOver = rapid.Bool().Draw(t, "handing over")
			list = append(list, a)
		}
		table.Want(epoch, list, nil)
		now := epoch
		for range 300 {
			next, ok := table.Next()
			if !ok {
				t.Fatal("a held address is never announced again")
			}
			if next.Before(now) {
				t.Fatalf("deadline %s, but it is %s", next, now)
			}
			// The caller is late now and then.
			now = next.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "late ms")) * time.Millisecond)
			table.Due(now, nil)
			if after, _ := table.Next(); !after.After(now) {
				t.Fatalf("after Due at %s the deadline is %s", now, after)
			}
			if rapid.IntRange(0, 20).Draw(t, "foreign") == 0 {
				a := rapid.SampledFrom(list).Draw(t, "address").Address
				table.HearARP(now, eth0.Index, arp.Announcement(foreign, a))
			}
		}
	})
}
