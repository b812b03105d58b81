package coalesce

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPUClock says for how long a thread or process had nothing to do, by how much CPU time
// it took: for a transport that cannot see where it waits. It costs a system call. It
// takes for idle what others had of the CPU.
type CPUClock struct {
	id    int32
	began time.Time
}

// ThreadClock is the clock of whichever thread calls Idle: always the same, one that its
// goroutine is locked to.
func ThreadClock(now time.Time) CPUClock { return CPUClock{unix.CLOCK_THREAD_CPUTIME_ID, now} }

// ProcessClock is the clock of the whole process.
func ProcessClock(now time.Time) CPUClock { return CPUClock{unix.CLOCK_PROCESS_CPUTIME_ID, now} }

// Idle is for how long so many processors had nothing to do for it since the clock was
// made, give or take what they did before: differences count.
func (c CPUClock) Idle(now time.Time, processors int) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(c.id, &t) != nil {
		return 0 // the kernel has these clocks since Linux 2.6.12
	}
	return now.Sub(c.began) - time.Duration(t.Nano())/time.Duration(processors)
}
