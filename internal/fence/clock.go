package fence

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Moment is a time in ns since the machine started, suspended or not: what the kernel
// calls CLOCK_BOOTTIME. Unlike the monotonic clock of package time it goes on while the
// machine sleeps, and nobody can set it.
type Moment uint64

// forever is a moment when every deadline has passed.
const forever Moment = math.MaxUint64

// add is the moment d later; d is not negative.
func (m Moment) add(d time.Duration) Moment { return m + Moment(d) }

// bootClock reads the clock. Without one, every deadline has passed.
func bootClock() Moment {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return forever
	}
	return Moment(t.Nano())
}
