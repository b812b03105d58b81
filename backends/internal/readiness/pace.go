package readiness

import (
	"time"

	"chatbench/backends"
)

const (
	paceAfter = backends.FlushAfter / 4 // said between two looks at the other loops
	paceWait  = 10 * time.Millisecond   // before a loop that waits looks again, whatever happens
	paceMost  = 100 * time.Millisecond  // that a loop waits in all
)

// catchUp is called after each step of input. It writes to the clients if much
// has been said since the loop last did, and lets other loops do the same.
func (l *loop) catchUp() {
	if l.read > turnOctets || l.behind(l.cfg.Room.Said()) {
		l.flush()
	}
	if len(l.others) > 0 {
		l.pace()
	}
}

// behind says whether the loop has clients to write to, and much was said since
// it last began to. Any goroutine may ask.
func (l *loop) behind(said uint64) bool {
	if !l.roomGrew.Load() && !l.writing.Load() {
		return false // whatever was said, nobody is waiting for it here
	}
	flushed := l.flushed.Load()
	return said > flushed && said-flushed > backends.FlushAfter
}

// pace waits while another loop is behind: a loop that read on would make
// clients seem slow whose own loop has not come round to them.
//
// It writes to its own clients meanwhile, so that loops that wait for one
// another all come round. It is woken when another loop begins or ends a
// flush, and when there is something for its own clients.
func (l *loop) pace() {
	said := l.cfg.Room.Said()
	if said-l.paced < paceAfter {
		return
	}
	l.paced = said
	if !l.othersBehind() {
		return
	}
	for end := time.Now().Add(paceMost); l.othersBehind() && !l.cutting.Load(); {
		left := time.Until(end)
		switch {
		case left <= 0:
			l.givenUp++
			return
		case l.hasOutput():
			l.flush()
		default:
			l.hurryOthers()
			l.bell.pause(min(left, paceWait), func() bool { return !l.hasOutput() && l.othersBehind() })
		}
	}
}

func (l *loop) othersBehind() bool {
	said := l.cfg.Room.Said()
	for _, o := range l.others {
		if o.behind(said) {
			return true
		}
	}
	return false
}

// tellOthers wakes the loops that pause: they may have waited for this one.
func (l *loop) tellOthers() {
	for _, o := range l.others {
		o.bell.endPause()
	}
}
