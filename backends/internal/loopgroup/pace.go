package loopgroup

import (
	"time"

	"chatbench/backends"
)

const (
	paceAfter   = backends.FlushAfter / 4 // octets said between two checks of the other loops
	paceRecheck = 10 * time.Millisecond   // after which a loop that waits checks again in any case
	paceTimeout = 100 * time.Millisecond  // the longest time that a loop waits
)

// Loop is the loop that calls Pace, for Pace to call back.
type Loop interface {
	HasOutput() bool // whether there is anything to flush
	Flush()          // writes to the loop's own clients
	Cutting() bool   // whether the loop has to end at once
}

// Behind says whether the loop has to write to clients, and more than backends.FlushAfter octets
// were said since it last began to. Any goroutine may call it.
func (m *Member) Behind(said uint64) bool {
	if !m.grew.Load() && !m.writing.Load() {
		return false // nothing is left to write
	}
	began := m.FlushedAt()
	return said > began && said-began > backends.FlushAfter
}

// Pace waits while another loop is behind. If the calling loop fed on, clients of the other loop
// would count as slow, though that loop has not written to them yet. A loop calls Pace after each
// step of input.
//
// While it waits it flushes to its own clients, so that loops cannot wait for each other for ever. It
// checks again when another loop begins or ends its writing, and when there is output for its
// own clients.
func (m *Member) Pace(l Loop) {
	if len(m.others) == 0 {
		return
	}
	said := m.room.Said()
	if said-m.pacedAt < paceAfter {
		return
	}
	m.pacedAt = said
	if !m.othersBehind() {
		return
	}
	m.EndFeeding()
	for _, o := range m.others { // a loop that is waited for must not sleep
		if o.Behind(said) {
			o.bell.Ring()
		}
	}
	for end := time.Now().Add(paceTimeout); m.othersBehind() && !l.Cutting(); {
		left := time.Until(end)
		switch {
		case left <= 0:
			m.paceTimeouts++
			return
		case l.HasOutput():
			l.Flush()
		default:
			m.pause(min(left, paceRecheck), func() bool { return !l.HasOutput() && m.othersBehind() })
		}
	}
}

func (m *Member) othersBehind() bool {
	said := m.room.Said()
	for _, o := range m.others {
		if o.Behind(said) {
			return true
		}
	}
	return false
}

// resumeOthers ends the pauses of the other loops, which may be waiting for this one.
func (m *Member) resumeOthers() {
	for _, o := range m.others {
		o.endPause()
	}
}

// pause sleeps until endPause, but no longer than atMost, and not at all unless idle returns
// true. It may end early.
func (m *Member) pause(atMost time.Duration, idle func() bool) {
	m.pausing.Store(true)
	if idle() {
		if m.timer == nil {
			m.timer = time.NewTimer(atMost)
		} else {
			m.timer.Reset(atMost)
		}
		select {
		case <-m.resume:
		case <-m.timer.C:
		}
		m.timer.Stop()
	}
	m.pausing.Store(false)
}

// endPause ends a pause of the loop, if there is one.
func (m *Member) endPause() {
	if m.pausing.Load() && m.pausing.CompareAndSwap(true, false) {
		select {
		case m.resume <- struct{}{}:
		default: // one is left from an earlier pause that ended by itself
		}
	}
}
