package uring

import (
	"time"

	"chatbench/backends/internal/socket"
)

// A loop that has nothing to do first waits briefWaits times for briefWait without giving its
// processor away; see readiness.Call.
const (
	briefWait  = 5 * time.Millisecond
	briefWaits = 4
)

// wait submits the operations that are filled in, and sleeps until there is work. The loop marks
// itself as sleeping before it checks for work for the last time, so no wake is lost.
func (l *loop) wait() error {
	timeout := l.maxSleep()
	if l.coalesce.Waiting() {
		timeout = l.untilDue(timeout)
	}
	l.bell.Sleep()
	if l.hasWork() {
		timeout = 0
	}
	err := l.waitForCompletion(timeout)
	l.bell.Awake()
	return err
}

// waitForCompletion first waits without giving the processor away, and then gives it away.
func (l *loop) waitForCompletion(timeout time.Duration) error {
	if timeout >= 0 && timeout <= briefWait {
		return l.ring.Wait(timeout, true)
	}
	for range briefWaits {
		if err := l.ring.Wait(briefWait, true); err != nil || l.ring.Ready() {
			return err
		}
	}
	return l.ring.Wait(timeout, false)
}

// maxSleep is how long the loop may sleep if nothing happens; negative means for ever.
func (l *loop) maxSleep() time.Duration {
	timeout := time.Duration(-1)
	if l.lingering.Len() > 0 {
		timeout = max(time.Until(l.lingering.First()), time.Millisecond)
	}
	if l.peers.Len() > 0 {
		if next := max(time.Until(l.peers.NextCheck()), time.Millisecond); timeout < 0 || timeout > next {
			timeout = next
		}
	}
	if l.listener.Paused() && (timeout < 0 || timeout > socket.AcceptPause) {
		timeout = socket.AcceptPause
	}
	return timeout
}

func (l *loop) hasWork() bool {
	if len(l.input) > 0 || l.member.Grew() && !l.stillWaits() || l.hasWakes() || l.member.HasArrivals() {
		return true
	}
	return l.cutting.Load() && !l.cut || l.stopping.Load() && !l.listener.stopping
}
