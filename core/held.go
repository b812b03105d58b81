package core

import (
	"maps"
	"time"

	"chatbench/core/wire"
)

// Input of a client waits in its session, in order and bounded, in three cases:
// its login is being decided; it has said more than flood control allows; or a
// private queue is full, its own or that of a client to which it sends frames. In a
// room on several servers there are two more: what was said waits for the stream, and
// a frame for a client of another server waits for its answer.
//
// A session whose input waits is Held. When it may go on, mayResume is set and its
// transport is woken. The next call of Next then processes a step of that input. After
// Leave, a Tick does that.

// holdReason is why the input of a session waits.
type holdReason uint8

const (
	notHeld       holdReason = iota
	heldForLogin             // the answer of the Authenticator
	heldForTurn              // the next call of Next: one step was processed, and more waits
	heldForFlood             // the allowance of flood control
	heldForQueue             // a private queue that is full: of an addressee, or its own
	heldForTick              // the next Tick: input that had waited has said much since the last one
	heldForStream            // the stream has to deliver some of what clients of this server have said
	heldForAnswer            // the answer of a Forward
)

// Flood is the allowance of each client: Rate frames a second, Burst of them at
// once. A frame said to the room counts as one, and each of its octets as 1/256 more,
// because it goes to everybody. A private frame that asks for an answer (LsReq,
// DnReq) counts as a quarter, any other one as 1/64, so that a client that answers
// many requests need not wait; each octet counts as 1/1024 more. The zero Flood
// allows everything.
type Flood struct {
	Rate  float64 // frames a second
	Burst int     // frames
}

// The cost of frames and their octets; 1024 is one frame of the allowance.
const (
	frameCost        = 1024
	saidOctetCost    = frameCost / 256
	requestCost      = frameCost / 4
	privateCost      = frameCost / 64
	privateOctetCost = frameCost / 1024
)

// privateCostOf is the cost of a File frame that becomes so many octets of output.
func privateCostOf(c wire.Command, octets int) int {
	if c == wire.LsReq || c == wire.DnReq {
		return requestCost + privateOctetCost*octets
	}
	return privateCost + privateOctetCost*octets
}

// resumeStep is how many octets of waiting input are processed at once.
const resumeStep = 4 << 10

// maxResumed is how many octets waiting input may say between two Ticks. A transport
// paces the input that it reads, but not this, and many sessions may resume at once.
// With an eighth of LagMax, a client that reads does not come near LagMax.
func (cfg Config) maxResumed() int64 { return int64(cfg.LagMax / 8) }

// heldInputLimit is how many octets may wait once the client is logged in. If the
// transport stops reading clients that are Held, it is never reached.
func (cfg Config) heldInputLimit() int { return max(128<<10, 4*cfg.MaxFrame) }

// queueLimit is how many octets of private frames may wait for a session before
// those who send it more have to wait.
func (cfg Config) queueLimit() int { return max(cfg.LagLimit/4, 1) }

// Held says that input of the client waits, and that the transport should read no
// more of it for now. When that may have changed the session is woken: check it again
// after Next. A transport that cannot stop reading continues to call Feed. When more
// than 128 KiB wait, or four frames of MaxFrame if that is more, the session ends with
// ReasonFlood.
//
// Held is false while a login is being decided: less input may wait then, see Feed, and
// the transport has to notice the client's FIN.
func (s *Session) Held() bool { return s.held.Load() }

// keepInput appends input to the waiting input, or ends the session if too much waits.
func (s *Session) keepInput(in []byte) {
	if len(in) == 0 || s.closing.Load() != 0 || s.left {
		return // there is none, or it would never be processed
	}
	most, why := s.room.cfg.heldInputLimit(), ReasonFlood
	if s.in.heldFor == heldForLogin {
		most, why = s.room.cfg.loginInputLimit(), ReasonImpatient
	}
	if len(s.in.waiting)+len(in) > most {
		s.room.violation(s, why)
		s.in.waiting = nil
		return
	}
	s.in.waiting = append(s.in.waiting, in...)
}

