package uring

import "time"

// A loop that has nothing to do waits with its processor in hand for holdTimes brief
// waits of holdTime: see readiness.Call for the reason. After that it waits without.
const (
	holdTime  = 2 * time.Millisecond
	holdTimes = 10
)

// wait submits what is filled in and sleeps until there is work, without losing any
// noted meanwhile: the loop says that it sleeps before it looks for the last time.
func (l *loop) wait() error {
	timeout := l.patience()
	if l.coalesce.Waiting() {
		timeout = l.untilDue(timeout)
	}
	l.bell.Sleep()
	if l.hasWork() {
		timeout = 0
	}
	err := l.hold(timeout)
	l.bell.Awake()
	return err
}

// hold waits with the processor in hand, and then without.
func (l *loop) hold(timeout time.Duration) error {
	if timeout >= 0 && timeout <= holdTime {
		return l.ring.Wait(timeout, true)
	}
	for range holdTimes {
		if err := l.ring.Wait(holdTime, true); err != nil || l.ring.Ready() {
			return err
		}
	}
	return l.ring.Wait(timeout, false)
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
	if len(l.input) > 0 || l.member.Grew() && !l.stillWaits() || l.hasMail() || l.member.HasArrivals() {
		return true
	}
	return l.cutting.Load() && !l.cut || l.stopping.Load() && !l.listener.stopping
}
