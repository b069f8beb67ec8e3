//go:build lab

package lab_test

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/lab"
)

// The outages are shorter and longer than the second after which Linux repeats a SYN.
func TestAProbeMeasuresAnOutage(t *testing.T) {
	l := up(t, lab.Options{Nodes: 1}) // whose endpoints nobody takes away so soon
	n1 := l.Node(1)
	runPod(t, l, "n1", "web", 8080)
	port := expose(t, l, "web", 8080)
	for _, want := range []time.Duration{150 * time.Millisecond, 600 * time.Millisecond, 1500 * time.Millisecond} {
		for _, from := range []*lab.Host{l.Client(), l.Remote()} {
			answers(t, from, addr(n1.IP4(), port))
			probing := lab.Probe{From: from, Addr: addr(n1.IP4(), port), HTTP: true}.Start()
			time.Sleep(300 * time.Millisecond) // of service
			began := time.Now()
			must(t, n1.CableOut(t.Context()))
			out := time.Now()
			time.Sleep(want)
			mending := time.Now()
			must(t, n1.CableIn(t.Context()))
			ended := time.Now()
			time.Sleep(300 * time.Millisecond) // of service
			o := probing.Stop()
			t.Logf("out for %s to %s: %s, slowest answer %s", mending.Sub(out), ended.Sub(began), o, o.Slowest)
			// Attempts are 10 ms apart at both ends, and as much is for a machine that does other things.
			const slack = 40 * time.Millisecond
			if got := o.Longest(); got < mending.Sub(out)-slack || got > ended.Sub(began)+slack {
				t.Errorf("from %s an outage of %s to %s is measured as %s", from.Name(), mending.Sub(out), ended.Sub(began), got)
			}
		}
	}
}
