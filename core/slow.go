package core

import (
	"math"
	"time"
)

// A client is slow if, for LagTime without a break, the kernel takes less than it is
// offered for it, and more than LagLimit waits to be written to it, or others wait to
// send it private frames. So a client that reads is never ended because others said
// much in an instant. LagMax protects memory: no more of the log than that is kept for
// any client, slow or not.

// owed is how many octets wait to be written to a session, of the log and its own.
func (r *Room) owed(s *Session) int { return r.behind(s) + s.queued() }

// behind is how many octets of the log are kept for a session.
func (r *Room) behind(s *Session) int {
	end, position := r.log.end.Load(), s.position.Load()
	if position >= end {
		return 0
	}
	return int(min(end-position, math.MaxInt32))
}

// over says whether a session is over the limit, which must not last for LagTime.
func (r *Room) over(s *Session) bool {
	return s.hasWaiters.Load() || r.owed(s) > r.cfg.LagLimit
}

// queued is how many octets of private frames wait to be written to a session.
func (s *Session) queued() int { return int(s.private.Load()) }

// tookAll notes whether the client took all it was offered. If not, the following
// Ticks check it. The writer calls it.
func (s *Session) tookAll(all bool) {
	r := s.room
	if s.overSince.Load() != 0 && !r.over(s) {
		s.overSince.Store(0)
	}
	if s.refused.Load() == !all {
		return
	}
	s.refused.Store(!all)
	if all || s.listed.Load() { // refused is set before listed is read: checkRefusing does the reverse
		return
	}
	r.mu.Lock()
	if !s.listed.Load() && !s.left {
		s.listed.Store(true)
		r.refusing = append(r.refusing, s)
	}
	r.unlock()
}

// checkRefusing checks the clients that took less than they were offered. It ends
// those that were over the limit for too long, and removes those from the list that
// take all again. The room's lock is held.
func (r *Room) checkRefusing() {
	kept := r.refusing[:0]
	for _, s := range r.refusing {
		ended := s.left || s.discarded
		if !ended && s.refused.Load() {
			r.endIfSlow(s)
			kept = append(kept, s)
			continue
		}
		s.overSince.Store(0)
		s.listed.Store(false)
		if !ended && s.refused.Load() && !s.listed.Swap(true) {
			kept = append(kept, s) // it has refused again meanwhile
		}
	}
	clear(r.refusing[len(kept):])
	r.refusing = kept
}

// endIfSlow ends a session that was over the limit for LagTime.
func (r *Room) endIfSlow(s *Session) {
	since := s.overSince.Load()
	switch {
	case !r.over(s):
		s.overSince.Store(0)
	case since == 0:
		s.overSince.Store(r.lagClock)
	case r.lagClock-since >= int64(r.cfg.LagTime):
		r.endSlowSession(s)
	}
}

// endSlowSession ends a slow session. If it is closing already, its output is discarded.
func (r *Room) endSlowSession(s *Session) {
	if s.closing.Load() == 0 {
		r.end(s, ReasonSlow, nil)
		return
	}
	r.discardOutput(s)
	r.wake(s)
}

// enforceLagMax ends the sessions for which more of the log than LagMax would have to be
// kept. It looks at the sessions only if the log has a chunk that begins so far back.
func (r *Room) enforceLagMax() {
	r.log.reclaim()
	if r.checkingLag || r.log.end.Load()-r.log.first.base <= uint64(r.cfg.LagMax) {
		return
	}
	r.checkingLag = true // ending a session announces that, and so makes the log grow
	for _, list := range []*sessionList{&r.granted, &r.ending} {
		for s := list.first; s != nil; {
			next := s.next
			if r.behind(s) > r.cfg.LagMax {
				r.endSlowSession(s)
			}
			s = next
		}
	}
	r.checkingLag = false
}

// endLate ends logins that took too long, and discards the output of closing sessions
// that take too long.
func (r *Room) endLate() {
	for s := r.prefacing.first; s != nil && r.late(s); s = r.prefacing.first {
		r.violate(s, ReasonPreface)
	}
	for s := r.pending.first; s != nil && r.late(s); s = r.pending.first {
		r.deny(s, ReasonLoginTimeout, "no login in time")
	}
	for s := r.ending.first; s != nil && r.late(s); s = r.ending.first {
		r.discardOutput(s)
		r.wake(s)
	}
}

// Defaults of Config.
const (
	defaultLagLimit = 256 << 10
	defaultLagTime  = 2 * time.Second
	lagMaxPerLimit  = 64      // LagMax is so many times LagLimit,
	leastLagMax     = 4 << 20 // and not less than this
)
