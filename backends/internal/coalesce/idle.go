package coalesce

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPUClock says for how long a thread or process had nothing to do, by how much CPU time
// it took: for a transport that cannot see where it waits. It costs a system call. It
// takes for idle what others had of the CPU.
type CPUClock struct {
	id   int32
	at   time.Time     // when it was last read
	cpu  time.Duration // taken until then
	idle time.Duration // from when it was made until then
}

// ThreadClock is the clock of whichever thread calls this and Idle: always the same, one
// that its goroutine is locked to.
func ThreadClock(now time.Time) CPUClock { return newClock(unix.CLOCK_THREAD_CPUTIME_ID, now) }

// ProcessClock is the clock of the whole process.
func ProcessClock(now time.Time) CPUClock { return newClock(unix.CLOCK_PROCESS_CPUTIME_ID, now) }

func newClock(id int32, now time.Time) CPUClock {
	c := CPUClock{id: id, at: now}
	c.cpu = c.taken()
	return c
}

// taken is the CPU time of the thread or process.
func (c *CPUClock) taken() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(c.id, &t) != nil {
		return c.cpu // the kernel has these clocks since Linux 2.6.12
	}
	return time.Duration(t.Nano())
}

// Idle is for how long the processors had nothing to do for it since the clock was made.
// There have been so many since it was last asked; what was counted before stays when their
// number changes, and it never goes back.
func (c *CPUClock) Idle(now time.Time, processors int) time.Duration {
	cpu := c.taken()
	c.idle += max(now.Sub(c.at)-(cpu-c.cpu)/time.Duration(processors), 0)
	c.at, c.cpu = now, cpu
	return c.idle
}
