package readiness

import (
	"time"

	"chatbench/backends/internal/coalesce"
)

// With Config.Coalesce the output of the room may wait for more. Meanwhile Member.Grew stays true, so
// that further messages do not wake the loop. Output for one client alone never waits, and neither
// does a session that ends, with everything that was said before. The room's output does not wait in
// a flush in mid-turn, or while another loop waits for this one.

// flushUnlessWaiting ends a turn: it flushes, unless the output of the room waits.
func (l *loop) flushUnlessWaiting() {
	if l.outputWaits() {
		l.read = 0
		l.member.EndFeeding()
		l.handleWakes()
		return
	}
	l.flush()
}

// outputWaits decides whether the output of the room waits.
func (l *loop) outputWaits() bool {
	if l.coalesce == nil || !l.member.Grew() {
		return false
	}
	at := l.moment()
	return !l.member.Behind(at.Said) && l.coalesce.Waits(l.turnBegan, at)
}

// stillWaits says whether the output of the room waits, and may wait longer.
func (l *loop) stillWaits() bool {
	return l.coalesce.Waiting() && !l.member.Behind(l.cfg.Room.Said())
}

// moment is what the controller has to know.
func (l *loop) moment() coalesce.Moment {
	return coalesce.Moment{Time: time.Now(), Idle: l.idle, Said: l.cfg.Room.Said()}
}

// readyWithin is the longest time of a wait that finds something ready at once. Such a wait counts
// as work.
const readyWithin = 10 * time.Microsecond

// waitTimed is wait for a loop whose output may wait. It notes for the controller when the turn
// begins and how long the loop slept.
func (l *loop) waitTimed() (int, error) {
	began, timeout := time.Now(), l.maxSleep()
	if l.coalesce.Waiting() {
		timeout = l.untilDue(began, timeout)
	}
	n, err := l.sleep(timeout)
	l.turnBegan = time.Now()
	if slept := l.turnBegan.Sub(began); slept > readyWithin {
		l.idle += slept
	}
	return n, err
}

// untilDue is how long the loop may sleep while output waits, if otherwise it might sleep for
// timeout. A loop that keeps its processor sleeps briefly, and then checks again.
func (l *loop) untilDue(now time.Time, timeout time.Duration) time.Duration {
	left := max(l.coalesce.Left(now), 0)
	if l.keepsProcessor {
		left = min(left, briefWait)
	}
	if timeout >= 0 {
		left = min(left, timeout)
	}
	return left
}
