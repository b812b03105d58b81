package readiness

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/socket"
)

// A loop that has nothing to do first waits briefWaits times for briefWait without giving its
// processor away. Between these waits other goroutines may run. That is long enough that a server
// that gets 50 messages a second never gives its processor away. Waits of 2 ms
// cost 1 to 2 % more CPU at 500 and 1,000 messages a second, and 3 to 4 % with TLS.
const (
	briefWait  = 5 * time.Millisecond
	briefWaits = 4
)

// Call makes the system call in which a Poller waits.
//
// A goroutine that blocks in a system call gives its processor (the runtime's P) away. Getting it
// back wakes the runtime's monitor thread, which then polls every 20 µs for a while: with 100
// clients and 1,000 messages a second that was a quarter of all CPU time. So a brief wait keeps the
// processor. The runtime can still get it: it interrupts the call with a signal when the world has
// to stop, or when other goroutines have waited for 10 ms. A wait that is not brief gives the
// processor away, so that an idle server costs nothing.
//
// A signal is no error: Call then returns 0.
//
//go:uintptrescapes
func Call(brief bool, trap, a1, a2, a3, a4, a5, a6 uintptr) (int, error) {
	call := syscall.Syscall6
	if brief {
		call = syscall.RawSyscall6
	}
	n, _, errno := call(trap, a1, a2, a3, a4, a5, a6)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// wait sleeps until there is work, or until output that waits is due.
func (l *loop) wait() (int, error) {
	if l.coalesce == nil {
		return l.sleep(l.maxSleep())
	}
	return l.waitTimed()
}

// sleep waits for at most timeout. The loop marks itself as sleeping before it checks for work for
// the last time, so no wake is lost.
func (l *loop) sleep(timeout time.Duration) (int, error) {
	l.bell.Sleep()
	if l.hasWork() {
		timeout = 0
	}
	var n int
	var err error
	more := timeout != 0
	if l.keepsProcessor || timeout == 0 {
		n, err = l.waitBriefly(timeout)
		more = more && !l.coalesce.Waiting()
	}
	if n == 0 && err == nil && more {
		n, err = l.poller.Wait(l.events, timeout, false)
	}
	l.bell.Awake()
	return n, err
}

// waitBriefly waits without giving the processor away.
func (l *loop) waitBriefly(timeout time.Duration) (n int, err error) {
	brief, times := timeout, 1
	if timeout < 0 || timeout > briefWait {
		brief, times = briefWait, briefWaits
	}
	for range times {
		runtime.Gosched() // let other goroutines run first
		if n, err = l.poller.Wait(l.events, brief, true); n > 0 || err != nil {
			break
		}
	}
	return n, err
}

// maxSleep is how long the loop may sleep if nothing happens; negative means for ever.
func (l *loop) maxSleep() time.Duration {
	timeout := time.Duration(-1)
	if l.lingering.Len() > 0 {
		timeout = max(time.Until(l.lingering.First()), time.Millisecond)
	}
	if l.held.Len() > 0 {
		if next := max(time.Until(l.held.NextCheck()), time.Millisecond); timeout < 0 || timeout > next {
			timeout = next
		}
	}
	if l.listener.Paused() && (timeout < 0 || timeout > socket.AcceptPause) {
		timeout = socket.AcceptPause
	}
	return timeout
}

func (l *loop) hasWork() bool {
	if l.cutting.Load() || l.stopping.Load() && l.listener.FD >= 0 {
		return true
	}
	if l.member.Grew() && !l.stillWaits() || l.hasWakes() {
		return true
	}
	return l.member.HasArrivals()
}
