package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/lb"
)

// entries are what may stand in an AddressPool's spec.addresses, with the sentence
// that refuses them; those without one are good.
var entries = []struct{ entry, refusal string }{
	{entry: "192.0.2.0/28"},
	{entry: " 192.0.2.0/28 "},
	{entry: "192.0.2.4/32"},
	{entry: "fd00:1::/120"},
	{entry: "192.0.2.1-192.0.2.9"},
	{entry: "192.0.2.1 - 192.0.2.9"},
	{entry: " 192.0.2.1\t-  192.0.2.9"},
	{entry: "9.255.255.255-10.0.0.0"},
	{entry: "192.0.2.1-192.0.2.1"},
	{entry: "fd00:1::1-fd00:1::ff"},
	{entry: "192.0.2.1"},
	{entry: "fd00:1::1"},
	{entry: "169.254.0.1"},
	{entry: "fe80::1"},

	{"", `an entry is empty: write a CIDR ("192.0.2.0/28"), a range ("192.0.2.1-192.0.2.9") or an address`},
	{"  ", `an entry is empty: write a CIDR ("192.0.2.0/28"), a range ("192.0.2.1-192.0.2.9") or an address`},

	{"fe80::1%eth0", `"fe80::1%eth0" names an interface: write the addresses without the % and what follows it`},
	{"fe80::1%eth0-fe80::2%eth0", `"fe80::1%eth0-fe80::2%eth0" names an interface: write the addresses without the % and what follows it`},
	{"fe80::%eth0/64", `"fe80::%eth0/64" names an interface: write the addresses without the % and what follows it`},

	{"192.0.2.0/33", `"192.0.2.0/33" is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120`},
	{"192.0.2/24", `"192.0.2/24" is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120`},
	{"192.0.2.0/28-192.0.2.32/28", `"192.0.2.0/28-192.0.2.32/28" is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120`},
	{"192.0.2.0/255.255.255.240", `"192.0.2.0/255.255.255.240" is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120`},
	{"::ffff:192.0.2.0/120", `"::ffff:192.0.2.0/120" is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120`},

	{"0.0.0.0/0", `"0.0.0.0/0" is every address there is: write the part of your network that is free for Services`},
	{"::/0", `"::/0" is every address there is: write the part of your network that is free for Services`},
	{"10.0.0.1/0", `"10.0.0.1/0" is every address there is: write the part of your network that is free for Services`},

	{"192.0.2.5/28", `"192.0.2.5/28" has host bits set: write "192.0.2.0/28", or a range that starts at 192.0.2.5`},
	{"fd00:1::5/120", `"fd00:1::5/120" has host bits set: write "fd00:1::/120", or a range that starts at fd00:1::5`},

	{"192.0.2.1-", `"192.0.2.1-" is not a range of addresses: write it as 192.0.2.1-192.0.2.9 or fd00:1::1-fd00:1::9`},
	{"192.0.2.1-9", `"192.0.2.1-9" is not a range of addresses: write it as 192.0.2.1-192.0.2.9 or fd00:1::1-fd00:1::9`},
	{"192.0.2.1-192.0.2.2-192.0.2.3", `"192.0.2.1-192.0.2.2-192.0.2.3" is not a range of addresses: write it as 192.0.2.1-192.0.2.9 or fd00:1::1-fd00:1::9`},
	{"web-server", `"web-server" is not a range of addresses: write it as 192.0.2.1-192.0.2.9 or fd00:1::1-fd00:1::9`},

	{"192.0.2.1-fd00::1", `"192.0.2.1-fd00::1" mixes families: write one range for IPv4 and one for IPv6`},
	{"fd00::1-192.0.2.1", `"fd00::1-192.0.2.1" mixes families: write one range for IPv4 and one for IPv6`},

	{"192.0.2.9-192.0.2.1", `"192.0.2.9-192.0.2.1" is reversed: write "192.0.2.1-192.0.2.9"`},
	{"10.0.1.0 - 9.255.255.255", `"10.0.1.0 - 9.255.255.255" is reversed: write "9.255.255.255-10.0.1.0"`},

	{"192.0.2.256", `"192.0.2.256" is not an IP address: write it as 192.0.2.1 or fd00:1::1, or write a CIDR or a range`},
	{"192.0.02.1", `"192.0.02.1" is not an IP address: write it as 192.0.2.1 or fd00:1::1, or write a CIDR or a range`},
	{"example.com", `"example.com" is not an IP address: write it as 192.0.2.1 or fd00:1::1, or write a CIDR or a range`},
	{"192.0.2.1, 192.0.2.2", `"192.0.2.1, 192.0.2.2" is not an IP address: write it as 192.0.2.1 or fd00:1::1, or write a CIDR or a range`},
	{"::ffff:192.0.2.1", `"::ffff:192.0.2.1" is not an IP address: write it as 192.0.2.1 or fd00:1::1, or write a CIDR or a range`},

	{"0.0.0.0", `"0.0.0.0" cannot be a Service's address: write unicast addresses of your network`},
	{"127.0.0.0/8", `"127.0.0.0/8" cannot be a Service's address: write unicast addresses of your network`},
	{"::1", `"::1" cannot be a Service's address: write unicast addresses of your network`},
	{"224.0.0.0/24", `"224.0.0.0/24" cannot be a Service's address: write unicast addresses of your network`},
	{"ff02::1-ff02::9", `"ff02::1-ff02::9" cannot be a Service's address: write unicast addresses of your network`},
	{"223.255.255.255-224.0.0.9", `"223.255.255.255-224.0.0.9" cannot be a Service's address: write unicast addresses of your network`},
	{"255.255.255.255", `"255.255.255.255" cannot be a Service's address: write unicast addresses of your network`},
}

