package coalesce

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPUClock measures how long a thread or process had nothing to do, by its CPU time. It is for a
// transport that cannot see how long it waits. Each reading costs a system call. Time in which other
// processes had the CPU counts as idle.
type CPUClock struct {
	id   int32
	at   time.Time     // of the last reading
	cpu  time.Duration // CPU time until then
	idle time.Duration // idle time until then
}

// ThreadClock is the clock of the calling thread. Idle has to be called on the same thread, so the
// goroutine has to be locked to it.
func ThreadClock(now time.Time) CPUClock { return newClock(unix.CLOCK_THREAD_CPUTIME_ID, now) }

// ProcessClock is the clock of the whole process.
func ProcessClock(now time.Time) CPUClock { return newClock(unix.CLOCK_PROCESS_CPUTIME_ID, now) }

func newClock(id int32, now time.Time) CPUClock {
	c := CPUClock{id: id, at: now}
	c.cpu = c.cpuTime()
	return c
}

// cpuTime is the CPU time of the thread or process.
func (c *CPUClock) cpuTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(c.id, &t) != nil {
		return c.cpu // the kernel has these clocks since Linux 2.6.12
	}
	return time.Duration(t.Nano())
}

// Idle is how long the processors had nothing to do since the clock was made. processors is their
// number since the last call; a change of it does not change what was counted before. The result never
// decreases.
func (c *CPUClock) Idle(now time.Time, processors int) time.Duration {
	cpu := c.cpuTime()
	c.idle += max(now.Sub(c.at)-(cpu-c.cpu)/time.Duration(processors), 0)
	c.at, c.cpu = now, cpu
	return c.idle
}
