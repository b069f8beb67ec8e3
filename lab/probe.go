package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Probe opens a fresh connection at a steady pace, to find out for how long
// an address cannot be reached. Attempts overlap, so that one that hangs does
// not slow the pace.
//
// An attempt that is not answered within Timeout has failed, whatever comes later.
// Keep Timeout below 1 s: that is when Linux repeats a lost SYN, and then the attempts
// of the first second would be answered by the end of the outage, as if there had been
// none.
type Probe struct {
	From    *Host
	Network string        // "tcp" if empty
	Addr    string        // numeric address and port
	HTTP    bool          // also ask for / and read the answer
	Every   time.Duration // 10 ms if zero
	Timeout time.Duration // of one attempt, from its start to the answer; 250 ms if zero
}

// Probing is a Probe that runs.
type Probing struct {
	probe Probe
	stop  context.CancelFunc
	done  chan struct{}

	mu       sync.Mutex
	attempts []Attempt
	underWay map[int]time.Time // when each began, by number
}

// Attempt is one connection.
type Attempt struct {
	Start  time.Time
	Took   time.Duration // until it was answered, or given up
	Err    error         // nil if it was answered in time
	Answer string        // to HTTP, the first word, which is the pod's name from an echo pod
}

// Outcome is what a Probe found.
type Outcome struct {
	Total    int
	Failures int
	Gaps     []Gap
	// Slowest is how long the slowest attempt took that was answered. It is near
	// Timeout where the network held packets back that it did not lose.
	Slowest time.Duration
	// Answers counts HTTP answers by their first word, which is the pod's name from an echo pod.
	Answers map[string]int
	// LastError is of the last attempt that failed.
	LastError error
	// Attempts in the order in which they began.
	Attempts []Attempt
}

// Gap is a time in which every attempt failed.
type Gap struct {
	Start time.Time // of the first attempt that failed
	// Length is until the first answer to an attempt that began later. That an attempt
	// of the outage itself may be the one is no error: where ARP waits for an answer, a
	// SYN is held back and not lost.
	Length   time.Duration
	Attempts int
}

// Longest is the length of the longest gap, 0 if there was none.
func (o Outcome) Longest() time.Duration {
	var longest time.Duration
	for _, g := range o.Gaps {
		longest = max(longest, g.Length)
	}
	return longest
}

func (o Outcome) String() string {
	s := fmt.Sprintf("%d of %d attempts failed, %d gaps, longest %s", o.Failures, o.Total, len(o.Gaps), o.Longest().Round(time.Millisecond))
	for _, name := range slices.Sorted(maps.Keys(o.Answers)) {
		s += fmt.Sprintf(", %s answered %d", name, o.Answers[name])
	}
	if len(o.Gaps) > 0 {
		s += fmt.Sprintf(", the first at %s", o.Gaps[0].Start.UTC().Format("15:04:05.000"))
	}
	if o.LastError != nil {
		s += fmt.Sprintf(", last error: %v", o.LastError)
	}
	return s
}

// Start begins to probe. Stop must be called.
func (p Probe) Start() *Probing {
	if p.Network == "" {
		p.Network = "tcp"
	}
	if p.Every == 0 {
		p.Every = 10 * time.Millisecond
	}
	if p.Timeout == 0 {
		p.Timeout = 250 * time.Millisecond
	}
	ctx, stop := context.WithCancel(context.Background())
	running := &Probing{probe: p, stop: stop, done: make(chan struct{}), underWay: make(map[int]time.Time)}
	go running.run(ctx)
	return running
}

// Stop ends the probe and says what it found. Attempts under way are completed.
func (p *Probing) Stop() Outcome {
	p.stop()
	<-p.done
	return Evaluate(p.attempts)
}

// SoFar says what the probe found until now: of the attempts that began before the
// oldest of those under way. Of the others only the good ones are known, since failing
// takes longer.
func (p *Probing) SoFar() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Evaluate(before(slices.Collect(maps.Values(p.underWay)), p.attempts))
}

// before is those attempts that began before all of the times, in a slice of its own.
func before(times []time.Time, attempts []Attempt) []Attempt {
	if len(times) == 0 {
		return slices.Clone(attempts)
	}
	oldest := slices.MinFunc(times, time.Time.Compare)
	var known []Attempt
	for _, a := range attempts {
		if a.Start.Before(oldest) {
			known = append(known, a)
		}
	}
	return known
}

func (p *Probing) run(ctx context.Context) {
	defer close(p.done)
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(p.probe.Every)
	defer tick.Stop()
	for number := 0; ; number++ {
		start := time.Now()
		p.mu.Lock()
		p.underWay[number] = start
		p.mu.Unlock()
		all.Go(func() {
			a := p.probe.once(start)
			a.Took = time.Since(start)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.attempts = append(p.attempts, a)
			delete(p.underWay, number)
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p Probe) once(start time.Time) Attempt {
	a := Attempt{Start: start}
	ctx, cancel := context.WithDeadline(context.Background(), a.Start.Add(p.Timeout))
	defer cancel()
	conn, err := p.From.Dial(ctx, p.Network, p.Addr)
	if err != nil {
		a.Err = err
		return a
	}
	defer conn.Close()
	if p.HTTP {
		a.Answer, a.Err = ask(conn, a.Start.Add(p.Timeout))
	}
	return a
}

// ask makes one HTTP request and returns the first word of the answer. It leaves it to
// the caller to close the connection: where the server is the first, it keeps the address
// and port that a node translated to for a minute, and one connection in 700 that is given
// them again comes 10 ms late, whatever is tested.
func ask(conn net.Conn, deadline time.Time) (string, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: probe\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answer %q", answer.Status)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(body)), " ")
	return first, nil
}

// Evaluate finds the gaps among attempts, in whatever order they come. It sorts them.
func Evaluate(attempts []Attempt) Outcome {
	slices.SortFunc(attempts, func(a, b Attempt) int { return a.Start.Compare(b.Start) })
	o := Outcome{Total: len(attempts), Answers: map[string]int{}, Attempts: attempts}
	answer := firstAnswers(attempts)
	var open *Gap
	for i, a := range attempts {
		if a.Err == nil {
			if open != nil {
				open.Length = answer[i].Sub(open.Start)
				o.Gaps = append(o.Gaps, *open)
				open = nil
			}
			if a.Answer != "" {
				o.Answers[a.Answer]++
			}
			o.Slowest = max(o.Slowest, a.Took)
			continue
		}
		o.Failures++
		o.LastError = a.Err
		if open == nil {
			open = &Gap{Start: a.Start}
		}
		open.Attempts++
		open.Length = a.Start.Sub(open.Start)
	}
	if open != nil { // never ended
		o.Gaps = append(o.Gaps, *open)
	}
	return o
}

// firstAnswers is, for each attempt, when it or one that began later was first
// answered; zero if none was.
func firstAnswers(attempts []Attempt) []time.Time {
	first := make([]time.Time, len(attempts))
	var earliest time.Time
	for i, a := range slices.Backward(attempts) {
		if at := a.Start.Add(a.Took); a.Err == nil && (earliest.IsZero() || at.Before(earliest)) {
			earliest = at
		}
		first[i] = earliest
	}
	return first
}
