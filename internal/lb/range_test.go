package lb

import (
	"math"
	"net/netip"
	"strings"
	"testing"
)

func TestARangeIsReadAsWritten(t *testing.T) {
	for _, c := range []struct{ text, first, last string }{
		{"192.0.2.0/28", "192.0.2.0", "192.0.2.15"},
		{" 192.0.2.0/28\t", "192.0.2.0", "192.0.2.15"},
		{"192.0.2.4/32", "192.0.2.4", "192.0.2.4"},
		{"10.0.0.0/8", "10.0.0.0", "10.255.255.255"},
		{"fd00:1::/120", "fd00:1::", "fd00:1::ff"},
		{"fd00:1::/64", "fd00:1::", "fd00:1::ffff:ffff:ffff:ffff"},
		{"fd00:1::1/128", "fd00:1::1", "fd00:1::1"},
		{"192.0.2.1-192.0.2.9", "192.0.2.1", "192.0.2.9"},
		{"192.0.2.1 - 192.0.2.9", "192.0.2.1", "192.0.2.9"},
		{"  192.0.2.1\t-  192.0.2.9 ", "192.0.2.1", "192.0.2.9"},
		{"9.255.255.255-10.0.0.0", "9.255.255.255", "10.0.0.0"},
		{"192.0.2.1-192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"fd00:1::fe-fd00:1::1:1", "fd00:1::fe", "fd00:1::1:1"},
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"fd00:1::1", "fd00:1::1", "fd00:1::1"},
		{"FD00:0001:0::1", "fd00:1::1", "fd00:1::1"},
		{"169.254.0.1", "169.254.0.1", "169.254.0.1"},
		{"fe80::1", "fe80::1", "fe80::1"},
		{"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1-192.0.2.9", "192.0.2.1", "192.0.2.9"},
	} {
		got, err := ParseRange(c.text)
		want := Range{First: netip.MustParseAddr(c.first), Last: netip.MustParseAddr(c.last)}
		if err != nil || got != want {
			t.Errorf("ParseRange(%q) = %v, %v; want %v", c.text, got, err, want)
		}
	}
}

