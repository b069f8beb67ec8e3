package lb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strings"
)

// Range is an unbroken run of addresses of one family, both ends included.
type Range struct {
	First, Last netip.Addr
}

// ParseRange reads "192.0.2.0/28", "192.0.2.1-192.0.2.9", with or without blanks
// around the dash, or a single address. Its error ends with what to write instead.
func ParseRange(text string) (Range, error) {
	s := strings.TrimSpace(text)
	switch {
	case s == "":
		return Range{}, errors.New(`an entry is empty: write a CIDR ("192.0.2.0/28"), a range ("192.0.2.1-192.0.2.9") or an address`)
	case strings.Contains(s, "/"):
		return parseCIDR(s)
	case strings.Contains(s, "-"):
		return parseDash(s)
	}
	a, err := parseAddr(s)
	if err != nil {
		return Range{}, err
	}
	return Range{First: a, Last: a}, nil
}

// ParseRanges reads a list of ranges that must not overlap each other.
func ParseRanges(texts []string) ([]Range, error) {
	out := make([]Range, 0, len(texts))
	for i, text := range texts {
		r, err := ParseRange(text)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		for j, other := range out {
			if r.Overlaps(other) {
				return nil, fmt.Errorf("entries %d and %d, %q and %q, overlap: write each address once",
					j+1, i+1, strings.TrimSpace(texts[j]), strings.TrimSpace(text))
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func parseCIDR(s string) (Range, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return Range{}, fmt.Errorf("%q is not a CIDR: write it as 192.0.2.0/28 or fd00:1::/120", s)
	}
	if p.Addr().Is4In6() {
		return Range{}, fmt.Errorf("%q is IPv4 written as IPv6: write it as 192.0.2.0/28", s)
	}
	if p.Bits() == 0 {
		return Range{}, fmt.Errorf("%q is every address there is: write the part of your network that is free for Services", s)
	}
	if p.Masked() != p {
		return Range{}, fmt.Errorf("%q has host bits set: write %q, or a range that starts at %s", s, p.Masked(), p.Addr())
	}
	if why := unfit(p.Addr()); why != "" {
		return Range{}, fmt.Errorf("%q %s", s, why)
	}
	return Range{First: p.Addr(), Last: lastOf(p)}, nil
}

func parseDash(s string) (Range, error) {
	from, to, _ := strings.Cut(s, "-")
	if strings.TrimSpace(from) == "" || strings.TrimSpace(to) == "" {
		return Range{}, fmt.Errorf("%q lacks an end: write it as 192.0.2.1-192.0.2.9", s)
	}
	first, err := parseAddr(strings.TrimSpace(from))
	if err != nil {
		return Range{}, err
	}
	last, err := parseAddr(strings.TrimSpace(to))
	if err != nil {
		return Range{}, err
	}
	if first.Is4() != last.Is4() {
		return Range{}, fmt.Errorf("%q mixes families: write one range for IPv4 and one for IPv6", s)
	}
	if last.Less(first) {
		return Range{}, fmt.Errorf("%q is reversed: write %q", s, last.String()+"-"+first.String())
	}
	return Range{First: first, Last: last}, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address: write it as 192.0.2.1 or fd00:1::1", s)
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q names an interface: write %q", s, a.WithZone("").String())
	}
	a = a.Unmap()
	if why := unfit(a); why != "" {
		return netip.Addr{}, fmt.Errorf("%q %s", s, why)
	}
	return a, nil
}

// unfit says why no Service can have the address, empty if one can.
func unfit(a netip.Addr) string {
	if a.IsGlobalUnicast() || a.IsLinkLocalUnicast() {
		return ""
	}
	return "cannot be a Service's address: write unicast addresses of your network"
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	length := p.Bits()
	if p.Addr().Is4() {
		length += 96
	}
	for i := length; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(b).Unmap()
}

// String writes a range so that ParseRange reads it back.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// Family is the family of every address in the range.
func (r Range) Family() Family { return FamilyOf(r.First) }

// Contains tells whether a lies in the range.
func (r Range) Contains(a netip.Addr) bool {
	return a.Is4() == r.First.Is4() && !a.Less(r.First) && !r.Last.Less(a)
}

// Overlaps tells whether some address is in both ranges.
func (r Range) Overlaps(o Range) bool {
	return r.First.Is4() == o.First.Is4() && !r.Last.Less(o.First) && !o.Last.Less(r.First)
}

// Size is the number of addresses, math.MaxInt64 where it is more than that.
func (r Range) Size() int64 {
	first, last := r.First.As16(), r.Last.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(last[8:]), binary.BigEndian.Uint64(first[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(last[:8]), binary.BigEndian.Uint64(first[:8]), borrow)
	if high != 0 || low >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low) + 1
}
