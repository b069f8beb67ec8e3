package liveness

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// claims is what a speaker of many addresses publishes: 1000 claims of 25 octets.
func claims(salt int) []byte {
	b := make([]byte, 0, 25_000)
	for i := range 1000 {
		b = fmt.Appendf(b, "%08x claims %8d\n", uint32(salt), i)[:25*(i+1)]
	}
	return b
}

// knows tells whether a mesh has news of another.
func (e *ensemble) knows(m, of int, news []byte) bool {
	got, ok := e.meshes[m].News(e.meshes[of].options.Node)
	return ok && bytes.Equal(got, news)
}

// publish has meshes publish, and waits until all others know. It tells how long that
// took.
func (e *ensemble) publish(news map[int][]byte) time.Duration {
	e.Helper()
	type pair struct{ m, of int }
	var missing []pair
	start := time.Now()
	for of, n := range news {
		if err := e.meshes[of].Publish(n); err != nil {
			e.Fatal(err)
		}
		for m := range e.meshes {
			if m != of {
				missing = append(missing, pair{m, of})
			}
		}
	}
	for len(missing) > 0 {
		if p := missing[0]; e.knows(p.m, p.of, news[p.of]) {
			missing = missing[1:]
			continue
		}
		if time.Since(start) > time.Minute {
			e.Fatalf("after a minute node-%d lacks the news of node-%d", missing[0].m, missing[0].of)
		}
		time.Sleep(200 * time.Microsecond)
	}
	return time.Since(start)
}

func (e *ensemble) sum(name string) (n float64) {
	e.Helper()
	for _, m := range e.meshes {
		n += count(e, m, name, "")
	}
	return n
}

// grouped tells whether all get the heartbeats of all by multicast.
func (e *ensemble) grouped() bool {
	for _, m := range e.meshes {
		if slices.ContainsFunc(m.View(), func(n Neighbour) bool { return !n.Multicast }) {
			return false
		}
	}
	return true
}

func TestNewsOfAThousandClaimsReachTwentyNodes(t *testing.T) {
	e := play(t, 20, 17490)
	e.until("all alive", e.all(Alive))
	for round := range 5 {
		t.Logf("25 KB of one node were with 19 others after %s", e.publish(map[int][]byte{0: claims(round)}))
	}
	t.Logf("one claim was with 19 others after %s", e.publish(map[int][]byte{0: []byte("192.0.2.7 since 12:00:00.123")}))
	all := map[int][]byte{}
	for i := range e.meshes {
		all[i] = claims(100 + i)
	}
	before := cpuTime()
	took := e.publish(all)
	t.Logf("25 KB of each of 20 nodes were with all after %s, %s of them on a CPU", took, cpuTime()-before)
	t.Logf("%v packets were not taken by the kernel, %v requests", e.sum("fairlead_news_unsent_total"), e.sum("fairlead_news_requests_total"))
}

func TestNewsGoByMulticastWhereItWorks(t *testing.T) {
	e := play(t, 6, 17493)
	e.until("multicast", e.grouped)
	// On a busy machine readers are late, and ask for what was not lost, or stay away from
	// the group: one of some rounds must do without.
	least := math.Inf(1)
	for round := range 10 {
		before := e.sum("fairlead_news_sent_bytes_total")
		took := e.publish(map[int][]byte{0: claims(round)})
		time.Sleep(2 * newsProbe)
		sent := e.sum("fairlead_news_sent_bytes_total") - before
		t.Logf("25 KB of one node were with 5 others after %s; %v octets were sent", took, sent)
		least = min(least, sent)
	}
	if least > 2*25_000 {
		t.Errorf("%v octets were sent, so that 25000 were with 5 others", least)
	}
}

// BenchmarkNews tells how long news take until 19 others have them: 25 KB and a claim
// of one node, and 1.5 KB of each of 20 at once.
func BenchmarkNews(b *testing.B) {
	e := play(b, 20, 17494)
	run := func(b *testing.B) {
		var one, few, all time.Duration
		for b.Loop() {
			salt := int(rand.Uint32())
			few += e.publish(map[int][]byte{0: claims(salt)[:25]})
			one += e.publish(map[int][]byte{0: claims(salt)})
			news := map[int][]byte{}
			for i := range e.meshes {
				news[i] = claims(salt + 1 + i)[:1500]
			}
			all += e.publish(news)
		}
		perRound := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
		b.ReportMetric(perRound(few), "ms/claim")
		b.ReportMetric(perRound(one), "ms/25KB")
		b.ReportMetric(perRound(all), "ms/20x1.5KB")
	}
	e.until("all alive", e.all(Alive))
	b.Run("unicast", run)
	e.until("multicast", e.grouped)
	b.Run("multicast", run)
}

func TestNewsOfADeadNodeStayAndThoseOfAFormerPeerDoNot(t *testing.T) {
	e := play(t, 3, 17491)
	e.until("all alive", e.all(Alive))
	a := e.meshes[0]
	if _, ok := a.News("node-1"); ok {
		t.Error("news before any were published")
	}
	e.publish(map[int][]byte{1: []byte("I have 192.0.2.7")})
	e.stop[1]()
	e.until("death", func() bool { return !a.Alive("node-1", true) })
	if news, ok := a.News("node-1"); !ok || string(news) != "I have 192.0.2.7" {
		t.Errorf("the last words are %q, %v", news, ok)
	}
	a.SetPeers([]Peer{{Node: "node-2"}})
	if news, ok := a.News("node-1"); ok {
		t.Errorf("of a former peer: %q", news)
	}
}

func TestChangedFiresForNews(t *testing.T) {
	e := play(t, 2, 17492)
	e.until("all alive", e.all(Alive))
	a := e.meshes[0]
	for {
		select {
		case <-a.Changed():
			continue
		case <-time.After(300 * ms):
		}
		break
	}
	if err := e.meshes[1].Publish([]byte("news")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.Changed():
	case <-time.After(5 * time.Second):
		t.Fatal("it did not")
	}
	if news, _ := a.News("node-1"); string(news) != "news" {
		t.Errorf("it fired, and the news are %q", news)
	}
}

func TestNewsThatAreTooLongAreRefused(t *testing.T) {
	m := New(Options{Node: "a", Boot: 1})
	err := m.Publish(make([]byte, newsMax+1))
	if err == nil || !strings.Contains(err.Error(), "262144") {
		t.Errorf("%v", err)
	}
	if err := m.Publish(make([]byte, newsMax)); err != nil {
		t.Error(err)
	}
}
