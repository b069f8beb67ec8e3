package speaker

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/lb"
)

func someNews() lb.Speaker {
	return lb.Speaker{
		Node: "node-a", Leaving: true,
		Interfaces: []lb.Interface{{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, {Name: "bond0"}},
		Claims: []lb.Claim{
			{Address: netip.MustParseAddr("192.0.2.1"), State: lb.Announced, Since: time.UnixMicro(1763730000123456), Cause: lb.Failure, Epoch: 7, Offer: "node-b"},
			{Address: netip.MustParseAddr("2001:db8::1"), State: lb.NoInterface, Since: time.UnixMicro(1), Epoch: 1},
		},
	}
}

func TestNewsAreReadAsTheyWereWritten(t *testing.T) {
	want := someNews()
	got, err := decodeNews("node-a", encodeNews(&want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y }), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("news (-written +read):\n%s", diff)
	}
}

func TestNewsThatAreCutOffAreRefused(t *testing.T) {
	s := someNews()
	whole := encodeNews(&s)
	for n := range whole {
		if got, err := decodeNews("node-a", whole[:n]); err == nil {
			t.Errorf("the first %d octets of %d are read as %+v", n, len(whole), got)
		}
	}
}

func TestNewsOfALaterVersionAreRefused(t *testing.T) {
	s := someNews()
	b := encodeNews(&s)
	b[0]++
	if _, err := decodeNews("node-a", b); err == nil {
		t.Error("they are read")
	}
}

func TestAClaimInAStateThatWeDoNotKnowIsLeftOut(t *testing.T) {
	s := someNews()
	s.Claims[0].State = "Hovering"
	got, err := decodeNews("node-a", encodeNews(&s))
	if err != nil || len(got.Claims) != 1 || got.Claims[0].Address != s.Claims[1].Address {
		t.Errorf("%+v, %v", got.Claims, err)
	}
}

func FuzzDecodeNews(f *testing.F) {
	s := someNews()
	f.Add(encodeNews(&s))
	f.Add([]byte{newsVersion, 0, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		read, err := decodeNews("node-a", b)
		if err != nil {
			return
		}
		again, err := decodeNews("node-a", encodeNews(&read))
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if len(again.Claims) != len(read.Claims) || len(again.Interfaces) != len(read.Interfaces) {
			t.Fatalf("%+v became %+v", read, again)
		}
	})
}