// onlyTheControllerSees are entries that CEL cannot judge.
var onlyTheControllerSees = []string{"fd00::9-fd00::1"}

func TestAnEntryIsTakenOrRefusedWithOneSentence(t *testing.T) {
	server := serverFor(t, "addresspools")
	for _, c := range entries {
		t.Run(c.entry, func(t *testing.T) {
			var want []string
			if c.refusal != "" {
				want = []string{fmt.Sprintf("spec.addresses[0]: Invalid value: %q: %s", c.entry, c.refusal)}
			}
			if diff := cmp.Diff(want, server.create(poolOf(t, c.entry))); diff != "" {
				t.Errorf("addresses: [%q] (-want +got):\n%s", c.entry, diff)
			}
		})
	}
}

func TestAnEntryThatIsTakenIsUnderstoodByTheController(t *testing.T) {
	server := serverFor(t, "addresspools")
	for _, c := range entries {
		_, err := lb.ParseRange(c.entry)
		if taken := len(server.create(poolOf(t, c.entry))) == 0; taken && err != nil {
			t.Errorf("the API server takes %q, but the controller says: %v", c.entry, err)
		}
	}
	for _, entry := range onlyTheControllerSees {
		if refused := server.create(poolOf(t, entry)); refused != nil {
			t.Errorf("%q is refused by the API server after all, take it out of the list: %q", entry, refused)
		}
		if _, err := lb.ParseRange(entry); err == nil {
			t.Errorf("%q is refused by nobody", entry)
		}
	}
}

func TestEntriesThatAreThereTwiceAreRefused(t *testing.T) {
	server := serverFor(t, "addresspools")
	for _, c := range []struct {
		name    string
		entries []string
		want    []string
	}{
		{"different ones", []string{"192.0.2.1", "192.0.2.2", "fd00::1"}, nil},
		{"the same one", []string{"192.0.2.9", "192.0.2.1", "192.0.2.1"},
			[]string{`spec.addresses: Invalid value: "192.0.2.1" is there twice: take one of the two out`}},
		{"the same one with blanks", []string{"192.0.2.1-192.0.2.3", " 192.0.2.1 - 192.0.2.3"},
			[]string{`spec.addresses: Invalid value: "192.0.2.1-192.0.2.3" is there twice: take one of the two out`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, server.create(poolOf(t, c.entries...))); diff != "" {
				t.Errorf("addresses: %q (-want +got):\n%s", c.entries, diff)
			}
		})
	}
}

func TestALongListIsCheckedWithinTheBudget(t *testing.T) {
	server := serverFor(t, "addresspools")
	var full []string
	for i := range 64 {
		full = append(full, fmt.Sprintf("%52s - %-45s", fmt.Sprintf("fd00:1111:2222:3333:4444:5555:6666:%x00", i+16), fmt.Sprintf("fd00:1111:2222:3333:4444:5555:6666:%xff", i+16)))
	}
	if got := server.create(poolOf(t, full...)); got != nil {
		t.Errorf("64 entries of 100 bytes: %q", got)
	}
	want := []string{"spec.addresses: Too many: 65: must have at most 64 items"}
	if diff := cmp.Diff(want, server.create(poolOf(t, append(slices.Clone(full), "192.0.2.1")...))); diff != "" {
		t.Errorf("65 entries (-want +got):\n%s", diff)
	}
	want = []string{"spec.addresses[0]: Too long: may not be more than 100 bytes"}
	if diff := cmp.Diff(want, server.create(poolOf(t, strings.Repeat("1", 101)))); diff != "" {
		t.Errorf("an entry of 101 bytes (-want +got):\n%s", diff)
	}
}

// poolOf is an AddressPool of these entries.
func poolOf(t *testing.T, entries ...string) map[string]any {
	t.Helper()
	pool := parse(t, poolYAML("{}"))
	list := make([]any, len(entries))
	for i, e := range entries {
		list[i] = e
	}
	pool["spec"] = map[string]any{"addresses": list}
	return pool
}
