package uring

import (
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/coalesce"
)

// With Config.Coalesce the output of the room may wait for more. Meanwhile Member.Grew stays true, so
// that further messages do not wake the loop. Output for one client alone never waits, and neither
// does a session that ends, with everything that was said before.

// startCoalescing sets up the controller. It is called on the loop's thread.
func (l *loop) startCoalescing() {
	if l.cfg.Coalesce != backends.CoalesceOff {
		l.clock = coalesce.ThreadClock(time.Now())
		l.coalesce = coalesce.New(l.cfg.Coalesce, l.moment())
	}
}

// flushUnlessWaiting ends a turn: it flushes, unless the output of the room waits.
func (l *loop) flushUnlessWaiting() {
	if l.coalesce == nil || !l.member.Grew() || l.behind() || !l.coalesce.Waits(l.turnBegan, l.moment()) {
		l.flush()
		return
	}
	l.read = 0
	l.member.EndFeeding()
	l.handleWakes()
}

// stillWaits says whether the output of the room waits, and may wait longer.
func (l *loop) stillWaits() bool { return l.coalesce.Waiting() && !l.behind() }

// moment is what the controller has to know.
func (l *loop) moment() coalesce.Moment {
	m := coalesce.Moment{Time: time.Now(), Said: l.cfg.Room.Said()}
	if l.cfg.Coalesce == backends.CoalesceAuto {
		m.Idle = l.clock.Idle(m.Time, 1)
	}
	return m
}

// untilDue is how long the loop may sleep while output waits, if otherwise it might sleep for
// timeout. It keeps its processor, so it sleeps briefly, and then checks again.
func (l *loop) untilDue(timeout time.Duration) time.Duration {
	left := min(max(l.coalesce.Left(time.Now()), 0), briefWait)
	if timeout >= 0 {
		left = min(left, timeout)
	}
	return left
}
