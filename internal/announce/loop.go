package announce

import (
	"context"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/announce/claims"
	"fairlead.dev/fairlead/internal/announce/link"
	"fairlead.dev/fairlead/internal/lb"
)

// loop keeps a station for every protocol of every usable interface, and hands
// them what is due.
func (a *Announcer) loop(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	stations := map[post]*station{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var sends []claims.Send
	for ctx.Err() == nil {
		a.staff(ctx, stations, &running)
		var p pass
		sends, p = a.due(sends[:0], timer)
		a.deliver(stations, sends, p)
		a.tell()
		select {
		case <-ctx.Done():
		case <-a.poked:
		case <-timer.C:
		}
	}
}

// post is where a station stands.
type post struct {
	index    int
	protocol protocol
}

// staff starts and stops stations so that they are those that links call for, and
// has them join the groups they should be in.
func (a *Announcer) staff(ctx context.Context, stations map[post]*station, running *sync.WaitGroup) {
	a.mu.Lock()
	wanted := stationsFor(a.links)
	regroup := a.regroup
	a.regroup = false
	a.mu.Unlock()

	for at, s := range stations {
		if !slices.Contains(wanted, s.stationKey) {
			s.stop()
			delete(stations, at)
		}
	}
	for _, key := range wanted {
		at := post{key.index, key.protocol}
		if stations[at] == nil {
			ctx, stop := context.WithCancel(ctx)
			s := newStation(a, key, stop)
			stations[at] = s
			running.Go(func() { s.run(ctx) })
		}
	}
	if regroup {
		for _, s := range stations {
			poke(s.regroup)
		}
	}
}

// stationsFor lists the stations that belong to a snapshot.
func stationsFor(s link.Snapshot) []stationKey {
	var keys []stationKey
	for _, i := range s.Interfaces {
		if i.ARP {
			keys = append(keys, stationKey{protocol: protocolARP, index: i.Index, name: i.Name, mac: i.MAC})
		}
		if i.NDP {
			keys = append(keys, stationKey{protocol: protocolNDP, index: i.Index, name: i.Name, mac: i.MAC})
		}
	}
	return keys
}

// due takes what is to be sent now, with the pass for it, and sets the timer to the next
// deadline. While the gate is shut the table stands still.
func (a *Announcer) due(sends []claims.Send, timer *time.Timer) ([]claims.Send, pass) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if p := a.pass(); p != a.opened {
		a.opened = p
		a.table.Resume(now)
	}
	a.muted = !a.gate.Open()
	if !a.muted {
		sends = a.table.Due(now, sends)
	}
	next, ok := a.table.Next()
	if a.muted {
		next = now.Add(reopenPoll)
	}
	a.asleep = next
	if ok {
		timer.Reset(next.Sub(now))
	} else {
		timer.Stop()
	}
	return sends, a.opened
}

// deliver hands packets to the stations that send them, those for one station as
// one batch.
func (a *Announcer) deliver(stations map[post]*station, sends []claims.Send, p pass) {
	batches := map[post][]claims.Send{}
	for _, s := range sends {
		at := post{s.Index, protocolOf(s.Address)}
		batches[at] = append(batches[at], s)
	}
	for at, sends := range batches {
		if s := stations[at]; s != nil {
			s.deliver(batch{sends, p})
		}
	}
}

// tell logs what changed and lets Changed know.
func (a *Announcer) tell() {
	a.mu.Lock()
	events, changed := a.table.Changes()
	changed = changed || a.news
	a.news = false
	a.mu.Unlock()
	for _, e := range events {
		a.logEvent(e)
	}
	if changed {
		poke(a.changed)
	}
}

func (a *Announcer) logEvent(e claims.Event) {
	if e.Foreign() {
		a.metrics.conflicts.Inc()
	}
	switch {
	case e.Foreign():
		a.log.Warn("another host answers for vip", "vip", e.Address, "state", e.State, "detail", e.Detail)
	case e.State == lb.Probing:
		a.log.Debug("vip is probed", "vip", e.Address)
	case e.State == lb.NoInterface:
		a.log.Warn("vip cannot be announced", "vip", e.Address, "detail", e.Detail)
	case e.State == lb.Announced:
		a.log.Info("vip announced", "vip", e.Address)
	default:
		a.log.Info("vip released", "vip", e.Address)
	}
}

// setLinks takes what link found. Interfaces that are gone are not answered on
// from now on.
func (a *Announcer) setLinks(s link.Snapshot) {
	a.mu.Lock()
	a.links = s
	a.refresh()
	a.mu.Unlock()
	poke(a.poked)
}

// setOpen tells that a station's socket works, or does no longer.
func (a *Announcer) setOpen(s *station, works bool) {
	a.mu.Lock()
	switch {
	case works:
		a.open[s.stationKey] = s
	case a.open[s.stationKey] == s: // else a successor has it already
		delete(a.open, s.stationKey)
	}
	a.refresh()
	a.mu.Unlock()
	poke(a.poked)
}

// refresh gives the table the interfaces that are usable and have a working
// socket. The caller holds mu.
func (a *Announcer) refresh() {
	var all []claims.Interface
	var usable []lb.Interface
	for _, i := range a.links.Interfaces {
		c := claims.Interface{Index: i.Index, Name: i.Name, MAC: i.MAC, Epoch: i.Epoch}
		key := stationKey{protocol: protocolARP, index: i.Index, name: i.Name, mac: i.MAC}
		c.ARP = i.ARP && a.open[key] != nil
		key.protocol = protocolNDP
		c.NDP = i.NDP && a.open[key] != nil
		if c.ARP || c.NDP {
			all = append(all, c)
			usable = append(usable, lb.Interface{Name: i.Name, MAC: i.MAC.Hardware()})
		}
	}
	a.table.SetInterfaces(time.Now(), all, a.links.Own)
	a.regroup = true
	if !slices.EqualFunc(usable, a.usable, sameInterface) {
		a.usable, a.news = usable, true
	}
}

func sameInterface(x, y lb.Interface) bool {
	return x.Name == y.Name && slices.Equal(x.MAC, y.MAC)
}

// react wakes the loop where a packet that was heard gives it something to do
// before it wakes by itself. The caller holds mu.
func (a *Announcer) react() {
	next, ok := a.table.Next()
	earlier := ok && !a.muted && (a.asleep.IsZero() || next.Before(a.asleep))
	if a.table.Pending() || earlier {
		poke(a.poked)
	}
}
