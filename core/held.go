package core

import (
	"maps"
	"time"

	"chatbench/core/wire"
)

// Input of a client waits in its session, in order and bounded, in three cases:
// its login is being decided; it has said more than flood control allows; or the
// private queue of somebody it sends frames to is full, its own included. In a room on
// several servers there are two more: what is said here waits for the stream, and a
// frame for a client of another server waits for its answer.
//
// A session that waits is Held. When it may go on, mayResume is set and its
// transport is woken, whose next call of Next works through a step of what waits.
// If the transport has let go of the session, a Tick does that.

// hold is why the input of a session waits.
type hold uint8

const (
	notHeld   hold = iota
	forLogin       // the answer of the Authenticator
	forTurn        // the transport's next call of Next: a step was worked through, and more waits
	forFlood       // the allowance of flood control
	forQueue       // the private queue of an addressee, or its own, that is full
	forTick        // the next Tick: input that had waited has said much since the last
	forStream      // the stream, to deliver some of what clients of this server have said
	forAnswer      // what comes of a Forward
)

// Flood is the allowance of each client: Rate frames a second, Burst of them at
// once. What is said to the room counts as one frame, and each octet of it as 1/256
// more, for it goes to everybody. A private frame that asks for an answer (LsReq,
// DnReq) counts as a quarter, any other as 1/64, so that many have to ask before
// the one that answers has to wait; each octet counts as 1/1024 more. The zero
// Flood allows everything.
type Flood struct {
	Rate  float64 // frames a second
	Burst int     // frames
}

// What frames and their octets cost, in parts of an allowance of 1024 a frame.
const (
	frameCost        = 1024
	saidOctetCost    = frameCost / 256
	requestCost      = frameCost / 4
	privateCost      = frameCost / 64
	privateOctetCost = frameCost / 1024
)

// privatePrice is what a File frame costs of which the room makes so many octets.
func privatePrice(c wire.Command, octets int) int {
	if c == wire.LsReq || c == wire.DnReq {
		return requestCost + privateOctetCost*octets
	}
	return privateCost + privateOctetCost*octets
}

// resumeStep is how much of what waited is worked through at once, in octets.
const resumeStep = 4 << 10

// resumedMost is how many octets input that had waited may say between two Ticks.
// A transport paces what it reads, but not this: many sessions may be let go on at
// once. At an eighth of LagMax nobody who reads comes near to it.
func (cfg Config) resumedMost() int64 { return int64(cfg.LagMax / 8) }

// heldInputLimit is how many octets may wait once the client is logged in. A
// transport that stops reading a client that is Held stays below it.
func (cfg Config) heldInputLimit() int { return max(128<<10, 4*cfg.MaxFrame) }

// queueLimit is how many octets of private frames may wait for a session before
// those who send it more have to wait.
func (cfg Config) queueLimit() int { return max(cfg.LagLimit/4, 1) }

// Held says that input of the client waits, and that the transport should read no
// more of it for now. The session is woken when that may have changed: ask again
// after Next. A transport that cannot stop reading goes on feeding. When more than
// 128 KiB wait, or four frames of MaxFrame if that is more, the session ends with
// ReasonFlood.
//
// It is false while a login is being decided: what little waits then has a bound
// of its own, and the client's FIN is to be noticed. See Feed.
func (s *Session) Held() bool { return s.held.Load() }

// keepInput adds input to what waits, or ends a session of which too much waits.
func (s *Session) keepInput(in []byte) {
	if len(in) == 0 || s.closing.Load() != 0 || s.left {
		return // there is none, or it is never worked through
	}
	most, why := s.room.cfg.heldInputLimit(), ReasonFlood
	if s.in.hold == forLogin {
		most, why = s.room.cfg.loginInputLimit(), ReasonImpatient
	}
	if len(s.in.waiting)+len(in) > most {
		s.room.violation(s, why)
		s.in.waiting = nil
		return
	}
	s.in.waiting = append(s.in.waiting, in...)
}

// holdInput has a session wait. in is not worked through yet, and goes in front of
// what waits already.
func (s *Session) holdInput(why hold, in ...[]byte) {
	waiting := s.in.waiting
	s.in.hold, s.in.waiting = why, nil
	for _, part := range append(in, waiting) {
		s.in.waiting = append(s.in.waiting, part...)
	}
	s.held.Store(true)
}

// allowed says whether the client may send a frame now; if not, its session waits.
// The rule is GCRA (ITU-T I.371): each frame moves the time at which the allowance
// is full again, and a frame is allowed while that is less than Burst away.
func (s *Session) allowed(rest []byte) bool {
	r := s.room
	if r.cfg.Flood.Rate <= 0 || !s.in.granted || len(rest) == 0 || r.allowedAt(s) <= r.clock.Load() {
		return true
	}
	s.holdInput(forFlood, rest)
	r.mu.Lock()
	r.stats.FloodWaits++
	r.flooding = append(r.flooding, s)
	r.unlock()
	return false
}

// spend takes the price of a frame off the client's allowance.
func (s *Session) spend(parts int) {
	if flood := s.room.cfg.Flood; flood.Rate > 0 {
		price := float64(parts) / frameCost / flood.Rate
		s.in.fullAt.Store(max(s.in.fullAt.Load(), s.room.clock.Load()) + int64(price*float64(time.Second)))
	}
}

// allowedAt is when a client may send a frame again, by Room.clock. No frame of
// the client is being worked through.
func (r *Room) allowedAt(s *Session) int64 {
	flood := r.cfg.Flood
	full := min(float64(flood.Burst)/flood.Rate*float64(time.Second), 1<<62) // from nothing to all of it
	return s.in.fullAt.Load() - int64(full) + 1
}

