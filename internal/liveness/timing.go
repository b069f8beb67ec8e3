package liveness

import "time"

// Timing says how fast nodes are missed. What is zero follows from Interval, which is
// 50 ms by default. All nodes of a segment must use the same.
type Timing struct {
	// Interval between two heartbeats to one neighbour. Each varies by a tenth in both
	// directions, so that nodes that started together do not stay in step.
	Interval time.Duration
	// Ask is the silence after which the node itself and others are asked: 2.2
	// intervals, more than an interval and a packet that the network held up for 50 ms.
	Ask time.Duration
	// AskEvery is how often they are asked again: 0.4 intervals.
	AskEvery time.Duration
	// Suspect is the silence that an operator is told of: 3 intervals.
	Suspect time.Duration
	// Dead is the silence, for everybody, that counts as death: 4 intervals.
	Dead time.Duration
	// Lonely is Dead in a segment of two, where no third node can be asked: 8 intervals.
	Lonely time.Duration
	// Late is how late this process may wake up and still trust the silence that it
	// finds: one interval.
	Late time.Duration
	// Asleep is how late it may wake up and still believe that the others count it in:
	// 3 intervals. They need 4 to count it out, of which one may have passed before.
	Asleep time.Duration
	// Settle is how long a node stays dead before the quorum is counted without it:
	// 100 intervals.
	Settle time.Duration
}

const (
	// rowToReturn heartbeats in a row make a node alive again. One could be the only
	// one of a hundred that a broken link lets through.
	rowToReturn = 3
	// witnesses are asked at once about a silent node; all others in the next regular
	// heartbeat. Three, since each fails to answer once in fifty times at 1 % loss.
	witnesses = 3
	// proof is how old the echo may be by which a process makes itself known. The
	// answer to a heartbeat takes an interval and two ways through the network.
	proof = time.Second
)

// What the default Timing promises where the network holds up no packet for more than
// 20 ms, and a process wakes up within 5 ms. Tests hold all this to it.
const (
	// DeadWithin is the time from a crash until all who live count the node out, in a
	// segment of three or more of which a majority lives. The last heartbeat left at the
	// instant of the crash; a witness had it 20 ms later, and its word of it took 20 ms.
	// Dead after that, somebody wakes up 5 ms late: 20 + 20 + 200 + 5 ms. Where nothing is
	// lost and nothing held up it is 145 to 205 ms.
	DeadWithin = 245 * time.Millisecond
	// OverlapWithin is the longest that two nodes both have their quorum though one counts
	// the other out, where both count the same nodes for their segment and have more than
	// half of it. Then they have a peer in common, or believe so: by a heartbeat that came
	// Dead ago at most, 20 ms after it was sent, and told of one of ours that had come
	// Dead - AskEvery before that at most, and took 20 ms as well. It ends 5 ms late:
	// 200 + 20 + 180 + 20 + 5 ms. After a single fault it is less than 60 ms.
	OverlapWithin = 425 * time.Millisecond
	// LonelyOverlapWithin is the same in a segment of two, where Lonely is for Dead, and
	// nothing goes to the group.
	LonelyOverlapWithin = 825 * time.Millisecond
	// ReturnWithin is the time from the first packet between the parts of a segment until
	// all count all in and have their quorum, where none is lost. The heartbeats of some
	// begin 55 ms after those of others; the second after the first, 110 ms later, makes
	// the row complete, 20 ms after it was sent, and wakes up 5 ms late: 190 ms.
	ReturnWithin = 200 * time.Millisecond
)

func (t Timing) withDefaults() Timing {
	or := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	or(&t.Interval, 50*time.Millisecond)
	or(&t.Ask, t.Interval*11/5)
	or(&t.AskEvery, t.Interval*2/5)
	or(&t.Suspect, 3*t.Interval)
	or(&t.Dead, 4*t.Interval)
	or(&t.Lonely, 8*t.Interval)
	or(&t.Late, t.Interval)
	or(&t.Asleep, 3*t.Interval)
	or(&t.Settle, 100*t.Interval)
	return t
}

// dice is a source of chance that comes in as a value: SplitMix64.
type dice uint64

// around is d, up to a tenth more or less.
func (r *dice) around(d time.Duration) time.Duration {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return d - d/10 + time.Duration(z%uint64(d/5+1))
}
