package uring

import (
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/coalesce"
)

// What the room has said may wait for more, if Config.Coalesce says so: the log counts as
// grown meanwhile (Member.Grew), so that nobody rings at the loop for more of it. What is for one client alone,
// and the end of a session with all that was said before, never waits.

// startCoalescing is for the loop's thread.
func (l *loop) startCoalescing() {
	if l.cfg.Coalesce != backends.CoalesceOff {
		l.clock = coalesce.ThreadClock(time.Now())
		l.coalesce = coalesce.New(l.cfg.Coalesce, l.moment())
	}
}

// writeDue ends a turn: it writes to every client all that it is behind, unless that
// is to wait.
func (l *loop) writeDue() {
	if l.coalesce == nil || !l.member.Grew() || l.behind() || !l.coalesce.Waits(l.woke, l.moment()) {
		l.flush()
		return
	}
	l.read = 0
	l.member.Fed()
	l.flushMail()
}

// stillWaits says whether what the room has said waits, and may go on.
func (l *loop) stillWaits() bool { return l.coalesce.Waiting() && !l.behind() }

// moment is what the controller is told.
func (l *loop) moment() coalesce.Moment {
	m := coalesce.Moment{Time: time.Now(), Said: l.cfg.Room.Said()}
	if l.cfg.Coalesce == backends.CoalesceAuto {
		m.Idle = l.clock.Idle(m.Time, 1)
	}
	return m
}

// untilDue is for how long the loop may sleep while output waits, where it otherwise would
// for timeout. It keeps its processor meanwhile, and so looks again soon.
func (l *loop) untilDue(timeout time.Duration) time.Duration {
	left := min(max(l.coalesce.Left(time.Now()), 0), holdTime)
	if timeout >= 0 {
		left = min(left, timeout)
	}
	return left
}
