package loopgroup

import (
	"time"

	"chatbench/backends"
)

const (
	paceAfter = backends.FlushAfter / 4 // said between two looks at the other loops
	paceWait  = 10 * time.Millisecond   // before a loop that waits looks again, whatever happens
	paceMost  = 100 * time.Millisecond  // that a loop waits in all
)

// Loop is a loop that waits for others. Pace calls it.
type Loop interface {
	HasOutput() bool // is there anything to flush
	Flush()          // write to the loop's own clients
	Cutting() bool   // is the loop to end at once
}

// Behind says whether the loop has clients to write to, and much was said since it
// last began to. Any goroutine may ask.
func (m *Member) Behind(said uint64) bool {
	if !m.grew.Load() && !m.writing.Load() {
		return false // whatever was said, nobody is waiting for it here
	}
	began := m.Began()
	return said > began && said-began > backends.FlushAfter
}

// Pace waits while another loop is behind: a loop that fed on would make clients seem
// slow whose own loop has not come round to them. A loop calls it after each step of input.
//
// Meanwhile it writes to its own clients, so that loops that wait for one another all
// come round. It looks again when another loop begins or ends its writing, and when there
// is something for its own clients.
func (m *Member) Pace(l Loop) {
	if len(m.others) == 0 {
		return
	}
	said := m.room.Said()
	if said-m.paced < paceAfter {
		return
	}
	m.paced = said
	if !m.othersBehind() {
		return
	}
	m.Fed()
	for _, o := range m.others { // those that are waited for must not sleep
		if o.Behind(said) {
			o.bell.Ring()
		}
	}
	for end := time.Now().Add(paceMost); m.othersBehind() && !l.Cutting(); {
		left := time.Until(end)
		switch {
		case left <= 0:
			m.givenUp++
			return
		case l.HasOutput():
			l.Flush()
		default:
			m.pause(min(left, paceWait), func() bool { return !l.HasOutput() && m.othersBehind() })
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

// tellOthers ends the pauses of the others: they may have waited for this loop.
func (m *Member) tellOthers() {
	for _, o := range m.others {
		o.endPause()
	}
}

// pause sleeps until it is ended or for so long, and not at all unless idle says that
// there is nothing to do. It may end early.
func (m *Member) pause(most time.Duration, idle func() bool) {
	m.pausing.Store(true)
	if idle() {
		if m.timer == nil {
			m.timer = time.NewTimer(most)
		} else {
			m.timer.Reset(most)
		}
		select {
		case <-m.note:
		case <-m.timer.C:
		}
		m.timer.Stop()
	}
	m.pausing.Store(false)
}

// endPause ends a pause of the loop.
func (m *Member) endPause() {
	if m.pausing.Load() && m.pausing.CompareAndSwap(true, false) {
		select {
		case m.note <- struct{}{}:
		default: // that of an earlier pause, which had ended by itself
		}
	}
}