func TestABadRangeIsRefusedWithWhatToWriteInstead(t *testing.T) {
	const (
		empty = `an entry is empty: write a CIDR ("192.0.2.0/28"), a range ("192.0.2.1-192.0.2.9") or an address`
		cidr  = " is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120"
		addr  = " is not an IP address: write it as 192.0.2.1 or fd00:1::1"
		end   = " lacks an end: write it as 192.0.2.1-192.0.2.9"
		unfit = " cannot be a Service's address: write unicast addresses of your network"
		all   = " is every address there is: write the part of your network that is free for Services"
		mixed = " mixes families: write one range for IPv4 and one for IPv6"
	)
	for text, want := range map[string]string{
		"":    empty,
		" \t": empty,

		"192.0.2.0/33":                `"192.0.2.0/33"` + cidr,
		"192.0.2/24":                  `"192.0.2/24"` + cidr,
		"192.0.2.0 / 28":              `"192.0.2.0 / 28"` + cidr,
		"192.0.2.0/":                  `"192.0.2.0/"` + cidr,
		"192.0.2.0/28-192.0.2.32/28":  `"192.0.2.0/28-192.0.2.32/28"` + cidr,
		"192.0.2.0/255.255.255.240":   `"192.0.2.0/255.255.255.240"` + cidr,
		"fe80::%eth0/64":              `"fe80::%eth0/64"` + cidr,
		"::ffff:192.0.2.0/120":        `"::ffff:192.0.2.0/120" is IPv4 written as IPv6: write it as 192.0.2.0/28`,
		"0.0.0.0/0":                   `"0.0.0.0/0"` + all,
		"::/0":                        `"::/0"` + all,
		"10.0.0.1/0":                  `"10.0.0.1/0"` + all,
		"192.0.2.5/28":                `"192.0.2.5/28" has host bits set: write "192.0.2.0/28", or a range that starts at 192.0.2.5`,
		"fd00:1::5/120":               `"fd00:1::5/120" has host bits set: write "fd00:1::/120", or a range that starts at fd00:1::5`,
		"-":                           `"-"` + end,
		"192.0.2.1-":                  `"192.0.2.1-"` + end,
		" - 192.0.2.1":                `"- 192.0.2.1"` + end,
		"192.0.2.1-9":                 `"9"` + addr,
		"192.0.2.1-192.0.2.2-192.0.2": `"192.0.2.2-192.0.2"` + addr,
		"web-server":                  `"web"` + addr,
		"192.0.2.1 - fd00::1":         `"192.0.2.1 - fd00::1"` + mixed,
		"fd00::1-192.0.2.1":           `"fd00::1-192.0.2.1"` + mixed,
		"192.0.2.9-192.0.2.1":         `"192.0.2.9-192.0.2.1" is reversed: write "192.0.2.1-192.0.2.9"`,
		"10.0.1.0 - 9.255.255.255":    `"10.0.1.0 - 9.255.255.255" is reversed: write "9.255.255.255-10.0.1.0"`,
		"fd00::9-fd00::1":             `"fd00::9-fd00::1" is reversed: write "fd00::1-fd00::9"`,
		"192.0.2.256":                 `"192.0.2.256"` + addr,
		"192.0.02.1":                  `"192.0.02.1"` + addr,
		"192.0.2.1, 192.0.2.2":        `"192.0.2.1, 192.0.2.2"` + addr,
		"example.com":                 `"example.com"` + addr,
		"fe80::1%eth0":                `"fe80::1%eth0" names an interface: write "fe80::1"`,
		"fe80::1%eth0-fe80::9":        `"fe80::1%eth0" names an interface: write "fe80::1"`,
		"0.0.0.0":                     `"0.0.0.0"` + unfit,
		"127.0.0.0/8":                 `"127.0.0.0/8"` + unfit,
		"::1":                         `"::1"` + unfit,
		"224.0.0.0/24":                `"224.0.0.0/24"` + unfit,
		"ff02::1-ff02::9":             `"ff02::1"` + unfit,
		"223.255.255.255-224.0.0.9":   `"224.0.0.9"` + unfit,
		"255.255.255.255":             `"255.255.255.255"` + unfit,
		"::ffff:127.0.0.1":            `"::ffff:127.0.0.1"` + unfit,
	} {
		got, err := ParseRange(text)
		if err == nil {
			t.Errorf("ParseRange(%q) = %v, want error %q", text, got, want)
		} else if err.Error() != want {
			t.Errorf("ParseRange(%q):\n got %s\nwant %s", text, err, want)
		}
	}
}