// holdInput makes the input of a session wait. in is not processed yet, and goes before
// the input that waits already.
func (s *Session) holdInput(why holdReason, in ...[]byte) {
	waiting := s.in.waiting
	s.in.heldFor, s.in.waiting = why, nil
	for _, part := range append(in, waiting) {
		s.in.waiting = append(s.in.waiting, part...)
	}
	s.held.Store(true)
}

// allowed says whether the client may send a frame now; if not, its input waits.
// The rule is GCRA (ITU-T I.371): each frame moves the time at which the allowance
// is full again, and a frame is allowed while that is less than Burst away.
func (s *Session) allowed(rest []byte) bool {
	r := s.room
	if r.cfg.Flood.Rate <= 0 || !s.in.granted || len(rest) == 0 || r.allowedAt(s) <= r.clock.Load() {
		return true
	}
	s.holdInput(heldForFlood, rest)
	r.mu.Lock()
	r.stats.FloodWaits++
	r.flooding = append(r.flooding, s)
	r.unlock()
	return false
}

// spend subtracts the cost of a frame from the client's allowance.
func (s *Session) spend(cost int) {
	if flood := s.room.cfg.Flood; flood.Rate > 0 {
		seconds := float64(cost) / frameCost / flood.Rate
		s.in.fullAt.Store(max(s.in.fullAt.Load(), s.room.clock.Load()) + int64(seconds*float64(time.Second)))
	}
}

// allowedAt is when a client may send a frame again, by Room.clock. No frame of
// the client may be in process.
func (r *Room) allowedAt(s *Session) int64 {
	flood := r.cfg.Flood
	refill := min(float64(flood.Burst)/flood.Rate*float64(time.Second), 1<<62) // time from empty to full
	return s.in.fullAt.Load() - int64(refill) + 1
}

// saveAllowance keeps the allowance of a client that leaves for its next session, so
// that a client cannot say more by logging in again. Entries that have expired are
// deleted when there are twice as many entries as after the last time.
func (r *Room) saveAllowance(s *Session) {
	now, at := r.clock.Load(), s.in.fullAt.Load()
	if at <= now {
		return
	}
	if len(r.spent) >= r.maxSpent {
		maps.DeleteFunc(r.spent, func(_ string, at int64) bool { return at <= now })
		r.maxSpent = max(64, 2*len(r.spent))
	}
	r.spent[s.folded] = at
}

// restoreAllowance gives a client that logs in the allowance that it had when it left.
func (r *Room) restoreAllowance(s *Session) {
	s.in.fullAt.Store(r.spent[s.folded])
	delete(r.spent, s.folded)
}

// waitFor makes s wait until enough private frames are written to the client to. It
// returns false if that has happened meanwhile. The room's lock is held.
func (r *Room) waitFor(s, to *Session) bool {
	if !r.staysFull(to) {
		return false
	}
	to.waiters = append(to.waiters, s)
	r.stats.QueueWaits++
	return true
}

// staysFull notes that others wait until enough private frames are written to the client
// to. It returns false if that has happened meanwhile. The room's lock is held.
func (r *Room) staysFull(to *Session) bool {
	to.hasWaiters.Store(true) // before its queue is read: its writer does both in the other order
	if !r.full(to) {
		if len(to.waiters) == 0 {
			to.hasWaiters.Store(false)
		}
		return false
	}
	return true
}

// full says whether clients that send private frames to a session have to wait.
func (r *Room) full(to *Session) bool { return to.queued() >= r.cfg.queueLimit() }

// mayReleaseWaiters resumes the sessions that wait for this one, once half of its
// queue is written. The writer calls it.
func (s *Session) mayReleaseWaiters() {
	r := s.room
	if !s.hasWaiters.Load() || s.queued() > r.cfg.queueLimit()/2 {
		return
	}
	r.mu.Lock()
	r.releaseWaiters(s)
	r.unlock()
}

// releaseWaiters resumes the sessions that wait for a session. The room's lock is held.
func (r *Room) releaseWaiters(s *Session) {
	for _, w := range s.waiters {
		r.letResume(w)
	}
	s.waiters = nil
	s.hasWaiters.Store(false)
}

