package claims

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/ndp"
	"fairlead.dev/fairlead/internal/lb"
)

// From frame to frame, with 1,000 addresses held.

func BenchmarkAnswerARP(b *testing.B) {
	table := New(Timing{}, epoch)
	table.SetInterfaces(epoch, []Interface{eth0}, nil)
	table.Want(epoch, append(many(1000, false), lb.Announcement{Address: vip4}), nil)
	frame := ask4(vip4, client).Append(nil)
	out := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		p, _ := arp.Parse(frame)
		answer, drop := table.HearARP(epoch, eth0.Index, p)
		if drop != "" {
			b.Fatal(drop)
		}
		out = answer.Append(out[:0])
	}
}

func BenchmarkAnswerNDP(b *testing.B) {
	table := New(Timing{}, epoch)
	table.SetInterfaces(epoch, []Interface{eth0}, nil)
	table.Want(epoch, append(many(1000, false), lb.Announcement{Address: vip6}), nil)
	frame := ask6(vip6, client).Append(nil)
	out := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		m, _ := ndp.Parse(frame)
		answer, drop := table.HearNDP(epoch, eth0.Index, m)
		if drop != "" {
			b.Fatal(drop)
		}
		out = answer.Append(out[:0])
	}
}

func BenchmarkApply5000Unchanged(b *testing.B) {
	table := New(Timing{}, epoch)
	table.SetInterfaces(epoch, []Interface{eth0, eth1}, nil)
	list := many(5000, false)
	b.ReportAllocs()
	for b.Loop() {
		table.Want(epoch, list, nil)
	}
}

func BenchmarkHold5000ForAMinute(b *testing.B) {
	table := New(Timing{}, epoch)
	table.SetInterfaces(epoch, []Interface{eth0}, nil)
	table.Want(epoch, many(5000, false), nil)
	now := epoch.Add(time.Minute)
	sends := table.Due(now, nil)
	b.ReportAllocs()
	for b.Loop() {
		for end := now.Add(time.Minute); now.Before(end); {
			now, _ = table.Next()
			sends = table.Due(now, sends[:0])
		}
	}
}
