package readiness

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A loop that has nothing to do waits with its processor in hand for holdTimes
// brief waits of holdTime, in between which others may have it: long enough
// for a server that is spoken to 50 times a second never to fall asleep.
const (
	holdTime  = 2 * time.Millisecond
	holdTimes = 10
)

// Call makes the system call in which a Poller waits.
//
// A goroutine that blocks in a system call gives its processor (the runtime's
// P) away. Getting it back wakes the runtime's monitor thread, which then looks
// around every 20 µs for a while: at 100 clients and 1,000 messages a second
// that was a quarter of all CPU time. A brief wait therefore keeps the
// processor. The runtime can have it all the same: it interrupts the call with
// a signal when the world has to stop or when others have waited for 10 ms. A
// wait that is not brief gives the processor away, so that an idle server
// costs nothing.
//
// A signal is no error: Call then says that nothing is ready.
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

// wait sleeps until there is work, or output that waits is due.
func (l *loop) wait() (int, error) {
	if l.coalesce == nil {
		return l.sleep(l.patience())
	}
	return l.waitTimed()
}

// sleep waits for so long at most, without losing any work noted meanwhile: the
// loop says that it sleeps before it looks for the last time.
func (l *loop) sleep(timeout time.Duration) (int, error) {
	l.bell.Sleep()
	if l.hasWork() {
		timeout = 0
	}
	var n int
	var err error
	more := timeout != 0
	if l.holds || timeout == 0 {
		n, err = l.hold(timeout)
		more = more && !l.coalesce.Waiting()
	}
	if n == 0 && err == nil && more {
		n, err = l.poller.Wait(l.events, timeout, false)
	}
	l.bell.Awake()
	return n, err
}

// hold waits with the processor in hand.
func (l *loop) hold(timeout time.Duration) (n int, err error) {
	brief, times := timeout, 1
	if timeout < 0 || timeout > holdTime {
		brief, times = holdTime, holdTimes
	}
	for range times {
		runtime.Gosched() // whoever else is ready goes first
		if n, err = l.poller.Wait(l.events, brief, true); n > 0 || err != nil {
			break
		}
	}
	return n, err
}

// patience is how long the loop may sleep if nothing happens; negative: for ever.
func (l *loop) patience() time.Duration {
	timeout := time.Duration(-1)
	if l.lingering.Len() > 0 {
		timeout = max(time.Until(l.lingering.First()), time.Millisecond)
	}
	if l.held.Len() > 0 {
		if look := max(time.Until(l.held.Next()), time.Millisecond); timeout < 0 || timeout > look {
			timeout = look
		}
	}
	if l.listener.resting() && (timeout < 0 || timeout > restTime) {
		timeout = restTime
	}
	return timeout
}

func (l *loop) hasWork() bool {
	if l.cutting.Load() || l.stopping.Load() && l.listener.fd >= 0 {
		return true
	}
	if l.member.Grew() && !l.stillWaits() || l.hasMail() {
		return true
	}
	return l.member.HasArrivals()
}
