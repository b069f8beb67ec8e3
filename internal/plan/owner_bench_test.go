package plan

import (
	"fmt"
	"slices"
	"testing"
)

// Dead: all addresses are announced, and one node has just died. Fresh: none is yet.
func BenchmarkElection(b *testing.B) {
	for _, size := range []struct{ addresses, nodes int }{{1000, 3}, {1000, 20}, {10_000, 500}} {
		fresh := speakingWorld(size.addresses, size.nodes)
		b.Run(fmt.Sprintf("dead/%dx%d", size.addresses, size.nodes), func(b *testing.B) {
			w := claim(fresh, Owners(fresh))
			w.Nodes = slices.Clone(w.Nodes)
			w.Nodes[1].Alive = false
			b.ReportAllocs()
			for b.Loop() {
				Owners(w)
			}
		})
		b.Run(fmt.Sprintf("fresh/%dx%d", size.addresses, size.nodes), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Owners(fresh)
			}
		})
	}
}

// One node had all.
func BenchmarkElectionOfAllAddresses(b *testing.B) {
	w := speakingWorld(1000, 20)
	for _, s := range w.Services {
		take(&w, "node-1", s.Held[0])
	}
	w.Nodes[1].Alive = false
	b.ReportAllocs()
	for b.Loop() {
		Owners(w)
	}
}

func BenchmarkMend(b *testing.B) {
	w := speakingWorld(1000, 20)
	w = claim(w, Owners(w))
	b.ReportAllocs()
	for b.Loop() {
		Mend(w, "node-1")
	}
}
