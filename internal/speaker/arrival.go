package speaker

import "time"

const (
	// listenLimit bounds how long a speaker that starts waits for its neighbours' news.
	listenLimit = 500 * time.Millisecond
	// listenEvery is how often it looks whether it still has to.
	listenEvery = 20 * time.Millisecond
)

// arrival holds a speaker's first look back until the neighbours told what they took
// over while this node was away: the API server may not know yet, and an announcement of
// what is another's misleads the caches of its clients for longer than it takes to be
// taken back.
type arrival struct{ began time.Time }

// listen tells when to ask again, zero when there is nothing to wait for any more.
func (a *arrival) listen(now time.Time, informed bool) (again time.Time) {
	if a.began.IsZero() {
		a.began = now
	}
	if limit := a.began.Add(listenLimit); !informed && now.Before(limit) {
		return earlier(limit, now.Add(listenEvery))
	}
	return time.Time{}
}