func TestAListOfRangesNamesTheEntryAtFault(t *testing.T) {
	for _, c := range []struct {
		texts []string
		want  string // the error, or the ranges joined
	}{
		{nil, ""},
		{[]string{"192.0.2.0/30", "fd00::/127", "192.0.2.9"}, "192.0.2.0-192.0.2.3 fd00::-fd00::1 192.0.2.9"},
		{[]string{"192.0.2.0/30", "192.0.2.4/30"}, "192.0.2.0-192.0.2.3 192.0.2.4-192.0.2.7"},
		{[]string{"192.0.2.1", "nope"}, `entry 2: "nope" is not an IP address: write it as 192.0.2.1 or fd00:1::1`},
		{[]string{"192.0.2.1", "192.0.2.9", " 192.0.2.1 "}, `entries 1 and 3, "192.0.2.1" and "192.0.2.1", overlap: write each address once`},
		{[]string{"10.0.0.1", " 192.0.2.0/28", "192.0.2.15 - 192.0.2.20"}, `entries 2 and 3, "192.0.2.0/28" and "192.0.2.15 - 192.0.2.20", overlap: write each address once`},
		{[]string{"fd00::5", "fd00::/64"}, `entries 1 and 2, "fd00::5" and "fd00::/64", overlap: write each address once`},
		{[]string{"192.0.2.1", "::ffff:192.0.2.1"}, `entries 1 and 2, "192.0.2.1" and "::ffff:192.0.2.1", overlap: write each address once`},
	} {
		ranges, err := ParseRanges(c.texts)
		texts := make([]string, len(ranges))
		for i, r := range ranges {
			texts[i] = r.String()
		}
		got := strings.Join(texts, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want || err != nil && ranges != nil {
			t.Errorf("ParseRanges(%q):\n got %s (%v)\nwant %s", c.texts, got, ranges, c.want)
		}
	}
}

func TestSizeIsExactUpToItsLimit(t *testing.T) {
	for text, want := range map[string]int64{
		"192.0.2.1":                              1,
		"192.0.2.255-192.0.3.0":                  2,
		"192.0.2.0/24":                           256,
		"128.0.0.0/2":                            1 << 30,
		"fd00::ff-fd00::1:0":                     65536 - 255 + 1,
		"fd00::/66":                              1 << 62,
		"fd00::-fd00::4000:0:0:0":                1<<62 + 1,
		"fd00::-fd00::7fff:ffff:ffff:fffd":       math.MaxInt64 - 1,
		"fd00::-fd00::7fff:ffff:ffff:fffe":       math.MaxInt64,
		"fd00::/65":                              math.MaxInt64, // one more than fits
		"fd00::/64":                              math.MaxInt64,
		"fd00::/8":                               math.MaxInt64,
		"fd00::ffff:ffff:ffff:ffff-fd00:0:0:1::": 2,
	} {
		r, err := ParseRange(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Size(); got != want {
			t.Errorf("Size of %s is %d, want %d", text, got, want)
		}
	}
}

func TestContainsCountsBothEndsAndOneFamily(t *testing.T) {
	ranges, err := ParseRanges([]string{"192.0.2.1-192.0.2.9", "fd00::1-fd00::9"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"192.0.2.0": false, "192.0.2.1": true, "192.0.2.5": true, "192.0.2.9": true, "192.0.2.10": false,
		"fd00::": false, "fd00::1": true, "fd00::9": true, "fd00::a": false, "::ffff:192.0.2.5": false, "::": false, "255.255.255.255": false,
	} {
		if got := Contains(ranges, netip.MustParseAddr(text)); got != want {
			t.Errorf("Contains(%v, %s) = %v, want %v", ranges, text, got, want)
		}
	}
	if Contains(nil, netip.MustParseAddr("192.0.2.1")) {
		t.Error("no range contains 192.0.2.1")
	}
}

func TestOverlapsIsSymmetricAndOfOneFamily(t *testing.T) {
	for _, c := range []struct {
		x, y string
		want bool
	}{
		{"192.0.2.1-192.0.2.5", "192.0.2.5-192.0.2.9", true},
		{"192.0.2.1-192.0.2.4", "192.0.2.5-192.0.2.9", false},
		{"192.0.2.0/24", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.7", true},
		{"fd00::/64", "fd00::1-fd00::2", true},
		{"fd00::/64", "fd00:0:0:1::/64", false},
		{"192.0.2.1", "::c000:201", false}, // the same number in the other family
	} {
		x, errX := ParseRange(c.x)
		y, errY := ParseRange(c.y)
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		if x.Overlaps(y) != c.want || y.Overlaps(x) != c.want {
			t.Errorf("%s and %s: overlap %v and %v, want %v", x, y, x.Overlaps(y), y.Overlaps(x), c.want)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"", "192.0.2.0/28", "192.0.2.1 - 192.0.2.9", "fd00::1-fd00::9", "fe80::1%e-0", "::ffff:1.2.3.4/120",
		"0/0", "-/", "::/1", "10.0.0.0/8", "fd00::/64", "255.255.255.255-0.0.0.0", "1.2.3.4-::ffff:1.2.3.9", "::-::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRange(text)
		if err != nil {
			if err.Error() == "" || r != (Range{}) {
				t.Fatalf("ParseRange(%q) = %v, %q", text, r, err)
			}
			return
		}
		again, err := ParseRange(r.String())
		if err != nil || again != r {
			t.Fatalf("ParseRange(%q) = %v, which reads back as %v, %v", text, r, again, err)
		}
		if !r.Contains(r.First) || !r.Contains(r.Last) || !r.Overlaps(r) {
			t.Fatalf("ParseRange(%q) = %v, which lacks an end of its own", text, r)
		}
		if r.First.Is4() != r.Last.Is4() || r.First.Is4In6() || r.First.Zone() != "" || r.Last.Zone() != "" || r.Last.Less(r.First) || r.Size() < 1 {
			t.Fatalf("ParseRange(%q) = %v of size %d", text, r, r.Size())
		}
	})
}