// letResume lets the waiting input of a session be processed: by its writer, which is
// woken, or by the next Tick if the session has left. The room's lock is held.
func (r *Room) letResume(s *Session) {
	s.mayResume.Store(true)
	if s.closing.Load() == 0 && !s.left {
		r.wake(s)
	}
}

// releaseFlooding resumes the sessions whose allowance suffices again.
func (r *Room) releaseFlooding() {
	now, kept := r.clock.Load(), r.flooding[:0]
	for _, s := range r.flooding {
		switch {
		case s.closing.Load() != 0:
		case r.allowedAt(s) > now:
			kept = append(kept, s)
		default:
			r.letResume(s)
		}
	}
	clear(r.flooding[len(kept):])
	r.flooding = kept
}

// releaseDeferred resumes the sessions whose input waits for a Tick.
func (r *Room) releaseDeferred() {
	r.resumed.Store(0)
	for _, s := range r.deferred {
		r.letResume(s)
	}
	clear(r.deferred)
	r.deferred = r.deferred[:0]
}

// resume processes a step of the waiting input, if it may go on. The caller is the
// session's writer or, after Leave, a Tick.
func (s *Session) resume() {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if !s.mayResume.Swap(false) || s.in.heldFor == heldForLogin {
		return
	}
	r := s.room
	if r.resumed.Load() >= r.cfg.maxResumed() {
		s.in.heldFor = heldForTick
		r.mu.Lock()
		r.deferred = append(r.deferred, s)
		r.unlock()
		return
	}
	waiting := s.in.waiting
	n := min(len(waiting), resumeStep)
	s.in.heldFor, s.in.waiting = notHeld, waiting[n:]
	before := r.Said()
	s.feed(waiting[:n])
	r.resumed.Add(int64(r.Said() - before)) // includes the little that others said meanwhile
	switch {
	case s.closing.Load() != 0:
		s.in.waiting = nil
	case s.in.heldFor != notHeld:
		return
	case len(s.in.waiting) > 0:
		s.in.heldFor = heldForTurn
		r.resumeLater(s)
		return
	default:
		s.in.waiting = nil
	}
	s.held.Store(false)
	s.endLeaving()
}

// resumeLater lets the next step of a session's input be processed after its transport
// has served other clients.
func (r *Room) resumeLater(s *Session) {
	r.mu.Lock()
	r.letResume(s)
	r.unlock()
}

// endLeaving ends a session that has left, if all its input is processed. Otherwise
// Ticks continue with that. in.mu is held.
func (s *Session) endLeaving() {
	if !s.leaving {
		return
	}
	r := s.room
	r.mu.Lock()
	if s.in.heldFor == notHeld {
		r.end(s, ReasonEOF, nil)
	} else {
		r.resumeByTicks(s)
	}
	r.unlock()
}

// resumeByTicks lets Ticks process the input of a session that has left, for at most
// Config.Farewell. The room's lock is held.
func (r *Room) resumeByTicks(s *Session) {
	s.deadline = r.in(r.cfg.Farewell)
	r.leaving = append(r.leaving, s)
}

// resumeLeaving processes a step of the input of each session that has left and may go
// on. It ends those whose time is over.
func (r *Room) resumeLeaving() {
	var ready []*Session
	r.mu.Lock()
	kept := r.leaving[:0]
	for _, s := range r.leaving {
		switch {
		case s.closing.Load() != 0:
			continue
		case r.late(s):
			r.end(s, ReasonFlood, nil)
			continue
		case s.mayResume.Load():
			ready = append(ready, s)
		}
		kept = append(kept, s)
	}
	clear(r.leaving[len(kept):])
	r.leaving = kept
	r.unlock()
	for _, s := range ready {
		s.resume()
	}
}

// rawFile is a File frame as its client sent it.
func rawFile(f wire.Frame) []byte {
	return wire.AppendFile(nil, f.Command, "", f.Body)
}