// remember keeps what a client has spent of its allowance for its next session:
// logging in again is no way to say more. What is over is forgotten when there is
// twice as much as the last time.
func (r *Room) remember(s *Session) {
	now, at := r.clock.Load(), s.in.fullAt.Load()
	if at <= now {
		return
	}
	if len(r.spent) >= r.spentMost {
		maps.DeleteFunc(r.spent, func(_ string, at int64) bool { return at <= now })
		r.spentMost = max(64, 2*len(r.spent))
	}
	r.spent[s.folded] = at
}

// recall gives a client that logs in the allowance that it had left.
func (r *Room) recall(s *Session) {
	s.in.fullAt.Store(r.spent[s.folded])
	delete(r.spent, s.folded)
}

// waitFor lists s as one that waits until to has taken enough of its private
// frames. It is false if to has done so meanwhile. The room's lock is held.
func (r *Room) waitFor(s, to *Session) bool {
	if !r.staysFull(to) {
		return false
	}
	to.waiters = append(to.waiters, s)
	r.stats.QueueWaits++
	return true
}

// staysFull notes that others wait until to has taken enough of its private frames. It
// is false if to has done so meanwhile. The room's lock is held.
func (r *Room) staysFull(to *Session) bool {
	to.hasWaiters.Store(true) // before its queue is looked at: its writer looks in the other order
	if !r.full(to) {
		if len(to.waiters) == 0 {
			to.hasWaiters.Store(false)
		}
		return false
	}
	return true
}

// full says whether those who send to a session have to wait.
func (r *Room) full(to *Session) bool { return to.queued() >= r.cfg.queueLimit() }

// mayReleaseWaiters releases those who wait for a session, once half of its queue
// is taken. The writer calls it.
func (s *Session) mayReleaseWaiters() {
	r := s.room
	if !s.hasWaiters.Load() || s.queued() > r.cfg.queueLimit()/2 {
		return
	}
	r.mu.Lock()
	r.releaseWaiters(s)
	r.unlock()
}

// releaseWaiters lets those go on who wait for a session. The room's lock is held.
func (r *Room) releaseWaiters(s *Session) {
	for _, w := range s.waiters {
		r.letResume(w)
	}
	s.waiters = nil
	s.hasWaiters.Store(false)
}

// letResume has the waiting input of a session worked through: by its writer, who
// is woken, or by the next Tick if the session has left. The room's lock is held.
func (r *Room) letResume(s *Session) {
	s.mayResume.Store(true)
	if s.closing.Load() == 0 && !s.left {
		r.wake(s)
	}
}

// releaseFlooding lets those go on whose allowance has come back.
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

// releaseDeferred lets those go on whose input waits for a Tick.
func (r *Room) releaseDeferred() {
	r.resumed.Store(0)
	for _, s := range r.deferred {
		r.letResume(s)
	}
	clear(r.deferred)
	r.deferred = r.deferred[:0]
}

// resume works through a step of the input that waited, if it may go on. The
// caller is the session's writer or, when that has left, a Tick.
func (s *Session) resume() {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if !s.mayResume.Swap(false) || s.in.hold == forLogin {
		return
	}
	r := s.room
	if r.resumed.Load() >= r.cfg.resumedMost() {
		s.in.hold = forTick
		r.mu.Lock()
		r.deferred = append(r.deferred, s)
		r.unlock()
		return
	}
	waiting := s.in.waiting
	n := min(len(waiting), resumeStep)
	s.in.hold, s.in.waiting = notHeld, waiting[n:]
	before := r.Said()
	s.feed(waiting[:n])
	r.resumed.Add(int64(r.Said() - before)) // and what others said meanwhile, which is little
	switch {
	case s.closing.Load() != 0:
		s.in.waiting = nil
	case s.in.hold != notHeld:
		return
	case len(s.in.waiting) > 0:
		s.in.hold = forTurn
		r.resumeLater(s)
		return
	default:
		s.in.waiting = nil
	}
	s.held.Store(false)
	s.endParting()
}

// resumeLater has the next step of a session's input worked through after its
// transport has looked after other clients.
func (r *Room) resumeLater(s *Session) {
	r.mu.Lock()
	r.letResume(s)
	r.unlock()
}

// endParting ends a session that has left, if all its input is worked through.
// Otherwise Ticks go on with that. in.mu is held.
func (s *Session) endParting() {
	if !s.parting {
		return
	}
	r := s.room
	r.mu.Lock()
	if s.in.hold == notHeld {
		r.end(s, ReasonEOF, nil)
	} else {
		r.resumeByTicks(s)
	}
	r.unlock()
}

// resumeByTicks has Ticks work through the input of a session that has left, for
// as long as one that is closing gets for its last words. The room's lock is held.
func (r *Room) resumeByTicks(s *Session) {
	s.deadline = r.in(r.cfg.Farewell)
	r.parting = append(r.parting, s)
}

// resumeParting works through a step of the input of each session that has left
// and may go on. It ends those whose time is over.
func (r *Room) resumeParting() {
	var ready []*Session
	r.mu.Lock()
	kept := r.parting[:0]
	for _, s := range r.parting {
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
	clear(r.parting[len(kept):])
	r.parting = kept
	r.unlock()
	for _, s := range ready {
		s.resume()
	}
}

// rawFile is the octets of a File frame as its client sent it.
func rawFile(f wire.Frame) []byte {
	return wire.AppendFile(nil, f.Command, "", f.Body)
}
