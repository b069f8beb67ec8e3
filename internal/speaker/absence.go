package speaker

import "time"

const (
	// listenLimit bounds how long a speaker waits for its neighbours' news.
	listenLimit = 500 * time.Millisecond
	// listenEvery is how often it looks whether it still has to.
	listenEvery = 20 * time.Millisecond
)

// absence holds a speaker's decisions back, when it starts and when it has its quorum
// again, until the neighbours told what they took over meanwhile. The API server may not
// know yet, and an announcement of what is another's misleads the caches of its clients
// for longer than it takes to be taken back.
type absence struct{ ended time.Time }

// listen tells when to ask again, zero when there is nothing to wait for.
func (a *absence) listen(now time.Time, informed bool) (again time.Time) {
	if informed {
		a.ended = time.Time{}
		return time.Time{}
	}
	if a.ended.IsZero() {
		a.ended = now
	}
	if limit := a.ended.Add(listenLimit); now.Before(limit) {
		return earlier(limit, now.Add(listenEvery))
	}
	return time.Time{}
}
