package lab

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTopologyGivesEveryMachineItsOwnAddresses(t *testing.T) {
	owner := map[netip.Addr]string{apiIP4: fabricName, apiIP6: fabricName}
	pools := []netip.Prefix{netip.MustParsePrefix("172.31.0.200/29"), netip.MustParsePrefix("fd31::1:0/112")}
	for name, w := range topology(maxNodes) {
		for _, c := range w.cables {
			for _, a := range c.addrs {
				if other, taken := owner[a.Addr()]; taken {
					t.Errorf("%s belongs to %s and to %s", a, other, name)
				}
				owner[a.Addr()] = name
				for _, pool := range pools {
					if pool.Contains(a.Addr()) {
						t.Errorf("%s of %s is in the load balancers' range %s", a, name, pool)
					}
				}
			}
			if len(c.port) > 15 {
				t.Errorf("port name %s is too long for Linux", c.port)
			}
		}
	}
}

func TestRemoteReachesNodesOnlyThroughTheRouter(t *testing.T) {
	w := topology(3)[remoteName]
	for _, c := range w.cables {
		if c.bridge != farBridge {
			t.Errorf("remote is on %s", c.bridge)
		}
	}
	for _, r := range w.routes {
		if r.via != routerFarIP4 && r.via != routerFarIP6 {
			t.Errorf("remote goes to %s via %s", r.to, r.via)
		}
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct {
		o    Options
		says string
	}{
		{Options{Name: "a/b"}, "lab name"},
		{Options{Nodes: 90}, "1 to 89"},
		{Options{Nodes: -1}, "1 to 89"},
		{Options{Family: "ipv6"}, "family"},
	} {
		if _, err := c.o.complete(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want something about %q", c.o, err, c.says)
		}
	}
}

func TestFaultRules(t *testing.T) {
	got := faultRules(map[string]portFaults{
		"n2":     {In: 0.25, Out: 1},
		"n1":     {NoAPI: true},
		"n3":     {},
		"n4":     {Cut: []string{"n1", "fabric"}},
		"fabric": {Cut: []string{"n4"}},
	})
	want := `table bridge faults
delete table bridge faults
table bridge faults {
	chain out {
		type filter hook prerouting priority -300
		iifname "n1" ip daddr 172.31.0.1 drop
		iifname "n1" ip6 daddr fd31::1 drop
		iifname "n2" drop
	}
	chain in {
		type filter hook postrouting priority 300
		oifname "n1" ip saddr 172.31.0.1 drop
		oifname "n1" ip6 saddr fd31::1 drop
		oifname "n2" numgen random mod 10000 < 2500 drop
	}
	chain between {
		type filter hook forward priority 0
		iifname "n4" oifname "n1" drop
	}
	chain to-fabric {
		type filter hook input priority 0
		iifname "n4" drop
	}
	chain from-fabric {
		type filter hook output priority 0
		oifname "n4" drop
	}
}
`
	if got != want {
		t.Errorf("rules:\n%s\nwant:\n%s", got, want)
	}
}

func TestPartitionCutsEveryPairOfDifferentGroupsBothWaysAndNoOther(t *testing.T) {
	faults := map[string]portFaults{"n1": {In: 0.5, Cut: []string{"n2"}}, "n9": {Cut: []string{"n1"}}}
	replaceCuts(faults, cutsBetween([][]string{{"n1", "n2"}, {"n3"}, {"fabric"}}))
	want := map[string]portFaults{
		"n1":     {In: 0.5, Cut: []string{"n3", "fabric"}},
		"n2":     {Cut: []string{"n3", "fabric"}},
		"n3":     {Cut: []string{"n1", "n2", "fabric"}},
		"fabric": {Cut: []string{"n1", "n2", "n3"}},
		"n9":     {},
	}
	if diff := cmp.Diff(want, faults, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestPartitionRefusesWhatCannotBe(t *testing.T) {
	l := &Lab{options: Options{Name: "none"}, wiring: topology(2)}
	for _, c := range []struct {
		groups [][]*Host
		says   string
	}{
		{[][]*Host{{l.Node(1)}, {l.Node(2), l.Node(1)}}, "n1 is in two groups"},
		{[][]*Host{{l.Remote()}, {l.Node(2)}}, "remote is not on the nodes' segment"},
		{[][]*Host{{l.Host("n7")}}, "n7"},
	} {
		if err := l.Partition(t.Context(), c.groups...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want something about %q", err, c.says)
		}
	}
}
