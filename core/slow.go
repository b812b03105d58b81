package core

import (
	"math"
	"time"
)

// A client is slow when, for LagTime without a break, the kernel refuses octets
// for it and it is over a limit: it is owed more than LagLimit, or others wait to
// send it private frames. So what others said in an instant never ends anybody who
// reads. LagMax protects memory: no more of the log than that is kept for anybody,
// slow or not.

// owed is how many octets a session has to be given, of the log and of its own.
func (r *Room) owed(s *Session) int { return r.behind(s) + s.queued() }

// behind is how many octets of the log are kept for a session.
func (r *Room) behind(s *Session) int {
	end, position := r.log.end.Load(), s.position.Load()
	if position >= end {
		return 0
	}
	return int(min(end-position, math.MaxInt32))
}

// over says whether a session is over the limit: that must not last for LagTime.
func (r *Room) over(s *Session) bool {
	return s.hasWaiters.Load() || r.owed(s) > r.cfg.LagLimit
}

// queued is how many octets of its own a session has to be given.
func (s *Session) queued() int { return int(s.private.Load()) }

// tookAll notes whether the client took all it was offered. If not, the Ticks that
// follow look at it. The writer calls it.
func (s *Session) tookAll(all bool) {
	r := s.room
	if s.overSince.Load() != 0 && !r.over(s) {
		s.overSince.Store(0)
	}
	if s.refused.Load() == !all {
		return
	}
	s.refused.Store(!all)
	if all || s.listed.Load() { // in this order: the room looks at them in the other
		return
	}
	r.mu.Lock()
	if !s.listed.Load() && !s.left {
		s.listed.Store(true)
		r.refusing = append(r.refusing, s)
	}
	r.unlock()
}

// checkRefusing looks at the clients that took less than they were offered. It ends
// those that were over the limit for too long, and takes those off the list that
// take all again. The room's lock is held.
func (r *Room) checkRefusing() {
	kept := r.refusing[:0]
	for _, s := range r.refusing {
		ended := s.left || s.silent
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
		r.giveUp(s)
	}
}

// giveUp ends a slow session. One that is closing already is given nothing more.
func (r *Room) giveUp(s *Session) {
	if s.closing.Load() == 0 {
		r.end(s, ReasonSlow, nil)
		return
	}
	r.silence(s)
	r.wake(s)
}

// endFarthest sees to it, as the log grows, that nobody keeps more of it than
// LagMax. It looks at everybody only if some chunk is kept that begins so far back.
func (r *Room) endFarthest() {
	r.log.reclaim()
	if r.looking || r.log.end.Load()-r.log.first.base <= uint64(r.cfg.LagMax) {
		return
	}
	r.looking = true // whoever is ended is announced, and so makes the log grow
	for _, list := range []*sessionList{&r.granted, &r.ending} {
		for s := list.first; s != nil; {
			next := s.next
			if r.behind(s) > r.cfg.LagMax {
				r.giveUp(s)
			}
			s = next
		}
	}
	r.looking = false
}

// endLate ends logins that took too long, and gives up the closing sessions that
// take too long over their last words.
func (r *Room) endLate() {
	for s := r.prefacing.first; s != nil && r.late(s); s = r.prefacing.first {
		r.violate(s, ReasonPreface)
	}
	for s := r.pending.first; s != nil && r.late(s); s = r.pending.first {
		r.deny(s, ReasonLoginTimeout, "no login in time")
	}
	for s := r.ending.first; s != nil && r.late(s); s = r.ending.first {
		r.silence(s)
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
