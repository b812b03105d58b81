package readiness

import (
	"time"

	"chatbench/backends/internal/coalesce"
)

// What the room has said may wait for more, if Config.Coalesce says so: the log counts as
// grown meanwhile (Member.Grew), so that nobody rings at the loop for more of it. What is for one client alone,
// and the end of a session with all that was said before, never waits. Nor does the
// room's in mid-turn, or while another loop waits for this one.

// writeDue ends a turn: it writes to every client all that it is behind, unless that
// is to wait.
func (l *loop) writeDue() {
	if l.outputWaits() {
		l.read = 0
		l.member.Fed()
		l.flushMail()
		return
	}
	l.flush()
}

// outputWaits decides whether what the room has said is to wait.
func (l *loop) outputWaits() bool {
	if l.coalesce == nil || !l.member.Grew() {
		return false
	}
	at := l.moment()
	return !l.member.Behind(at.Said) && l.coalesce.Waits(l.woke, at)
}

// stillWaits says whether what the room has said waits, and may go on.
func (l *loop) stillWaits() bool {
	return l.coalesce.Waiting() && !l.member.Behind(l.cfg.Room.Said())
}

// moment is what the controller is told.
func (l *loop) moment() coalesce.Moment {
	return coalesce.Moment{Time: time.Now(), Idle: l.idle, Said: l.cfg.Room.Said()}
}

// readyWithin is how long a wait takes at most that finds something ready at once: it
// counts as work.
const readyWithin = 10 * time.Microsecond

// waitTimed is wait for a loop whose output may wait. It keeps for the controller when
// the turn began and for how long the loop slept.
func (l *loop) waitTimed() (int, error) {
	began, timeout := time.Now(), l.patience()
	if l.coalesce.Waiting() {
		timeout = l.untilDue(began, timeout)
	}
	n, err := l.sleep(timeout)
	l.woke = time.Now()
	if slept := l.woke.Sub(began); slept > readyWithin {
		l.idle += slept
	}
	return n, err
}

// untilDue is for how long the loop may sleep while output waits, where it otherwise would
// for timeout. With its processor in hand it does so briefly, and then looks again.
func (l *loop) untilDue(now time.Time, timeout time.Duration) time.Duration {
	left := max(l.coalesce.Left(now), 0)
	if l.holds {
		left = min(left, holdTime)
	}
	if timeout >= 0 {
		left = min(left, timeout)
	}
	return left
}
