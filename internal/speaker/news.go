package speaker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// News is what a speaker tells its neighbours directly: of its Speaker object that
// which decides who owns what. All numbers are in network byte order:
//
//	version, flags, number of interfaces (16 bits), number of claims (32 bits)
//	interface: name (length, octets), MAC (length, octets)
//	claim: address (length, octets), state, cause, since in microseconds (64 bits),
//	       epoch (64 bits), node that it is offered to (length, octets)
const (
	newsVersion = 1
	newsLeaving = 1 << 0

	// The least octets of one: more than the rest has room for is refused before anything
	// is allocated.
	leastInterface = 1 + 1
	leastClaim     = 1 + 2 + 8 + 8 + 1
)

// The order of these lists is what the numbers on the wire mean: only append.
var (
	newsStates = []lb.ClaimState{lb.Probing, lb.Announced, lb.Conflict, lb.NoInterface}
	newsCauses = []lb.Cause{"", lb.First, lb.Resumed, lb.Failure, lb.HandOver, lb.Moved, lb.Mended}
)

// encodeNews writes the news of a speaker.
func encodeNews(s *lb.Speaker) []byte {
	be := binary.BigEndian
	var flags byte
	if s.Leaving {
		flags |= newsLeaving
	}
	b := make([]byte, 0, 8+32*len(s.Interfaces)+32*len(s.Claims))
	b = append(b, newsVersion, flags)
	b = be.AppendUint16(b, uint16(len(s.Interfaces)))
	b = be.AppendUint32(b, uint32(len(s.Claims)))
	for _, i := range s.Interfaces {
		b = appendShort(b, i.Name)
		b = appendShort(b, string(i.MAC))
	}
	for _, c := range s.Claims {
		b = appendShort(b, string(c.Address.AsSlice()))
		b = append(b, numberOf(newsStates, c.State), numberOf(newsCauses, c.Cause))
		b = be.AppendUint64(b, uint64(c.Since.UnixMicro()))
		b = be.AppendUint64(b, c.Epoch)
		b = appendShort(b, c.Offer)
	}
	return b
}

// appendShort appends a text of up to 255 octets: names of interfaces have 15, those of
// nodes 253.
func appendShort(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

func numberOf[T comparable](list []T, v T) byte {
	for i, one := range list {
		if one == v {
			return byte(i)
		}
	}
	return 255
}

// decodeNews reads the news of a node.
func decodeNews(node string, b []byte) (lb.Speaker, error) {
	s := lb.Speaker{Node: node}
	r := reader{rest: b}
	version, flags := r.octet(), r.octet()
	interfaces, claims := int(r.number(2)), int(r.number(4))
	switch {
	case r.short:
		return s, errors.New("news are cut off")
	case version != newsVersion:
		return s, fmt.Errorf("news of version %d; this speaker reads %d", version, newsVersion)
	case interfaces*leastInterface+claims*leastClaim > len(r.rest):
		return s, fmt.Errorf("news of %d interfaces and %d claims in %d octets", interfaces, claims, len(r.rest))
	}
	s.Leaving = flags&newsLeaving != 0
	for range interfaces {
		name, mac := r.text(), r.text()
		s.Interfaces = append(s.Interfaces, lb.Interface{Name: name, MAC: net.HardwareAddr(mac)})
	}
	for range claims {
		address, valid := netip.AddrFromSlice([]byte(r.text()))
		c := lb.Claim{Address: address}
		state, cause := r.octet(), r.octet()
		c.Since = time.UnixMicro(int64(r.number(8)))
		c.Epoch = r.number(8)
		c.Offer = r.text()
		if r.short {
			break
		}
		// A later version may have states that we do not know: what is not announced
		// counts for nothing.
		if !valid || int(state) >= len(newsStates) {
			continue
		}
		c.State = newsStates[state]
		if int(cause) < len(newsCauses) {
			c.Cause = newsCauses[cause]
		}
		s.Claims = append(s.Claims, c)
	}
	if r.short {
		return s, errors.New("news are cut off")
	}
	return s, nil
}

// reader takes values off the front; short is set once there was not enough.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) number(octets int) uint64 {
	var n uint64
	for _, b := range r.take(octets) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (r *reader) text() string { return string(r.take(int(r.octet()))) }
